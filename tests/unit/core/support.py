"""What tests that run under CPython and MicroPython share: neither has pytest's helpers there."""


class Caught:
    """What `raises` caught, in `value`."""

    def __init__(self):
        self.value = None


class raises:  # noqa: N801  (named as pytest names it)
    """`with raises(ValueError) as caught:` fails unless the block raises just that."""

    def __init__(self, *kinds):
        self._kinds = kinds
        self._caught = Caught()

    def __enter__(self):
        return self._caught

    def __exit__(self, kind, value, trace):
        if kind is None:
            raise AssertionError("did not raise")
        for wanted in self._kinds:
            if issubclass(kind, wanted):
                self._caught.value = value
                return True
        return False


class Random:
    """A repeatable `random(n) -> bytes` for tests: xorshift32, from a seed that is not 0.

    MicroPython's and CPython's own generators give different octets for one seed; a
    failure must be the same under both.
    """

    def __init__(self, seed=1):
        self._state = (seed * 2654435761 + 1) & 0xFFFFFFFF or 1

    def word(self):
        """Return the next 32 bits."""
        x = self._state
        x ^= (x << 13) & 0xFFFFFFFF
        x ^= x >> 17
        x ^= (x << 5) & 0xFFFFFFFF
        self._state = x
        return x

    def below(self, end):
        """Return a number from 0 to end - 1."""
        return self.word() % end

    def __call__(self, n):
        """Return n octets."""
        out = bytearray(n)
        for i in range(n):
            out[i] = self.word() >> 11 & 0xFF
        return bytes(out)


def skip(reason):
    """Leave a test out that this interpreter has no module for; under MicroPython nothing is left out."""
    import pytest

    pytest.skip(reason)


class I2CBus:
    """A simulated I2C bus: devices by address, each with `receive(octets)`; nobody else answers."""

    def __init__(self, **devices):
        self.devices = {int(name[1:], 16): device for name, device in devices.items()}
        self.transfers = 0

    def writeto(self, address, data):
        device = self.devices.get(address)
        if device is None:
            raise OSError(19)  # ENODEV: no acknowledgement
        self.transfers += 1
        device.receive(bytes(data))
        return len(data)


def run(coroutine):
    """Run a coroutine that never has to wait (its sleeps are simulated); return its result."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits for something")


class Asleep:
    """asyncio for a driver under test: sleep_ms() lets `now` go on and calls wake(now)."""

    def __init__(self, wake=None):
        self.now = 0
        self.slept = []
        self.wake = wake

    async def sleep_ms(self, ms):
        self.now += ms
        self.slept.append(ms)
        if self.wake is not None:
            self.wake(self.now)
