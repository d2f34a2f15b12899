"""`make servers`: the servers in one process, the console in another, with a site made on the first run."""

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from ras.address import join_address
from ringkey.site.config import Site, load

EXT = "1001"
# Seconds that a process is given to end.
PATIENCE = 20


def main() -> int:
    """Make the site if there is none, then run `ringkey serve` and `ringkey console serve` until one ends."""
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
    at_site = [*ringkey, "--site", str(site)]
    say_where(at_site, site)
    # Both get the terminal's Ctrl-C; a SIGTERM to this process is passed on.
    running = [subprocess.Popen([*at_site, *what]) for what in (("serve",), ("console", "serve"))]

    def pass_on(*_: object) -> None:
        for process in running:
            process.terminate()

    signal.signal(signal.SIGTERM, pass_on)
    try:
        status = wait(running)
    except KeyboardInterrupt:
        status = 0
    pass_on()
    for process in running:
        try:
            process.wait(PATIENCE)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()
    return status


def say_where(at_site: list[str], site: Path) -> None:
    """Print the console's address, and a link for its administrator where nobody can log in yet."""
    asked = subprocess.run([*at_site, "user", "list", "--json"], check=True, capture_output=True, text=True)
    users = json.loads(asked.stdout)["users"]
    print(f"The console, its certificate signed by {site}/ca/root.crt:")
    if any(user["password"] for user in users):
        print(f"  {address(site)}\n", flush=True)
        return
    role = [] if any(user["name"] == "admin" for user in users) else ["--role", "administrator"]
    made = subprocess.run(
        [*at_site, "user", "invite", "admin", *role, "--json"], check=True, capture_output=True, text=True
    )
    print(f"  {address(site)}{json.loads(made.stdout)['path']}\n", flush=True)


def address(site: Path) -> str:
    """Return where a browser on this machine finds the console."""
    config = load(Site(site))
    names = config.need_keyserver().names
    host = next((name for name in ("localhost", "127.0.0.1") if name in names), names[0])
    return f"https://{join_address(host, config.need_console().port)}"


def wait(running: "list[subprocess.Popen[bytes]]") -> int:
    """Return the status of the first process that ends."""
    ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)  # which leaves it to its Popen
    return next((process.wait() for process in running if ended and process.pid == ended.si_pid), 1)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.stderr.write(error.stderr or "")
        sys.exit(error.returncode)
