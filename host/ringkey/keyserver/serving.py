"""An HTTPS listener with limits: the part that both file services share.

aiohttp does HTTP; here is what stands around it: how many may come, how long they may take, and
what of it goes into the log.
"""

import asyncio
import errno
import ssl
from collections.abc import Callable

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from ringkey import log
from ringkey.errors import UserError

# Each costs some 60 KiB with its TLS state; a Pi has room for these and no phone holds one long.
MAX_CONNECTIONS = 1000
# Octets.  The longest request line with a meaning, /keys/kkg.txt with all its parameters, has
# under 200; headers of HTTP libraries are as small.
MAX_LINE = 2048
MAX_FIELD = 2048
MAX_HEADERS = 32
# Seconds until TLS stands: an ESP32 takes 2 to 4.
HANDSHAKE = 15.0
# Seconds that requests under way are given at a stop; none takes longer than a write to disk.
STOP = 2.0
# Octets of a request's body: no method here takes one.
MAX_BODY = 1024

_log = log.get("ringkey.keyserver.tls")


class AccessLog(AbstractAccessLogger):
    """aiohttp's access log as an event: the path without its query, which names an extension."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Log one request that was answered after `time` seconds."""
        log.get(self.logger.name).info(
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

    idle: seconds that a connection may wait for its first or its next request.
    """

    def __init__(self, app: web.Application, context: ssl.SSLContext, *, idle: float) -> None:
        self._context = context
        self._server: asyncio.Server | None = None
        self._runner = web.AppRunner(
            app,
            access_log_class=AccessLog,
            access_log=log.logger("ringkey.keyserver.http"),
            keepalive_timeout=idle,
            max_line_size=MAX_LINE,
            max_field_size=MAX_FIELD,
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
        made: Callable[[], asyncio.Protocol] = handler

        def accept() -> asyncio.Protocol:
            if len(handler.connections) >= MAX_CONNECTIONS:
                _log.warning("too_many_connections", limit=MAX_CONNECTIONS)
                return _Turned()
            return made()

        try:
            self._server = await asyncio.get_running_loop().create_server(
                accept,
                host,
                port,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE,
                # A close that nobody answers must not hold up a stop.
                ssl_shutdown_timeout=STOP,
                backlog=256,
                reuse_address=True,
            )
        except OSError as e:
            await self._runner.cleanup()
            raise _cannot_listen(host, port, e) from None
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening, let requests under way end, close what is left."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()
        self._server = None


class _Turned(asyncio.Protocol):
    """A connection over the limit: closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()


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
            _log.warning("tls_refused", reason=e.reason, detail=detail)
            told = getattr(self.context, "on_refused", None)
            if told is not None:
                told(reason=e.reason, detail=detail)
            raise


def _cannot_listen(host: str, port: int, error: OSError) -> UserError:
    where = f"port {port} of {host}"
    if error.errno == errno.EADDRINUSE:
        return UserError(f"{where} is taken by another process", f"ss -ltnp 'sport = :{port}'")
    if error.errno == errno.EACCES:
        return UserError(f"{where} needs privileges that this user has not", "ringkey status")
    return UserError(f"cannot listen on {where}: {error.strerror}", "ip address")
