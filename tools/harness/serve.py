"""Shares a phone over TCP: a unix phone's pseudo-terminal, or a board on this machine's port.

    python -m harness.serve --socket 5555 --settings phone.json      then: --phone socket://HOST:5555
    python -m harness.serve --rfc2217 5555 --port /dev/ttyUSB0       then: --phone rfc2217://HOST:5555

Over rfc2217 (RFC 2217, by pyserial's own PortManager) the client's RTS resets the phone as it does
at a port of its own; over a plain socket nothing does, so `--control PORT` takes the words "on" and
"off", which `--switch` sends:

    --power-command 'python -m harness.serve --control 5556 --switch {on|off}'

One client at a time.  It listens on the loopback unless --host says otherwise: whoever connects is
at the phone's console.
"""

import argparse
import contextlib
import select
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

from harness.errors import HarnessError
from harness.line import Line, PtyLine, SerialLine
from harness.power import Power, ProcessPower, PulsePower
from harness.unixphone import command

_CONNECTING = 10.0  # s


class VirtualPort:
    """A phone behind a line, with the face that serial.rfc2217.PortManager wants of a port.

    RTS without DTR is the reset, as with the transistors on an ESP board.
    """

    def __init__(self, power: Power) -> None:
        self._power = power
        self._rts = self._dtr = False
        self.baudrate, self.bytesize, self.parity, self.stopbits = 115200, 8, "N", 1
        self.xonxoff = self.rtscts = self.dsrdtr = False
        self.break_condition = False
        self.cts = self.dsr = self.cd = True
        self.ri = False

    @property
    def rts(self) -> bool:
        """The client's RTS."""
        return self._rts

    @rts.setter
    def rts(self, value: bool) -> None:
        self._rts = value
        self._follow()

    @property
    def dtr(self) -> bool:
        """The client's DTR."""
        return self._dtr

    @dtr.setter
    def dtr(self, value: bool) -> None:
        self._dtr = value
        self._follow()

    def reset_input_buffer(self) -> None:
        """Nothing is kept here."""

    def reset_output_buffer(self) -> None:
        """Nothing is kept here."""

    def _follow(self) -> None:
        if self._rts and not self._dtr:
            self._power.off()
        else:
            self._power.on()


class Share:
    """Serves one line to one client after the other, until `stop`."""

    def __init__(self, line: Line, power: Power, address: tuple[str, int], *, rfc2217: bool) -> None:
        self._line = line
        self._power = power
        self._rfc2217 = rfc2217
        self._stopping = False
        self._client: socket.socket | None = None
        self._manager: Any = None
        self._lock = threading.RLock()
        self._listener = socket.create_server(address)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=t, daemon=True) for t in (self._from_phone, self._serve)]

    def start(self) -> None:
        """Begin to serve."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Hang up and stop."""
        self._stopping = True
        self._hang_up()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(_CONNECTING)

    def _from_phone(self) -> None:
        while not self._stopping:
            try:
                data = self._line.read()
            except HarnessError:
                return
            with self._lock:
                # With nobody there it is lost, as on a cable.
                if data and self._client is not None:
                    if self._manager is not None:
                        data = b"".join(self._manager.escape(data))
                    with contextlib.suppress(OSError):
                        self._client.sendall(data)

    def _serve(self) -> None:
        while not self._stopping:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._client = client
                self._manager = self._manage(client) if self._rfc2217 else None
            with contextlib.suppress(OSError):
                self._from_client(client)
            self._hang_up()

    def _from_client(self, client: socket.socket) -> None:
        while data := client.recv(4096):
            if self._manager is not None:
                data = b"".join(self._manager.filter(data))
            if data:
                self._line.write(data)

    def _manage(self, client: socket.socket) -> Any:
        from serial import rfc2217

        lock = self._lock

        class Connection:
            """What PortManager answers through."""

            def write(self, data: bytes) -> None:
                with lock, contextlib.suppress(OSError):
                    client.sendall(data)

        port = self._line.port if isinstance(self._line, SerialLine) else VirtualPort(self._power)
        return rfc2217.PortManager(port, Connection())

    def _hang_up(self) -> None:
        with self._lock:
            client, self._client = self._client, None
            self._manager = None
        if client is not None:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()


class Control:
    """Takes "on" and "off", one a connection, and answers "ok" or why not."""

    def __init__(self, power: Power, address: tuple[str, int]) -> None:
        self._power = power
        self._listener = socket.create_server(address)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self) -> None:
        """Stop."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                client.settimeout(_CONNECTING)
                client.sendall(self._obey(client.recv(16).decode("ascii", "replace").strip()).encode())

    def _obey(self, word: str) -> str:
        try:
            if word not in ("on", "off"):
                return f"no {word!r}: on or off"
            if word == "on":
                self._power.on()
            else:
                self._power.off()
        except HarnessError as error:
            return str(error)
        return "ok"


def switch(address: tuple[str, int], word: str) -> None:
    """Tell a Control "on" or "off"; raises HarnessError."""
    try:
        with socket.create_connection(address, _CONNECTING) as connection:
            connection.sendall(word.encode())
            answer = connection.recv(200).decode()
    except OSError as error:
        raise HarnessError(f"nobody serves a phone's power on port {address[1]}: {error.strerror}") from None
    if answer != "ok":
        raise HarnessError(answer)


def main() -> int:
    """Serve until a signal comes, or send one word; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--socket", type=int, metavar="PORT", help="plain TCP")
    parser.add_argument("--rfc2217", type=int, metavar="PORT", help="RFC 2217")
    parser.add_argument("--control", type=int, metavar="PORT", help="takes on and off")
    parser.add_argument("--switch", choices=("on", "off"), help="tell the one on --control, and end")
    parser.add_argument("--settings", type=Path, help="of a unix phone, which is started")
    parser.add_argument("--port", help="a serial port of this machine, instead of a unix phone")
    arguments = parser.parse_args()
    try:
        if arguments.switch:
            if arguments.control is None:
                parser.error("--switch wants --control PORT")
            switch((arguments.host, arguments.control), arguments.switch)
            return 0
        if (arguments.socket is None) == (arguments.rfc2217 is None):
            parser.error("one of --socket PORT and --rfc2217 PORT is wanted")
        if (arguments.settings is None) == (arguments.port is None):
            parser.error("one of --settings FILE and --port PORT is wanted")
        _serve(arguments)
    except HarnessError as error:
        print(f"serve: {error}", file=sys.stderr)
        return 1


def _serve(arguments: argparse.Namespace) -> NoReturn:
    line, power = _phone(arguments)
    rfc2217 = arguments.rfc2217 is not None
    address = (arguments.host, arguments.rfc2217 if rfc2217 else arguments.socket)
    try:
        share = Share(line, power, address, rfc2217=rfc2217)
        control = (
            Control(power, (arguments.host, arguments.control)) if arguments.control is not None else None
        )
    except OSError as error:
        raise HarnessError(f"port {address[1]}: {error.strerror}") from None
    share.start()
    scheme = "rfc2217" if rfc2217 else "socket"
    where = f"{scheme}://{arguments.host}:{share.port}"
    print(f"serving {where}" + (f", control {control.port}" if control else ""), flush=True)
    waker, wakened = socket.socketpair()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: waker.send(b"x"))
    select.select([wakened], [], [])
    share.stop()
    if isinstance(power, ProcessPower):
        power.off()
    sys.exit(0)


def _phone(arguments: argparse.Namespace) -> tuple[Line, Power]:
    if arguments.port is not None:
        board = SerialLine(arguments.port)
        board.open()
        return board, PulsePower(board)
    line = PtyLine()
    line.open()
    words, environment = command(arguments.settings)
    power = ProcessPower(line, words, environment)
    power.on()
    return line, power


if __name__ == "__main__":
    sys.exit(main())
