"""`python -m ringkey.gatekeeper.workers`: one worker, started by the supervisor and by nobody else."""

import sys

from ringkey.gatekeeper.workers.worker import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
