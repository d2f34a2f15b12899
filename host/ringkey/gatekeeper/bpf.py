"""Programs of classic BPF for sockets of IPv4, by which the kernel looks at a datagram before it is queued.

Linux; linux/filter.h has the instructions, socket(7) and asm-generic/socket.h the options.
"""

import ctypes
import socket
import struct

# (code, how many to skip where true, where false, operand)
Instruction = tuple[int, int, int, int]

LOAD_SOURCE: Instruction = (0x20, 0, 0, 0xFFF00000 + 12)  # the IPv4 header's source address
EQUAL, AT_LEAST = 0x15, 0x35
_AND, _SKIP, _RETURN = 0x54, 0x05, 0x06
# Instructions of one program (BPF_MAXINSNS).
LONGEST = 4096

# Options that Python has no names for.
_ATTACH_FILTER = 26
_ATTACH_REUSEPORT = 51


def numbered_as_asm_generic() -> bool:
    """Tell whether socket options have the numbers of Linux's asm-generic/socket.h.

    Seen by two that Python has names for where a system has them.  Linux on MIPS, SPARC and PA-RISC
    numbers them otherwise, and much else: 33 is SO_TIMESTAMPNS on SPARC.
    """
    return (getattr(socket, "SO_DOMAIN", None), getattr(socket, "SO_PROTOCOL", None)) == (39, 38)


def both(mask: int) -> Instruction:
    """Let only the bits of `mask` stay."""
    return _AND, 0, 0, mask


def skip(count: int) -> Instruction:
    """Go on behind the next `count` instructions."""
    return _SKIP, 0, 0, count


def answer(value: int) -> Instruction:
    """End with a value."""
    return _RETURN, 0, 0, value


def filter_by(sock: socket.socket, program: list[Instruction]) -> None:
    """Have each datagram for a socket cut to the octets that a program answers, 0 to drop it.

    Raises OSError where the kernel does not take it.
    """
    _attach(sock, _ATTACH_FILTER, program)


def choose_by(sock: socket.socket, program: list[Instruction]) -> None:
    """Have a program answer which of the sockets that share a port (SO_REUSEPORT) has a datagram.

    They are numbered in the order in which they were bound; sock: any of them.  Raises OSError likewise.
    """
    _attach(sock, _ATTACH_REUSEPORT, program)


def _attach(sock: socket.socket, option: int, program: list[Instruction]) -> None:
    octets = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in program))
    sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("HP", len(program), ctypes.addressof(octets)))
