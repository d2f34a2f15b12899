"""Run by MicroPython: imports the modules named, in order; prints the heap that each has taken.

One line of JSON: [[module, octets], ...], the first entry being what asyncio takes, which
is frozen into every base but keeps its objects in the heap.  What a module imports itself
and was not named before counts as its own.
"""

import gc
import sys

gc.collect()
_before = gc.mem_alloc()

# Here, so that their cost is not the first module's.
import asyncio  # noqa: E402
import json  # noqa: E402

for _name in ("create_task", "wait_for_ms", "Event", "StreamReader"):
    getattr(asyncio, _name)  # each is loaded on its first use


def measure(names):
    """Return [[name, octets], ...]."""
    found = [["asyncio", _used() - _before]]
    for name in names:
        before = _used()
        __import__(name)
        found.append([name, _used() - before])
    return found


def _used():
    gc.collect()
    return gc.mem_alloc()


print(json.dumps(measure(sys.argv[1:])))
