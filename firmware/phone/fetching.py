"""Key distribution as the phone goes about it: the time, the key file, and what is told of them.

In the heap only while keys are fetched.
"""

import gc

from phone import keyfetch
from phone.unload import unload


class Fetching:
    """One fetch.  reason: a word of phone/words.py, status: of HTTP or 0, once keys() gave None.

    wall: clock.Wall; screen: None for one that the user is to see nothing of.
    """

    def __init__(self, board: object, wall: object, events: object, screen: object) -> None:
        self._board = board
        self._wall = wall
        self._events = events
        self._screen = screen
        self.reason = ""
        self.status = 0

    async def keys(self, ext: str) -> "object | None":
        """Return the KeyFile that a key server gives for the extension, or None."""
        if self._screen is not None:
            await self._ask_time()
        settings = self._board.settings
        gc.collect()  # so that it does not grow into the room that is lent now
        try:
            fetched = await keyfetch.fetch(
                settings["key_servers"], ext, settings["root"], self._not_fetched, room=self._board.room
            )
        except keyfetch.FetchError as error:
            self.status = error.status
            self.reason = error.reason
            return None
        keys = fetched.keys
        self._events.tell(
            "key-file",
            server=fetched.server,
            suite=keys.suite.name,
            g=keys.g,
            cvm=keys.cvm,
            gatekeepers=keys.gatekeepers,
        )
        if self._screen is not None:
            self._screen.step("keys", keys.cvm.hex())
        if fetched.utc is not None and self._wall.prove(fetched.utc):
            self._events.tell("clock", utc=fetched.utc, source="key-server")
        return keys

    async def _ask_time(self) -> None:
        """Let the clock be set by whoever knows the time, as far as such a one is believed."""
        part = self._board.time
        if part is None or self._wall.is_proven:
            return
        from phone.board import open_part

        source = open_part(self._board, part)
        unload(part["module"] + " phone.board")
        utc = await source.utc()
        if utc is not None and self._wall.tell(utc):
            self._events.tell("clock", utc=utc, source="time-server")

    def _not_fetched(self, error: keyfetch.FetchError, more: bool) -> None:
        """Say so, and go on to the next key server; after the last one Login says so."""
        self._events.tell("reason", reason=error.reason, server=error.server, status=error.status)
        if more and self._screen is not None:
            detail = str(error.status) if error.reason == keyfetch.REFUSED else ""
            self._screen.words(error.reason, detail)
