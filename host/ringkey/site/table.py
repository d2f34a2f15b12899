"""One table of `ringkey.toml`, read key by key, so that every complaint names file, table and key."""

import difflib
import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ringkey.errors import UserError

# Characters.  The longest value with a reason is a path (Linux: PATH_MAX).
MAX_TEXT = 4096


class Table:
    """A table and what of it has been read; `done()` then complains about keys that nobody knows.

    All readers take the key, and a default that makes the key optional; they raise UserError.
    """

    def __init__(self, file: Path, name: str, content: Mapping[str, Any]) -> None:
        self.file = file
        self.name = name
        self._content = content
        self._known: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def names(self) -> tuple[str, ...]:
        """Return the names of all keys there are, for a table whose keys are names."""
        return tuple(self._content)

    def error(self, key: str, wrong: str) -> UserError:
        """Return the error for `key`: where it is, and what is wrong with it."""
        where = f"[{self.name}] {key}" if self.name else key
        return UserError(f"{self.file}: {where}: {wrong}", f"{os.environ.get('EDITOR', 'nano')} {self.file}")

    def table(self, key: str) -> "Table | None":
        """Return the table `key` within this one, or None."""
        value = self._get(key, None)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.error(key, "not a table")
        return Table(self.file, f"{self.name}.{key}" if self.name else key, value)

    def text(self, key: str, default: str | None = None, longest: int = MAX_TEXT) -> str:
        """Return a text of 1 to `longest` characters."""
        return self._text(key, self._need(key, default), longest)

    def texts(self, key: str, default: tuple[str, ...], most: int) -> tuple[str, ...]:
        """Return a list of at most `most` texts."""
        value = self._get(key, list(default))
        if not isinstance(value, list):
            raise self.error(key, 'not a list, such as ["a", "b"]')
        if len(value) > most:
            raise self.error(key, f"more than {most} entries")
        return tuple(self._text(key, one, MAX_TEXT) for one in value)

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`."""
        value = self._get(key, default)
        # bool is an int in Python, and `true` is no number in TOML.
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.error(key, f"not a whole number from {low} to {high}")
        return value

    def port(self, key: str, default: int) -> int:
        """Return a port number, or 0 for any free one."""
        return self.integer(key, default, 0, 65535)

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self.error(key, "not true or false")
        return value

    def ip(self, key: str, default: str | None = None) -> str:
        """Return an IP address as text.

        A name will not do: it can stand for several addresses, each then with a port of its own.
        """
        text = self.text(key, default)
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            raise self.error(key, f"{text!r} is not an IP address") from None

    def path(self, key: str, default: str) -> Path:
        """Return a path, a relative one seen from the file's directory."""
        return self.file.parent / self.text(key, default)

    def done(self) -> None:
        """Raise UserError for the first key that was never asked for."""
        for key in self._content:
            if key not in self._known:
                near = difflib.get_close_matches(key, self._known, 1)
                hint = f", did you mean {near[0]}?" if near else f"; there are {', '.join(self._known)}"
                raise self.error(key, "no such key" + hint)

    def _get(self, key: str, default: Any) -> Any:
        self._known.append(key)
        return self._content.get(key, default)

    def _need(self, key: str, default: str | None) -> Any:
        value = self._get(key, default)
        if value is None:
            raise self.error(key, "missing")
        return value

    def _text(self, key: str, value: Any, longest: int) -> str:
        if not isinstance(value, str):
            raise self.error(key, "not a text in quotes")
        if not 1 <= len(value) <= longest or "\0" in value:
            raise self.error(key, f"not a text of 1 to {longest} characters")
        return value
