"""What the chips at the other end of an I2C bus make of the octets that they get."""


class CharacterChip:
    """An HD44780 behind a PCF8574: takes a nibble when E falls, and reads as the data sheet says."""

    def __init__(self):
        self.memory = [0x20] * 0x80
        self.wide = True  # 8 bits, as after power-up
        self.high = None
        self.address = 0
        self.on = False
        self.lines = 1
        self.entry = None
        self.before = 0
        self.upset = False  # whether a transfer has been cut off, which may leave E high

    def receive(self, octets):
        for state in octets:
            assert not state & 0x02, "nothing is read"
            if self.before & 0x04 and not state & 0x04:
                assert self.upset or self.before & 0xF9 == state & 0xF9, "the lines stand while E falls"
                self.upset = False
                self.nibble(state >> 4, state & 0x01)
            elif state & 0x04 and not self.before & 0x04 and self.high is None:
                assert self.before & 0x01 == state & 0x01, "RS stands before E rises"
            self.before = state

    def nibble(self, nibble, data):
        if self.wide:
            assert not data
            self.command(nibble << 4)
        elif self.high is None:
            self.high = nibble
        else:
            octet, self.high = self.high << 4 | nibble, None
            if data:
                self.memory[self.address] = octet
                self.address += 1
            else:
                self.command(octet)

    def command(self, command):
        if command & 0x80:
            self.address = command & 0x7F
        elif command & 0x40:
            self.address = None  # characters of our own: half a command may amount to this, no data go there
        elif command & 0x20:
            self.wide = bool(command & 0x10)
            if not self.wide:
                self.lines = 2 if command & 0x08 else 1
        elif command & 0x10:
            assert not command & 0x08, "the picture is not shifted"
        elif command & 0x08:
            self.on = bool(command & 0x04)
        elif command & 0x04:
            self.entry = command & 0x03
        elif command & 0x02:
            self.address = 0
        elif command & 0x01:
            self.memory = [0x20] * 0x80
            self.address = 0

    @property
    def shown(self):
        assert self.on and self.lines == 2 and self.entry == 2
        return tuple(["".join([chr(c) for c in self.memory[at : at + 16]]).rstrip() for at in (0, 0x40)])


class DotChip:
    """An SSD1306: memory and the window that octets go into."""

    def __init__(self, height=64):
        self.height = height
        self.memory = [bytearray(b"\x55" * 128) for _ in range(8)]  # what it powers up with is anything
        self.on = False
        self.settings = {}
        self.wanted = []
        self.columns = (0, 127)
        self.pages = (0, 7)
        self.at = (0, 0)

    # How many octets follow each command that has any (data sheet, table 9).
    FOLLOW = {
        0x20: 1,
        0x21: 2,
        0x22: 2,
        0x81: 1,
        0x8D: 1,
        0xA8: 1,
        0xD3: 1,
        0xD5: 1,
        0xD9: 1,
        0xDA: 1,
        0xDB: 1,
    }

    def receive(self, octets):
        if not octets:
            return  # only asked whether it is there
        if octets[0] == 0x80:
            assert len(octets) == 2
            self.wanted.append(octets[1])
            if len(self.wanted) > self.FOLLOW.get(self.wanted[0], 0):
                self.command(self.wanted)
                self.wanted = []
        else:
            assert octets[0] == 0x40
            assert not self.wanted, "a command is cut off"
            for octet in octets[1:]:
                column, page = self.at
                self.memory[page][column] = octet
                column += 1
                if column > self.columns[1]:
                    column = self.columns[0]
                    page = page + 1 if page < self.pages[1] else self.pages[0]
                self.at = (column, page)

    def command(self, octets):
        name = octets[0]
        if name in (0xAE, 0xAF):
            self.on = name == 0xAF
        elif name == 0x21:
            self.columns = (octets[1], octets[2])
            self.at = (octets[1], self.at[1])
        elif name == 0x22:
            self.pages = (octets[1], octets[2])
            self.at = (self.at[0], octets[1])
        else:
            self.settings[name] = octets[1] if len(octets) > 1 else True

    def text(self, page):
        """Read the line of 16 characters that is drawn on `page` and the one below, doubled in height."""
        import framebuf

        rows = bytearray(128)
        for x in range(128):
            both = self.memory[page][x] | self.memory[page + 1][x] << 8
            for y in range(8):
                pair = both >> 2 * y & 3
                assert pair in (0, 3), "each dot is two rows high"
                if pair:
                    rows[x] |= 1 << y
        glyph = bytearray(8)
        frame = framebuf.FrameBuffer(glyph, 8, 8, framebuf.MONO_VLSB)
        font = {}
        for code in range(126, 31, -1):
            frame.fill(0)
            frame.text(chr(code), 0, 0)
            font[bytes(glyph)] = chr(code)
        return "".join([font[bytes(rows[x : x + 8])] for x in range(0, 128, 8)]).rstrip()

    @property
    def shown(self):
        assert self.on and self.settings[0x20] == 0 and self.settings[0x8D] == 0x14
        pages = (1, 5) if self.height == 64 else (0, 2)
        for page in range(self.height // 8):
            if page not in pages and page - 1 not in pages:
                assert not any(self.memory[page]), "nothing of what it powered up with is left"
        return tuple([self.text(page) for page in pages])
