"""The log of one phone in one test: raw octets, and a readable copy with time stamps."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

DRAIN = 0.3  # s without an octet after which a phone that has failed a test has said its last word
_LONGEST = 3.0  # s: one that never falls silent is not waited for
HIDDEN = "•"


class PhoneLog:
    """Two files beside each other: NAME.raw, every octet that came; NAME.log, to be read.

    In NAME.log a line begins with the time and "<" for what came, ">" for keys pressed, "-" for
    what was done to the phone.
    """

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}.log"
        self.raw_path = folder / f"{name}.raw"
        self._raw: IO[bytes] | None = self.raw_path.open("wb")
        self._log: IO[str] | None = self.path.open("w", encoding="utf-8")

    def received(self, data: bytes) -> None:
        """Write octets to the raw file."""
        if self._raw is not None:
            self._raw.write(data)
            self._raw.flush()

    def line(self, text: str) -> None:
        """Write a line that came."""
        self._write("<", text)

    def pressed(self, keys: str) -> None:
        """Write keys that were pressed, those of a PIN as dots by then."""
        self._write(">", keys)

    def note(self, text: str) -> None:
        """Write what was done to the phone."""
        self._write("-", text)

    def close(self) -> None:
        """Close both; may be called again."""
        for file in (self._raw, self._log):
            if file is not None:
                file.close()
        self._raw = self._log = None

    def remove(self) -> None:
        """Close both and remove them."""
        self.close()
        self.path.unlink(missing_ok=True)
        self.raw_path.unlink(missing_ok=True)

    def _write(self, mark: str, text: str) -> None:
        if self._log is not None:
            now = time.time()
            stamp = time.strftime("%H:%M:%S", time.localtime(now)) + f".{int(now * 1000) % 1000:03}"
            shown = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
            self._log.write(f"{stamp} {mark} {shown}\n")
            self._log.flush()


def silence(last: Callable[[], float], limit: float = _LONGEST, quiet: float = DRAIN) -> None:
    """Wait until nothing has come for `quiet` seconds, `limit` at the most.

    last: called for time.monotonic() of the last octets.
    """
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        left = last() + quiet - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, quiet))
