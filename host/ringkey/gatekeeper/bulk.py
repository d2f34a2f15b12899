"""Extensions in bulk: the CSV that `ringkey extension import` reads."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field

from ras.keys import ext_digits, pin_digits

# Rows of one import: ten times the largest site planned for, and some 100 MB while it runs.
MAX_IMPORT = 100_000
# Wrong lines named in one refusal: more would only scroll the first ones away.
MAX_PROBLEMS = 20
# Characters: a name and a room; more would not fit a line of `ringkey extension list`.
MAX_LABEL = 80

_COLUMNS = ("ext", "pin", "label")


@dataclass(frozen=True, slots=True)
class Row:
    """One extension to be: `line` is where it was in the file, from 1; the repr hides the PIN."""

    line: int
    ext: str
    pin: str = field(repr=False)
    label: str


def parse(lines: Iterable[str]) -> tuple[list[Row], list[str]]:
    """Return (rows, what is wrong, each with its line number); no problem's text shows a PIN.

    Columns: EXT, PIN and, optionally, label; a first line "ext,pin,label" and empty lines are
    passed over.
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
        if len(rows) >= MAX_IMPORT:
            problems.append(f"line {number}: more than {MAX_IMPORT} extensions; split the file")
            break
        try:
            row = _row(number, cells)
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


def _row(line: int, cells: list[str]) -> Row:
    if len(cells) not in (2, 3):
        raise ValueError("EXT,PIN or EXT,PIN,LABEL is wanted")
    ext, pin, label = (*cells, "")[:3]
    ext_digits(ext)
    pin_digits(pin)
    return Row(line, ext, pin, check_label(label))
