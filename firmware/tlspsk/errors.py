"""Alerts (RFC 5246 section 7.2), and the errors that carry them."""

from ras.compat import const
from ras.errors import LocalProtocolError
from ras.errors import RemoteProtocolError as _RemoteProtocolError

__all__ = ("LocalProtocolError", "RemoteAlert", "RemoteProtocolError", "alert_name")

WARNING = const(1)  # alert levels
FATAL = const(2)

CLOSE_NOTIFY = const(0)
UNEXPECTED_MESSAGE = const(10)
BAD_RECORD_MAC = const(20)
RECORD_OVERFLOW = const(22)
HANDSHAKE_FAILURE = const(40)
ILLEGAL_PARAMETER = const(47)
DECODE_ERROR = const(50)
DECRYPT_ERROR = const(51)
PROTOCOL_VERSION = const(70)
NO_RENEGOTIATION = const(100)
UNSUPPORTED_EXTENSION = const(110)

# One text, not an object a name; 115 is of RFC 4279.
_NAMES = """
0 close_notify
10 unexpected_message
20 bad_record_mac
22 record_overflow
40 handshake_failure
42 bad_certificate
47 illegal_parameter
50 decode_error
51 decrypt_error
70 protocol_version
71 insufficient_security
80 internal_error
90 user_canceled
100 no_renegotiation
110 unsupported_extension
115 unknown_psk_identity
"""


def alert_name(alert: int) -> str:
    """Return the name that the RFC gives an alert, or "alert N"."""
    at = _NAMES.find("\n%d " % alert)
    if at < 0:
        return "alert " + str(alert)
    return _NAMES[at + 1 : _NAMES.find("\n", at + 1)].split(" ")[1]


class RemoteProtocolError(_RemoteProtocolError):
    """The server broke the protocol, or the bytes were tampered with: the connection is over.

    alert: number of the alert that tells the server so; None where none is sent, since
    the transport has ended already (see PSKClient.receive_eof).
    """

    def __init__(self, alert: "int | None", text: str) -> None:
        super().__init__(text)
        self.alert = alert


class RemoteAlert(RemoteProtocolError):
    """The server ended the connection with a fatal alert; `alert` is the one it sent.

    What a wrong key or an unknown identity looks like from here: bad_record_mac,
    decrypt_error or unknown_psk_identity.
    """

    def __init__(self, alert: int) -> None:
        super().__init__(alert, "server sent " + alert_name(alert))
