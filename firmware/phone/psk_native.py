"""The channel's TLS by MicroPython itself: `psk_identity` and `psk_key` of tls.SSLContext, from 1.29."""

import tls

from phone import aio
from ras import tpkt
from ras.compat import const

_PIECE = const(512)  # octets read at once

# What is wanted of the native TLS, best first (protocol.md section 7).
_SUITES = (
    "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256",
    "TLS-ECDHE-PSK-WITH-AES-128-CBC-SHA256",
    "TLS-PSK-WITH-AES-128-GCM-SHA256",
    "TLS-PSK-WITH-AES-128-CBC-SHA256",
)


class Transport:
    """TLS over a connected socket; face as phone/channel.py says."""

    def __init__(self, sock: object, host: str, identity: bytes, key: bytes, random: object) -> None:
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        offered = context.get_ciphers()
        wanted = [suite for suite in _SUITES if suite in offered]
        if not wanted:
            raise ValueError("this TLS has no PSK suite")
        context.set_ciphers(wanted)
        # With PSK suites only there is no certificate; should one turn up, no root is loaded
        # that it could be verified with.
        context.verify_mode = tls.CERT_REQUIRED
        context.psk_identity = identity
        context.psk_key = key
        self._tcp = sock
        self._sock = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        self._buffer = bytearray(_PIECE)

    async def shake_hands(self) -> str:
        # The first write does the handshake; an empty TPKT frame is H.323's keep-alive.
        await aio.write(self._sock, tpkt.encode(b""))
        return self._sock.cipher()[0]

    async def read(self) -> "bytes | None":
        count = await aio.read_into(self._sock, self._buffer)
        return bytes(memoryview(self._buffer)[:count]) if count else None

    async def write(self, data: bytes) -> None:
        await aio.write(self._sock, data)

    def close(self) -> None:
        self._sock.close()
        self._tcp.close()
