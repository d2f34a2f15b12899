"""Functions of the system that Python has no names for, where there are any."""

import ctypes
from typing import Any


def function(kind: type[ctypes.CDLL], name: str, *arguments: Any) -> Any:
    """Return a function of the C library that returns an int; None where there is none.

    kind: ctypes.CDLL gives the interpreter away while it runs, ctypes.PyDLL keeps it.
    """
    try:
        found = kind(None)[name]
    except (AttributeError, OSError, TypeError):
        return None
    found.argtypes = arguments
    found.restype = ctypes.c_int
    return found
