"""What is known about keys while a capture is explained: by the operator, or from the site."""

from dataclasses import dataclass, field

from ras.keys import SUITES, ext_digits, pin_digits

# Lines of a file of keys: each is tried for every message of its extension.
MAX_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Key:
    """Kg and PIN (None: not known), which the repr does not show."""

    kg: bytes = field(repr=False)
    pin: str | None = field(repr=False)


@dataclass(slots=True)
class Keyring:
    """keys: by EXT, or by (EXT, g) where the site said so; wrong: (EXT, g) to what the site says is wrong.

    check_values, servers: in force at the site, None where nobody asked it.
    """

    keys: dict[str | tuple[str, bytes], list[Key]] = field(default_factory=dict)
    wrong: dict[tuple[str, bytes], str] = field(default_factory=dict)
    check_values: tuple[bytes, ...] | None = None
    servers: tuple[bytes, ...] = ()

    def of(self, ext: str, g: bytes) -> list[Key]:
        """Return the keys that a message of this extension and g may be under."""
        return self.keys.get((ext, g), []) + self.keys.get(ext, [])


def parse(lines: list[str]) -> Keyring:
    """Return the keys of lines "EXT PIN KG"; raises ValueError that names the line, not what is in it."""
    ring = Keyring()
    for number, text in enumerate(lines, 1):
        words = text.split()
        if not words or words[0].startswith("#"):
            continue
        if number > MAX_KEYS:
            raise ValueError(f"more than {MAX_KEYS} lines")
        try:
            ext, pin, kg = words
            ring.keys.setdefault(str(ext_digits(ext) and ext), []).append(key(pin, kg))
        except ValueError:
            raise ValueError(f"line {number}: EXT PIN KG is wanted, KG in hex") from None
    return ring


def key(pin: str, kg: str) -> Key:
    """Return the Key of texts; raises ValueError that shows neither."""
    try:
        pin_digits(pin)
        octets = bytes.fromhex(kg)
    except ValueError:
        octets = b""
    if len(octets) not in {suite.key for suite in SUITES.values()}:
        raise ValueError("a PIN of digits and a Kg of 16 or 32 octets in hex are wanted")
    return Key(octets, pin)
