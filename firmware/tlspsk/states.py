"""The client's state machine as a table: what may happen when, and what comes after.

An event that is not in the row of the state is a protocol error: the server's where
the server caused it, the caller's where the caller did.  What is to be done for an
event is client.py's affair.

States: WAIT_KEY awaits ServerKeyExchange, or straight ServerHelloDone; CLOSING: our
close_notify is out.  Events: the caller's are named as its calls; the server's handshake
messages as in RFC 5246.
"""

from tlspsk.errors import UNEXPECTED_MESSAGE, LocalProtocolError, RemoteProtocolError

IDLE = "IDLE"
OPEN = "OPEN"
CLOSING = "CLOSING"
CLOSED = "CLOSED"
FAILED = "FAILED"

_LOCAL = ("start()", "send()", "close()", "receive()")

# RFC 5246 section 7.3 (figure 1), with RFC 4279 section 2; 7.2.1 for the closing
_TABLE = {
    IDLE: {"start()": "WAIT_HELLO", "close()": CLOSED},
    # HelloRequest, section 7.4.1.1: ignored while a handshake is on
    "WAIT_HELLO": {"HelloRequest": "WAIT_HELLO", "ServerHello": "WAIT_KEY"},
    "WAIT_KEY": {
        "HelloRequest": "WAIT_KEY",
        "ServerKeyExchange": "WAIT_DONE",
        "ServerHelloDone": "WAIT_CCS",
    },
    "WAIT_DONE": {"HelloRequest": "WAIT_DONE", "ServerHelloDone": "WAIT_CCS"},
    "WAIT_CCS": {"HelloRequest": "WAIT_CCS", "ChangeCipherSpec": "WAIT_END"},
    # No HelloRequest here: Finished comes at once after ChangeCipherSpec (7.4.9)
    "WAIT_END": {"Finished": OPEN},
    # HelloRequest is answered with no_renegotiation; no other message gets through
    OPEN: {"send()": OPEN, "application data": OPEN, "close()": CLOSING, "HelloRequest": OPEN},
    # What the server had under way is dropped (7.2.1: "discarding any pending writes")
    CLOSING: {
        "application data": CLOSING,
        "HelloRequest": CLOSING,
        "close()": CLOSING,
        "receive_eof()": CLOSED,
    },
    # 7.2.1: "Any data received after a closure alert is ignored"
    CLOSED: {"receive()": CLOSED, "close()": CLOSED, "receive_eof()": CLOSED},
    FAILED: {"close()": FAILED, "receive_eof()": FAILED},
}


def following(state: str, event: str) -> str:
    """Return the state after `event`.

    Raises LocalProtocolError or RemoteProtocolError, naming both, where the table has no entry.
    """
    after = _TABLE[state].get(event)
    if after is None and state not in (IDLE, CLOSED, FAILED):
        # What may happen at any time between start and end.
        if event == "receive()":
            after = state
        elif event in ("close_notify", "close()"):
            # A handshake that is given up leaves nothing worth waiting for.
            after = CLOSED
    if after is None:
        if event in _LOCAL:
            raise LocalProtocolError(event + " in state " + state)
        # An end of file that is not in the table is a truncation: nobody is there to be told.
        alert = None if event == "receive_eof()" else UNEXPECTED_MESSAGE
        raise RemoteProtocolError(alert, event + " in state " + state)
    return after
