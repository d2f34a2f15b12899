"""`make phone`: a phone of your own in this terminal, against `make servers`."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import NoReturn

from harness.errors import HarnessError
from harness.unixphone import command, write_settings


def main() -> NoReturn:
    """Write the phone's settings if there are none, then become the phone."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Examples: make phone   make phone SITE=/srv/ringkey"
    )
    parser.add_argument("--site", type=Path, default=Path("site"))
    parser.add_argument("--name", default="phone", help="a second phone needs a name of its own")
    arguments = parser.parse_args()
    site: Path = arguments.site
    root = site / "phone" / "root.der"
    if not root.exists():
        print(f"phone: there is no site at {site}\ntry: make servers", file=sys.stderr)
        sys.exit(1)
    try:
        ports = json.loads((site / "run" / "keyserver.json").read_text())["ports"]
    except (OSError, ValueError, KeyError):
        print("phone: the key server does not run (it shows what a phone shows then)\ntry: make servers\n")
        ports = {"files": 8443}
    try:
        settings = write_settings(
            site / "phones" / arguments.name, root, [f"localhost:{ports['files']}"], events=False
        )
        line, more = command(settings)
    except HarnessError as error:
        print(f"phone: {error}", file=sys.stderr)
        sys.exit(1)
    print(
        "0-9 keys, Enter or # enters, Backspace or * rubs out, L logs out, Ctrl-C switches off\n", flush=True
    )
    os.umask(0o077)  # its store holds keys, and MicroPython has no chmod
    os.execve(line[0], line, {**os.environ, **more})


if __name__ == "__main__":
    main()
