"""The matrix keypad: bounce, two keys at once, ghosts, held keys (drivers/matrix.py)."""

from drivers.matrix import DEBOUNCE, HOLD, SCAN, Matrix
from phone.board import BoardError

from support import Random, raises

KEYS = "123456789*0#"
PARAMS = {"keys": KEYS, "hold": {"*": "L"}}


class Pad(Matrix):
    """A keypad of wires: `down` are the keys that are pressed; what the columns show is physics."""

    def __init__(self, params=PARAMS):
        Matrix.__init__(self, [None] * 4, [None] * 3, params)
        self.down = set()
        self.now = 0
        self.pressed = ""
        self._low = 0

    def write_rows(self, rows):
        self._low = rows

    def read_columns(self):
        # A low row pulls down each column that a key joins to it, such a column each row
        # that a key joins to it, and so on: without diodes the current finds its way.
        rows, columns = self._low, 0
        while True:
            before = rows, columns
            for name in self.down:
                at = KEYS.index(name)
                row, column = 1 << at // 3, 1 << at % 3
                if rows & row:
                    columns |= column
                if columns & column:
                    rows |= row
            if (rows, columns) == before:
                return columns

    def scan(self, down, times=1):
        """Scan with these keys down; what comes is added to `pressed`."""
        self.down = set(down)
        for _ in range(times):
            self.now += SCAN
            self.pressed += self.poll(self.now) or ""
        return self.pressed


def test_each_key_is_itself():
    pad = Pad()
    for name in KEYS:
        pad.scan(name, 10)
        pad.scan("", 10)
    assert pad.pressed == KEYS


def test_a_key_is_reported_once_and_when_it_goes_down():
    pad = Pad()
    assert pad.scan("5", DEBOUNCE - 1) == ""
    assert pad.scan("5") == "5"
    assert pad.scan("5", 1000) == "5", "no repeat, however long it is held"
    assert pad.scan("", 10) == "5"
    assert pad.scan("5", 10) == "55"


def test_bounce_is_one_press():
    for pattern in ("5 5 5555 5555", "5  5  5 5 5 5555", "55 55 55 55555"):
        pad = Pad()
        for step in pattern:
            pad.scan(step.strip())
        pad.scan("5", 10)
        # The same on the way up.
        for step in pattern:
            pad.scan("5" if step == " " else "")
        pad.scan("", 10)
        assert pad.pressed == "5", pattern


def test_random_bounce_is_one_press():
    random = Random(7)
    pad = Pad()
    for expected in range(1, 200):
        for _ in range(random.below(6)):
            pad.scan("8", 1 + random.below(DEBOUNCE - 1))
            pad.scan("", 1 + random.below(DEBOUNCE - 1))
        pad.scan("8", DEBOUNCE + random.below(20))
        for _ in range(random.below(6)):
            pad.scan("", 1 + random.below(DEBOUNCE - 1))
            pad.scan("8", 1 + random.below(DEBOUNCE - 1))
        pad.scan("", DEBOUNCE + random.below(20))
        assert len(pad.pressed) == expected


def test_a_glitch_is_no_press():
    pad = Pad()
    for _ in range(50):
        pad.scan("1", DEBOUNCE - 1)
        pad.scan("", 1)
    assert pad.pressed == ""


def test_two_keys_at_once_are_none():
    # In one row, in one column, and across.
    for pair in ("12", "14", "15"):
        pad = Pad()
        pad.scan(pair, 20)
        assert pad.pressed == "", pair
        # Nor is the one that is released last.
        pad.scan(pair[1], 20)
        assert pad.pressed == "", pair
        pad.scan("", 10)
        assert pad.scan("7", 10) == "7"


def test_a_second_key_while_one_is_down_is_none():
    pad = Pad()
    pad.scan("1", 10)
    assert pad.scan("12", 10) == "1"
    assert pad.scan("2", 10) == "1"
    assert pad.scan("12", 10) == "1"
    assert pad.scan("1", 10) == "1"
    pad.scan("", 10)
    assert pad.scan("2", 10) == "12"


def test_three_keys_and_their_ghost_are_none():
    # Every rectangle, every corner as the ghost, every order of pressing and releasing.
    for a in range(12):
        for b in range(12):
            if a // 3 >= b // 3 or a % 3 == b % 3:
                continue
            corners = [KEYS[a], KEYS[b], KEYS[a // 3 * 3 + b % 3], KEYS[b // 3 * 3 + a % 3]]
            for ghost in corners:
                real = [key for key in corners if key != ghost]
                for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
                    pad = Pad()
                    # The first is one key, and counts; nothing after it does.
                    pad.scan(real[order[0]], 10)
                    first = pad.pressed
                    assert first in (real[order[0]], ""), "the held key waits"
                    pad.scan([real[order[0]], real[order[1]]], 10)
                    pad.scan(real, 10)
                    assert ghost not in pad.pressed
                    pad.scan([real[order[1]], real[order[2]]], 10)
                    pad.scan(real[order[2]], 10)
                    pad.scan("", 10)
                    assert pad.pressed == first


def test_three_keys_within_one_scan_are_none():
    pad = Pad()
    assert pad.scan("124", 20) == ""
    pad.scan("", 10)
    assert pad.pressed == ""


def test_a_held_star_logs_out_once():
    pad = Pad()
    times = HOLD // SCAN
    assert pad.scan("*", times - DEBOUNCE) == ""
    assert pad.scan("*", DEBOUNCE * 2) == "L"
    assert pad.scan("*", times * 3) == "L", "not again, and no star"
    assert pad.scan("", 10) == "L"
    assert pad.scan("*", 10) == "L"
    assert pad.scan("", 10) == "L*"


def test_a_short_star_rubs_out_when_it_is_released():
    pad = Pad()
    assert pad.scan("*", 20) == ""
    assert pad.scan("", DEBOUNCE) == "*"


def test_a_star_that_was_not_alone_is_neither():
    pad = Pad()
    pad.scan("*", 20)
    pad.scan("*0", 5)
    pad.scan("*", HOLD // SCAN * 2)
    assert pad.scan("", 10) == ""


def test_other_keys_may_be_held_for_something():
    pad = Pad({"keys": KEYS, "hold": {"#": "L"}, "hold_ms": 60})
    assert pad.scan("*", 100) == "*"
    pad.scan("", 10)
    assert pad.scan("#", 20) == "*L"


def test_the_clock_may_wrap():
    pad = Pad()
    try:
        from time import ticks_add
    except ImportError:  # CPython's does not
        return
    pad.now = ticks_add(0, -1) - HOLD // 2  # the wrap comes while the key is held
    pressed = ""
    pad.down = {"*"}
    for _ in range(2 * HOLD // SCAN):
        pad.now = ticks_add(pad.now, SCAN)
        pressed += pad.poll(pad.now) or ""
    assert pressed == "L"


def test_it_rests_when_nothing_is_down():
    pad = Pad()
    assert pad._scanner.idle
    pad.scan("1", 1)
    assert not pad._scanner.idle
    pad.scan("1", 10)
    assert not pad._scanner.idle
    pad.scan("", DEBOUNCE)
    assert pad._scanner.idle
    assert pad._low == 0, "no row is left low"
    pad.scan("12", 3)
    assert not pad._scanner.idle
    assert pad._low == 0


def test_the_pins_are_driven_as_the_masks_say():
    class Pin:
        def __init__(self):
            self.level = 1

        def value(self, level=None):
            if level is None:
                return self.level
            self.level = level

    rows, columns = [Pin() for _ in range(4)], [Pin() for _ in range(3)]
    pad = Matrix(rows, columns, PARAMS)
    pad.write_rows(0b0101)
    assert [pin.level for pin in rows] == [0, 1, 0, 1]
    columns[1].level = 0
    assert pad.read_columns() == 0b010
    columns[2].level = 0
    assert pad.read_columns() == 0b110


def test_a_board_that_names_too_few_keys_is_told():
    with raises(BoardError) as caught:
        Matrix([None] * 4, [None] * 3, {"keys": "123"})
    assert "3 of 12" in str(caught.value)
