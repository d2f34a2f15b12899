"""An error that its reader can do something about."""

import errno


class UserError(Exception):
    """What went wrong, and the next command to type.

    what: one or more lines that say who is at fault and what happened; never a secret.
    next_step: a command line to type as it stands, or None where there is none.
    usage: the command line itself was wrong (exit status 2 instead of 1).
    """

    def __init__(self, what: str, next_step: str | None = None, *, usage: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step
        self.usage = usage

    def __str__(self) -> str:
        return self.what if self.next_step is None else f"{self.what} (try: {self.next_step})"


def cannot_listen(host: str, port: int, error: OSError) -> UserError:
    """Return the error for a port that cannot be listened on."""
    where = f"port {port} of {host}"
    if error.errno == errno.EADDRINUSE:
        return UserError(f"{where} is taken by another process", f"ss -ltnp 'sport = :{port}'")
    if error.errno == errno.EACCES:
        return UserError(f"{where} needs privileges that this user has not", "ringkey status")
    return UserError(f"cannot listen on {where}: {error.strerror}", "ip address")
