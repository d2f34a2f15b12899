"""`make flash`: write the image that `make image` has built to a board; its NVS is kept."""

import argparse
import sys
from pathlib import Path

from flashing import device, plan
from flashing import image as images
from image import partitions
from image.build import BUILD
from ringkey.errors import UserError

_EXAMPLES = """\
Examples:
  make flash BOARD=esp32_generic PORT=/dev/ttyUSB0
  make flash BOARD=esp32_generic PORT=/dev/ttyUSB0 ERASE=1     # gives up the keys in it
"""


def flash(board: str, port: str, folder: Path, baud: int, *, erase: bool, stub: bool) -> None:
    """Write the image in `folder` to the board at `port`; raises UserError."""
    image = images.load(folder, board)
    with device.connected(port, image.chip, baud, stub=stub) as board_:
        size = board_.flash_size()
        if size is not None and size != image.flash:
            # MicroPython's file system goes to the flash's real end: another size is not mounted.
            raise UserError(
                f"the image is for {image.flash} of flash, and this board has {size}: it would not start",
                f"make image BOARD={board} FLASH={size}",
            )
        table = board_.read(partitions.OFFSET, partitions.SIZE)
        region = board_.read(*image.nvs)
        decided = plan.decide(image, table, region, erase=erase)
        board_.write(decided.write)
    print(f"\n{decided.why}\n{board} {image.version} is written; next: make monitor PORT={port}")


def main() -> int:
    """Write it; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, epilog=_EXAMPLES
    )
    parser.add_argument("--board", required=True)
    parser.add_argument("--port", required=True, help="/dev/ttyUSB0, or socket://host:port")
    parser.add_argument("--baud", type=int, default=device.BAUD, help="bit/s, once the chip is found")
    parser.add_argument("--build", type=Path, default=BUILD, help="as of make_image.py")
    parser.add_argument("--erase", action="store_true", help="replace NVS: the phone's keys are lost")
    parser.add_argument("--no-stub", action="store_true", help="use the chip's own loader only")
    arguments = parser.parse_args()
    try:
        flash(
            arguments.board,
            arguments.port,
            arguments.build / "image" / arguments.board,
            arguments.baud,
            erase=arguments.erase,
            stub=not arguments.no_stub,
        )
    except UserError as e:
        print(f"\nflash: {e.what}", file=sys.stderr)
        if e.next_step:
            print(f"try: {e.next_step}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
