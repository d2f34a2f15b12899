"""The registrar alone, in this process: CPU and memory a registration, by how many are registered.

    python tools/bench/registrar.py --sizes 1000 10000 100000        (PYTHONPATH=tools)

No socket, no log, no key server: what is left is the protocol core with the host's codec, all
cryptography on, so it can be measured where a whole gatekeeper cannot have the machine to itself.
--reference takes the core's own codec instead, --indirect the registrar without the direct way.
"""

import argparse
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loadgen.answers import Answers
from loadgen.keys import Keys
from loadgen.templates import Requests
from ras.codec import Codec
from ras.generator import pack
from ras.keys import SHA256, check_value, device_key
from ras.lookups import Lookup
from ras.message import GCF, RCF
from ras.policy import Settings
from ras.registrar import Registrar
from ringkey.gatekeeper.codec import HostCodec
from ringkey.gatekeeper.direct import Direct

from bench import load

# Registrations of one measured run, and runs, of which the median counts.
RUN, RUNS = 1000, 5
_PIN = "471100"
_SOURCES = 256


Make = Callable[[Settings], Registrar]


class Bench:
    """A registrar whose look-ups are answered at once, and its endpoints."""

    def __init__(self, make: Make, count: int) -> None:
        km = os.urandom(32)
        self._cvm = check_value(SHA256, km)
        self._km = km
        places = (("127.0.0.1", 1719), ("127.0.0.1", 1300))
        self._registrar = make(Settings(lambda _host: places, most=count + 1))
        self._registrar.set_site((self._cvm,))
        self._requests = Requests(SHA256, 6, ("127.0.0.1", 4000))
        self._answers = Answers()
        self._now = 0
        self._known = Lookup()
        self._registrar.at_once = lambda _ext, _g, _cvm: self._known

    def register(self, index: int) -> int:
        """Let endpoint `index` register; return the nanoseconds of CPU that the registrar took."""
        ext = str(100_000 + index)
        g = pack(b"\2\0\0\0\0\1", ext, index)
        kg = device_key(SHA256, self._km, g)
        keys = Keys.of(ext, _PIN, SHA256, g, kg, self._cvm)
        source = (f"127.0.{index % _SOURCES}.1", 4000)
        self._known = Lookup(kg=kg, pin=_PIN)
        re = os.urandom(16)
        self._now += 1
        number = index % 65535 + 1
        used, gcf = self._send(self._requests.grq(number, ext, g, self._cvm, re, keys.ka), source)
        layout = self._answers.layout(gcf)
        if layout is None or layout.kind != GCF or layout.rg is None:
            raise RuntimeError("no GCF")
        rg = gcf[slice(*layout.rg)]
        rrq = self._requests.rrq(number, ext, g, self._cvm, re, rg, keys.ka)
        more, rcf = self._send(rrq, source)
        layout = self._answers.layout(rcf)
        if layout is None or layout.kind != RCF or not self._answers.genuine(rcf, layout, "sha256", keys.ka):
            raise RuntimeError("no RCF")
        return used + more

    def _send(self, octets: bytearray, source: tuple[str, int]) -> tuple[int, bytes]:
        data, registrar = bytes(octets), self._registrar
        began = time.process_time_ns()
        registrar.receive_datagram(data, source, self._now)
        while registrar.next_event() is not None:
            pass
        out = registrar.datagrams_to_send()
        return time.process_time_ns() - began, out[0][0]


def measure(make: Make, size: int) -> dict[str, Any]:
    """Return microseconds of CPU a registration with `size` registered, and octets for each of them."""
    gc.collect()
    before = load.memory(os.getpid())
    bench = Bench(make, size)
    first = [bench.register(i) for i in range(size)]
    octets = (load.memory(os.getpid()) - before) / size
    runs = [
        statistics.fmean(bench.register((run * RUN + i) * 7919 % size) for i in range(RUN)) / 1000
        for run in range(RUNS)
    ]
    return {
        "first": statistics.fmean(first[-RUN:]) / 1000,
        "cpu": statistics.median(runs),
        "runs": runs,
        "octets": octets,
    }


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--reference", action="store_true", help="the core's own codec")
    parser.add_argument("--indirect", action="store_true", help="the host's codec, not the direct way")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    make: Make = lambda settings: Direct(settings, os.urandom, HostCodec())  # noqa: E731 - one of three
    if args.reference or args.indirect:
        codec = Codec if args.reference else HostCodec
        make = lambda settings: Registrar(settings, os.urandom, codec())  # noqa: E731
    found = {}
    print(f"{'registered':>12}{'CPU µs':>10}{'first µs':>10}{'octets each':>13}")
    for size in args.sizes:
        row = found[size] = measure(make, size)
        print(f"{size:>12}{row['cpu']:>10.0f}{row['first']:>10.0f}{row['octets']:>13.0f}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
