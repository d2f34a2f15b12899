"""A process that holds secrets, kept out of memory dumps as far as Python allows.

What Python does not allow: to wipe a `bytes` object, or to lock its pages.  A host whose swap is
on disk should have that encrypted.
"""

import ctypes
import resource
from contextlib import suppress

_PR_SET_DUMPABLE = 4  # linux/prctl.h


def hide() -> bool:
    """Let this process leave no core dump, and no other process of its user look into it.

    Returns whether the second was possible: it is Linux's prctl(2).
    """
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return False
    # A dump through a pipe (systemd-coredump) does not ask for the limit, but for this.
    return bool(prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
