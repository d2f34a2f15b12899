"""Until when certificates are valid, how they are replaced, and a word in time before they end."""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from ringkey.errors import UserError
from ringkey.site import ca, files

# Before a certificate's end: time to plan a renewal, and time to stop planning.
SOON = timedelta(days=90)
URGENT = timedelta(days=14)
# Seconds between two looks: a word a day in the log is seen and does not fill it.
WATCH = 24 * 3600.0
_NEW = ".new"


class Log(Protocol):
    """What of a structlog logger is used here."""

    def warning(self, event: str, **fields: Any) -> Any:
        """Write a warning."""

    def error(self, event: str, **fields: Any) -> Any:
        """Write an error."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One certificate on disk.  names: DNS names, addresses and roles; signed: by a root of the bundle."""

    path: Path
    certificate: x509.Certificate
    names: tuple[str, ...]
    signed: bool

    def left(self, now: datetime) -> timedelta:
        """How long it is still valid, negative when it has ended."""
        return self.certificate.not_valid_after_utc - now

    def state(self, now: datetime) -> str:
        """ "ended", "urgent", "soon" or "ok"; "unknown-root" where no root of the site has signed it."""
        left = self.left(now)
        if left <= timedelta():
            return "ended"
        if not self.signed:
            return "unknown-root"
        return "urgent" if left < URGENT else "soon" if left < SOON else "ok"


def bundle(path: Path, what: str = "the site's root certificate") -> list[x509.Certificate]:
    """Return the certificates in a PEM file, one or more; raises UserError."""
    try:
        return x509.load_pem_x509_certificates(files.read(path, what))
    except ValueError:
        raise UserError(f"{path} is no certificate in PEM", f"openssl x509 -in {path} -noout -text") from None


def der_bundle(data: bytes) -> list[x509.Certificate]:
    """Return the certificates of `phone/root.der`, DER one after the other; raises ValueError.

    Only their outer frame is looked at to tell them apart, as the phone does (phone/keyfetch.py).
    """
    found: list[x509.Certificate] = []
    while data or not found:
        size = 4 + int.from_bytes(data[2:4], "big")
        if data[:2] != b"\x30\x82" or len(data) < size:
            raise ValueError("not certificates in DER")
        found.append(x509.load_der_x509_certificate(data[:size]))
        data = data[size:]
    return found


def look(path: Path, roots: Sequence[x509.Certificate]) -> Seen:
    """Return what the first certificate in `path` is; raises UserError."""
    certificate = bundle(path, "the certificate")[0]
    return Seen(path, certificate, _names(certificate), any(signs(root, certificate) for root in roots))


def signs(root: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Tell whether `root` has signed `certificate`."""
    try:
        certificate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def replace(certificate: Path, private_key: Path, pair: ca.Pair) -> None:
    """Put a new pair in the place of the old one; raises OSError.

    Two files cannot change in one step.  Both new ones are there in full before the first takes
    its name, so that `finish` can complete what a crash has cut off.
    """
    files.write(_new(private_key), pair.key_pem())
    files.write(_new(certificate), pair.certificate_pem(), files.PUBLIC)
    _new(private_key).replace(private_key)
    _new(certificate).replace(certificate)
    for path in {private_key.parent, certificate.parent}:
        files.sync_directory(path)


def finish(certificate: Path, private_key: Path) -> bool:
    """Complete or take back a `replace` that a crash has cut off; tell whether there was one.

    Raises OSError.
    """
    new_certificate, new_key = _new(certificate), _new(private_key)
    if not new_certificate.exists() and not new_key.exists():
        return False
    key = new_key if new_key.exists() else private_key
    try:
        ca.load(
            files.read(new_certificate, "certificate"),
            files.read_secret(key, "the certificate's private key"),
        )
    except UserError:
        # The second one is not there yet, or not of the same pair: the old ones still stand.
        for path in (new_certificate, new_key):
            path.unlink(missing_ok=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            new_key.replace(private_key)
        new_certificate.replace(certificate)
    for path in {private_key.parent, certificate.parent}:
        files.sync_directory(path)
    return True


async def watch(paths: Sequence[Path], roots: Path, log: Log, period: float = WATCH) -> None:
    """Say in the log, once a day, which of these certificates end soon; runs until cancelled."""
    while True:
        warn(paths, roots, log)
        await asyncio.sleep(period)


def warn(paths: Sequence[Path], roots: Path, log: Log, now: datetime | None = None) -> None:
    """Say in the log which of these certificates, and of the roots, end soon; raises nothing."""
    now = now or datetime.now(UTC)
    for path in (*paths, roots):
        try:
            seen = look(path, bundle(roots))
        except UserError as e:
            log.error("certificate_unreadable", file=str(path), reason=e.what)
            continue
        state = seen.state(now)
        if state != "ok":
            say = log.warning if state == "soon" else log.error
            say(
                "certificate_ends_soon" if state != "unknown-root" else "certificate_of_unknown_root",
                file=str(path),
                state=state,
                days=seen.left(now).days,
                end=seen.certificate.not_valid_after_utc.isoformat(),
                next_step="ringkey cert root --help" if path == roots else "ringkey cert renew",
            )


def role_of(path: Path) -> str:
    """Return the name of the gatekeeper that a certificate is for; raises UserError."""
    for name in _names(bundle(path, "the gatekeeper's certificate")[0]):
        if name.startswith(ca.GATEKEEPER_ROLE):
            return name.removeprefix(ca.GATEKEEPER_ROLE)
    raise UserError(f"{path} is not a gatekeeper's certificate", "ringkey cert status")


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in found)


def _new(path: Path) -> Path:
    return path.with_name(path.name + _NEW)


def unused_name(path: Path) -> Path:
    """Return `path`; raises UserError where something has that name already."""
    if os.path.lexists(path):
        raise UserError(f"{path} is there already, and nothing is ever replaced unasked", f"ls -l {path}")
    return path
