"""What becomes of a board's NVS; and how its console is opened without resetting it."""

import random

import pytest
import standin
from flashing import console
from flashing.image import Image
from flashing.plan import decide
from ringkey.errors import UserError

SIZE = 0x6000
SETTINGS = b"settings".ljust(0x400, b"s").ljust(SIZE, b"\xff")
BLANK = b"\xff" * SIZE
PARTS = (("bootloader", 0x1000, b"b"), ("application", 0x10000, b"a"))
IMAGE = Image("lab", "esp32", "4MB", "0", PARTS, ("settings", 0x9000, SETTINGS), (0x9000, SIZE))
USED = random.Random(1).randbytes(SIZE - 0x1000) + b"\xff" * 0x1000
TABLE = standin.table()


def written(plan):
    return [name for name, _, _ in plan.write]


@pytest.mark.parametrize("table", [TABLE, b"\xff" * 0xC00, b"something else".ljust(0xC00)])
def test_a_blank_nvs_gets_the_settings_and_gets_them_last(table):
    plan = decide(IMAGE, table, BLANK, erase=False)
    assert written(plan) == ["bootloader", "application", "settings"]


def test_what_is_in_nvs_is_kept():
    plan = decide(IMAGE, TABLE, USED, erase=False)
    assert plan.write == PARTS
    assert "kept" in plan.why
    assert "ERASE=1" in plan.why  # nothing of ringkey is in it
    ours = USED[:72] + b"ringkey-cfg\0" + USED[84:]
    assert "ERASE=1" not in decide(IMAGE, TABLE, ours, erase=False).why


def test_erase_replaces_it():
    plan = decide(IMAGE, TABLE, USED, erase=True)
    assert written(plan)[-1] == "settings"
    assert "erased" in plan.why


@pytest.mark.parametrize("cut", [1, 31, 32, 0x100, 0x3FF, SIZE])
def test_settings_that_were_cut_off_are_written_again(cut):
    """Power was cut while they were written: NVS holds a beginning of them and is blank behind."""
    cut = cut // 32 * 32  # the flash's unit is smaller; see the next test for what is within one
    region = SETTINGS[:cut] + BLANK[cut:]
    assert written(decide(IMAGE, TABLE, region, erase=False))[-1] == "settings"


def test_one_entry_more_than_the_settings_is_the_phones_and_kept():
    for at in (0x400, 0x1000, SIZE - 32):
        region = SETTINGS[:at] + b"a key".ljust(32, b"\0") + SETTINGS[at + 32 :]
        assert decide(IMAGE, TABLE, region, erase=False).write == PARTS


@pytest.mark.parametrize("region", [USED, BLANK])
def test_nvs_in_another_place_is_not_given_up_unasked(region):
    other = standin.table((("nvs", 1, 2, 0xA000, 0x4000), ("factory", 0, 0, 0x10000, 0x1F0000)))
    with pytest.raises(UserError, match=r"its NVS is nvs at 0xa000, and the image's at\n? ?0x9000") as caught:
        decide(IMAGE, other, region, erase=False)
    assert "ERASE=1" in caught.value.next_step
    assert written(decide(IMAGE, other, region, erase=True))[-1] == "settings"


def test_an_encrypted_nvs_is_left_to_the_chip():
    image = Image("lab", "esp32", "4MB", "0", PARTS, None, (0x9000, SIZE))
    assert decide(image, TABLE, USED, erase=False).write == PARTS
    assert decide(image, TABLE, BLANK, erase=True).write == (*PARTS, ("nvs", 0x9000, BLANK))


# -- the console


class Lines:
    """The chip's reset as two transistors make it of DTR and RTS, and a port as pyserial's posix one.

    The kernel raises both lines in open(); pyserial then sets DTR and after it RTS to what was
    asked for beforehand.
    """

    def __init__(self):
        self.is_open = False
        self.resets = 0
        self.lines = {"dtr": False, "rts": False}
        self.wanted = {"dtr": True, "rts": True}

    def _set(self, **lines):
        self.lines.update(lines)
        if self.lines["rts"] and not self.lines["dtr"]:
            self.resets += 1

    def open(self):
        self.is_open = True
        self._set(dtr=True, rts=True)
        self._set(dtr=self.wanted["dtr"])
        self._set(rts=self.wanted["rts"])

    def __setattr__(self, name, value):
        if name in ("dtr", "rts"):
            self.wanted[name] = value
            if self.is_open:
                self._set(**{name: value})
        else:
            object.__setattr__(self, name, value)


def test_opening_the_console_does_not_reset_the_board():
    port = Lines()
    assert console.open_port("/dev/none", port) is port
    assert port.is_open
    assert port.lines == {"dtr": False, "rts": False}
    assert port.resets == 0
    assert port.baudrate == 115200


def test_the_obvious_way_would_reset_it():
    """That is what the order in console.py is for."""
    port = Lines()
    port.dtr = port.rts = False
    port.open()
    assert port.resets == 1
