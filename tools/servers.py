"""`make servers`: key server and gatekeeper in one process, with a site made on the first run."""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

EXT = "1001"


def main() -> NoReturn:
    """Make the site if there is none, then become `ringkey serve`."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Example: make servers SITE=/srv/ringkey   then, elsewhere: make phone"
    )
    parser.add_argument("--site", type=Path, default=Path("site"))
    site: Path = parser.parse_args().site
    ringkey = [sys.executable, "-m", "ringkey"]
    if not (site / "ringkey.toml").exists():
        subprocess.run([*ringkey, "init", str(site)], check=True)
        print(f"\nAn extension for the first phone, {EXT}:\n", flush=True)
        subprocess.run([*ringkey, "--site", str(site), "extension", "add", EXT, "--generate"], check=True)
        print("\nIn another terminal: make phone   (Ctrl-C ends the servers)\n", flush=True)
    os.execv(sys.executable, [*ringkey, "--site", str(site), "serve"])


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
