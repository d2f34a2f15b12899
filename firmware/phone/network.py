"""Whether the board's network is up, watched for the phone."""

import asyncio


class Network:
    """The board's network part (phone/board.py) and what it is at the moment.

    changed(up) is called whenever it has come up or gone; tell(word) while it does not come.
    A network that cannot get lost (the unix board's) is up from the start.
    """

    def __init__(self, part: object, changed: object, tell: object) -> None:
        self._part = part
        self._changed = changed
        self._tell = tell
        self.can_get_lost = hasattr(part, "lost")
        self._up = asyncio.Event()
        if not self.can_get_lost:
            self._up.set()

    @property
    def is_up(self) -> bool:
        """Whether it is."""
        return self._up.is_set()

    async def wait(self) -> None:
        """Return when it is up."""
        await self._up.wait()

    def address_towards(self, host: str) -> str:
        """Return the own IPv4 address for `host`."""
        return self._part.address_towards(host)

    async def watch(self) -> None:
        """Bring it up, and again whenever it is lost; never returns."""
        while True:
            await self._part.up(self._tell)
            self._up.set()
            self._changed(True)
            await self._part.lost()
            self._up.clear()
            self._changed(False)
