"""The audit trail: JSON lines, each chained to the one before it by a hash.

    {"n": 7, "t": "2026-01-31T12:00:00.123Z", "what": "issued", …, "prev": HEX, "hash": HEX}

`n` counts up by one; `prev` is the hash of the line before, zeros in the first; `hash` is
SHA-256 of the line itself as it stands, less `,"hash":"…"`.  So no line can be changed, left out or
put in without all that follow changing.  What was cut off at the end only shows to
who has noted a later hash: `ringkey audit verify` prints it, and the register has it too.

A line is there whole or not at all: one that a crash cut short is taken off at the next start, and
that is noted.  Pieces of MAX_PIECE octets: `audit.jsonl` is the one being written, those before it
are `audit-000001.jsonl` and so on.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ringkey.errors import UserError
from ringkey.site import files

# Octets of a piece, some 200,000 lines: small enough to be looked at, copied and put away.
MAX_PIECE = 64 << 20
# Octets of a line.  The longest is a revocation with its reason; the rest have some 400.
MAX_LINE = 8192
FIRST = "0" * 64  # `prev` of the first line
_HASH = re.compile(rb',"hash":"([0-9a-f]{64})"\}$')

Line = dict[str, Any]


class TrailError(UserError):
    """The trail is not what it should be."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line ends: the piece's number (from 1) and its octets up to there."""

    piece: int
    offset: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """Lines that are to be written, and their octets."""

    lines: list[Line]
    octets: bytes


@dataclass(slots=True)
class Trail:
    """The trail as it is being written; belongs to one thread.

    n, head: number and hash of the last line; place: its end.
    """

    path: Path
    n: int = 0
    head: str = FIRST
    place: Place = Place(1, 0)
    healed: int = 0
    _file: int = field(default=-1, repr=False)

    def open(self) -> None:
        """Open the trail, made where there is none; `healed` is how many octets were taken off its end.

        Raises TrailError for one that is damaged, OSError.
        """
        self.close()
        number = len(pieces(self.path)) + 1
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(self.path, flags, files.SECRET)
        size = os.fstat(self._file).st_size
        end, last = _last_line(self._file, size)
        if end < size:
            os.ftruncate(self._file, end)
            os.fsync(self._file)
            self.healed = size - end
        files.sync_directory(self.path.parent)
        if last is None and number > 1:
            last = _last_of(_piece(self.path, number - 1))
        if last is not None:
            line = check(last)
            if line is None:
                raise TrailError(
                    f"the last line of the audit trail {self.path} was changed or damaged",
                    "ringkey audit renew",
                )
            self.n, self.head = line["n"], line["hash"]
        self.place = Place(number, end)

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def prepare(self, entries: list[Line], now: float, after: tuple[int, str] | None = None) -> "Prepared":
        """Return the entries as the lines they will be, with n, t, prev and hash.

        after: number and hash of the line that they follow, where that is not the last one here.
        """
        made: list[Line] = []
        octets: list[bytes] = []
        number, head = (self.n, self.head) if after is None else after
        t = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for entry in entries:
            number += 1
            line = {"n": number, "t": t, **entry, "prev": head}
            body = json.dumps(line, separators=(",", ":")).encode()
            head = hashlib.sha256(body).hexdigest()
            made.append({**line, "hash": head})
            octets.append(body[:-1] + b',"hash":"' + head.encode() + b'"}\n')
        return Prepared(made, b"".join(octets))

    def write(self, prepared: "Prepared") -> None:
        """Append lines of `prepare` and make them durable.

        Raises OSError or TrailError, and then nothing is added.
        """
        self._same_file()
        if self.place.offset > MAX_PIECE:
            self._next_piece()
        try:
            view = memoryview(prepared.octets)
            while view:
                view = view[os.write(self._file, view) :]
            os.fdatasync(self._file)
        except OSError:
            self._take_back()
            raise
        last = prepared.lines[-1]
        self.n, self.head = last["n"], last["hash"]
        self.place = Place(self.place.piece, self.place.offset + len(prepared.octets))

    def _same_file(self) -> None:
        """Make sure that what is open is what has the name: lines must not go where nobody finds them."""
        there = os.stat(self.path)
        if self._file >= 0 and os.path.samestat(there, os.fstat(self._file)):
            return
        before = self.n, self.head
        self.open()
        if (self.n, self.head) != before:
            found, self.n, self.head = self.n, *before
            self.close()
            raise TrailError(
                f"the audit trail {self.path} was replaced: it ends with line {found} instead of {self.n}. "
                "Bring it back, or begin another one",
                "ringkey audit renew",
            )

    def _take_back(self) -> None:
        try:
            os.ftruncate(self._file, self.place.offset)
            os.fsync(self._file)
        except OSError:
            # What is there now is not known: the next write opens the file anew, which heals it.
            self.close()

    def _next_piece(self) -> None:
        self.path.rename(_piece(self.path, self.place.piece))
        self.close()
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, files.SECRET)
        files.sync_directory(self.path.parent)
        self.place = Place(self.place.piece + 1, 0)


@dataclass(slots=True)
class Report:
    """What `verify` found: problem is None where the chain is whole; notes are lines for people."""

    lines: int = 0
    first: str = ""
    last: str = ""
    head: str = FIRST
    n: int = 0
    problem: str | None = None
    notes: list[str] = field(default_factory=list)


def verify(path: Path) -> Report:
    """Check every line of the trail; raises UserError where it cannot be read."""
    report = Report()
    try:
        for where, raw in read(path):
            line = check(raw)
            if line is None:
                # The very end may just be being written, or have been cut short by a crash.
                whole = raw.endswith(b"\n")
                report.problem = f"{where}: changed or damaged" if whole else None
                if not whole:
                    report.notes.append(f"{where}: not complete (yet); it counts for nothing")
                break
            wrong = _wrong(report, line)
            if wrong is not None:
                report.problem = f"{where}: {wrong}"
                break
            if line["what"] in ("healed", "gap", "begun", "clock-accepted", "left-out"):
                report.notes.append(f"{where}: {_told(line)}")
            report.lines += 1
            report.first = report.first or line["t"]
            report.last, report.head, report.n = line["t"], line["hash"], line["n"]
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror}", f"ls -la {path.parent}") from None
    return report


def read(path: Path, start: Place | None = None) -> Iterator[tuple[str, bytes]]:
    """Yield (file name and line number or octet, line) of all pieces, or of what follows `start`.

    Raises OSError.
    """
    first = 1 if start is None else start.piece
    names = [*pieces(path), path]
    for number, name in enumerate(names[first - 1 :], first):
        offset = start.offset if start is not None and number == start.piece else 0
        with name.open("rb") as file:
            file.seek(offset)
            for i, raw in enumerate(iter(lambda file=file: file.readline(MAX_LINE), b""), 1):  # type: ignore[misc]
                yield (f"{name.name} line {i}" if not offset else f"{name.name} after octet {offset}"), raw


def pieces(path: Path) -> list[Path]:
    """Return the finished pieces of a trail, oldest first."""
    pattern = re.compile(re.escape(path.stem) + r"-\d{6}" + re.escape(path.suffix))
    return sorted(p for p in path.parent.iterdir() if pattern.fullmatch(p.name))


def check(raw: bytes) -> Line | None:
    """Return the line that these octets are, None where they are none or its hash is not theirs."""
    raw = raw.rstrip(b"\n")
    match = _HASH.search(raw)
    if match is None or hashlib.sha256(raw[: match.start()] + b"}").hexdigest() != match[1].decode():
        return None
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    good = isinstance(line, dict) and isinstance(line.get("n"), int)
    good = good and all(isinstance(line.get(name), str) for name in ("t", "what", "prev"))
    return line if good else None


def seconds(line: Mapping[str, Any]) -> float:
    """Return when the line was written, seconds since 1970."""
    return datetime.fromisoformat(line["t"]).timestamp()


def _wrong(report: Report, line: Line) -> str | None:
    if report.lines and line["prev"] != report.head:
        return "it does not follow the line before it"
    if not report.lines and line["prev"] != FIRST and line["what"] != "begun":
        return "it is not the first line of a trail"
    if report.lines and line["n"] != report.n + 1 and line["what"] != "gap":
        return f"its number is {line['n']}, and the one before it is {report.n}"
    return None


def _told(line: Line) -> str:
    skip = ("n", "t", "what", "prev", "hash")
    rest = ", ".join(f"{name} {value}" for name, value in line.items() if name not in skip)
    return f"{line['t']} {line['what']}" + (f" ({rest})" if rest else "")


def _piece(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}-{number:06}{path.suffix}")


def _last_line(file: int, size: int) -> tuple[int, bytes | None]:
    """Return where the last whole line ends, and that line (None where there is none)."""
    data = os.pread(file, min(size, 2 * MAX_LINE), max(0, size - 2 * MAX_LINE))
    base = size - len(data)
    end = data.rfind(b"\n") + 1
    if not end:
        return (0, None) if not base else (size, b"")
    start = data.rfind(b"\n", 0, end - 1) + 1
    return base + end, data[start:end]


def _last_of(path: Path) -> bytes | None:
    with path.open("rb") as file:
        return _last_line(file.fileno(), os.fstat(file.fileno()).st_size)[1]
