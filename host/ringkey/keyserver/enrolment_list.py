"""The list of policy "listed": extensions and serial numbers from a CSV, a line each.

ext,serial
1001,00:11:22:33:44:55     that phone, for that extension only
1002,                      any phone, for that extension
,A4-0815                   that phone, for any extension
"""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from ringkey.errors import UserError
from ringkey.keyserver import query

# Entries; ten times the largest site planned for, some 20 MB in memory.
MAX_LIST = 100_000
# Octets of the file: MAX_LIST of the longest lines.
_MAX_FILE = MAX_LIST * 100
# Wrong lines named in one refusal: more would only scroll the first ones away.
MAX_PROBLEMS = 20
# And after which a list is not read on: each has a text.
ENOUGH = 1000

Entry = tuple[str | None, str | None]
"""(EXT, serial number), one of them at least."""


class Listed:
    """A set of entries; serial numbers are compared without regard to case."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries = {(ext, None if serial is None else serial.lower()) for ext, serial in entries}

    def __len__(self) -> int:
        return len(self._entries)

    def __or__(self, other: "Listed") -> "Listed":
        return Listed(self._entries | other._entries)

    def __sub__(self, other: "Listed") -> "Listed":
        return Listed(self._entries - other._entries)

    def has(self, ext: str | None, serial: str | None) -> bool:
        """Tell whether a phone with this serial number may have keys for this extension."""
        own = None if serial is None else serial.lower()
        return (
            (ext is not None and ((ext, None) in self._entries or (ext, own) in self._entries))
            or (own is not None and (None, own) in self._entries)
        )  # fmt: skip

    def text(self) -> str:
        """Return the CSV, sorted, so that two lists can be compared."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("ext", "serial"))
        writer.writerows(sorted((ext or "", serial or "") for ext, serial in self._entries))
        return out.getvalue()


def parse(lines: Iterable[str]) -> tuple[Listed, list[str]]:
    """Return (what is listed, what is wrong, each with its line number)."""
    entries: set[Entry] = set()
    problems: list[str] = []
    reader = csv.reader(lines, strict=True)
    try:
        for cells in reader:
            row = [cell.strip() for cell in cells]
            first = reader.line_num == 1 and [c.lower() for c in row] in (["ext", "serial"], ["ext"])
            if first or not any(row):
                continue
            if len(problems) >= ENOUGH:
                line = reader.line_num
                problems.append(f"line {line}: {ENOUGH} lines were wrong before it; it was not read on")
                break
            if len(entries) >= MAX_LIST:
                problems.append(f"line {reader.line_num}: more than {MAX_LIST} entries")
                break
            try:
                entries.add(_entry(row))
            except query.Malformed as e:
                problems.append(f"line {reader.line_num}: {e}")
    except csv.Error as e:
        problems.append(f"line {reader.line_num}: {e}")
    return Listed(entries), problems


def load_list(path: Path) -> Listed:
    """Return the list in a file that `ringkey enrol import` wrote; raises UserError."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
        text = data.decode()
    except OSError as e:
        raise UserError(f"the list {path} cannot be read: {e.strerror}", f"ls -la {path.parent}") from None
    except UnicodeDecodeError:
        raise UserError(f"the list {path} is not UTF-8", "ringkey enrol import --help") from None
    listed, problems = parse(io.StringIO(text, newline=""))
    if problems or len(data) > _MAX_FILE:
        raise UserError(
            f"the list {path} is damaged: {(problems or ['too large'])[0]}", "ringkey enrol import --help"
        )
    return listed


def _entry(row: list[str]) -> Entry:
    if len(row) not in (1, 2):
        raise query.Malformed("EXT,SERIAL is wanted")
    ext, serial = (*row, "")[:2]
    return (
        query.parse_extension(ext) if ext else None,
        query.parse_serial(serial) if serial else None,
    )
