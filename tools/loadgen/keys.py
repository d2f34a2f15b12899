"""Key sets made in advance: keys that a real key server has issued, in a file that only its owner reads.

One JSON object a line: ext, pin, suite, g, kg, cvm; octets in hex.
"""

import http.client
import json
import os
import queue
import secrets
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ras import keyfile
from ras.keys import SUITES, Suite, authentication_key

# Digits of the PINs that are drawn here: as a site would have them.
_PIN = 6


class KeySetError(Exception):
    """The key set cannot be made or read; says why."""


@dataclass(slots=True)
class Keys:
    """What one endpoint has stored; its repr shows no secret."""

    ext: str
    pin: str = field(repr=False)
    suite: Suite
    g: bytes
    kg: bytes = field(repr=False)
    cvm: bytes
    ka: bytes = field(repr=False)

    @classmethod
    def of(cls, ext: str, pin: str, suite: Suite, g: bytes, kg: bytes, cvm: bytes) -> "Keys":  # noqa: PLR0917 - as many as the message has fields
        """Return the keys with Ka derived from Kg and the PIN."""
        return cls(ext, pin, suite, g, kg, cvm, authentication_key(suite, kg, pin))


def draw_pins(first: int, count: int) -> dict[str, str]:
    """Return {EXT: PIN} for `count` extensions from `first` on."""
    return {
        str(ext): "".join(str(secrets.randbelow(10)) for _ in range(_PIN))
        for ext in range(first, first + count)
    }


def csv_of(pins: dict[str, str]) -> str:
    """Return the text that `ringkey extension import` reads."""
    return "".join(f"{ext},{pin}\n" for ext, pin in pins.items())


def fetch(port: int, root: Path, pins: dict[str, str], connections: int = 8) -> list[Keys]:
    """Return the keys of all extensions, issued by the key server at 127.0.0.1:port.

    root: the site's root certificate.  Raises KeySetError where one of them is not given out.
    """
    work: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    for item in pins.items():
        work.put(item)
    found: dict[str, Keys] = {}
    failed: list[str] = []
    tls = ssl.create_default_context(cafile=str(root))
    threads = [
        threading.Thread(target=_worker, args=(port, tls, work, found, failed), name=f"keys {i}")
        for i in range(connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise KeySetError(failed[0])
    return [found[ext] for ext in pins]


def _worker(
    port: int,
    tls: ssl.SSLContext,
    work: "queue.SimpleQueue[tuple[str, str]]",
    found: dict[str, Keys],
    failed: list[str],
) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=tls, timeout=30)
    try:
        while not failed:
            try:
                ext, pin = work.get_nowait()
            except queue.Empty:
                return
            connection.request("GET", f"/keys/kkg.txt?ext={ext}")
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise KeySetError(f"no keys for extension {ext}: HTTP {answer.status}")
            keys = keyfile.decode(body)
            found[ext] = Keys.of(ext, pin, keys.suite, keys.g, keys.kg, keys.cvm)
    except (OSError, http.client.HTTPException, KeySetError) as error:
        failed.append(str(error) or type(error).__name__)
    finally:
        connection.close()


def save(path: Path, keys: list[Keys]) -> None:
    """Write a key set, readable for its owner only."""
    lines = []
    for one in keys:
        line = {"ext": one.ext, "pin": one.pin, "suite": one.suite.name, "g": one.g.hex()}
        lines.append(json.dumps({**line, "kg": one.kg.hex(), "cvm": one.cvm.hex()}) + "\n")
    save_private(path, "".join(lines))


def save_private(path: Path, text: str) -> None:
    """Write a text that only its owner may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)


def load(path: Path, count: int | None = None) -> list[Keys]:
    """Return the keys of a file, the first `count`; raises KeySetError."""
    try:
        found = list(_lines(path, count))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KeySetError(f"{path} is no key set: {type(error).__name__}") from None
    if count is not None and len(found) < count:
        raise KeySetError(f"{path} has {len(found)} keys, not {count}")
    return found


def _lines(path: Path, count: int | None) -> Iterator[Keys]:
    with path.open(encoding="ascii") as file:
        for number, line in enumerate(file):
            if number == count:
                return
            one = json.loads(line)
            yield Keys.of(
                one["ext"],
                one["pin"],
                SUITES[one["suite"]],
                *(bytes.fromhex(one[name]) for name in ("g", "kg", "cvm")),
            )
