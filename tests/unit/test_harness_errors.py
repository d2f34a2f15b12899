"""What the harness says when a phone is not what or where it should be: one line, and what to do."""

import json
import os
import pty
import socket
import sys
import threading
import time

import pytest
from harness import connect, diagnosis
from harness.errors import HarnessError
from harness.line import LineError, PtyLine, SerialLine
from harness.phone import Phone
from harness.phonelog import PhoneLog
from harness.power import CommandPower, NoPower, PulsePower


def only_line(caught):
    """The error's text, which is one line."""
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.fixture
def port():
    """A port's name, and the other end of it as a file descriptor."""
    master, slave = pty.openpty()
    yield os.ttyname(slave), master
    os.close(master)
    os.close(slave)


@pytest.fixture
def remote():
    """`remote(octets)` returns the URL of a phone that says just that to whoever connects."""
    listeners = []

    def start(said):
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(said)
                while connection.recv(100):
                    pass

        threading.Thread(target=serve, daemon=True).start()
        return f"socket://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.close()


def test_no_such_port():
    with pytest.raises(LineError) as caught:
        connect.open_phone("/dev/ttyNOWHERE7")
    text = only_line(caught)
    assert text.startswith("/dev/ttyNOWHERE7: there is no such port: ")
    assert "this machine has " in text


def test_a_port_that_is_busy(port):
    name, _ = port
    phone = connect.open_phone(name)
    try:
        with pytest.raises(LineError) as caught:
            connect.open_phone(name)
    finally:
        phone.close()
    assert only_line(caught) == f"{name}: another program has it open, see fuser {name}: close that one"


def test_a_port_that_is_not_ours(tmp_path, monkeypatch):
    import serial

    def refuse(self):
        raise serial.SerialException(13, "could not open port: [Errno 13] Permission denied")

    monkeypatch.setattr(serial.Serial, "open", refuse)
    with pytest.raises(LineError) as caught:
        connect.open_phone("/dev/ttyUSB0")
    assert "usermod -aG dialout" in only_line(caught)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("socket://127.0.0.1:1", "nobody listens there"),
        ("rfc2217://127.0.0.1:1", "nobody listens there"),
        ("sokcet://127.0.0.1:1", "not a URL that pyserial knows"),
        ("socket://127.0.0.1", "not a URL that pyserial knows"),
    ],
)
def test_nobody_behind_a_url(url, says):
    with pytest.raises(LineError) as caught:
        connect.open_phone(url)
    assert only_line(caught).startswith(f"{url}: {says}")


def boot(board):
    return b'\x1e{"e": "boot", "board": "%s", "version": "1", "store": "fresh"}\r\n' % board.encode()


def booted(url, board=None, timeout=0.5):
    phone = connect.open_phone(url, board=board)
    try:
        return phone.wait_boot(timeout)
    finally:
        phone.close()


def test_the_wrong_board(remote):
    with pytest.raises(HarnessError) as caught:
        booted(remote(boot("esp32_generic_c3")), "esp32_generic", 5)
    text = only_line(caught)
    assert "this phone is a esp32_generic_c3, not a esp32_generic" in text
    assert "give --board esp32_generic_c3" in text
    assert booted(remote(boot("esp32_generic")), "esp32_generic", 5)["store"] == "fresh"


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (b"", "the phone is silent: is it powered"),
        (
            b"E (37) boot_comm: mismatch chip ID, expected 9, found 0\r\n",
            "the image on it is for another chip",
        ),
        (
            b"Invalid chip id. Expected 9 read 0. Bootloader for wrong chip?\r\n",
            "is for another chip: make flash",
        ),
        (b"rst:0x1 (POWERON_RESET)\r\ninvalid header: 0xffffffff\r\n" * 3, "its flash is empty: make flash"),
        (b"csum err:0x10!=0x95\r\nets_main.c 371\r\n", "the image on it is damaged: make flash"),
        (b"rst:0x1 (POWERON_RESET),boot:0x3 \r\nwaiting for download\r\n", "let go of BOOT"),
        (b"MicroPython v1.26.1 on 2025-09-11; Generic ESP32\r\n>>> ", "no phone: make flash"),
        (b"Brownout detector was triggered\r\n", "supply voltage"),
        (b'Traceback (most recent call last):\r\n  File "main.py"\r\n', "its firmware fails as it starts"),
        (bytes(range(128, 256)) * 4, "only noise comes"),
        (b"| Extension:       |\r\n|                  |\r\n", "tells no boot event"),
    ],
)
def test_a_phone_that_does_not_say_that_it_booted(remote, said, says):
    url = remote(said)
    with pytest.raises(HarnessError) as caught:
        booted(url)
    text = only_line(caught)
    assert text.startswith(url + ": ")
    assert says in text


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (
            "A fatal error occurred: This chip is ESP32-S3, not ESP32. Wrong chip argument?",
            "chip than the ESP32-S3",
        ),
        ("Unexpected chip id in image. Expected 9 but value was 0.", "base firmware for it (BASE=…)"),
        ("make: *** No rule to make target 'flash'.  Stop.", "has no `make flash` yet"),
        ("A fatal error occurred: Failed to connect to ESP32: No serial data received.", "hold BOOT (IO0)"),
        ("Could not exclusively lock port /dev/ttyUSB0: could not exclusively lock", "fuser /dev/ttyUSB0"),
        ("could not open port '/dev/ttyUSB0': No such file or directory", "no such port"),
        ("one\ntwo\n", "not flashed: two"),
        ("", "it says nothing"),
    ],
)
def test_an_image_that_is_not_taken(output, says):
    text = diagnosis.of_flash("/dev/ttyUSB0", "esp32_generic", output)
    assert "\n" not in text
    assert says in text


def test_power_that_cannot_be_switched():
    with pytest.raises(HarnessError) as caught:
        NoPower("socket://h:1").off()
    assert "give --power-command" in only_line(caught)
    with pytest.raises(HarnessError, match=r"has no \{on\|off\}"):
        CommandPower("relay 1 on")
    for command in (
        f"{sys.executable} -c 'import sys; sys.exit(\"stuck\")' {{on|off}}",
        "/nowhere/at/all {on|off}",
    ):
        with pytest.raises(HarnessError) as caught:
            CommandPower(command).off()
        assert only_line(caught).startswith("--power-command: ")
    power = CommandPower(f"{sys.executable} -c 'import sys; sys.exit(sys.argv[1] != \"off\")' {{on|off}}")
    power.off()
    assert not power.is_on


class Wires:
    """A port that notes what its control lines do."""

    def __init__(self):
        self.seen = []

    def __setattr__(self, name, value):
        if name in ("rts", "dtr"):
            self.seen.append((name, value))
        object.__setattr__(self, name, value)

    def levels(self):
        """(RTS, DTR) after each change, from both asserted, as Linux leaves them on opening."""
        rts = dtr = True
        for name, value in self.seen:
            rts, dtr = (value, dtr) if name == "rts" else (rts, value)
            yield rts, dtr


def test_opening_never_pulls_the_reset_line(monkeypatch):
    """RTS without DTR pulls EN on an ESP board: not even between two assignments."""
    import serial

    wires = Wires()
    wires.open = wires.close = lambda: None
    monkeypatch.setattr(serial, "serial_for_url", lambda *_args, **_more: wires)
    line = SerialLine("/dev/ttyUSB0")
    line.open()
    assert (True, False) not in list(wires.levels())
    assert list(wires.levels())[-1] == (False, False)
    power = PulsePower(line)
    power.reset()
    assert (True, False) in list(wires.levels()), "a reset is just that"
    assert list(wires.levels())[-1] == (False, False)
    line.close()


def test_what_did_not_come_is_told_with_the_rest_and_the_log(remote, tmp_path):
    log = PhoneLog(tmp_path, "phone")
    phone = connect.open_phone(remote(boot("unix") + b"and then this\r\n"), log=log)
    try:
        phone.wait_boot(5)
        with pytest.raises(HarnessError) as caught:
            phone.expect(r"never \d+ this", timeout=0.3)
        text = str(caught.value)
        assert "no match of /never \\d+ this/ within 0.3 s" in text
        assert "and then this" in text
        assert f"log: {tmp_path / 'phone.log'}" in text
        assert phone.expect(r"and (\w+) this", timeout=5)[1] == "then"
        with pytest.raises(HarnessError, match="no state 'flying'"):
            phone.transition("flying")
        with pytest.raises(HarnessError, match="no user to log in"):
            phone.transition("provisioned")
        phone.press("4711#", secret=True)
    finally:
        phone.close(drain=True)
    readable = (tmp_path / "phone.log").read_text()
    assert "< and then this" in readable
    assert "> ••••#" in readable
    assert "4711" not in readable
    assert (tmp_path / "phone.raw").read_bytes().endswith(b"and then this\r\n")


def test_a_phone_that_takes_no_more_keys_is_told(monkeypatch):
    monkeypatch.setattr("harness.line._WRITING", 0.3)
    line = PtyLine()
    line.open()
    phone = Phone(line)
    try:
        with pytest.raises(LineError, match="takes no more keys"):
            phone.press("1" * 100_000)
    finally:
        phone.close()


def test_a_line_that_goes_away_is_told(remote):
    listener = socket.create_server(("127.0.0.1", 0))
    phone = connect.open_phone(f"socket://127.0.0.1:{listener.getsockname()[1]}")
    try:
        connection, _ = listener.accept()
        connection.close()
        deadline = time.monotonic() + 5
        while phone._gone is None and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(HarnessError, match="the line is gone"):
            phone.expect("anything", 0.05)
    finally:
        phone.close()
        listener.close()


def test_the_display_of_a_phone_that_tells_no_events(remote):
    rows = "".join(f"| {line:<16} |\r\n" for line in ("Extension:", "", "Extension:", "10", "PIN:", "...."))
    phone = connect.open_phone(remote(b"\x1b[2K" + rows.encode()))
    try:
        assert phone.expect_display("^Extension:\n(\\d+)", 5)[1] == "10"
        phone.expect_display("^PIN:", 5)
        assert phone.display == ("PIN:", "....")
    finally:
        phone.close()


def test_half_an_event_is_no_event(remote):
    said = b'\x1e{"e": "boot", "board": "un\r\n\x1e{"e": 5}\r\n\x1e[]\r\n' + boot("unix")
    phone = connect.open_phone(remote(said))
    try:
        assert phone.wait_boot(5)["board"] == "unix"
        assert [json.dumps(e)[:10] for e in phone.events] == ['{"e": "boo']
    finally:
        phone.close()
