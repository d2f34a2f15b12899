"""Finds the worker of a datagram without decoding it: by shapes of messages that were found genuine.

What it says is what `shards.key_of` says of the decoded message, since a shape gives the decoder's
values or none (shapes.py); and none is an answer, so whatever the octets are, nothing is raised.
"""

from zlib import crc32

from ras.errors import RemoteProtocolError
from ras.message import decode_message

from ringkey.gatekeeper.shapes import Shapes
from ringkey.gatekeeper.workers.shards import IDENTIFIER, Key, key_of, shard_of


class Finder:
    """For `shards` workers.

    strays: identifiers that do not say whose they are, to their worker's number: registrations from
    a time with another number of workers.
    """

    def __init__(self, shards: int) -> None:
        self._shards = shards
        self._shapes = Shapes()
        self.strays: dict[str, int] = {}

    def find(self, octets: bytes) -> int | None:
        """Return the worker of a datagram, None where its shape is not known, or it has none."""
        message = self._shapes.known(octets)
        if message is None:
            return None
        key = key_of(message)
        return None if key is None else self.of(key)

    def of(self, key: Key) -> int | None:
        """Return the worker of what a message is found by, None where it is nobody's."""
        if key[0] == IDENTIFIER and self.strays:
            stray = self.strays.get(key[1])
            if stray is not None:
                return stray
        return shard_of(key, self._shards)

    def by_source(self, host: str) -> int:
        """Return the worker that is to look at what nothing is known of."""
        return crc32(host.encode()) % self._shards

    def learn(self, octets: bytes) -> None:
        """Learn the shape of a message that a worker has found genuine."""
        try:
            self._shapes.learn(decode_message(octets))
        except RemoteProtocolError:
            return  # no message of this core's: the worker is another version
