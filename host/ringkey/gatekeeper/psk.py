"""TLS with a pre-shared key, the server's context: the signalling channel of docs/protocol.md section 7.

The ssl module has the callback from CPython 3.13 on; before that the package sslpsk3 adds it.
One context serves one connection, so that its callback knows whose identity it is given.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# With forward secrecy first, for phones whose TLS has it.  The last is the one that every
# phone has: the only suite of firmware/tlspsk.  Nothing with a certificate: a gatekeeper
# whose certificate were accepted here would need no Ks.
CIPHERS = (
    "ECDHE-PSK-CHACHA20-POLY1305",
    "ECDHE-PSK-AES128-CBC-SHA256",
    "PSK-AES128-GCM-SHA256",
    "PSK-AES128-CBC-SHA256",
)


def psk_server_context(lookup: Callable[[str], bytes | None], seen: Callable[[str], None]) -> ssl.SSLContext:
    """Return a context for one connection; call release() with it when the handshake is over.

    lookup: identity to key, None for an identity that is not known: that client is refused with
    the alert unknown_psk_identity.  seen: told the identity that the client claims, before it is
    looked up; it is proven only by the end of the handshake.  Both run inside the handshake.

    What either of them raises refuses the client and is not passed on: OpenSSL has no way for it,
    and CPython would print it, identity and all.
    """

    def answer(identity: str | None) -> bytes:
        try:
            seen(identity or "")
            return (lookup(identity) or b"") if identity else b""
        except Exception:
            return b""

    context = _new(answer)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join(CIPHERS))
    # Neither is of use to a phone.  A ticket would outlive the registration that Ks belongs to.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    # CPython before 3.11.3 sets it for OpenSSL 3: a channel that is cut off would end like a good one.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    return context


if hasattr(ssl.SSLContext, "set_psk_server_callback"):

    def _new(answer: Callable[[str | None], bytes]) -> ssl.SSLContext:
        context: Any = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_psk_server_callback(answer)
        return context  # type: ignore[no-any-return]

    def release(context: ssl.SSLContext) -> None:
        """Drop what psk_server_context() keeps; call when the handshake is over, done or not."""
        armed: Any = context
        armed.set_psk_server_callback(None)

else:
    from sslpsk3.sslpsk3 import SSLPSKContext, SSLPSKObject, psk_contexts

    class _ArmedOnce(SSLPSKObject):  # type: ignore[misc]  # sslpsk3 has no types
        """sslpsk3 sets the accept state at every call, which starts OpenSSL's handshake anew.

        Without sockets do_handshake() is called once for every piece that comes in.
        """

        _armed = False

        def do_handshake(self) -> None:
            if not self._armed:
                self.context.setup_psk_callbacks(self)
                self._armed = True
            ssl.SSLObject.do_handshake(self)

    def _new(answer: Callable[[str | None], bytes]) -> ssl.SSLContext:
        context: Any = SSLPSKContext(ssl.PROTOCOL_TLS_SERVER)
        context.sslobject_class = _ArmedOnce
        context.set_psk_server_callback(answer)
        return context  # type: ignore[no-any-return]

    def release(context: ssl.SSLContext) -> None:
        """Drop what psk_server_context() keeps; call when the handshake is over, done or not."""
        # sslpsk3 finds the context by the address of OpenSSL's object and never forgets one.
        # Looked for by value: the address may have been given to a younger connection.
        for address in [a for a, kept in psk_contexts.items() if kept is context]:
            del psk_contexts[address]
        armed: Any = context  # the callback refers to the connection, in a ring that the collector cannot see
        armed.set_psk_server_callback(None)
