"""(host, port) read from a text, "host:port", of key files and settings; address.py has the way back."""

from ras.compat import const
from ras.errors import RemoteProtocolError

_MAX_HOST = const(255)  # octets: RFC 1035 section 2.3.4 allows as many for a name


def split_address(text: str, default_port: int = 0) -> "tuple[str, int]":
    """Return (host, port) of "host:port" or "[v6]:port"; raises RemoteProtocolError.

    With a `default_port` the port may be missing.
    """
    if text[:1] == "[":
        end = text.find("]")
        host, rest = text[1:end], text[end + 1 :]
        if end < 0 or (rest and rest[0] != ":"):
            raise RemoteProtocolError("not host:port")
        port = rest[1:]
    else:
        colon = text.rfind(":")
        host, port = (text[:colon], text[colon + 1 :]) if colon >= 0 else (text, "")
    if not 1 <= len(host) <= _MAX_HOST or " " in host:
        raise RemoteProtocolError("not host:port")
    if not port and default_port:
        return host, default_port
    number = int(port) if port.isdigit() and len(port) <= 5 else 0
    if not 1 <= number <= 65535:
        raise RemoteProtocolError("not host:port: its port is not 1 to 65535")
    return host, number
