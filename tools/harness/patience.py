"""How much longer than a unix phone the phones of this run may take: 1, or more for an emulator."""

from collections.abc import Iterator
from contextlib import contextmanager

factor = 1.0


def seconds(timeout: float) -> float:
    """Return how long to wait for what a unix phone has `timeout` seconds for."""
    return timeout * factor


@contextmanager
def none() -> Iterator[None]:
    """Wait as long as it says, on whatever phone: for what must not happen."""
    global factor  # noqa: PLW0603 - one run has one
    before, factor = factor, 1.0
    try:
        yield
    finally:
        factor = before
