"""`make monitor`: the console of a board in this terminal, without resetting it; Ctrl-] leaves."""

import argparse
import sys

from flashing import console


def main() -> int:
    """Show it; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="Example: make monitor PORT=/dev/ttyUSB0")
    parser.add_argument("--port", required=True, help="/dev/ttyUSB0, or socket://host:port")
    port = parser.parse_args().port
    try:
        opened = console.open_port(port)
    except (OSError, ValueError) as e:  # pyserial's errors are OSErrors; a bad URL is a ValueError
        print(f"monitor: {e}\ntry: ls /dev/ttyUSB* /dev/ttyACM*", file=sys.stderr)
        return 1
    print(f"--- {port}: 0-9 # * keys, L logs out; Ctrl-] leaves, and the phone goes on ---", file=sys.stderr)
    console.watch(opened)
    return 0


if __name__ == "__main__":
    sys.exit(main())
