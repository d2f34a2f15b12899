"""Extensions in bulk: the CSV that `ringkey extension import` reads, and what it comes to."""

import csv
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ras.keys import ext_digits, pin_digits

# Rows of one import: ten times the largest site planned for, and some 100 MB while it runs.
MAX_IMPORT = 100_000
# Wrong lines named in one refusal: more would only scroll the first ones away.
MAX_PROBLEMS = 20
# And after which a file is not read on: it is no list of extensions, and each has a text.
ENOUGH = 1000
# Characters: a name and a room; more would not fit a line of `ringkey extension list`.
MAX_LABEL = 80

# Digits of a PIN that is drawn: one in a million for each guess, and the gatekeeper throttles those.
DRAWN_DIGITS = 6

# What a spreadsheet takes for a formula at the beginning of a cell; an export puts a ' before it (OWASP,
# CSV injection), and an import takes that off.
FORMULA = ("=", "+", "-", "@")

_COLUMNS = ("ext", "pin", "label")


@dataclass(frozen=True, slots=True)
class Row:
    """One extension to be: `line` is where it was in the file, from 1; the repr hides the PIN."""

    line: int
    ext: str
    pin: str = field(repr=False)
    label: str


@dataclass(frozen=True, slots=True)
class There:
    """An extension that is there already; pin: returns its PIN, None where that does not open."""

    label: str
    pin: Callable[[], str | None] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Change:
    """What a row comes to: "add", "pin" (and perhaps label), "label" or "same".

    pin: the one to set, drawn where the row has none; drawn: whether it is such a one.
    """

    row: Row
    what: str
    pin: str = field(default="", repr=False)
    drawn: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What an import would do: a change for each good row, and a text for each wrong line."""

    changes: tuple[Change, ...]
    problems: tuple[str, ...]

    def count(self, what: str) -> int:
        """Return how many changes are of a kind."""
        return sum(one.what == what for one in self.changes)


def plan(
    lines: Iterable[str], there: Mapping[str, There], *, update: bool = False, draw: bool = False
) -> Plan:
    """Return what the rows of a CSV come to.

    there: the extensions that are there; update: those may be changed, an empty PIN stays as it is, and so
    does an empty label; draw: a new extension without a PIN gets one that is drawn.  No text shows a PIN.
    """
    rows, problems = parse(lines, without_pins=update or draw)
    changes = []
    for row in rows:
        old = there.get(row.ext)
        if old is not None and not update:
            problems.append(f"line {row.line}: extension {row.ext} is there already")
        elif old is not None:
            changes.append(_changed(row, old))
        elif row.pin:
            changes.append(Change(row, "add", row.pin))
        elif draw:
            changes.append(Change(row, "add", drawn_pin(), drawn=True))
        else:
            problems.append(f"line {row.line}: extension {row.ext} is new, and has no PIN")
    return Plan(tuple(changes), tuple(sorted(problems, key=_line_of)))


def drawn_pin() -> str:
    """Return a PIN that nobody can guess better than by trying."""
    return "".join(str(secrets.randbelow(10)) for _ in range(DRAWN_DIGITS))


def _changed(row: Row, old: There) -> Change:
    label = row.label or old.label
    row = Row(row.line, row.ext, row.pin, label)
    if row.pin and not secrets.compare_digest(row.pin.encode(), (old.pin() or "").encode()):
        return Change(row, "pin", row.pin)
    return Change(row, "same" if label == old.label else "label")


def _line_of(problem: str) -> int:
    number = problem.removeprefix("line ").partition(":")[0]
    return int(number) if number.isdigit() else 0


def parse(lines: Iterable[str], *, without_pins: bool = False) -> tuple[list[Row], list[str]]:
    """Return (rows, what is wrong, each with its line number); no problem's text shows a PIN.

    Columns: EXT, PIN and, optionally, label; a first line "ext,pin,label" and empty lines are
    passed over.  without_pins: a PIN may be empty.
    """
    rows: dict[str, Row] = {}
    problems: list[str] = []
    reader = csv.reader(lines, strict=True)
    while True:
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            break
        except csv.Error as error:
            problems.append(f"line {reader.line_num}: {error}")
            break
        number = reader.line_num
        if not any(cells) or (number == 1 and _is_heading(cells)):
            continue
        if len(problems) >= ENOUGH:
            problems.append(f"line {number}: {ENOUGH} lines were wrong before it; it was not read on")
            break
        if len(rows) >= MAX_IMPORT:
            problems.append(f"line {number}: more than {MAX_IMPORT} extensions; split the file")
            break
        try:
            row = _row(number, cells, without_pins=without_pins)
            if row.ext in rows:
                raise ValueError(f"extension {row.ext} was on line {rows[row.ext].line} already")
            rows[row.ext] = row
        except ValueError as error:
            problems.append(f"line {number}: {error}")
    return list(rows.values()), problems


def check_label(label: str) -> str:
    """Return the label; raises ValueError unless it has up to MAX_LABEL printable characters."""
    if len(label) > MAX_LABEL or not label.isprintable():
        raise ValueError(f"label: up to {MAX_LABEL} printable characters")
    return label


def _is_heading(cells: list[str]) -> bool:
    return tuple(cell.lower() for cell in cells) == _COLUMNS[: len(cells)]


def _row(line: int, cells: list[str], *, without_pins: bool) -> Row:
    if len(cells) not in (2, 3):
        raise ValueError("EXT,PIN or EXT,PIN,LABEL is wanted")
    ext, pin, label = (*cells, "")[:3]
    if label[:1] == "'" and label[1:2] in FORMULA:
        label = label[1:]
    ext_digits(ext)
    if pin or not without_pins:
        pin_digits(pin)
    return Row(line, ext, pin, check_label(label))
