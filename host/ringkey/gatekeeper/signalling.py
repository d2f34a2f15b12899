"""Signalling channels: who has one, and what is said in it.

One channel per registration, found by the registration's identity (its SID in hex, so no
identity is ever logged).  Inside are TPKT frames of Q.931 messages; what is answered is in
`ras.q931`.  Calls are to come.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ras import q931, tpkt
from ras.errors import RemoteProtocolError

from ringkey import log
from ringkey.gatekeeper.addresses import place
from ringkey.gatekeeper.listener import MAX_CONNECTIONS, Channel, PskListener
from ringkey.gatekeeper.record import Budget

# Octets of one frame.  A SETUP with fast start and tokens has 2 to 3 KiB; what a phone may make
# the gatekeeper keep is one frame for each channel.
MAX_FRAME = 16_384


@dataclass(slots=True)
class _Open:
    channel: Channel
    ext: str
    deframer: tpkt.Deframer
    frames: int = 0


class Signalling:
    """Listens, and keeps one channel for each registration.

    key_of(identity) -> Ks or None; ext_of(identity) -> the EXT it belongs to, or None; on_channel: told of
    (EXT, "channel-open", cipher) and (EXT, "channel-closed", why); budget: for lines that strangers cause;
    most: channels at one time.
    """

    def __init__(
        self,
        key_of: Callable[[str], bytes | None],
        ext_of: Callable[[str], str | None],
        on_channel: Callable[[str, str, str], None] = lambda _ext, _what, _detail: None,
        budget: Budget | None = None,
        most: int = MAX_CONNECTIONS,
    ) -> None:
        self._ext_of = ext_of
        self._on_channel = on_channel
        self._log = log.get("gatekeeper")
        self.there: dict[str, _Open] = {}
        self._budget = budget or Budget()
        self._listener = PskListener(
            key_of,
            self._opened,
            self._data,
            self._closed,
            on_refused=self._refused,
            max_connections=most,
        )
        self.frames = 0

    async def start(self, host: str, port: int) -> None:
        """Listen on TCP; port 0 takes a free one.  Raises OSError."""
        await self._listener.start(host, port)

    async def stop(self) -> None:
        """Close every channel and stop listening."""
        await self._listener.close()

    @property
    def port(self) -> int:
        """The TCP port listened on."""
        return self._listener.port

    def __len__(self) -> int:
        """Return how many channels are open."""
        return len(self.there)

    def cipher(self, identity: str) -> str | None:
        """Return the cipher suite of a registration's channel, None where it has none."""
        found = self.there.get(identity)
        return None if found is None else found.channel.cipher

    def close(self, identity: str, reason: str) -> None:
        """Close the channel of a registration that has ended; nothing happens where it has none."""
        found = self.there.pop(identity, None)
        if found is not None:
            self._drop(found, reason)

    def _opened(self, channel: Channel) -> None:
        ext = self._ext_of(channel.identity)
        if ext is None:
            # The registration ended between the key look-up and the end of the handshake.
            self._log.info("channel_refused", source=place(channel.peer), reason="registration has ended")
            channel.close()
            return
        old = self.there.pop(channel.identity, None)
        if old is not None:
            self._drop(old, "the phone opened another one")
        self.there[channel.identity] = _Open(channel, ext, tpkt.Deframer(MAX_FRAME))
        self._log.info("channel_open", ext=ext, source=place(channel.peer), cipher=channel.cipher)
        self._on_channel(ext, "channel-open", str(channel.cipher))

    def _data(self, channel: Channel, octets: bytes) -> None:
        found = self.there.get(channel.identity)
        if found is None or found.channel is not channel:
            return  # it is being closed
        try:
            for payload in found.deframer.receive(octets):
                self._frame(found, payload)
        except RemoteProtocolError as error:
            self.there.pop(channel.identity, None)
            self._drop(found, str(error))

    def _frame(self, found: _Open, payload: bytes) -> None:
        found.frames += 1
        self.frames += 1
        if not payload:
            return  # keeps the connection alive
        answer = q931.answer(payload)
        if answer is not None:
            found.channel.send(tpkt.encode(answer))

    def _drop(self, found: _Open, reason: str) -> None:
        self._log.info("channel_dropped", ext=found.ext, frames=found.frames, reason=reason)
        self._on_channel(found.ext, "channel-closed", reason)
        found.channel.close()

    def _closed(self, channel: Channel, reason: str | None) -> None:
        found = self.there.get(channel.identity)
        if found is not None and found.channel is channel:
            del self.there[channel.identity]
            reason = reason or "closed by the phone"
            self._log.info("channel_dropped", ext=found.ext, frames=found.frames, reason=reason)
            self._on_channel(found.ext, "channel-closed", reason)

    def _refused(self, peer: tuple[str, int], reason: str) -> None:
        if self._budget.allows():  # whoever reaches the port may connect again and again
            self._log.info("channel_refused", source=place(peer), reason=reason)
