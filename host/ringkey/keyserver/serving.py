"""An HTTPS listener with limits: the part that both file services share.

aiohttp does HTTP; here is what stands around it: how many may come, how long they may take, and
what of it goes into the log.
"""

import socket
import ssl
from collections import Counter
from collections.abc import Callable

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from ringkey import log
from ringkey.errors import UserError, cannot_listen
from ringkey.keyserver.gate import STOP, Gate

# Octets.  The longest request line with a meaning, /keys/kkg.txt with all its parameters, has
# under 200; headers of HTTP libraries are as small.
MAX_LINE = 2048
MAX_FIELD = 2048
MAX_HEADERS = 32
# Octets of a request's body for phones: none of their methods takes one.
MAX_BODY = 1024
# Connections that the kernel holds while this process is busy.
BACKLOG = 256

# Handshakes that failed since the process began, by OpenSSL's word for why, of which it has some hundred.
TLS_REFUSED: Counter[str] = Counter()

# Set in a request whose handler has logged who asked for what, and how it ended.
SAID = web.RequestKey("said", bool)

_log = log.get("ringkey.keyserver.tls")
_access_log = log.get("ringkey.keyserver.http")


class AccessLog(AbstractAccessLogger):
    """aiohttp's access log as an event: the path without its query, which names an extension.

    A request that a handler has put on record itself (`request[SAID] = True`) has no second line: a
    tenth of what a key file costs is one line of log.
    """

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Log one request that was answered after `time` seconds."""
        if isinstance(request, web.Request) and SAID in request:
            return
        _access_log.info(
            "request",
            source=request.remote,
            method=request.method,
            path=request.path,
            status=response.status,
            octets=response.body_length,
            ms=round(time * 1000, 1),
        )


class Listener:
    """One TCP port with TLS and an aiohttp application behind it.

    idle: seconds that a connection may wait for its first or its next request; line, field: octets of a
    request line and of a header, where those for phones and gatekeepers are too few.
    """

    def __init__(
        self,
        app: web.Application,
        context: ssl.SSLContext,
        *,
        idle: float,
        line: int = MAX_LINE,
        field: int = MAX_FIELD,
    ) -> None:
        self._context = context
        self._gate: Gate | None = None
        self._runner = web.AppRunner(
            app,
            access_log_class=AccessLog,
            access_log=log.logger("ringkey.keyserver.http"),
            keepalive_timeout=idle,
            max_line_size=line,
            max_field_size=field,
            max_headers=MAX_HEADERS,
            lingering_time=1.0,
            shutdown_timeout=STOP,
        )

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which port 0 leaves open.  Raises UserError where it is taken."""
        await self._runner.setup()
        handler = self._runner.server
        if handler is None:
            raise RuntimeError("aiohttp has made no server")
        try:
            self._gate = Gate(_listening(host, port), handler, self._context)
        except OSError as e:
            await self._runner.cleanup()
            raise cannot_listen(host, port, e) from None
        return self._gate.port

    @property
    def connections(self) -> int:
        """How many connections are open, those still in their handshake among them."""
        return 0 if self._gate is None else self._gate.connections

    def renew(self, context: ssl.SSLContext) -> None:
        """Use `context` for every connection from now on; those that are open stay as they are."""
        self._context = context
        if self._gate is not None:
            self._gate.context = context

    async def stop(self) -> None:
        """Stop listening, let requests under way end, close what is left."""
        if self._gate is not None:
            await self._gate.stop()
        await self._runner.cleanup()
        self._gate = None


class Context(ssl.SSLContext):
    """A server's context.  on_refused: told of each handshake that fails, as far as is known why."""

    on_refused: Callable[..., None] | None = None


def server_context(certificate: str, private_key: str, client_ca: str | None = None) -> Context:
    """Return a context for TLS 1.2 and 1.3; with `client_ca`, clients must show a certificate of it.

    Raises UserError where the files are not what they should be.
    """
    context = Context(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # For 1.2: forward secrecy and AEAD only, which Mbed TLS on a phone has.  1.3 has nothing else.
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.sslobject_class = _Recorded
    try:
        context.load_cert_chain(certificate, private_key)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
            # Only this root, its leaves directly under it, and each as RFC 5280 wants it.
            context.verify_flags |= ssl.VERIFY_X509_STRICT
    except (ssl.SSLError, OSError) as e:
        raise UserError(
            f"{certificate}, {private_key}: not a certificate and its key ({e.strerror or e})",
            f"openssl x509 -noout -text -in {certificate}",
        ) from None
    return context


class _Recorded(ssl.SSLObject):
    """A connection whose failed handshake is on record; asyncio itself drops it in silence."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as e:
            detail = getattr(e, "verify_message", None)
            TLS_REFUSED[e.reason or "none"] += 1
            _log.warning("tls_refused", reason=e.reason, detail=detail)
            told = getattr(self.context, "on_refused", None)
            if told is not None:
                told(reason=e.reason, detail=detail)
            raise


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.create_server((host, port), family=family, backlog=BACKLOG)
    found.setblocking(False)
    return found
