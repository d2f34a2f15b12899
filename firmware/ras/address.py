"""Transport addresses of H.225.0 and of the rest of the code, which has (host, port)."""

from ras.errors import LocalProtocolError


def ip_octets(host: str) -> bytes:
    """Return the 4 or 16 octets of a numeric address; raises ValueError for anything else."""
    if ":" not in host:
        parts = host.split(".")
        if len(parts) != 4:
            raise ValueError("not an IP address")
        out = bytearray()
        for part in parts:
            if not part.isdigit() or len(part) > 3 or int(part) > 255:
                raise ValueError("not an IP address")
            out.append(int(part))
        return bytes(out)
    halves = host.split("::")
    if len(halves) > 2:
        raise ValueError("not an IP address")
    head = _groups(halves[0])
    tail = _groups(halves[1]) if len(halves) == 2 else b""
    gap = 16 - len(head) - len(tail)
    if gap < 0 or (gap and len(halves) == 1):
        raise ValueError("not an IP address")
    return head + bytes(gap) + tail


def _groups(text: str) -> bytes:
    out = bytearray()
    for group in text.split(":") if text else ():
        if not 1 <= len(group) <= 4:
            raise ValueError("not an IP address")
        number = int(group, 16)
        out.append(number >> 8)
        out.append(number & 0xFF)
    return bytes(out)


def ip_text(octets: bytes) -> str:
    """Return the text of 4 or 16 octets."""
    if len(octets) == 4:
        return "%d.%d.%d.%d" % (octets[0], octets[1], octets[2], octets[3])
    return ":".join("%x" % (octets[i] << 8 | octets[i + 1]) for i in range(0, 16, 2))


def join_address(host: str, port: int) -> str:
    """Return "host:port", an IPv6 address in brackets."""
    return "[%s]:%d" % (host, port) if ":" in host else "%s:%d" % (host, port)


def to_transport(address: "tuple[str, int]") -> tuple:
    """Return the TransportAddress of a numeric (host, port); LocalProtocolError for a name."""
    try:
        octets = ip_octets(address[0])
    except ValueError:
        raise LocalProtocolError("a message carries numeric addresses only")
    kind = "ipAddress" if len(octets) == 4 else "ip6Address"
    return (kind, {"ip": octets, "port": address[1]})


def from_transport(value: tuple) -> "tuple[str, int] | None":
    """Return (host, port) of a TransportAddress, or None where it is none of IP's or has no port."""
    if value[0] not in ("ipAddress", "ip6Address") or not value[1]["port"]:
        return None
    return (ip_text(value[1]["ip"]), value[1]["port"])


def alternates(entries: "list[dict]", limit: int) -> "tuple[tuple[str, int], ...]":
    """Return the addresses of AlternateGK entries, best priority (0) first, `limit` at the most."""
    found = []
    for entry in entries:
        address = from_transport(entry["rasAddress"])
        if address is not None:
            found.append((entry["priority"], len(found), address))
    found.sort()
    return tuple([item[2] for item in found[:limit]])


def to_alternates(addresses: "tuple[tuple[str, int], ...]") -> "list[dict]":
    """Return AlternateGK entries for addresses in order of preference."""
    return [
        {"rasAddress": to_transport(addresses[i]), "needToRegister": True, "priority": min(i, 127)}
        for i in range(len(addresses))
    ]
