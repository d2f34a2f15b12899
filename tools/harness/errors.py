"""What the harness says when something does not happen."""


class HarnessError(Exception):
    """Something that was waited for did not come; the text says what, and what came instead."""
