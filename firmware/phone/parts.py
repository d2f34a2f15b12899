"""What phone/board.py has opened, and what stands in the place of what a board has not."""


class Unwatched:
    """The watchdog of a board that has none, which is the face of all of them.

    period: ms within which it wants to be fed, or None; cause: why the board started
    ("power-on", "watchdog", "reset", "soft-reset", "deep-sleep"), or None; last: what was
    noted last before that, or "".
    """

    period = None
    cause = None
    last = ""

    def feed(self) -> None:
        """Tell it that the main loop still turns."""

    def note(self, what: str) -> None:
        """Keep `what` is being done, a word, over a reset."""


class Roomy:
    """The room for TLS of a board that has it whenever it is wanted, which is the face of all of them.

    free: octets of the system's heap, beside the interpreter's, or None where they are not counted;
    is_lost: there was room at the start, and it has gone to pieces: only a restart puts it together.
    """

    free = None
    is_lost = False

    def lend(self) -> None:
        """Make room: TLS is about to be wanted."""

    def take_back(self) -> None:
        """Hold the room against everything else again; once for each lend(), in any order."""


class Board:
    """The parts.

    name, settings, console, displays, keys, store, network, room, watchdog; time: its entry in board.json,
    or None (phone/fetching.py opens it).

    silent: names of the displays that did not answer; closers: what close() calls, in order of opening.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.settings = None
        self.console = None
        self.displays = []
        self.keys = []
        self.store = None
        self.network = None
        self.room = Roomy()
        self.time = None
        self.watchdog = Unwatched()
        self.silent = []
        self.closers = []

    def close(self) -> None:
        """Give back what was opened, last first (a terminal gets its mode back).

        It allocates nothing of its own: see start.main().
        """
        closers = self.closers
        self.closers = ()
        i = len(closers)
        while i:
            i -= 1
            closers[i]()
