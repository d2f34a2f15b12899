"""The channel's TLS by this project's own client (tlspsk): for a MicroPython that has no PSK."""

from errno import ENOTCONN

from phone import aio
from phone.unload import unload
from ras.compat import const
from ras.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from tlspsk.client import PSKClient

_PIECE = const(512)  # octets read at once
# What nobody needs once the connection stands.
_HANDSHAKE = "tlspsk.negotiation tlspsk.handshake tlspsk.prf"


class Transport:
    """TLS over a connected socket; face as phone/channel.py says."""

    def __init__(self, sock: object, host: str, identity: bytes, key: bytes, random: object) -> None:
        self._sock = sock
        self._buffer = bytearray(_PIECE)
        self._client = PSKClient(identity, key, random)

    async def shake_hands(self) -> str:
        self._client.start()
        await self._flush()
        while True:
            event = self._client.next_event()
            if event is None:
                await self._more()
            elif event[0] == "connected":
                unload(_HANDSHAKE)
                return event[1]
            else:
                raise RemoteProtocolError("TLS: closed within the handshake")

    async def read(self) -> "bytes | None":
        while True:
            event = self._client.next_event()
            if event is None:
                await self._more()
            elif event[0] == "data":
                return event[1]
            else:
                return None

    async def write(self, data: bytes) -> None:
        try:
            self._client.send(data)
        except LocalProtocolError:
            raise OSError(ENOTCONN)  # the other end has closed it; read() is about to tell
        await self._flush()

    def close(self) -> None:
        try:
            self._client.close()
            # As far as it goes out at once: whoever closes does not wait.
            self._sock.write(self._client.data_to_send())
        except (OSError, ProtocolError):
            pass
        self._sock.close()

    async def _more(self) -> None:
        count = await aio.read_into(self._sock, self._buffer)
        try:
            if count:
                self._client.receive(memoryview(self._buffer)[:count])
            else:
                self._client.receive_eof()
        finally:
            await self._flush()  # an alert that says why, above all

    async def _flush(self) -> None:
        data = self._client.data_to_send()
        if data:
            await aio.write(self._sock, data)
