"""The time by SNTP (RFC 4330): a packet to send, what an answer says, and the asking.

    {"module": "drivers.sntp"}      with the setting time_server, ("host", port)

Nothing about the answer is proven: whoever is on the way can give any time.  What may be
done with it is in phone/clock.py (Wall).  Here an answer is taken only if it answers our own
question: it must carry back the 64 random bits that stood in the question's transmit time.
"""

import asyncio
import os

from ras.compat import const

_SIZE = const(48)  # octets of a packet without authenticator
_CLIENT = const(0x23)  # no leap warning, version 4, mode 3
_SERVER = const(4)  # mode
_UNSYNCHRONISED = const(3)  # leap indicator
_SECONDS_1900_TO_1970 = 2208988800  # no const: it is not a small int on a 32-bit MicroPython
_ERA = 1 << 32
# Whatever has its top bit clear is after 2036 (RFC 4330 section 3): good until 2104.
_HALF = 1 << 31

TRIES = const(2)
WAIT = const(1500)  # ms for an answer; nobody should wait long for a time that is only nice to have


def open(params: dict) -> "TimeServer":  # noqa: A001  (every driver's entry is called open)
    """Return the source of time."""
    return TimeServer(params["settings"].get("time_server"), params.get("wait_ms", WAIT))


def request(nonce: bytes) -> bytes:
    """Return a question that bears `nonce`, 8 octets."""
    packet = bytearray(_SIZE)
    packet[0] = _CLIENT
    packet[40:48] = nonce
    return bytes(packet)


def answer(data: bytes, nonce: bytes) -> "int | None":
    """Return the seconds from 1970 that an answer to the question with `nonce` gives, or None.

    RFC 4330 section 5: the checks 3 and 4 (origin, stratum, transmit time), and a
    server that says it does not know.
    """
    if len(data) < _SIZE or data[0] & 7 != _SERVER or data[0] >> 6 == _UNSYNCHRONISED:
        return None
    if not 1 <= data[1] <= 15:  # 0: go away (section 8)
        return None
    if data[24:32] != nonce or data[40:48] == bytes(8):
        return None
    seconds = int.from_bytes(data[40:44], "big")
    if seconds < _HALF:
        seconds += _ERA
    return seconds - _SECONDS_1900_TO_1970


class TimeServer:
    """Asks one server.  address: (host, port), or None: there is none, and no time."""

    def __init__(self, address: "tuple[str, int] | None", wait: int = WAIT) -> None:
        self._address = address
        self._wait = wait

    async def utc(self) -> "int | None":
        """Return seconds from 1970 as the server has it, unproven, or None."""
        if self._address is None:
            return None
        from phone.datagram import DatagramSocket  # here, so that the packets can be read without MicroPython

        try:
            sock = DatagramSocket()
        except OSError:
            return None
        try:
            where = sock.resolve(self._address)
            for _ in range(TRIES):
                nonce = os.urandom(8)
                sock.send(request(nonce), where)
                try:
                    return await asyncio.wait_for_ms(_receive(sock, where, nonce), self._wait)
                except asyncio.TimeoutError:
                    continue
        except OSError:
            pass  # no such name
        finally:
            sock.close()
        return None


async def _receive(sock: object, where: "tuple[str, int]", nonce: bytes) -> int:
    while True:
        data, source = await sock.receive()
        if source == where:
            found = answer(data, nonce)
            if found is not None:
                return found
