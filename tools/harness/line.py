"""A serial line: a pseudo-terminal to a process, or whatever pyserial opens by a URL.

Opening one never resets the board behind it.
"""

import errno
import os
import pty
import re
import select
import termios
import time
import tty
import warnings
from typing import Any

from harness.errors import HarnessError

BAUD = 115200
POLL = 0.1  # s that a read waits, so that whoever reads can be told to stop
_WRITING = 20.0  # s for the other end to take what is written: a phone reads key by key


class LineError(HarnessError):
    """The line cannot be opened, or is gone; the text is one line that says what to do."""


class Line:
    """Octets to and from a phone.  name: as the user gave it."""

    name = ""

    def open(self) -> None:
        """Open it; raises LineError."""
        raise NotImplementedError

    def close(self) -> None:
        """Close it; may be called again."""
        raise NotImplementedError

    def read(self) -> bytes:
        """Wait for octets, POLL seconds at the most; raises LineError where the line is gone."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Write all of it; raises LineError."""
        raise NotImplementedError


class PtyLine(Line):
    """A pseudo-terminal: its other end, `slave`, is for a process.

    It stays while processes come and go, as a cable does while a board loses its power.
    """

    def __init__(self, name: str = "pty") -> None:
        self.name = name
        self.slave = self._master = -1

    def open(self) -> None:
        if self._master >= 0:
            return
        self._master, self.slave = pty.openpty()
        # A serial line echoes nothing: a phone that has not started yet must not show a PIN.
        tty.setraw(self.slave)
        os.set_blocking(self._master, False)

    def close(self) -> None:
        for end in (self._master, self.slave):
            if end >= 0:
                os.close(end)
        self._master = self.slave = -1

    def forget_input(self) -> None:
        """Drop what was written and not read: it was pressed on a phone that was off."""
        termios.tcflush(self.slave, termios.TCIFLUSH)

    def read(self) -> bytes:
        try:
            ready, _, _ = select.select([self._master], [], [], POLL)
            return os.read(self._master, 4096) if ready else b""
        except (OSError, ValueError):
            raise LineError(f"{self.name}: the line is closed") from None

    def write(self, data: bytes) -> None:
        deadline = time.monotonic() + _WRITING
        while data:
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LineError(f"{self.name}: the phone takes no more keys: is it running?") from None
                select.select([], [self._master], [], POLL)
            except OSError:
                raise LineError(f"{self.name}: the line is closed") from None


class SerialLine(Line):
    """A port of this machine, or a URL of pyserial: socket://host:port, rfc2217://host:port."""

    def __init__(self, url: str, baud: int = BAUD) -> None:
        self.name = url
        self._baud = baud
        self._port: Any = None

    def open(self) -> None:
        if self._port is not None:
            return
        try:
            import serial
        except ImportError:
            raise LineError(f"{self.name}: pyserial is not installed: pip install pyserial") from None
        try:
            port = serial.serial_for_url(self.name, self._baud, timeout=POLL, do_not_open=True)
            if "://" not in self.name:
                port.write_timeout = _WRITING  # rfc2217:// knows none
                port.exclusive = True  # or a monitor left open would take half of what the phone says
            # Linux asserts both lines as it opens a port, at the same time.  On ESP boards RTS
            # without DTR is what pulls the reset line: so leave both asserted while opening, then
            # drop RTS first.  Dropping DTR first, or only saying so before, resets the board.
            port.dtr = port.rts = True
            if "socket://" in self.name:
                # It would throw away what the other end says first.
                port.reset_input_buffer = lambda: None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # pyserial 3.5's own
                port.open()
        except Exception as error:
            raise LineError(self._why(error)) from None
        self._port = port
        self.control(rts=False, dtr=False)

    def close(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            connection = getattr(port, "_socket", None)
            port.close()
            if connection is not None:  # pyserial 3.5 forgets it where the server hung up first
                connection.close()

    @property
    def port(self) -> Any:
        """pyserial's port, for who wants to set more of it; None while it is closed."""
        return self._port

    def control(self, *, rts: bool, dtr: bool) -> bool:
        """Set the control lines, RTS first; tell whether the line has any."""
        try:
            self._port.rts = rts
            self._port.dtr = dtr
        except OSError as error:
            if error.errno in (errno.ENOTTY, errno.EINVAL):  # a pseudo-terminal
                return False
            raise LineError(f"{self.name}: cannot set RTS and DTR: {error.strerror}") from None
        return "socket://" not in self.name

    def read(self) -> bytes:
        port = self._port
        if port is None:
            raise LineError(f"{self.name}: the line is closed")
        try:
            if "rfc2217://" in self.name:
                data: bytes = port.read(1)
                return data + port.read(port.in_waiting) if data else b""
            # Not pyserial's read: of a socket it takes octet by octet.
            ready, _, _ = select.select([port], [], [], POLL)
            data = os.read(port.fileno(), 4096) if ready else b""
            if ready and not data:
                raise OSError("the other end has closed it")
            return data
        except Exception as error:  # pyserial lets what the platform raises through, of many kinds
            raise LineError(
                f"{self.name}: the line is gone ({_reason(error)}): is it still plugged in?"
            ) from None

    def write(self, data: bytes) -> None:
        port = self._port
        if port is None:
            raise LineError(f"{self.name}: the line is closed")
        try:
            port.write(data)
            port.flush()
        except Exception as error:
            raise LineError(
                f"{self.name}: cannot write ({_reason(error)}): is it still plugged in?"
            ) from None

    def _why(self, error: Exception) -> str:
        """Return one line: why it could not be opened, and what to do."""
        name, reason = self.name, _reason(error)
        number = getattr(error, "errno", None) or getattr(error.__context__, "errno", None)
        if "://" in name:
            if isinstance(error, ValueError) or "unknown" in reason or not re.search(r":\d+", name[6:]):
                return f"{name}: not a URL that pyserial knows: socket://HOST:PORT or rfc2217://HOST:PORT"
            return f"{name}: nobody listens there ({reason}): start the emulator, or python -m harness.serve"
        if number == errno.ENOENT or "No such file" in reason:
            return f"{name}: there is no such port: {_ports()}"
        if number == errno.EACCES or "Permission denied" in reason:
            return f"{name}: this user may not open it: sudo usermod -aG dialout $USER, then log in again"
        if number in (errno.EBUSY, errno.EAGAIN) or "lock" in reason or "busy" in reason:
            return f"{name}: another program has it open, see fuser {name}: close that one"
        return f"{name}: cannot be opened ({reason}): {_ports()}"


def open_line(url: str, baud: int = BAUD) -> SerialLine:
    """Return the line behind a port's name or a URL, open; raises LineError."""
    line = SerialLine(url, baud)
    line.open()
    return line


def _reason(error: BaseException) -> str:
    return str(error).splitlines()[0][:160] if str(error) else type(error).__name__


def _ports() -> str:
    from serial.tools import list_ports

    found = sorted(port.device for port in list_ports.comports())
    return "this machine has " + ", ".join(found) if found else "this machine has no serial port; plug it in"
