"""The few differences between CPython and MicroPython, met by feature tests at import."""

try:
    from micropython import const
except ImportError:

    def const(value: int) -> int:
        """Return `value`; MicroPython's compiler folds the name away."""
        return value


try:
    from hmac import compare_digest
except ImportError:

    def compare_digest(a: bytes, b: bytes) -> bool:
        """Compare without telling by the time taken where the first difference is."""
        if len(a) != len(b):
            return False
        difference = 0
        for i in range(len(a)):
            difference |= a[i] ^ b[i]
        return difference == 0


def wipe(buffer: bytearray) -> None:
    """Overwrite a mutable secret with zeros.

    Best effort: an interpreter may have copied the octets elsewhere; what is in our
    hand need not stay readable all the same.
    """
    for i in range(len(buffer)):
        buffer[i] = 0
