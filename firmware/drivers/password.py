"""A text that does not show by accident.  A module of its own: it outlives the settings' (phone/board.py)."""


class Password:
    """A password that does not show by accident: reveal() gives it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Password()"

    def reveal(self) -> str:
        """Return it."""
        return self._text
