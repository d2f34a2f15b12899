"""What a phone keeps over a power cut: one Record (docs/architecture.md, "Storage").

Its octets are the affair of record_octets.py.
"""

from ras.compat import const
from ras.keys import Suite

# A phone tries each in turn, 14 s each: more would only keep its user waiting.
MAX_GATEKEEPERS = const(8)


class Record:
    """A registration that has been proven.

    ext, pin: str of digits; suite: Suite; g, kg, cvm, ka: bytes; gatekeepers: tuple of
    (host, port), in order of preference.
    """

    def __init__(  # noqa: PLR0917  (it has as many fields as the phone must keep)
        self,
        ext: str,
        pin: str,
        suite: Suite,
        g: bytes,
        kg: bytes,
        cvm: bytes,
        ka: bytes,
        gatekeepers: "tuple[tuple[str, int], ...]",
    ) -> None:
        self.ext = ext
        self.pin = pin
        self.suite = suite
        self.g = g
        self.kg = kg
        self.cvm = cvm
        self.ka = ka
        self.gatekeepers = tuple(gatekeepers)

    def __repr__(self) -> str:
        """Show what is no secret: neither PIN, Kg nor Ka."""
        return "Record(%s, %s, g=%s, cvm=%s)" % (self.ext, self.suite.name, self.g.hex(), self.cvm.hex())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and self._fields() == other._fields()

    __hash__ = None  # it has an equality of its own and is no key of a dict

    def _fields(self) -> tuple:
        return (self.ext, self.pin, self.suite, self.g, self.kg, self.cvm, self.ka, self.gatekeepers)
