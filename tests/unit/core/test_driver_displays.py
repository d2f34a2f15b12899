"""Both I2C displays, by what a chip at the other end of the bus makes of the octets."""

from drivers import i2c, ssd1306
from drivers.hd44780 import HD44780
from drivers.ssd1306 import SSD1306

from chips import CharacterChip, DotChip
from support import I2CBus, raises, skip

LINES = (
    ("Extension:", ""),
    ("Extension:", "1001"),
    ("PIN:", "....."),
    ("Key server cert", "wrong root CA"),
    ("Gatekeeper", "does not answer"),
    ("0123456789ABCDEF", "!\"#$%&'()*+,-./:"),
    (";<=>?@GHIJKLMNOP", "QRSTUVWXYZ[]^_`a"),
    ("bcdefghijklmnopq", "rstuvwxyz{|}"),
)


def test_characters_arrive():
    chip = CharacterChip()
    display = HD44780(I2CBus(x27=chip), 0x27)
    assert chip.shown == ("", "")
    for lines in LINES:
        display.show(lines)
        assert chip.shown == lines


def test_characters_that_it_does_not_have_are_marked():
    chip = CharacterChip()
    HD44780(I2CBus(x27=chip), 0x27).show(("Käse", "\x01"))
    assert chip.shown == ("K?se", "?")


class Cut(I2CBus):
    """A bus that stops for good after `left` transfers, within the next one."""

    left = 0

    def writeto(self, address, data):
        if self.transfers >= self.left:
            self.devices[address].receive(bytes(data)[: len(data) // 2])
            raise OSError(110)
        return I2CBus.writeto(self, address, data)


def test_it_starts_from_whatever_state_it_was_left_in():
    # Cut off after any number of transfers of its start-up and first picture, then started anew.
    whole = I2CBus(x27=CharacterChip())
    HD44780(whole, 0x27).show(LINES[3])
    for left in range(1, whole.transfers):
        chip = CharacterChip()
        bus = Cut(x27=chip)
        bus.left = left
        with raises(OSError):
            HD44780(bus, 0x27).show(LINES[3])
        chip.upset = True
        HD44780(I2CBus(x27=chip), 0x27).show(LINES[4])
        assert chip.shown == LINES[4], left


def test_dots_arrive():
    if ssd1306.framebuf is None:
        skip("no framebuf on CPython; MicroPython runs this")
    for height in (64, 32):
        chip = DotChip(height)
        display = SSD1306(I2CBus(x3c=chip), 0x3C, height)
        assert chip.shown == ("", "")
        assert chip.settings[0xA8] == height - 1
        for lines in LINES:
            display.show(lines)
            assert chip.shown == lines


def test_dots_may_be_turned_round():
    if ssd1306.framebuf is None:
        skip("no framebuf on CPython; MicroPython runs this")
    chip, turned = DotChip(), DotChip()
    SSD1306(I2CBus(x3c=chip), 0x3C)
    SSD1306(I2CBus(x3c=turned), 0x3C, flip=True)
    assert 0xA1 in chip.settings and 0xC8 in chip.settings
    assert 0xA0 in turned.settings and 0xC0 in turned.settings


def test_a_line_that_stays_is_not_sent():
    made = [(HD44780, CharacterChip, "x27")]
    if ssd1306.framebuf is not None:
        made.append((SSD1306, DotChip, "x3c"))
    for driver, chip, name in made:
        bus = I2CBus(**{name: chip()})
        display = driver(bus, int(name[1:], 16))
        display.show(("PIN:", "."))
        before = bus.transfers
        display.show(("PIN:", "."))
        assert bus.transfers == before
        display.show(("PIN:", ".."))
        one = bus.transfers - before
        before = bus.transfers
        display.show(("PIN", "..."))
        assert bus.transfers - before == 2 * one


def test_a_display_that_came_loose_is_started_anew():
    made = [(HD44780, CharacterChip, 0x27)]
    if ssd1306.framebuf is not None:
        made.append((SSD1306, DotChip, 0x3C))
    for driver, chip, address in made:
        bus = I2CBus()
        bus.devices[address] = chip()
        display = driver(bus, address)
        display.show(("PIN:", "."))
        del bus.devices[address]
        with raises(OSError):
            display.show(("PIN:", ".."))
        with raises(OSError):
            display.show(("PIN:", "..."))
        bus.devices[address] = chip()  # and has lost all it knew
        display.show(("PIN:", "..."))
        assert bus.devices[address].shown == ("PIN:", "...")


def test_who_does_not_answer_is_an_error_of_the_display():
    with raises(OSError):
        HD44780(I2CBus(), 0x27)
    with raises(OSError):
        i2c.find(I2CBus(x27=CharacterChip()), 0x3C)
    with raises(OSError):
        i2c.find(I2CBus(), (0x27, 0x3F))


def test_the_first_address_that_answers_is_taken():
    assert i2c.find(I2CBus(x3f=CharacterChip()), [0x27, 0x3F]) == 0x3F
    assert i2c.find(I2CBus(x27=CharacterChip(), x3f=CharacterChip()), [0x27, 0x3F]) == 0x27
    assert i2c.find(I2CBus(x3c=DotChip()), 0x3C) == 0x3C
