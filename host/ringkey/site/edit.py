"""One value in `ringkey.toml` changed, every comment and all other lines left as they are."""

import json
import re
import tomllib
from pathlib import Path

from ringkey.errors import UserError
from ringkey.site import files


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
