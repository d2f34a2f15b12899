"""Floods, each from a process of its own: garbage, valid GRQs with random g, replays.

A flood's GRQs carry a check value and a server id that are in force, and the right device field, so
that only the key server could tell that their g was never issued.
"""

import multiprocessing
import os
import random
import socket
import time
from collections.abc import Callable

from ras.generator import COUNTER, device_field
from ras.keys import NONCE, SHA256

from loadgen.keys import Keys
from loadgen.templates import Address, Requests

KINDS = ("garbage", "random-g", "replay", "mixed")
# Sources of one flood: addresses of 127.0.0.0/8 of their own.
SOURCES = 64
# Octets of garbage: up to more than a gatekeeper decodes.
_LONGEST = 1600
_POOL = 2000  # messages made in advance: making them must not slow the flood down


def _garbage() -> bytes:
    octets = os.urandom(random.randrange(1, _LONGEST))  # noqa: S311
    # Half of them begin as a GRQ does.
    return octets if octets[0] & 1 else b"\0" + octets


def _random_g(keys: Keys, requests: Requests) -> bytes:
    g = keys.g[:6] + device_field(keys.ext) + os.urandom(COUNTER)
    key = os.urandom(len(keys.ka))
    number = random.randrange(1, 65535)  # noqa: S311
    return bytes(requests.grq(number, keys.ext, g, keys.cvm, os.urandom(NONCE), key))


def pool(kind: str, keys: Keys, heard: list[bytes]) -> list[bytes]:
    """Return the messages of a flood; heard: genuine ones, to be replayed."""
    requests = Requests(keys.suite if keys else SHA256, len(keys.ext), ("127.0.0.1", 1))
    makers: dict[str, Callable[[], bytes]] = {
        "garbage": _garbage,
        "random-g": lambda: _random_g(keys, requests),
        "replay": lambda: random.choice(heard),  # noqa: S311
    }
    chosen = [kind] if kind != "mixed" else ["garbage", "random-g"] + ["replay"] * bool(heard)
    return [makers[chosen[i % len(chosen)]]() for i in range(_POOL)]


class Flood:
    """A flood from `start` to `stop`, which returns how many datagrams went out.

    rate: datagrams a second; None: as fast as one core sends.
    """

    def __init__(
        self, gatekeeper: Address, kind: str, keys: Keys, heard: list[bytes], rate: float | None = None
    ) -> None:
        self._stop = multiprocessing.get_context("spawn").Event()
        self._sent = multiprocessing.get_context("spawn").Value("Q", 0)
        self._process = multiprocessing.get_context("spawn").Process(
            target=_flood,
            args=(gatekeeper, pool(kind, keys, heard), rate, self._stop, self._sent),
            name=f"flood of {kind}",
            daemon=True,
        )

    def start(self) -> None:
        """Begin."""
        self._process.start()

    def stop(self) -> int:
        """End it; return the datagrams sent."""
        self._stop.set()
        self._process.join(10)
        return int(self._sent.value)


def _flood(gatekeeper, messages, rate, stop, sent) -> None:  # type: ignore[no-untyped-def]
    sockets = []
    for i in range(SOURCES):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind((f"127.200.{i}.1", 0))
        one.connect(gatekeeper)
        one.setblocking(False)
        sockets.append(one)
    began = time.monotonic()
    count = 0
    while not stop.is_set():
        for _ in range(64):
            try:
                sockets[count % SOURCES].send(messages[random.randrange(len(messages))])  # noqa: S311
            except (BlockingIOError, ConnectionRefusedError):
                continue
            count += 1
        sent.value = count
        if rate is not None and (ahead := count / rate - (time.monotonic() - began)) > 0:
            stop.wait(ahead)
    for one in sockets:
        one.close()
