"""The entry on the device: starts the phone (phone/start.py).

On a board this file lies beside phone/ and ras/ (or is frozen) and is started by MicroPython,
which compiles it into the heap, so it is short; on a host:
`micropython firmware/main.py --settings FILE [--state DIR]` (boards/unix).
"""

import sys

from phone.start import leave, main

# A source tree finds its own unix board where MICROPYPATH names none; a frozen module has no
# __file__.  Behind all others: whoever names a board gets that one.
sys.path.append(globals().get("__file__", "").rpartition("/")[0] + "/../boards/unix")

if __name__ == "__main__":
    leave(main())
