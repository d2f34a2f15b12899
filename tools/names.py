"""What the short names in a traceback of a phone stand for (docs/memory.md)."""

import argparse
import json

from harness.unixphone import REPOSITORY
from image import modules, slim


def main() -> None:
    """Print module, short name, name: a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="Example: tools/names.py esp32_generic")
    parser.add_argument("board", help="a folder of boards/")
    name = parser.parse_args().board
    firmware, board = REPOSITORY / "firmware", REPOSITORY / "boards" / name
    paths = {path: firmware / path for path in modules.of_every_phone(firmware)}
    description = json.loads((board / "board.json").read_text())
    paths.update(modules.of_the_board(description, board, firmware))
    found = slim.names(
        {path: file.read_bytes() for path, file in paths.items()}, (firmware / "main.py").read_bytes()
    )
    for module, shortened in sorted(found.items()):
        for long, short in shortened.items():
            print(module, short, long)


if __name__ == "__main__":
    main()
