"""The gatekeeper's side of mutual TLS with key servers, and what its failures are called."""

import ssl
from pathlib import Path

import aiohttp

from ringkey.errors import UserError
from ringkey.site import files


def client_tls(ca: Path, certificate: Path, private_key: Path) -> ssl.SSLContext:
    """Return a context that shows `certificate` and believes the root `ca` only (PEM files).

    Raises UserError where a file is missing, damaged, or the private key readable for others.
    """
    files.check_secret(private_key, "the gatekeeper's private key")
    roots = files.read(ca, "the key server's root certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies chain and name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cadata=roots.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise UserError(f"{ca} is no certificate in PEM", f"openssl x509 -in {ca} -noout -text") from None
    try:
        context.load_cert_chain(certificate, private_key)
    except (ssl.SSLError, OSError) as error:
        raise UserError(
            f"{certificate} and {private_key} are not the gatekeeper's certificate and key: {reason(error)}",
            f"openssl x509 -in {certificate} -noout -text",
        ) from None
    return context


def reason(error: BaseException) -> str:
    """Say what went wrong in a few words: never more than the error's own text."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        inner = error.certificate_error
        return f"its certificate is not accepted: {getattr(inner, 'verify_message', inner)}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or type(error.os_error).__name__
    return str(error) or type(error).__name__
