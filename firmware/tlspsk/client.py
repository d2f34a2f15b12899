"""The client: one TLS 1.2 connection with a pre-shared key, octets in and octets out."""

from tlspsk import errors, record, states
from tlspsk.errors import RemoteAlert, RemoteProtocolError
from tlspsk.messages import HELLO_REQUEST, NAMES, Messages

_FAILED_BEFORE = "connection has failed before"


class PSKClient:
    """A TLS 1.2 PSK client connection (RFC 5246, RFC 4279), without I/O.

    identity: 1 to 128 octets; key: 1 to 64 octets (RFC 4279 section 5.3), copied and wiped
    as soon as the record keys exist; random: callable(n) -> n octets nobody can predict.
    Raises ValueError for a length out of range.

    Give the transport's octets to receive(), send data_to_send() after every call, and take
    next_event() until it returns None.
    """

    def __init__(self, identity: bytes, key: bytes, random) -> None:
        # Here: a phone lets go of the module as soon as the handshake is over.
        from tlspsk.negotiation import Negotiation

        self._records = record.RecordLayer(random)
        self._messages = Messages()
        self._state = states.IDLE
        self._out = []
        self._events = []
        self._negotiation = Negotiation(identity, key, random, self._records, self._send_record)

    def __repr__(self) -> str:
        return "PSKClient(" + self._state + ")"

    # --- the caller's side ---

    def start(self) -> None:
        """Begin the handshake; call once."""
        self._enter("start()")
        self._negotiation.start()

    def receive(self, data: bytes) -> None:
        """Take octets from the transport, cut anywhere.

        Raises RemoteProtocolError when the server breaks the protocol, RemoteAlert when it ends
        the connection: then data_to_send() has the alert, if there is one to send, events from
        before the fault can still be taken, and the connection is over.
        """
        if self._state == states.FAILED:
            raise RemoteProtocolError(None, _FAILED_BEFORE)
        self._enter("receive()")
        if self._state == states.CLOSED:
            return
        self._records.receive(data)
        try:
            self._process()
        except RemoteProtocolError as e:
            self._fail(e)
            raise

    def receive_eof(self) -> None:
        """Note that the transport has ended.

        Raises RemoteProtocolError, with alert None, where no close_notify came before: someone
        may have cut off what the server had still to say (RFC 5246 section 7.2.1).
        """
        after = states.FAILED
        try:
            after = states.following(self._state, "receive_eof()")
        finally:
            if after == states.CLOSED and self._state != states.CLOSED:
                self._events.append(("closed",))
            self._state = after
            self._wipe()

    def send(self, data: bytes) -> None:
        """Encrypt application data of any length; raises LocalProtocolError unless connected."""
        self._enter("send()")
        view = memoryview(data)
        for at in range(0, len(data), record.SMALL_PLAINTEXT):
            self._send_record(record.APPLICATION_DATA, view[at : at + record.SMALL_PLAINTEXT])

    def close(self) -> None:
        """Send close_notify; further data from the server is dropped.  May be called again."""
        before = self._state
        self._enter("close()")
        if before not in (states.IDLE, self._state):
            self._send_alert(errors.WARNING, errors.CLOSE_NOTIFY)
        if self._state == states.CLOSED:
            self._wipe()

    def data_to_send(self) -> bytes:
        """Return the octets that the transport has to carry now; b"" for none."""
        out = b"".join(self._out)
        self._out = []
        return out

    def next_event(self):
        """Return the next event, or None.

        ("connected", suite_name), ("data", octets) or ("closed",): after the last one nothing follows.
        """
        return self._events.pop(0) if self._events else None

    # --- the server's side ---

    def _enter(self, event: str) -> None:
        self._state = states.following(self._state, event)

    def _process(self) -> None:
        while self._state != states.CLOSED:
            item = self._records.next_record()
            if item is None:
                return
            kind, payload = item
            if kind == record.HANDSHAKE:
                self._messages.receive(payload)
                self._process_messages()
                continue
            # A message in pieces must not be interleaved with anything; above all none may
            # begin under the old keys and end under the new ones.
            if self._messages.partial():
                raise RemoteProtocolError(errors.UNEXPECTED_MESSAGE, "handshake message interrupted")
            if kind == record.ALERT:
                self._on_alert(payload)
            elif kind == record.CHANGE_CIPHER_SPEC:
                self._on_change_cipher_spec(payload)
            else:
                self._on_data(payload)

    def _process_messages(self) -> None:
        while True:
            item = self._messages.next()
            if item is None:
                return
            kind, body, whole = item
            self._enter(NAMES.get(kind, "handshake message " + str(kind)))
            if kind == HELLO_REQUEST:
                self._on_hello_request(body)
                continue
            suite = self._negotiation.take(kind, body, whole)
            if suite is not None:
                self._negotiation.wipe()
                self._negotiation = None
                self._events.append(("connected", suite))

    def _on_change_cipher_spec(self, payload: bytes) -> None:
        self._enter("ChangeCipherSpec")
        if payload != b"\x01":
            raise RemoteProtocolError(errors.DECODE_ERROR, "ChangeCipherSpec malformed")
        self._negotiation.change_cipher_spec()

    def _on_hello_request(self, body: bytes) -> None:
        if body:
            raise RemoteProtocolError(errors.DECODE_ERROR, "HelloRequest malformed")
        self._records.idle()
        if self._state == states.OPEN:
            self._send_alert(errors.WARNING, errors.NO_RENEGOTIATION)

    def _on_data(self, payload: bytes) -> None:
        self._enter("application data")
        if not payload:
            self._records.idle()
            return
        self._records.busy()
        if self._state == states.OPEN:
            self._events.append(("data", payload))

    def _on_alert(self, payload: bytes) -> None:
        if len(payload) != 2 or payload[0] not in (errors.WARNING, errors.FATAL):
            raise RemoteProtocolError(errors.DECODE_ERROR, "alert malformed")
        if payload[0] == errors.FATAL:
            raise RemoteAlert(payload[1])
        if payload[1] != errors.CLOSE_NOTIFY:
            self._records.idle()
            return
        if self._state == states.OPEN:
            self._send_alert(errors.WARNING, errors.CLOSE_NOTIFY)
        self._enter("close_notify")
        self._events.append(("closed",))
        self._wipe()

    # --- both ---

    def _send_record(self, kind: int, payload: bytes) -> None:
        self._out.append(self._records.encode(kind, payload))

    def _send_alert(self, level: int, alert: int) -> None:
        self._send_record(record.ALERT, bytes((level, alert)))

    def _fail(self, error: RemoteProtocolError) -> None:
        if not isinstance(error, RemoteAlert) and self._state != states.CLOSING:
            self._send_alert(errors.FATAL, error.alert)
        self._state = states.FAILED
        self._wipe()

    def _wipe(self) -> None:
        if self._negotiation is not None:
            self._negotiation.wipe()
        self._records.wipe()
