"""`make test-qemu`: the phone's tests on an emulated ESP32 with a real MicroPython base.

Builds the image for a site of its own, writes it with `make flash`'s code to the chip's ROM loader, runs
the first steps with a watch, then tests/hil.  Neither the emulator nor the base is part of this
project; without them it skips and says so.
"""

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import flash_board
from flashing.device import BAUD
from harness import sites
from harness.bench import Bench, make_template, well_known
from harness.connect import open_phone
from harness.emulator import HOST, SSID, Emulator
from harness.errors import HarnessError
from harness.line import PtyLine
from harness.phone import Phone
from harness.serve import Control, Share
from harness.unixphone import REPOSITORY
from image import board as boards
from image import build
from ringkey.errors import UserError

BOARD = "esp32_generic"
_SETTINGS = f"""\
[wifi]
ssid = "{SSID}"

[servers]
key_servers = ["{HOST}:{well_known()[2]}"]

[phone]
events = true
"""
_EXAMPLES = """\
Example:
  make test-qemu QEMU=~/qemu/build/qemu-system-xtensa BASE=ESP32_GENERIC-20250911-v1.26.1.bin
  make test-qemu QEMU=... BASE=... HIL_ARGS="-k 'login or power'"
"""
_SKIPPED = """\
test-qemu: skipped: no emulator for the ESP32 is in the package registries, so it is named, and a base:
  make test-qemu QEMU=.../qemu-system-xtensa BASE=ESP32_GENERIC-....bin       (docs/hil.md)"""


class Rig:
    """One emulated board, shared on a TCP port.  folder: where its flash is."""

    def __init__(self, folder: Path, program: Path, more: "list[str]") -> None:
        self.line = PtyLine()
        self.line.open()
        self.emulator = Emulator(self.line, program, folder / "flash.bin", more)
        self._share = Share(self.line, self.emulator, ("127.0.0.1", 0), rfc2217=False)
        self._control = Control(self.emulator, ("127.0.0.1", 0))
        self._share.start()
        self.url = f"socket://127.0.0.1:{self._share.port}"
        self.power_command = (
            f"env PYTHONPATH={REPOSITORY / 'tools'}:{REPOSITORY / 'firmware'} {sys.executable} "
            f"-m harness.serve --control {self._control.port} --switch {{on|off}}"
        )

    def close(self) -> None:
        """Switch it off and stop sharing it."""
        self.emulator.off()
        self._control.stop()
        self._share.stop()
        self.line.close()


class Watch:
    """Names and seconds of the steps, printed as they end."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, float]] = []

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what is done within."""
        print(f"  {name:<58}", end="", flush=True)
        begun = time.monotonic()
        yield
        seconds = time.monotonic() - begun
        self.steps.append((name, seconds))
        print(f"{seconds:7.1f} s", flush=True)


def make_site(folder: Path) -> Path:
    """Make the site whose root certificate goes into the image; return it."""
    site = folder / "site"
    if not site.exists():
        sites.make(site, addresses=("127.0.0.1", HOST))
        settings = site / "phone" / "settings.toml"
        settings.touch(0o600)
        settings.write_text(_SETTINGS)
    return site


def flash(rig: Rig, folder: Path) -> None:
    """Write the image as `make flash` does, to the ROM's loader; raises UserError, HarnessError."""
    rig.emulator.off()
    rig.emulator.download()
    try:
        flash_board.flash(BOARD, rig.url, folder, BAUD, erase=True, stub=True)
    finally:
        rig.emulator.check()
        rig.emulator.off()


def walk(phone: Phone, bench: Bench, watch: Watch) -> "list[dict[str, object]]":
    """Log a phone in, cut its power, see it come back; return what it said of its memory."""
    user = bench.user()
    with watch.step("power on, to the prompt"):
        phone.power_on()
        phone.expect_display("^Extension:", 300)
    with watch.step("EXT and PIN keyed in, to the verified key file"):
        phone.log_in(user.ext, user.pin)
        phone.expect_event("key-file", timeout=120)
    with watch.step("to RCF"):
        phone.expect_event("registered", ext=user.ext, timeout=60)
    with watch.step("to the channel's TLS-PSK"):
        phone.expect_event("channel", state="open", timeout=60)
    said = [phone.expect_event("memory", timeout=60)]
    with watch.step("two keep-alives"):
        for _ in range(2):
            phone.expect_event("ras", way="out", message="RRQ", timeout=60)
            phone.expect_event("ras", way="in", message="RCF", timeout=60)
    with watch.step("power cut, registered again from NVS"):
        phone.power_cut()
        phone.power_on()
        phone.expect_event("boot", store="provisioned", timeout=300)
        phone.expect_event("registered", ext=user.ext, timeout=60)
    with watch.step("to the channel's TLS-PSK"):
        phone.expect_event("channel", state="open", timeout=60)
    said.append(phone.expect_event("memory", timeout=60))
    with watch.step("logged out"):
        phone.press("L")
        phone.expect_event("erase", ok=True, timeout=60)
        phone.expect_display("^Extension:", 60)
    return said


def run_walk(rig: Rig, site: Path, folder: Path, watch: Watch) -> "list[dict[str, object]]":
    """Do the walk with servers of its own."""
    template = folder / "template"
    shutil.rmtree(template, ignore_errors=True)
    make_template(template, host=HOST, site=site)
    bench = Bench(template, folder / "bench", host=HOST, ports=well_known())
    try:
        bench.keyserver.start()
        bench.gatekeeper.start()
        phone = open_phone(rig.url, board=BOARD, power_command=rig.power_command)
        try:
            phone.power_cut()
            return walk(phone, bench, watch)
        except HarnessError:
            print(f"\n{phone.output[-3000:]}")
            rig.emulator.check()
            raise
        finally:
            phone.close()
    finally:
        bench.close()


def suite(rig: Rig, site: Path, base: Path, folder: Path, more: "list[str]") -> int:
    """Run tests/hil; return pytest's exit status."""
    words = [sys.executable, "-m", "pytest", "tests/hil", "--phone", rig.url, "--board", BOARD]
    words += ["--site", str(site), "--host", HOST, "--power-command", rig.power_command, "--erase-nvs"]
    words += ["--patience", "3", "--timeout", "900"]
    words += ["--base-firmware", str(base), "--results", str(folder / "hil")]
    words += [f"--junitxml={folder / 'hil' / 'junit.xml'}", *more]
    return subprocess.run(words, cwd=REPOSITORY, check=False).returncode


def main() -> int:
    """Run it all; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, epilog=_EXAMPLES
    )
    parser.add_argument("--qemu", type=Path, help="qemu-system-xtensa with the machine esp32 and esp32_wifi")
    parser.add_argument("--qemu-args", default="", help="more arguments for it, such as -L its/pc-bios")
    parser.add_argument("--base", type=Path, help="a MicroPython build for ESP32_GENERIC")
    parser.add_argument("--build", type=Path, default=REPOSITORY / "build" / "emulated")
    parser.add_argument("--no-suite", action="store_true", help="the timed steps only")
    parser.add_argument("tests", nargs="*", help="arguments for pytest")
    arguments = parser.parse_args()
    if arguments.qemu is None or arguments.base is None:
        print(_SKIPPED)
        return 0
    folder: Path = arguments.build.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hil").mkdir(exist_ok=True)
    for name in ("flash.bin", "flash.efuse"):
        (folder / name).unlink(missing_ok=True)
    base = arguments.base.expanduser().resolve()
    watch = Watch()
    try:
        rig = Rig(folder, arguments.qemu.expanduser().resolve(), arguments.qemu_args.split())
        try:
            site = make_site(folder)
            print(f"{BOARD} in {arguments.qemu.name}, {base.name}")
            with watch.step("image built"):
                build.build(boards.load(BOARD), site, base, folder)
            with watch.step("image written by esptool, and verified"):
                flash(rig, folder / "image" / BOARD)
            said = run_walk(rig, site, folder, watch)
            for memory in said:
                print(
                    f"  heap, registered, channel open: {memory['used']} used, {memory['free']} free; "
                    f"of the system's {memory.get('system')} free"
                )
            (folder / "walk.json").write_text(json.dumps({"steps": watch.steps, "memory": said}, indent=1))
            return 0 if arguments.no_suite else suite(rig, site, base, folder, arguments.tests)
        finally:
            rig.close()
    except UserError as error:
        print(f"\ntest-qemu: {error.what}", file=sys.stderr)
        print(f"try: {error.next_step}" if error.next_step else "", file=sys.stderr)
    except HarnessError as error:
        print(f"\ntest-qemu: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
