"""The codec of one worker: the host's, less what is another worker's extension."""

from collections import OrderedDict

from ras.errors import RemoteProtocolError
from ras.message import Message

from ringkey.gatekeeper.codec import HostCodec
from ringkey.gatekeeper.shape_walk import LogIn
from ringkey.gatekeeper.shapes import Shape
from ringkey.gatekeeper.workers.shards import EXT, key_of, shard_of
from ringkey.gatekeeper.workers.talk import Talk

# Messages of no known shape that were handed back and may prove genuine: more than look-ups wait.
_MAX_ASIDE = 2048


class WorkerCodec(HostCodec):
    """The host's codec; decodes the same octets once where they are asked for twice running.

    unshaped: messages whose shape the supervisor did not know.  Another worker's extension is nothing for
    this one, by whatever way it came.
    """

    def __init__(self, shard: int, shards: int, talk: Talk) -> None:
        super().__init__()
        self._shard = shard
        self._shards = shards
        self._talk = talk
        self._last: tuple[bytes, Message | RemoteProtocolError] | None = None
        self.unshaped: OrderedDict[bytes, None] = OrderedDict()

    def decode(self, octets: bytes) -> Message:
        """Return the message; raises RemoteProtocolError."""
        last, self._last = self._last, None
        found = last[1] if last is not None and last[0] is octets else self.shapes.decode(octets)
        if isinstance(found, RemoteProtocolError):
            raise found
        key = key_of(found)
        if key is not None and key[0] == EXT and shard_of(key, self._shards) != self._shard:
            raise RemoteProtocolError(f"{found.kind}: of another worker's extension")
        return found

    def log_in(self, octets: bytes) -> tuple[Shape, LogIn] | None:
        """Return what a log-in says; None, too, where `decode` or `verified` has more to do."""
        found = None if octets in self.unshaped else super().log_in(octets)
        if found is not None and shard_of((EXT, found[1][0]), self._shards) != self._shard:
            return None
        return found

    def look(self, octets: bytes) -> Message | RemoteProtocolError:
        """Return the message, or why it is none; `decode` of the same octets then need not find out again."""
        try:
            found: Message | RemoteProtocolError = self.shapes.decode(octets)
        except RemoteProtocolError as error:
            found = error
        self._last = octets, found
        return found

    def verified(self, message: Message) -> None:
        """Learn its shape, and let the supervisor learn it."""
        super().verified(message)
        if message.octets in self.unshaped:
            del self.unshaped[message.octets]
            self._talk.news(learn=message.octets.hex())

    def set_aside(self, octets: bytes) -> None:
        """Note that the supervisor did not know the shape of this one."""
        self.unshaped[octets] = None
        if len(self.unshaped) > _MAX_ASIDE:
            self.unshaped.popitem(last=False)
