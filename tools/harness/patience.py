"""How much longer than a unix phone the phones of this run may take: 1, or more for an emulator."""

factor = 1.0


def seconds(timeout: float) -> float:
    """Return how long to wait for what a unix phone has `timeout` seconds for."""
    return timeout * factor
