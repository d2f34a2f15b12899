"""A chip in download mode on a TCP port: esp32-mock-bootloader, its flash erased as real flash is."""

import socket
import struct
import threading

from esp32_mock_bootloader.server import BootloaderConnection, FlashImage, handle_client

SECTOR = 4096


class _Flash(FlashImage):
    """The mock's flash; a write erases the sectors it touches first, and what was erased is noted.

    The mock itself only ever overwrites, so a tool that erased too much would not be noticed.
    """

    def __init__(self):
        super().__init__()
        self.erased = []  # (first octet, octet behind the last)

    def _erase_for(self, payload):
        size, _, _, offset = struct.unpack_from("<IIII", payload)
        end = offset + -(-size // SECTOR) * SECTOR
        self.erase_region(offset, end - offset)

    def begin_defl(self, payload):
        self._erase_for(payload)
        super().begin_defl(payload)

    def begin_plain(self, payload):
        self._erase_for(payload)
        super().begin_plain(payload)

    def erase_region(self, offset, size):
        if size:  # esptool begins a write of nothing when it has ended
            self.erased.append((offset, offset + size))
        super().erase_region(offset, size)

    def erase_all(self):
        self.erased.append((0, len(self.data)))
        super().erase_all()


class _Patient(BootloaderConnection):
    """The mock gives up a stream of esptool's stub when an answer is 50 ms late, which over TCP it is."""

    def set_timeout(self, timeout):
        super().set_timeout(max(timeout, 30.0))


class MockChip:
    """`port`: what esptool connects to; `data`: the flash, a bytearray; `erased`: what was erased."""

    def __init__(self, mcu):
        self._mcu = mcu
        self._flash = _Flash()
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        # Wakes accept(): closing a listening socket alone does not, on Linux.
        socket.create_connection(self._listener.getsockname()).close()
        self._thread.join(60)
        self._listener.close()
        assert not self._thread.is_alive()

    @property
    def port(self):
        return f"socket://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def data(self):
        return self._flash.data

    @property
    def erased(self):
        return self._flash.erased

    def _serve(self):
        while not self._stop.is_set():
            connection, _ = self._listener.accept()
            handle_client(
                _Patient(connection), self._stop, self._mcu, exit_on_disconnect=True, flash=self._flash
            )
