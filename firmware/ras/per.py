"""Aligned PER (ITU-T X.691, ALIGNED BASIC-PER): bits, numbers and lengths."""

from ras.compat import const
from ras.errors import LocalProtocolError, RemoteProtocolError

# Octets.  X.691 section 11.9.3.8 cuts lengths of 16K and more into fragments; no RAS
# message comes near, since a datagram must fit one frame to reach a phone.
_FRAGMENT = const(0x4000)


class Reader:
    """Reads bits of `data`, from bit `position` up to bit `end`."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.end = 8 * len(data)
        self.icv: "tuple[int, int] | None" = None  # (offset, length) in octets

    def bit(self) -> int:
        """Return one bit; raises RemoteProtocolError at the end."""
        p = self.position
        if p >= self.end:
            raise RemoteProtocolError("PER: truncated")
        self.position = p + 1
        return (self.data[p >> 3] >> (7 - (p & 7))) & 1

    def bits(self, n: int) -> int:
        """Return n bits as a number; raises RemoteProtocolError at the end."""
        p = self.position
        stop = p + n
        if stop > self.end:
            raise RemoteProtocolError("PER: truncated")
        self.position = stop
        data = self.data
        value = 0
        while p < stop:
            octet = data[p >> 3]
            take = min(8 - (p & 7), stop - p)
            value = (value << take) | ((octet >> (8 - (p & 7) - take)) & ((1 << take) - 1))
            p += take
        return value

    def octets(self, n: int) -> bytes:
        """Return n octets from the next octet boundary; raises RemoteProtocolError at the end."""
        start = (self.position + 7) >> 3
        stop = start + n
        if 8 * stop > self.end:
            raise RemoteProtocolError("PER: truncated")
        self.position = 8 * stop
        return bytes(self.data[start:stop])

    def align(self) -> None:
        """Go on at the next octet boundary."""
        self.position = (self.position + 7) & ~7

    def constrained(self, low: int, high: int) -> int:
        """Return a constrained whole number (X.691 section 11.5.7)."""
        span = high - low + 1
        if span == 1:
            return low
        if span < 256:
            n = 0
            while (1 << n) < span:
                n += 1
            value = self.bits(n)
        elif span == 256:
            value = self.octets(1)[0]
        elif span <= 0x10000:
            value = int.from_bytes(self.octets(2), "big")
        else:
            n = 0
            while (1 << n) < _octet_count(high - low):
                n += 1
            value = int.from_bytes(self.octets(self.bits(n) + 1), "big")
        value += low
        if value > high:
            raise RemoteProtocolError("PER: number out of range")
        return value

    def length(self) -> int:
        """Return an unconstrained length (X.691 section 11.9.3.5 to 11.9.3.8)."""
        first = self.octets(1)[0]
        if first < 0x80:
            return first
        if first < 0xC0:
            return ((first & 0x3F) << 8) | self.octets(1)[0]
        raise RemoteProtocolError("PER: length over %d" % (_FRAGMENT - 1))

    def small(self) -> int:
        """Return a normally small number (X.691 section 11.6)."""
        if not self.bit():
            return self.bits(6)
        n = self.length()
        if not 1 <= n <= 2:  # what H.225.0 numbers this way stays far below 65,536
            raise RemoteProtocolError("PER: number out of range")
        return int.from_bytes(self.octets(n), "big")


class Writer:
    """Collects bits in `data`, a bytearray."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.free = 0  # bits still free in the last octet
        self.icv: "tuple[int, int] | None" = None

    def bits(self, value: int, n: int) -> None:
        """Append n bits."""
        while n:
            if not self.free:
                self.data.append(0)
                self.free = 8
            take = n if n < self.free else self.free
            n -= take
            self.free -= take
            self.data[-1] |= ((value >> n) & ((1 << take) - 1)) << self.free

    def octets(self, value: bytes) -> None:
        """Append whole octets from the next octet boundary."""
        self.free = 0
        self.data.extend(value)

    def constrained(self, value: int, low: int, high: int) -> None:
        """Append a constrained whole number (X.691 section 11.5.7)."""
        if not low <= value <= high:
            raise LocalProtocolError("PER: %d is not within %d..%d" % (value, low, high))
        span = high - low + 1
        value -= low
        if span == 1:
            return
        if span < 256:
            n = 0
            while (1 << n) < span:
                n += 1
            self.bits(value, n)
        elif span == 256:
            self.octets(bytes((value,)))
        elif span <= 0x10000:
            self.octets(value.to_bytes(2, "big"))
        else:
            n = 0
            while (1 << n) < _octet_count(high - low):
                n += 1
            count = _octet_count(value)
            self.bits(count - 1, n)
            self.octets(value.to_bytes(count, "big"))

    def length(self, n: int) -> None:
        """Append an unconstrained length."""
        if n < 0x80:
            self.octets(bytes((n,)))
        elif n < _FRAGMENT:
            self.octets(bytes((0x80 | n >> 8, n & 0xFF)))
        else:
            raise LocalProtocolError("PER: length over %d" % (_FRAGMENT - 1))

    def small(self, value: int) -> None:
        """Append a normally small number."""
        if value < 64:
            self.bits(value, 7)
        else:
            self.bits(1, 1)
            count = _octet_count(value)
            self.length(count)
            self.octets(value.to_bytes(count, "big"))

    def wrap(self, start: int) -> None:
        """Make what was written since octet `start` an open type: put its length before it."""
        self.free = 0
        n = len(self.data) - start
        if n == 0:
            self.data.append(0)  # X.691 section 11.1.3: an open type is never empty
            n = 1
        if n >= _FRAGMENT:
            raise LocalProtocolError("PER: length over %d" % (_FRAGMENT - 1))
        prefix = bytes((n,)) if n < 0x80 else bytes((0x80 | n >> 8, n & 0xFF))
        self.data[start:start] = prefix
        if self.icv is not None and self.icv[0] >= start:
            self.icv = (self.icv[0] + len(prefix), self.icv[1])


def _octet_count(value: int) -> int:
    n = 1
    while value >= 0x100:
        value >>= 8
        n += 1
    return n
