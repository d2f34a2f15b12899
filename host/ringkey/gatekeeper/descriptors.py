"""Descriptors of this process: so many for channels that there are always some for everything else.

A RAS port asks the kernel for the route to a source with a socket of its own, SQLite and the key servers'
connections want theirs; without one, phones could not even register.
"""

from ringkey import log
from ringkey.gatekeeper.listener import MAX_CONNECTIONS, MAX_PENDING

try:
    import resource
except ImportError:  # this system has no such limits
    resource = None  # type: ignore[assignment]

# Besides channels and handshakes: the key server's 1,000 connections where it is of this process,
# databases, key servers, control, metrics, log, routes.  Where there are few, a quarter of them.
OTHERS = 2048
_SHARE = 4


def channels() -> int:
    """Raise this process's limit as far as it may be; return how many channels there is then room for."""
    if resource is None:
        return MAX_CONNECTIONS
    wanted = MAX_CONNECTIONS + MAX_PENDING + OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MAX_CONNECTIONS
    found = max(1, soft - MAX_PENDING - min(OTHERS, soft // _SHARE))
    if found < MAX_CONNECTIONS:
        log.get("ringkey.gatekeeper").warning(
            "few_channels",
            most=found,
            reason=f"this process may open {soft} files",
            next_step=f"LimitNOFILE={wanted} in its unit, or ulimit -Hn {wanted}",
        )
    return found
