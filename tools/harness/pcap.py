"""A capture file of what a relay delivered, for Wireshark and tshark.

The relay sees payloads, not packets: the headers around them are made here.  The servers' ends are
written with the ports that RAS, signalling and HTTPS have by right, since every relay takes a free
one and a capture is to be read without being told what is what.
"""

import socket
import struct
import threading
import time
from pathlib import Path

RAW = 101  # LINKTYPE_RAW: the packet begins with its IPv4 header
_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, RAW)
_PAYLOAD = 1400  # octets of TCP in one packet, as an Ethernet would carry
_FIN, _SYN, _RST, _PSH, _ACK = 1, 2, 4, 8, 16

Address = tuple[str, int]


class Pcap:
    """One file; may be written by several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._number = 0
        self._file = path.open("wb")
        self._file.write(_HEADER)

    def udp(self, source: Address, destination: Address, data: bytes) -> None:
        """Write one datagram."""
        header = struct.pack(">HHHH", source[1], destination[1], 8 + len(data), 0)
        self._packet(source[0], destination[0], socket.IPPROTO_UDP, header + data)

    def tcp(
        self, source: Address, destination: Address, numbers: tuple[int, int], flags: int, data: bytes
    ) -> None:
        """Write one segment.  numbers: octets so far in this direction, and in the other one."""
        counts = [number & 0xFFFFFFFF for number in numbers]
        header = struct.pack(">HHIIBBHHH", source[1], destination[1], *counts, 5 << 4, flags, 65535, 0, 0)
        self._packet(source[0], destination[0], socket.IPPROTO_TCP, header + data)

    def close(self) -> None:
        """Close it; what comes after that is not written."""
        with self._lock:
            self._file.close()

    def _packet(self, source: str, destination: str, protocol: int, rest: bytes) -> None:
        now = time.time()
        with self._lock:
            if self._file.closed:
                return
            self._number = (self._number + 1) & 0xFFFF
            ends = socket.inet_aton(source) + socket.inet_aton(destination)
            head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(rest), self._number, 0, 64, protocol, 0) + ends
            head = head[:10] + struct.pack(">H", _checksum(head)) + head[12:]
            length = len(head) + len(rest)
            self._file.write(struct.pack("<IIII", int(now), int(now * 1e6) % 1_000_000, length, length))
            self._file.write(head + rest)
            self._file.flush()


class Flow:
    """One TCP connection in a Pcap.  client, server: its ends, the server's with its rightful port."""

    def __init__(self, pcap: Pcap, client: Address, server: Address) -> None:
        self._pcap = pcap
        self._ends = {"up": (client, server), "down": (server, client)}
        self._sent = {"up": 0, "down": 0}
        self._segment("up", _SYN, b"")
        self._sent["up"] = 1
        self._segment("down", _SYN | _ACK, b"")
        self._sent["down"] = 1
        self._segment("up", _ACK, b"")

    def data(self, way: str, data: bytes) -> None:
        """Write octets that went up (to the server) or down."""
        for at in range(0, len(data), _PAYLOAD):
            piece = data[at : at + _PAYLOAD]
            self._segment(way, _PSH | _ACK, piece)
            self._sent[way] += len(piece)

    def end(self, way: str, *, abort: bool = False) -> None:
        """Write the end of one direction, or of the connection."""
        self._segment(way, _RST | _ACK if abort else _FIN | _ACK, b"")
        self._sent[way] += 1

    def _segment(self, way: str, flags: int, data: bytes) -> None:
        source, destination = self._ends[way]
        other = "down" if way == "up" else "up"
        self._pcap.tcp(source, destination, (self._sent[way], self._sent[other]), flags, data)


def _checksum(header: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
