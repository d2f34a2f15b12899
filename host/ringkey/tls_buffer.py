"""How much memory a TLS connection of asyncio's takes."""

import asyncio.sslproto

# Octets of the buffer that asyncio keeps for each TLS connection; its own 256 KiB, cleared each
# time, were most of a connection's memory and a twentieth of a key file's time.  A request of a phone has
# 2 KiB; the answer to a gatekeeper's largest one, 32 KiB, is read in two parts.
TLS_BUFFER = 1 << 14


def keep_small() -> None:
    """Let the connections of this process that begin from now on have a small buffer."""
    # There is no argument for it, only this attribute of the class, which every release has had since
    # 3.11.  Where it has gone, connections cost more and work all the same.
    asyncio.sslproto.SSLProtocol.max_size = TLS_BUFFER
