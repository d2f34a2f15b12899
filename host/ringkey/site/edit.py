"""One value in `ringkey.toml` changed, every comment and all other lines left as they are."""

import json
import re
import tomllib
from pathlib import Path

from ringkey.errors import UserError
from ringkey.site import files


def with_value(text: str, table: str, key: str, value: bool | int | str) -> str | None:
    """Return a configuration's text with `key` of [table] set, None where that is to be done by hand.

    A key that is not there is put below the table's name, a table that is not there at the end.
    """
    # A JSON value of these kinds is a TOML value.
    line = f"{key} = {json.dumps(value, ensure_ascii=False)}"
    lines = text.splitlines(keepends=True)
    at = next((i for i, one in enumerate(lines) if _table_name(one) == table), None)
    if at is None:
        lines.append(f"{'' if not text or text.endswith(chr(10)) else chr(10)}\n[{table}]\n{line}\n")
    else:
        for i in range(at + 1, len(lines)):
            if lines[i].lstrip().startswith("["):
                at_key = None
                break
            at_key = re.match(rf"{re.escape(key)}\s*=\s*(?:\"[^\"\n]*\"|[^\s\"#]+)([^\n]*\n?)", lines[i])
            if at_key is not None:
                lines[i] = line + (at_key[1] or "\n")
                break
        else:
            at_key = None
        if at_key is None:
            lines.insert(at + 1, line + "\n")
    changed = "".join(lines)
    try:
        wanted, found = tomllib.loads(text), tomllib.loads(changed)
    except tomllib.TOMLDecodeError:
        return None
    below = wanted
    for name in table.split("."):
        below = below.setdefault(name, {})
    below[key] = value
    return changed if wanted == found else None


def _table_name(line: str) -> str:
    match = re.match(r"\s*\[\s*([A-Za-z0-9_.-]+)\s*\]", line)
    return "" if match is None else match[1]


def set_texts(path: Path, table: str, key: str, values: tuple[str, ...]) -> None:
    """Set `key` of [table], a list of texts on one line, to `values`; raises UserError, OSError."""
    text = files.read(path, "configuration").decode()
    # A JSON text is a TOML text.
    value = "[" + ", ".join(json.dumps(one) for one in values) + "]"
    lines = text.splitlines(keepends=True)
    at = next((i for i, line in enumerate(lines) if line.strip() == f"[{table}]"), None)
    for i in range(len(lines) if at is None else at + 1, len(lines)):
        if lines[i].lstrip().startswith("["):
            break
        match = re.match(rf"({re.escape(key)}\s*=\s*)\[[^\]\n]*\](.*\n?)", lines[i])
        if match is not None:
            lines[i] = match[1] + value + match[2]
            break
    changed = "".join(lines)
    try:
        wanted, found = tomllib.loads(text), tomllib.loads(changed)
        wanted[table][key] = list(values)
    except (tomllib.TOMLDecodeError, KeyError):
        wanted, found = {}, {"": ""}
    if wanted != found:
        raise UserError(f"{path}: put {key} = {value} into [{table}] by hand", f"nano {path}")
    files.write(path, changed.encode())
