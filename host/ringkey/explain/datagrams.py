"""The UDP datagrams of a capture file: pcap and pcapng, IPv4 and IPv6, read with dpkt.

dpkt takes captures apart in pure Python, has no dependencies and 0.7 MB; what it makes of octets that
anybody may have written is guarded here.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dpkt
from dpkt import ethernet, ip, ip6, loopback, pcap, pcapng, sll, sll2, udp
from ras.address import ip_text

from ringkey.errors import UserError

# Octets of a file: it is read in parts, but one part may claim to be as long as the file.  A day of
# 10,000 phones that keep alive every two minutes is 4 GB: capture a few minutes, or filter.
MAX_FILE = 1 << 30
# Packets looked at: half a minute of work.
MAX_PACKETS = 2_000_000
# RAS messages kept, some 2 KB each with what was decoded.
MAX_MESSAGES = 100_000
_PCAPNG = b"\x0a\x0d\x0d\x0a"
# Link types (tcpdump.org/linktypes): where IP begins.
_ETHERNET, _SLL, _SLL2, _NULL, _LOOP = 1, 113, 276, 0, 108
_RAW = (12, 14, 101, 228, 229)
_LINKS = {_ETHERNET: ethernet.Ethernet, _SLL: sll.SLL, _SLL2: sll2.SLL2, _NULL: loopback.Loopback}
_LINKS[_LOOP] = loopback.Loopback

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Datagram:
    """number: of the packet in the file, from 1; time: seconds; missing: octets that were not captured."""

    number: int
    time: float
    source: Address
    target: Address
    data: bytes
    missing: int = 0


class Capture:
    """Reads one file.  After `datagrams`, packets, fragments and trouble say what else there was."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.packets = 0
        self.fragments = 0
        self.trouble: str | None = None

    def datagrams(self, ports: frozenset[int]) -> Iterator[Datagram]:
        """Yield the UDP datagrams from or to one of the ports; raises UserError for what is no capture."""
        try:
            size = os.stat(self.path).st_size
            file = self.path.open("rb")
        except OSError as e:
            raise UserError(f"cannot read {self.path}: {e.strerror}", f"ls -l {self.path}") from None
        with file:
            if size > MAX_FILE:
                raise UserError(
                    f"{self.path} has over {MAX_FILE >> 20} MiB",
                    f"tshark -r {self.path} -Y 'udp.port==1719' -w ras.pcap",
                )
            begin = file.read(4)
            file.seek(0)
            try:
                reader = (pcapng if begin == _PCAPNG else pcap).Reader(file)
                link = reader.datalink()
            except Exception:  # whatever dpkt makes of octets that are no capture
                raise UserError(f"{self.path} is no pcap or pcapng file", f"file {self.path}") from None
            if link not in _LINKS and link not in _RAW:
                raise UserError(
                    f"{self.path} is of link type {link}, not of Ethernet, raw IP, Linux cooked or loopback",
                    "tcpdump -i any -w ras.pcap 'udp port 1718 or udp port 1719'",
                )
            yield from self._read(reader, link, ports)

    def _read(
        self, reader: Iterator[tuple[float, bytes]], link: int, ports: frozenset[int]
    ) -> Iterator[Datagram]:
        packets = iter(reader)
        while True:
            try:
                when, octets = next(packets)
            except StopIteration:
                return
            except Exception:  # as above: a capture that was cut off, or changed
                self.trouble = f"the file cannot be read beyond packet {self.packets}: cut off, or damaged"
                return
            self.packets += 1
            if self.packets > MAX_PACKETS:
                self.trouble = f"only the first {MAX_PACKETS} packets were looked at"
                return
            found = self._datagram(float(when), octets, link)
            if found is not None and (found.source[1] in ports or found.target[1] in ports):
                yield found

    def _datagram(self, when: float, octets: bytes, link: int) -> Datagram | None:
        try:
            packet = _ip(octets, link)
            if isinstance(packet, ip.IP):
                if packet.p != ip.IP_PROTO_UDP:
                    return None
                if packet.mf or packet.offset:
                    self.fragments += 1
                    return None
            elif not isinstance(packet, ip6.IP6):
                return None
            inner = packet.data
            if not isinstance(inner, udp.UDP):
                return None
            data = bytes(inner.data)
            missing = max(0, inner.ulen - 8 - len(data))
            return Datagram(
                self.packets,
                when,
                (ip_text(packet.src), inner.sport),
                (ip_text(packet.dst), inner.dport),
                data[: max(0, inner.ulen - 8)] if inner.ulen else data,
                missing,
            )
        except (dpkt.Error, struct.error, ValueError, IndexError, AttributeError, TypeError, KeyError):
            return None  # a packet of something else, or none at all


def _ip(octets: bytes, link: int) -> object:
    if link in _LINKS:
        return _LINKS[link](octets).data
    return ip6.IP6(octets) if octets[:1] >= b"\x60" else ip.IP(octets)
