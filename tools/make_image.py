"""`make image`: a phone's image for a board, from a MicroPython base, the firmware and a site."""

import argparse
import sys
from pathlib import Path

from image import board as boards
from image import build
from ringkey.errors import UserError

_EXAMPLES = """\
Examples:
  make image BOARD=esp32_generic SITE=site
  make image BOARD=esp32_generic_s3 SITE=/srv/ringkey BASE=ESP32_GENERIC_S3.bin FLASH=16MB
"""


def main() -> int:
    """Build the image and print the map of the flash; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, epilog=_EXAMPLES
    )
    parser.add_argument("--board", required=True, help="a folder of boards/")
    parser.add_argument("--site", type=Path, default=Path("site"), help="as `ringkey init` made it")
    parser.add_argument("--base", type=Path, help="a MicroPython build; default: the one that the board pins")
    parser.add_argument("--flash", help='size of the flash, such as "8MB"; default: as in board.json')
    parser.add_argument("--build", type=Path, default=build.BUILD, help="where the image goes")
    arguments = parser.parse_args()
    try:
        board = boards.load(arguments.board, arguments.flash)
        built = build.build(board, arguments.site, arguments.base, arguments.build.resolve())
    except UserError as e:
        print(f"image: {e.what}", file=sys.stderr)
        if e.next_step:
            print(f"try: {e.next_step}", file=sys.stderr)
        return 1
    print("\n".join(built.lines))
    print(f"\n{built.image}\nnext: make flash BOARD={board.name} PORT=/dev/ttyUSB0")
    return 0


if __name__ == "__main__":
    sys.exit(main())
