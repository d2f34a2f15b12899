"""What a datagram costs a gatekeeper before, and with, its first check of an ICV.

    PYTHONPATH=tools:firmware python tools/bench/packet_work.py

Prints microseconds (the median of rounds) and calls of functions for each kind; docs/gatekeeper-silence.md.
"""

import statistics
import sys
import time
from collections.abc import Callable

from ras import build, keys, message, oids, profile
from ras.errors import LocalProtocolError
from ras.generator import pack
from ras.lookups import Lookup
from ras.noise import Noise
from ras.policy import Settings
from ras.registrar import Registrar
from ras.throttle import Throttle

SOURCE = ("192.0.2.50", 1719)
EXT = "1001"
MANY = 1 << 30  # no limit stops the measurement
ROUNDS = 300


class Bench:
    """A registrar whose look-ups are answered at once, and the messages to give it."""

    def __init__(self) -> None:
        self._count = 0
        self.registrar = Registrar(self._settings(Noise(MANY, MANY, MANY)), self._random)
        suite = keys.SHA256
        km = keys.master_key(suite, bytes(32))
        cvm = keys.check_value(suite, km)
        self.g = pack(b"server", EXT, 5)
        self.kg = keys.device_key(suite, km, self.g)
        self.ka = keys.authentication_key(suite, self.kg, "1234")
        self.found = {profile.G: self.g, profile.CVM_ID: cvm, profile.RE: bytes(16)}
        self.registrar.set_site((cvm,))

    @staticmethod
    def _settings(noise: Noise) -> Settings:
        here = ("192.0.2.1", 1719)
        return Settings(lambda _host: (here, here), throttle=Throttle(MANY), noise=noise)

    def _random(self, n: int) -> bytes:
        self._count += 1
        return self._count.to_bytes(n, "big")

    def grq(self, ka: bytes) -> bytes:
        """Return a GRQ with a new Re, signed with `ka`."""
        self.found[profile.RE] = self._random(16)
        value = build.gatekeeper_request(1, EXT, SOURCE)
        return profile.seal(message.GRQ, value, dict(self.found), keys.SHA256, ka)

    def take(self, data: bytes) -> None:
        """Give it to the registrar, and the registrar what it asks for."""
        registrar = self.registrar
        registrar.receive_datagram(data, SOURCE, 1000)
        while (event := registrar.next_event()) is not None:
            if event[0] == "lookup":
                registrar.provide(event[1], Lookup(0, self.kg, "1234"), 1000)
        registrar.datagrams_to_send()


def worst() -> "list[bytes]":
    """Return the messages of at most MAX_MESSAGE octets that are the most work to decode."""
    found = []
    for ext, count in (("1" * 128, 64), ("1", 64)):
        value = build.gatekeeper_request(1, EXT, SOURCE)
        value["endpointAlias"] = [("dialledDigits", ext)] * count
        found.append(value)
    value = build.gatekeeper_request(1, EXT, SOURCE)
    element = {"elementID": 200, "element": ("flag", True)}
    value["tokens"] = [{"tokenOID": oids.PROFILE[:2], "profileInfo": [element] * 64}] * 64
    found.append(value)
    out = []
    for value in found:
        name = "tokens" if "tokens" in value else "endpointAlias"
        while True:
            try:
                out.append(bytes(message.encode_message(message.GRQ, value)[0]))
                break
            except LocalProtocolError:
                value[name] = value[name][:-1]
    return out


def calls(work: Callable[[], None]) -> int:
    """Return how many functions are called."""
    count = 0

    def profiler(_frame: object, event: str, _what: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(profiler)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def microseconds(work: Callable[[bytes], None], data: "list[bytes]") -> float:
    """Return the median time for one of the data."""
    times = []
    for octets in data:
        start = time.perf_counter_ns()
        work(octets)
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1000


def kinds() -> "dict[str, tuple[Bench, list[bytes]]]":
    """Return what there is to measure."""
    fresh = Bench()
    deaf = Bench()
    deaf.registrar.settings.noise = Noise(1, 1, 1)
    deaf.registrar.settings.noise.made(SOURCE, 1, 1000)
    grq = fresh.grq(fresh.ka)
    seen = Bench()
    seen.take(grq)
    found = {
        "of an ignored source": (deaf, [grq] * ROUNDS),
        "garbage of 200 octets": (fresh, [bytes([i & 255, i >> 8]) * 100 for i in range(ROUNDS)]),
        "the same octets again": (seen, [grq] * ROUNDS),
        "GRQ under a wrong key": (fresh, [fresh.grq(bytes(32)) for _ in range(ROUNDS)]),
        "GRQ to its GCF": (fresh, [fresh.grq(fresh.ka) for _ in range(ROUNDS)]),
    }
    names = ("most digits", "most aliases", "most tokens")
    for name, octets in zip(names, worst(), strict=True):
        found[f"worst: {name}, {len(octets)} octets"] = (fresh, [octets] * ROUNDS)
    return found


def main() -> None:
    """Print the table."""
    for name, (bench, data) in kinds().items():
        bench.take(data[0])
        us = microseconds(bench.take, data[1:-1])
        count = calls(lambda bench=bench, data=data: bench.take(data[-1]))  # type: ignore[misc]
        print(f"{name:42} {us:8.1f} us {count:6} calls")


if __name__ == "__main__":
    main()
