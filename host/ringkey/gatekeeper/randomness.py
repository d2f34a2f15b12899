"""Randomness of the operating system, in blocks: a call of the kernel takes longer than its use."""

import os

# Octets of a block: some 40 registrations.  What waits here are identifiers and SIDs, which phones are told;
# of keys the registrar draws that of Rg, once, which is in memory for as long as there is a registrar.
BLOCK = 1024


class Randomness:
    """`randomness(n) -> bytes` as `os.urandom`; no octet is handed out twice, in a child process neither."""

    def __init__(self) -> None:
        self._block = b""
        self._at = 0
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def __repr__(self) -> str:
        return "Randomness()"

    def __call__(self, n: int) -> bytes:
        """Return n octets that nobody can predict."""
        begin, end = self._at, self._at + n
        if end > len(self._block):
            if n > BLOCK:
                return os.urandom(n)
            self._block = os.urandom(BLOCK)
            begin, end = 0, n
        self._at = end
        return self._block[begin:end]

    def _forget(self) -> None:
        self._block, self._at = b"", 0
