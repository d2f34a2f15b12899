"""Room for TLS in an ESP32's system heap (drivers/tls_room.py, drivers/held_room.py)."""

from drivers import held_room, tls_room
from drivers.held_room import Room
from phone.parts import Roomy


class System:
    """A chip's system heap and its threads, as MicroPython's esp32 and _thread show them."""

    HEAP_DATA = 4

    def __init__(self, octets):
        self.left = octets
        self.size = 0

    def idf_heap_info(self, kind):
        assert kind == self.HEAP_DATA
        return [(200000, 100, 64, 4), (200000, self.left, self.left, 4)]

    def allocate_lock(self):
        return Lock(self)

    def stack_size(self, octets):
        before, self.size = self.size, octets
        return before

    def start_new_thread(self, function, args):
        if self.size > self.left:
            raise OSError("can't create thread")
        self.left -= self.size
        function(*args)


class Lock:
    """Taken once by who made it; taken again it holds the stack of the thread that wants it."""

    def __init__(self, system):
        self.system = system
        self.taken = 0

    def acquire(self):
        self.taken += 1
        self.held = self.system.size

    def release(self):
        assert self.taken == 2, "a thread waits for it"
        self.system.left += self.held


def test_a_spare_is_held_and_let_go():
    system = System(100000)
    room = Room(system, system, 24000)
    spare = room.hold(20000)
    assert system.left == 56000
    room.let_go(spare)
    assert system.left == 76000
    assert room.free == 76100


class SlowSystem(System):
    """One whose idle task has its turn after three looks; meanwhile others give small pieces back."""

    def __init__(self, octets):
        System.__init__(self, octets)
        self.looks = 0
        self.freed = 0

    def sleep_ms(self, milliseconds):
        self.looks += 1
        self.left += 32
        if self.looks == 3:
            self.left += self.freed

    def allocate_lock(self):
        return SlowLock(self)


class SlowLock(Lock):
    def release(self):
        self.system.freed += self.held


def test_a_stack_is_waited_for_though_others_free_something():
    system = SlowSystem(100000)
    room = Room(system, system, 24000)
    before, held_room.time = held_room.time, system
    try:
        room.lend()
    finally:
        held_room.time = before
    assert system.looks == 3
    assert system.left > 100000


def test_all_of_it_is_lent_until_the_last_gives_it_back():
    system = System(100000)
    room = Room(system, system, 24000)
    room.lend()
    room.lend()  # another fetch has begun before the end of the first, which was cancelled
    assert system.left == 100000
    room.take_back()
    assert system.left == 100000
    room.take_back()
    assert system.left == 76000
    room.close()
    assert system.left == 100000


def test_a_heap_without_room_is_no_reason_not_to_start():
    system = System(30000)
    room = Room(system, system, 24000)
    room.let_go(room.hold(20000))
    assert system.left == 6000, "the spare found none"
    room.lend()
    assert system.left == 30000
    system.left = 5000  # somebody else was faster
    assert not room.is_lost, "it is lent"
    room.take_back()
    assert system.left == 5000
    assert room.is_lost
    room.lend()
    system.left = 30000
    room.take_back()
    assert system.left == 6000
    assert system.size == 0, "threads of others have the stack they had"


def test_a_board_without_such_a_heap_says_so():
    try:
        tls_room.open({})
    except Exception as error:
        assert type(error).__name__ == "BoardError"
        assert "drivers.tls_room" in str(error)
    else:
        raise AssertionError("there is no esp32 here")


def test_a_board_that_has_room_anyway():
    room = Roomy()
    room.lend()
    room.take_back()
    assert room.free is None
