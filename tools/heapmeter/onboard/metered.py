"""Run by MicroPython in the place of main.py: the phone, its heap measured at every wait.

Whenever the phone waits for something, what is alive in the heap is counted (a full
collection first) and told as an event {"e": "heap", "used": ..., "modules": [...]}: octets
above what was there before the first module was loaded, and which modules there are now.
An event of the phone's own in between says how far it was.
"""

import gc
import sys

gc.collect()
_before = gc.mem_alloc()

import asyncio.core  # noqa: E402
import json  # noqa: E402

_wait = asyncio.core.IOQueue.wait_io_event
_last = 0


def _measured(self, timeout):
    # Not where a wait returns at once: the loop of a handshake would only repeat itself.
    global _last
    gc.collect()
    used = gc.mem_alloc() - _before
    if used != _last:
        _last = used
        print("\x1e" + json.dumps({"e": "heap", "used": used, "modules": list(sys.modules)}))
    _wait(self, timeout)


asyncio.core.IOQueue.wait_io_event = _measured

if __name__ == "__main__":
    sys.exit(__import__("main").main())
