"""Alerts (RFC 5246 section 7.2), and the errors that carry them."""

from ras.errors import LocalProtocolError
from ras.errors import RemoteProtocolError as _RemoteProtocolError

__all__ = ("LocalProtocolError", "RemoteAlert", "RemoteProtocolError", "alert_name")

WARNING = 1  # alert levels
FATAL = 2

CLOSE_NOTIFY = 0
UNEXPECTED_MESSAGE = 10
BAD_RECORD_MAC = 20
RECORD_OVERFLOW = 22
HANDSHAKE_FAILURE = 40
ILLEGAL_PARAMETER = 47
DECODE_ERROR = 50
DECRYPT_ERROR = 51
PROTOCOL_VERSION = 70
INTERNAL_ERROR = 80
USER_CANCELED = 90
NO_RENEGOTIATION = 100
UNSUPPORTED_EXTENSION = 110

_NAMES = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    42: "bad_certificate",
    47: "illegal_parameter",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    90: "user_canceled",
    100: "no_renegotiation",
    110: "unsupported_extension",
    115: "unknown_psk_identity",  # RFC 4279
}


def alert_name(alert: int) -> str:
    """Return the name that the RFC gives an alert, or "alert N"."""
    return _NAMES.get(alert, "alert " + str(alert))


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
