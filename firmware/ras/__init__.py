"""The protocol core of ringkey: keys, messages and state machines, without I/O.

One copy, run unchanged by CPython (key server, gatekeeper, tests) and by
MicroPython (the phone).  Nothing in here opens a socket or a file, reads a clock
or draws a random number: time (milliseconds, any fixed origin) and randomness (a
callable `random(n) -> bytes`) come in as arguments.

docs/protocol.md fixes what goes over the wire; docs/architecture.md says what each
module may import.
"""
