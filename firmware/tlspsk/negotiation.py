"""The handshake of a client with a pre-shared key (RFC 5246, RFC 4279): what is needed until Finished only.

On a phone this module and those it alone imports (handshake, prf) may go when the
connection stands: phone/psk_own.py sees to it.
"""

from ras.compat import compare_digest, wipe
from tlspsk import handshake, prf
from tlspsk.errors import DECODE_ERROR, DECRYPT_ERROR, RemoteProtocolError
from tlspsk.record import CHANGE_CIPHER_SPEC, HANDSHAKE


class Negotiation:
    """One handshake.

    records: the connection's RecordLayer, which gets its keys from here; send(kind, payload):
    sends one record.  Raises ValueError for an identity or a key of a length out of range.
    """

    def __init__(self, identity: bytes, key: bytes, random, records: object, send) -> None:
        if not 1 <= len(identity) <= handshake.MAX_IDENTITY:
            raise ValueError("identity must be 1 to 128 octets")
        if not 1 <= len(key) <= handshake.MAX_KEY:
            raise ValueError("key must be 1 to 64 octets")
        self._identity = bytes(identity)
        self._key = bytearray(key)
        self._random = random
        self._records = records
        self._send = send
        self._transcript = bytearray()  # handshake messages: a MicroPython hash cannot be copied
        self._client_random = b""
        self._hello = None
        self._master = bytearray()
        self._server_keys = None

    def start(self) -> None:
        """Send the ClientHello."""
        self._client_random = self._random(handshake.RANDOM)
        self._send_message(handshake.client_hello(self._client_random))

    def take(self, kind: int, body: bytes, whole: bytes) -> "str | None":
        """Take a message of the server's that may come now; return the suite's name after the last one.

        Raises RemoteProtocolError.
        """
        if kind == handshake.FINISHED:
            self._on_finished(body)
            return handshake.SUITE_NAME
        self._transcript.extend(whole)
        if kind == handshake.SERVER_HELLO:
            self._hello = handshake.ServerHello(body)
            self._records.limit = self._hello.limit
        elif kind == handshake.SERVER_KEY_EXCHANGE:
            handshake.check_server_key_exchange(body)
        else:
            self._on_server_hello_done(body)
        return None

    def change_cipher_spec(self) -> None:
        """Take it that the server changes to the new keys."""
        self._records.protect_read(*self._server_keys)
        self._server_keys = None

    def wipe(self) -> None:
        """Forget the keys that are not the record layer's."""
        wipe(self._key)
        wipe(self._master)
        for key in self._server_keys or ():
            wipe(key)

    def _on_server_hello_done(self, body: bytes) -> None:
        if body:
            raise RemoteProtocolError(DECODE_ERROR, "ServerHelloDone malformed")
        self._send_message(handshake.client_key_exchange(self._identity))
        premaster = prf.psk_premaster(self._key)
        wipe(self._key)
        randoms = self._client_random, self._hello.random
        if self._hello.extended_master_secret:
            self._master = prf.extended_master_secret(premaster, self._transcript)
        else:
            self._master = prf.master_secret(premaster, *randoms)
        wipe(premaster)
        client_mac, server_mac, client_enc, server_enc = prf.key_block(self._master, *randoms)
        self._server_keys = server_mac, server_enc
        self._send(CHANGE_CIPHER_SPEC, b"\x01")
        self._records.protect_write(client_mac, client_enc)
        verify = prf.verify_data(self._master, b"client finished", self._transcript)
        self._send_message(handshake.message(handshake.FINISHED, bytes(verify)))

    def _on_finished(self, body: bytes) -> None:
        verify = prf.verify_data(self._master, b"server finished", self._transcript)
        if not compare_digest(bytes(verify), body):
            raise RemoteProtocolError(DECRYPT_ERROR, "server's Finished does not verify")

    def _send_message(self, whole: bytes) -> None:
        self._transcript.extend(whole)
        self._send(HANDSHAKE, whole)
