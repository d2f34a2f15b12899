"""The client's state machine as a table: what may happen when, and what comes after.

An event that is not in the row of the state is a protocol error: the server's where
the server caused it, the caller's where the caller did.  What is to be done for an
event is client.py's affair.
"""

from tlspsk.errors import UNEXPECTED_MESSAGE, LocalProtocolError, RemoteProtocolError

IDLE = "IDLE"
WAIT_SERVER_HELLO = "WAIT_SERVER_HELLO"
WAIT_SERVER_KEY = "WAIT_SERVER_KEY"  # ServerKeyExchange, or straight ServerHelloDone
WAIT_SERVER_DONE = "WAIT_SERVER_DONE"
WAIT_CHANGE_CIPHER = "WAIT_CHANGE_CIPHER"
WAIT_FINISHED = "WAIT_FINISHED"
OPEN = "OPEN"
CLOSING = "CLOSING"  # our close_notify is out
CLOSED = "CLOSED"
FAILED = "FAILED"

# The caller's events
START = "start()"
SEND = "send()"
CLOSE = "close()"
RECEIVE = "receive()"
EOF = "receive_eof()"
# The server's; handshake messages go by their names of RFC 5246
HELLO_REQUEST = "HelloRequest"
SERVER_HELLO = "ServerHello"
SERVER_KEY_EXCHANGE = "ServerKeyExchange"
SERVER_HELLO_DONE = "ServerHelloDone"
CHANGE_CIPHER_SPEC = "ChangeCipherSpec"
FINISHED = "Finished"
DATA = "application data"
CLOSE_NOTIFY = "close_notify"

_LOCAL = (START, SEND, CLOSE, RECEIVE)

# RFC 5246 section 7.3 (figure 1), with RFC 4279 section 2; 7.2.1 for the closing
_TABLE = {
    IDLE: {START: WAIT_SERVER_HELLO, CLOSE: CLOSED},
    WAIT_SERVER_HELLO: {
        # 7.4.1.1: ignored while a handshake is on
        HELLO_REQUEST: WAIT_SERVER_HELLO,
        SERVER_HELLO: WAIT_SERVER_KEY,
    },
    WAIT_SERVER_KEY: {
        HELLO_REQUEST: WAIT_SERVER_KEY,
        SERVER_KEY_EXCHANGE: WAIT_SERVER_DONE,
        SERVER_HELLO_DONE: WAIT_CHANGE_CIPHER,
    },
    WAIT_SERVER_DONE: {
        HELLO_REQUEST: WAIT_SERVER_DONE,
        SERVER_HELLO_DONE: WAIT_CHANGE_CIPHER,
    },
    WAIT_CHANGE_CIPHER: {HELLO_REQUEST: WAIT_CHANGE_CIPHER, CHANGE_CIPHER_SPEC: WAIT_FINISHED},
    # No HelloRequest here: Finished comes at once after ChangeCipherSpec (7.4.9)
    WAIT_FINISHED: {FINISHED: OPEN},
    OPEN: {
        SEND: OPEN,
        DATA: OPEN,
        CLOSE: CLOSING,
        HELLO_REQUEST: OPEN,  # answered with no_renegotiation; no other message gets through
    },
    # What the server had under way is dropped (7.2.1: "discarding any pending writes")
    CLOSING: {DATA: CLOSING, HELLO_REQUEST: CLOSING, CLOSE: CLOSING, EOF: CLOSED},
    # 7.2.1: "Any data received after a closure alert is ignored"
    CLOSED: {RECEIVE: CLOSED, CLOSE: CLOSED, EOF: CLOSED},
    FAILED: {CLOSE: FAILED, EOF: FAILED},
}
for _state in (WAIT_SERVER_HELLO, WAIT_SERVER_KEY, WAIT_SERVER_DONE, WAIT_CHANGE_CIPHER, WAIT_FINISHED):
    # A handshake that is given up leaves nothing worth waiting for.
    _TABLE[_state][CLOSE] = CLOSED
for _state, _row in _TABLE.items():
    if _state not in (IDLE, CLOSED, FAILED):
        _row[RECEIVE] = _state
        _row[CLOSE_NOTIFY] = CLOSED


def following(state: str, event: str) -> str:
    """Return the state after `event`.

    Raises LocalProtocolError or RemoteProtocolError, naming both, where the table has no entry.
    """
    after = _TABLE[state].get(event)
    if after is None:
        if event in _LOCAL:
            raise LocalProtocolError(event + " in state " + state)
        # An end of file that is not in the table is a truncation: nobody is there to be told.
        alert = None if event == EOF else UNEXPECTED_MESSAGE
        raise RemoteProtocolError(alert, event + " in state " + state)
    return after
