"""Fetching the key file from the key servers in turn (protocol.md section 3; the seed, figure 3).

HTTPS, the server's certificate chain held against the root certificate in the image, and
its name against the one that the settings give.  Never less: `tls.SSLContext` is used
since the `ssl` wrapper of MicroPython defaults to no verification.  Nothing is stored.
"""

import asyncio
import gc
from errno import ENOMEM

import tls

from phone import aio
from phone.http import BUFFER, Answer, AnswerError, http_date, request
from ras.address import join_address
from ras.compat import const, wipe
from ras.errors import RemoteProtocolError
from ras.keyfile import decode
from ras.keys import ext_digits

# One step each; an ESP32 takes up to 1.7 s for the handshake, a busy key server longer.
CONNECT_LIMIT = const(6000)  # ms, TCP
HANDSHAKE_LIMIT = const(15000)  # ms, TLS and the request
ANSWER_LIMIT = const(8000)  # ms, the whole answer

# The root in use and the next one; each costs some 2 KB while a key file is fetched.
MAX_ROOTS = const(2)

# Why a fetch failed: what Login gets and the display has words for (phone/words.py).
UNREACHABLE = "unreachable"  # no such name, no route, refused
TIME_OUT = "time-out"
WRONG_ROOT = "wrong-root"
WRONG_NAME = "wrong-name"
EXPIRED = "expired"
NOT_YET_VALID = "not-yet-valid"
CERTIFICATE = "certificate"  # any other fault of it
NO_TLS = "no-tls"  # something answers, but not TLS that both can speak
REFUSED = "server-refused"  # an HTTP status other than 200
CUT_OFF = "cut-off"  # closed within the answer
BAD_ANSWER = "bad-answer"  # not HTTP, or over its limits
BAD_KEY_FILE = "bad-key-file"
NO_SERVER = "no-server"  # the settings name none
NO_MEMORY = "no-memory"  # Mbed TLS found no room in the system's heap
NO_ROOT = "no-root"  # the image has no root certificate, or it is none

# The texts of Mbed TLS 3.6 (library/x509_crt.c, x509_crt_verify_strings), seen with the unix
# port.  A certificate can have several faults at once; the first found here is told: who
# signed it matters more than its name, its name more than its dates.
_FAULTS = (
    ("not correctly signed by the trusted CA", WRONG_ROOT),
    ("does not match with the expected CN", WRONG_NAME),
    ("validity starts in the future", NOT_YET_VALID),
    ("validity has expired", EXPIRED),
)
# Failures that say less than what another server answered.
_SILENT = (UNREACHABLE, TIME_OUT)


class FetchError(Exception):
    """No key file.  reason: one of the words above; server: "host:port"; status: of HTTP, or 0."""

    def __init__(self, reason: str, server: str = "", status: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.server = server
        self.status = status


class Fetched:
    """A key file and who gave it.

    keys: KeyFile; server: "host:port"; utc: its Date, in seconds from 1970, or None.
    """

    def __init__(self, keys: object, server: str, utc: "int | None") -> None:
        self.keys = keys
        self.server = server
        self.utc = utc


async def fetch(
    servers: "list[tuple[str, int]]",
    ext: str,
    root: bytes,
    failed: object = None,
    limits: "tuple[int, int, int]" = (CONNECT_LIMIT, HANDSHAKE_LIMIT, ANSWER_LIMIT),
    room: object = None,
) -> Fetched:
    """Return the first key file that one of `servers` gives for the extension.

    root: DER, or two of it one after the other while the site replaces its root.
    failed(FetchError, more) is told of each server that gave none, and whether another is tried
    now.  room: parts.Roomy, which lends what TLS needs.  Raises the FetchError that says most: the
    first server that answered wrongly, else the first.
    """
    ext_digits(ext)  # what goes into the request is digits, whoever calls
    context = _context(root)
    worst = None
    left = len(servers)
    for host, port in servers:
        left -= 1
        try:
            return await _fetch_one(context, host, port, ext, limits, room)
        except FetchError as error:
            if failed is not None:
                failed(error, left > 0)
            if worst is None or (worst.reason in _SILENT and error.reason not in _SILENT):
                worst = error
    raise worst or FetchError(NO_SERVER)


def _context(root: bytes) -> object:
    try:
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    except OSError:  # its random numbers have found no room
        raise FetchError(NO_MEMORY)
    context.verify_mode = tls.CERT_REQUIRED
    try:
        for one in certificates(root):
            # tls takes DER, by position only; each call adds to the last.  Of several in one
            # piece it takes the first and is silent about the rest.
            context.load_verify_locations(one)
    except (ValueError, OSError):
        raise FetchError(NO_ROOT)
    return context


def certificates(bundle: bytes) -> "list[bytes]":
    """Return the DER certificates that stand one after the other; raises ValueError.

    Only their outer frame is looked at: SEQUENCE, and a length of two octets (X.690 section 8.1).
    """
    found = []
    at = 0
    while at < len(bundle):
        if bundle[at : at + 2] != b"\x30\x82" or len(found) == MAX_ROOTS:
            raise ValueError("no certificate in DER")
        end = at + 4 + (bundle[at + 2] << 8 | bundle[at + 3])
        if end > len(bundle):
            raise ValueError("certificate cut off")
        found.append(bundle[at:end])
        at = end
    if not found:
        raise ValueError("no certificate")
    return found


async def _fetch_one(
    context: object, host: str, port: int, ext: str, limits: "tuple[int, int, int]", room: object
) -> Fetched:
    server = join_address(host, port)
    try:
        sock = await asyncio.wait_for_ms(aio.connect(host, port), limits[0])
    except aio.TimeoutError:
        raise FetchError(TIME_OUT, server)
    except OSError:
        raise FetchError(UNREACHABLE, server)
    buffer = bytearray(BUFFER)
    secure = None
    if room is not None:
        # Not before: what the connection leaves behind for minutes would lie in the middle of it.
        room.lend()
    try:
        try:
            secure = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
            ask = request(server, "/keys/kkg.txt?ext=" + ext)
            # The first write does the handshake.
            await asyncio.wait_for_ms(aio.write(secure, ask), limits[1])
        except aio.TimeoutError:
            raise FetchError(TIME_OUT, server)
        except ValueError as error:
            raise FetchError(certificate_fault(str(error)), server)
        except OSError as error:
            raise FetchError(_handshake_fault(error), server)
        answer = Answer(buffer)
        try:
            whole = await asyncio.wait_for_ms(_read(secure, answer), limits[2])
        except aio.TimeoutError:
            raise FetchError(TIME_OUT, server)
        except OSError:
            whole = False
        except AnswerError:
            raise FetchError(BAD_ANSWER, server)
        if not whole:
            raise FetchError(CUT_OFF, server)
        if answer.status != 200:
            raise FetchError(REFUSED, server, answer.status)
        try:
            keys = decode(answer.body())
        except RemoteProtocolError:
            raise FetchError(BAD_KEY_FILE, server)
        return Fetched(keys, server, http_date(answer.date))
    finally:
        if secure is not None:
            secure.close()
        sock.close()  # a failed handshake makes secure let go of it, open
        wipe(buffer)  # it held Kg
        secure = None
        gc.collect()  # a TLS connection is the largest thing that a phone ever holds
        if room is not None:
            room.take_back()


async def _read(secure: object, answer: Answer) -> bool:
    """Read the whole answer; tell whether it ended where it should."""
    while not answer.complete:
        count = await aio.read_into(secure, answer.space())
        if not count:
            return False
        answer.grown(count)
    return True


def certificate_fault(text: str) -> str:
    """Return the reason word of Mbed TLS's text about a certificate."""
    for part, reason in _FAULTS:
        if part in text:
            return reason
    return CERTIFICATE


def _handshake_fault(error: OSError) -> str:
    """Tell a connection that never was from one that does not speak TLS."""
    code = error.args[0] if error.args else 0
    if code == ENOMEM:
        return NO_MEMORY
    # MicroPython passes errors of the socket on as they are, those of Mbed TLS as negative numbers.
    return NO_TLS if not isinstance(code, int) or code < 0 else UNREACHABLE
