"""One HTTP/1.1 answer, read without I/O, bounded, for the key fetch (RFC 9112).

Only what a key server sends is taken: a status, a Date, a body of a known Content-Length.
A body in chunks or without a length is refused: without a length nobody could tell a
whole key file from one that was cut off.
"""

from ras.compat import const
from ras.keyfile import MAX_FILE

# aiohttp's head is 200 octets; a proxy adds its own fields.
MAX_HEAD = const(2048)  # octets of status line and fields together

_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"

BUFFER = MAX_HEAD + MAX_FILE  # what a whole answer needs at most


class AnswerError(Exception):
    """The answer is not one; its text says what is wrong and shows no octet of it."""


def request(host: str, path: str) -> bytes:
    """Return a GET for `path` of `host`; the caller has seen to it that both are plain text."""
    return (
        "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nAccept: text/plain\r\n\r\n" % (path, host)
    ).encode()


class Answer:
    """The answer that grows in `buffer`: read into `space()`, then tell `grown(n)`.

    status: int, date: str or "", once `head_read`; body() once `complete`.
    """

    def __init__(self, buffer: bytearray) -> None:
        """Use `buffer`, of BUFFER octets, so that nothing is allocated while octets arrive."""
        self._buffer = buffer
        self._view = memoryview(buffer)
        self._filled = 0
        self._searched = 0
        self._body = 0  # where it starts; 0: the head is not whole yet
        self._length = 0
        self._end = 0
        self.status = 0
        self.date = ""

    @property
    def head_read(self) -> bool:
        """Whether the status and the fields are there."""
        return self._body > 0

    @property
    def complete(self) -> bool:
        """Whether the whole body is there."""
        return self._body > 0 and self._filled >= self._end

    def space(self) -> memoryview:
        """Return where the next octets go, never empty."""
        end = self._end if self._body else MAX_HEAD
        return self._view[self._filled : max(end, self._filled + 1)]

    def grown(self, count: int) -> None:
        """Take note of `count` octets more; raises AnswerError."""
        self._filled += count
        if self._body:
            return
        at = self._buffer.find(b"\r\n\r\n", self._searched, self._filled)
        if at < 0:
            if self._filled >= MAX_HEAD:
                raise AnswerError("head over %d octets" % MAX_HEAD)
            self._searched = max(0, self._filled - 3)
            return
        self._read_head(bytes(self._view[:at]))
        self._body = at + 4
        self._end = self._body + self._length

    def body(self) -> bytes:
        """Return the body, which is complete."""
        return bytes(self._view[self._body : self._end])

    def _read_head(self, head: bytes) -> None:
        try:
            lines = head.decode().split("\r\n")
        except (UnicodeError, ValueError):
            raise AnswerError("head is no text")
        parts = lines[0].split(" ", 2)
        if len(parts) < 2 or parts[0] not in ("HTTP/1.1", "HTTP/1.0") or not _number(parts[1], 3):
            raise AnswerError("no status line")
        self.status = int(parts[1])
        length = None
        for i in range(1, len(lines)):
            colon = lines[i].find(":")
            if colon < 1:
                raise AnswerError("a field without a name")
            name = lines[i][:colon].lower()
            value = lines[i][colon + 1 :].strip()
            if name == "content-length":
                # Twice, or not a number: two readers might see two bodies (RFC 9112 section 6.3).
                if length is not None or not _number(value, 9):
                    raise AnswerError("its length")
                length = int(value)
            elif name == "transfer-encoding":
                raise AnswerError("sent in chunks")
            elif name == "date":
                self.date = value
        if self.status != 200:
            length = 0  # why it refuses is said by the status
        elif length is None:
            raise AnswerError("no length")
        elif length > MAX_FILE:
            raise AnswerError("body over %d octets" % MAX_FILE)
        self._length = length


def _number(text: str, longest: int) -> bool:
    """Tell whether `text` is 1 to `longest` ASCII digits."""
    if not 1 <= len(text) <= longest:
        return False
    for c in text:
        if not "0" <= c <= "9":
            return False
    return True


def http_date(text: str) -> "int | None":
    """Return seconds from 1970 of an HTTP Date (RFC 9110 section 5.6.7, IMF-fixdate), or None."""
    # "Sun, 06 Nov 1994 08:49:37 GMT"
    if len(text) != 29 or text[26:] != "GMT" or text[19] != ":" or text[22] != ":":
        return None
    at = _MONTHS.find(text[8:11])
    if at < 0 or at % 3:
        return None
    numbers = []
    for part in (text[5:7], text[12:16], text[17:19], text[20:22], text[23:25]):
        for c in part:
            if not "0" <= c <= "9":
                return None
        numbers.append(int(part))
    day, year, hour, minute, second = numbers
    if not (1 <= day <= 31 and 1970 <= year and hour < 24 and minute < 60 and second <= 60):
        return None
    return _days(year, at // 3 + 1, day) * 86400 + hour * 3600 + minute * 60 + second


def _days(year: int, month: int, day: int) -> int:
    """Return days from 1970-01-01 in the Gregorian calendar (no mktime: its zone differs)."""
    # Years run from March, so that the leap day is the last of a year.
    if month < 3:
        year -= 1
        month += 12
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month - 457) // 5 + day - 719469
