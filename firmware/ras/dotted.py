"""The dotted form of object identifiers, for people and tests; a phone has no need of it."""


def octets(dotted: str) -> bytes:
    """Return the contents octets of an identifier such as "0.0.8.2250.0.6"."""
    arcs = [int(arc) for arc in dotted.split(".")]
    out = bytearray()
    for arc in [40 * arcs[0] + arcs[1]] + arcs[2:]:
        part = [arc & 0x7F]
        arc >>= 7
        while arc:
            part.append(0x80 | arc & 0x7F)
            arc >>= 7
        part.reverse()
        out.extend(bytes(part))
    return bytes(out)


def dotted(value: bytes) -> str:
    """Return the dotted form of contents octets, for people."""
    arcs = []
    arc = 0
    for octet in value:
        arc = arc << 7 | octet & 0x7F
        if not octet & 0x80:
            if not arcs:
                first = 2 if arc >= 80 else arc // 40
                arcs.append(first)
                arc -= 40 * first
            arcs.append(arc)
            arc = 0
    return ".".join(str(arc) for arc in arcs)
