"""Run by MicroPython in the place of main.py: the phone, its heap measured at every wait.

Whenever the phone waits for something, what is alive in the heap is counted (a full
collection first) and told as an event {"e": "heap", "used": ...}: octets above what was
there before the first module was loaded.  {"e": "loaded", "modules": [...]} says which
modules there are, when that has changed, and the phone's own events how far it is.
"""

import gc
import sys

for _name in ("esp32", "machine", "network"):
    try:
        __import__(_name)  # on a board they take no heap, their doubles do
    except ImportError:
        pass

gc.collect()
_before = gc.mem_alloc()

import asyncio.core  # noqa: E402
import json  # noqa: E402

_wait = asyncio.core.IOQueue.wait_io_event
_last = 0
_modules = 0


def _measured(self, timeout):
    # Not where a wait returns at once: the loop of a handshake would only repeat itself.
    global _last, _modules
    gc.collect()
    used = gc.mem_alloc() - _before
    if used != _last:
        _last = used
        print("\x1e" + json.dumps({"e": "heap", "used": used}))
    if len(sys.modules) != _modules:
        _modules = len(sys.modules)
        print("\x1e" + json.dumps({"e": "loaded", "modules": list(sys.modules)}))
    _wait(self, timeout)


asyncio.core.IOQueue.wait_io_event = _measured

if __name__ == "__main__":
    sys.exit(__import__("phone.start", None, None, ("main",)).main())
