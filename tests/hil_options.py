"""The command line of the tests in tests/hil: which phones, and what may be done to them."""

from pathlib import Path


def add(parser):
    """Add the options, named as people know them from esptool and pytest-embedded."""
    group = parser.getgroup("hil", "hardware in the loop (tests/hil)")
    group.addoption(
        "--phone",
        action="append",
        metavar="URL",
        help="a port, socket://HOST:PORT, rfc2217://HOST:PORT, or unix; twice for tests that need two "
        "(default: the unix phone, as many as a test needs)",
    )
    group.addoption("--board", metavar="NAME", help="the board that --phone is, such as esp32_generic")
    group.addoption("--baud", type=int, default=115200, help="of a serial port")
    group.addoption("--flash", action="store_true", help="write the image first (make flash)")
    group.addoption(
        "--erase-nvs",
        action="store_true",
        help="keys that are on the phone may go: without this, a phone that has keys is left alone",
    )
    group.addoption("--base-firmware", type=Path, metavar="FILE", help="MicroPython image, for --flash")
    group.addoption(
        "--power-command",
        metavar="COMMAND",
        help="switches the phone's power, such as 'relay 1 {on|off}'; {phone} becomes its URL",
    )
    group.addoption("--site", type=Path, metavar="DIR", help="whose root certificate is in the boards' image")
    group.addoption("--host", metavar="ADDRESS", help="this machine, as the phones reach it")
    group.addoption(
        "--relay-ports",
        metavar="RAS,SIGNALLING,FILES",
        help="where phones find the servers (default for boards: 1719,1300,8443; for the unix phone: any)",
    )
    group.addoption(
        "--patience", type=float, default=1.0, metavar="FACTOR", help="wait so much longer (emulators: 3)"
    )
    group.addoption("--fault-seed", type=int, default=1, metavar="N", help="of the fault kit's randomness")
    group.addoption(
        "--gatekeeper-command", metavar="COMMAND", help="runs another gatekeeper; it gets ringkey's arguments"
    )
    group.addoption("--results", type=Path, metavar="DIR", help="logs and report (default: build/hil)")
