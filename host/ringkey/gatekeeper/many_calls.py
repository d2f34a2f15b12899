"""recvmmsg(2) and sendmmsg(2): the kernel's structures for several datagrams, and the calls themselves.

What is filled in and read for each datagram is in many.py, which is compiled.
"""

import ctypes

from ringkey.gatekeeper import bpf, libc

# Octets of a sockaddr_in of Linux: family, port, host, and nothing.
PLACE = 16
# Elsewhere a sockaddr_in is another one.
LINUX = bpf.numbered_as_asm_generic()


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.c_void_p),
        ("count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    _fields_ = (("header", _Header), ("length", ctypes.c_uint))


class Messages:
    """Room for `count` datagrams of `longest` octets.

    octets: theirs, one after the other; places: a sockaddr_in of each; came: at `first` and every `step`
    after it, how many octets came; goes: at every second place, how many are to be read or sent.
    """

    def __init__(self, count: int, longest: int) -> None:
        # All of these are pointed to: they live as long as this does.
        self._octets = ctypes.create_string_buffer(count * longest)
        self._names = ctypes.create_string_buffer(count * PLACE)
        self._vectors = (_Vector * count)()
        self._messages = (_Message * count)()
        for i in range(count):
            vector, header = self._vectors[i], self._messages[i].header
            vector.base = ctypes.addressof(self._octets) + i * longest
            vector.length = longest
            header.name = ctypes.addressof(self._names) + i * PLACE
            header.name_length = PLACE
            header.vectors = ctypes.addressof(vector)
            header.count = 1
        self._at = ctypes.addressof(self._messages)
        self.octets = memoryview(self._octets).cast("B")
        self.places = memoryview(self._names).cast("B")
        self.goes = memoryview(self._vectors).cast("B").cast("L")  # a size_t of Linux
        self.came = memoryview(self._messages).cast("B").cast("I")
        word = self.came.itemsize
        self.first, self.step = _Message.length.offset // word, ctypes.sizeof(_Message) // word

    def at(self, i: int) -> int:
        """Return where the kernel finds the datagrams from number `i` on."""
        return self._at + i * ctypes.sizeof(_Message)


# (socket, datagrams, how many, flags[, patience]) -> how many were read or sent, -1 for an error
_WHAT = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
RECEIVE = libc.function(ctypes.PyDLL, "recvmmsg", *_WHAT, ctypes.c_void_p)
SEND = libc.function(ctypes.PyDLL, "sendmmsg", *_WHAT)
