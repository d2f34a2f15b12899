"""What ends a phone that should have gone on."""


class Fault(Exception):
    """A bug, or a platform that failed.  step: what was going on; kind: the exception's class name.

    The exception itself is in `cause`: not to be printed where others read along.
    """

    def __init__(self, step: str, cause: BaseException) -> None:
        super().__init__(step)
        self.step = step
        self.kind = type(cause).__name__
        self.cause = cause
