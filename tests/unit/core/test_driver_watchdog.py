"""The watchdog, the reset that says why, and the wall clock (drivers/watchdog.py, phone/clock.py)."""

from drivers.watchdog import Watchdog
from phone.clock import Clock, Wall
from phone.events import Events
from phone.parts import Unwatched
from phone.restart import note_end
from phone.screen import Screen
from phone.words import words


class Machine:
    """MicroPython's machine on an ESP32, which remembers what it was asked."""

    PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5

    def __init__(self, cause, memory=b""):
        self.cause = cause
        self.kept = memory
        self.timeouts = []
        self.fed = 0

    def reset_cause(self):
        return self.cause

    def RTC(self):  # noqa: N802
        return self

    def memory(self, octets=None):
        if octets is None:
            return self.kept
        self.kept = bytes(octets)

    def WDT(self, timeout):  # noqa: N802
        self.timeouts.append(timeout)
        return self

    def feed(self):
        self.fed += 1


def watchdog(cause, memory=b""):
    machine = Machine(cause, memory)
    return Watchdog(machine, machine.WDT, 60000), machine


def test_it_is_started_when_it_is_first_fed():
    dog, machine = watchdog(1)
    assert machine.timeouts == [], "a phone is still being loaded"
    dog.feed()
    assert machine.timeouts == [60000]
    assert machine.fed == 1


def test_one_that_never_ran_is_left_alone():
    dog, machine = watchdog(1)
    dog.close()
    assert machine.timeouts == []


def test_it_is_fed():
    dog, machine = watchdog(1)
    assert dog.period == 20000, "three chances to be fed"
    for _ in range(3):
        dog.feed()
    assert machine.fed == 3
    dog.close()
    assert machine.timeouts[1] > 3600000


def test_each_cause_has_a_word():
    for number, word in (
        (1, "power-on"),
        (2, "reset"),
        (3, "watchdog"),
        (4, "deep-sleep"),
        (5, "soft-reset"),
        (0, "unknown"),
    ):
        assert watchdog(number)[0].cause == word


def test_what_was_being_done_outlives_a_reset():
    dog, machine = watchdog(1)
    assert dog.last == ""
    dog.note("registering")
    again, _ = watchdog(3, machine.kept)
    assert again.last == "registering"
    # And is told once.
    third, machine = watchdog(5, _.kept)
    assert third.last == ""


def test_what_memory_holds_by_chance_is_nobodys():
    assert watchdog(3, b"\x00\xff\x12")[0].last == ""
    assert watchdog(3, b"rk1:\xff\xfe")[0].last == ""
    assert watchdog(1, b"rk1:registering")[0].last == "", "the power was gone: it is chance"


def test_a_board_without_any_of_it():
    class Bare:
        def WDT(self, timeout):  # noqa: N802
            return self

        def feed(self):
            pass

    bare = Bare()
    dog = Watchdog(bare, bare.WDT, 9000)
    assert (dog.cause, dog.last) == ("unknown", "")
    dog.note("x")
    dog.feed()
    none = Unwatched()
    none.feed()
    none.note("x")
    assert (none.period, none.cause, none.last) == (None, None, "")


def test_the_end_is_noted():
    class Fault:
        step = "work"

    dog, machine = watchdog(1)
    note_end(dog, Fault)
    assert watchdog(2, machine.kept)[0].last == "fault work"
    note_end(dog, None)
    assert watchdog(2, machine.kept)[0].last == ""


def test_a_restart_has_words_that_fit():
    shown = []

    class Display:
        def show(self, lines):
            shown.append(lines)

    screen = Screen([Display()], Events([].append))
    screen.reason("was-hung", "registering")
    screen.reason("was-faulty", "datagrams")
    assert shown == [("Restarted: hung", "registering"), ("Restarted: fault", "datagrams")]
    assert words("was-hung", "")[1] == ""


# -- the wall clock: phone/clock.py, Wall

BUILT = 1770000000
YEAR = 365 * 86400


class Time:
    """A board's clocks: the monotonic one in ms, the wall clock in s, which we set."""

    def __init__(self, at):
        self.ms = 0
        self.at = at

    def wall(self, built=BUILT):
        clock = Clock(lambda: self.ms, lambda a, b: a - b)
        return Wall(clock, built, lambda: self.at, self.put)

    def put(self, seconds):
        self.at = seconds
        return True

    def passes(self, seconds):
        self.ms += seconds * 1000
        self.at += seconds


def test_a_clock_at_2000_starts_at_the_build():
    time = Time(946684800)
    time.wall()
    assert time.at == BUILT
    time = Time(BUILT + 5000)
    time.wall()
    assert time.at == BUILT + 5000
    time = Time(946684800)
    time.wall(0)
    assert time.at == 946684800, "an image without a date"


def test_what_is_told_moves_the_clock_on():
    time = Time(946684800)
    wall = time.wall()
    assert wall.tell(BUILT + YEAR)
    assert time.at == BUILT + YEAR


def test_what_is_told_is_never_before_what_is_proven():
    time = Time(946684800)
    wall = time.wall()
    assert not wall.tell(BUILT - 1)
    assert time.at == BUILT
    time.passes(100)
    assert not wall.tell(BUILT + 50), "100 s have passed since for certain"
    assert wall.tell(BUILT + 200)


def test_what_is_told_is_not_beyond_the_life_of_the_root():
    time = Time(946684800)
    wall = time.wall()
    assert not wall.tell(BUILT + 21 * YEAR)
    assert not wall.tell(1 << 40)
    assert time.at == BUILT
    assert wall.tell(BUILT + 19 * YEAR)


def test_a_lie_is_replaced_by_the_next_that_is_told():
    time = Time(946684800)
    wall = time.wall()
    assert wall.tell(BUILT + 9 * YEAR)
    assert wall.tell(BUILT + 3600), "back, but not before what is proven"
    assert time.at == BUILT + 3600


def test_a_lie_is_replaced_by_what_is_proven():
    time = Time(946684800)
    wall = time.wall()
    wall.tell(BUILT + 4 * YEAR)
    assert wall.prove(BUILT + 7200)
    assert time.at == BUILT + 7200
    assert wall.is_proven


def test_after_a_proof_nothing_is_told():
    time = Time(946684800)
    wall = time.wall()
    assert wall.prove(BUILT + 7200)
    assert not wall.tell(BUILT + 7201)
    assert not wall.tell(BUILT + YEAR)
    assert time.at == BUILT + 7200


def test_a_second_proof_does_not_go_below_the_first():
    time = Time(946684800)
    wall = time.wall()
    wall.prove(BUILT + 7200)
    time.passes(60)
    assert not wall.prove(BUILT + 100), "a server with a slow clock"
    assert time.at == BUILT + 7260
    assert wall.prove(BUILT + 9000)
    assert time.at == BUILT + 9000


def test_a_proof_that_says_what_the_clock_says_sets_nothing():
    time = Time(BUILT + 50)
    wall = time.wall()
    assert not wall.prove(BUILT + 51)
    assert time.at == BUILT + 50


def test_where_the_clock_is_not_ours_nothing_happens():
    time = Time(946684800)
    clock = Clock(lambda: 0, lambda a, b: a - b)
    wall = Wall(clock, BUILT, lambda: time.at)
    assert not wall.tell(BUILT + 10)
    assert not wall.prove(BUILT + 20)
    assert time.at == 946684800
