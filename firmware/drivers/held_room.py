"""What drivers/tls_room.py holds: octets of the system's heap, as stacks of threads that only wait."""

import time

from phone.parts import Roomy
from ras.compat import const

# Times 10 ms for the system to take a thread's stack back: its idle task does, when nobody else has a turn.
_FREED = const(200)


class Room(Roomy):
    """thread, system: MicroPython's _thread and esp32; octets: to hold."""

    def __init__(self, thread: object, system: object, octets: int) -> None:
        self._thread = thread
        self._system = system
        self._octets = octets
        self._lent = 0
        self.grown = None  # what keeps the interpreter's heap as large as it is
        self._kept = self.hold(octets)
        self._had = self._kept is not None

    @property
    def free(self) -> int:
        """Octets free in the system's heap, less what is held."""
        return sum([region[1] for region in self._system.idf_heap_info(self._system.HEAP_DATA)])

    @property
    def is_lost(self) -> bool:
        """Whether what was held at the start, and lent since, is no longer there to be held."""
        return self._had and not self._lent and self._kept is None

    def lend(self) -> None:
        """Let go of all of it until it is given back: TLS is about to be wanted."""
        self._lent += 1
        self._kept = self.let_go(self._kept)

    def take_back(self) -> None:
        """Hold it again, as far as it is there, when the last has given it back."""
        self._lent -= 1
        if not self._lent and self._kept is None:
            self._kept = self.hold(self._octets)

    def close(self) -> None:
        """Let go of it for good."""
        self._kept = self.let_go(self._kept)

    def hold(self, octets: int) -> object:
        """Start a thread with a stack of so many octets; return (its lock, octets), or None."""
        lock = self._thread.allocate_lock()
        lock.acquire()
        before = self._thread.stack_size(octets)
        try:
            self._thread.start_new_thread(lock.acquire, ())
        except (OSError, RuntimeError):
            return None  # there is no such piece
        finally:
            self._thread.stack_size(before)
        return lock, octets

    def let_go(self, held: "tuple[object, int] | None") -> None:
        """End the thread that waits for the lock, and wait for its stack; None: for nothing."""
        if held is None:
            return
        lock, octets = held
        # Wi-Fi takes and gives small pieces at the same time.
        wanted = self.free + octets // 2
        lock.release()
        for _ in range(_FREED):
            if self.free >= wanted:
                break
            time.sleep_ms(10)  # the thread ends, and the system's idle task sweeps up
