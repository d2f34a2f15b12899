"""A new root for a site, without a day on which a phone trusts neither.

    new      a second root; phones' images and gatekeepers get both; the first one still signs
    switch   the second one signs from now on; both are still trusted
    drop     the first one is trusted no more

Between the steps lies the time that it takes until every phone has an image with both.  A step
that was cut off is simply made again.  `ca/root.crt` has the root that signs first and, during
the roll-over, the other one after it; so has `phone/root.der`.
"""

import contextlib
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ringkey.errors import UserError
from ringkey.site import ca, certificates, files
from ringkey.site.config import Site

STAGES = ("one root", "two roots, the old one signs", "two roots, the new one signs")


def stage(site: Site) -> str:
    """Return where a roll-over is, one of STAGES; raises UserError."""
    if _next_key(site).exists():
        return STAGES[1]
    return STAGES[2] if len(certificates.bundle(site.root_certificate)) > 1 else STAGES[0]


def signing(site: Site, directory: Path | None = None) -> ca.Pair:
    """Return the root that signs; directory: where root.crt and root.key are kept, if not in the site.

    Raises UserError.
    """
    where = directory or site.root_certificate.parent
    try:
        return ca.load(
            files.read(where / "root.crt", "the root certificate"),
            files.read_secret(where / "root.key", "the root's private key"),
        )
    except UserError as e:
        cut_off = directory is None and _next_key(site).exists()
        step = "ringkey cert root switch" if cut_off else "ringkey cert renew --help"
        raise UserError(f"{where}: {e.what}", step) from None


def new(site: Site) -> ca.Pair:
    """Make the second root, or find the one that is there; raises UserError, OSError."""
    roots = certificates.bundle(site.root_certificate)
    if stage(site) == STAGES[2]:
        raise UserError("the last roll-over has not ended", "ringkey cert root drop")
    signing(site)  # or the switch would find out too late that its key is elsewhere
    if _next_key(site).exists() and _next(site).exists():
        pair = ca.load(
            files.read(_next(site), "the next root"),
            files.read_secret(_next_key(site), "the next root's key"),
        )
    else:
        pair = ca.new_root(_common_name(roots[0]))
        files.write(_next(site), pair.certificate_pem(), files.PUBLIC)
        files.write(_next_key(site), pair.key_pem())
    _trust(site, [roots[0], pair.certificate])
    return pair


def switch(site: Site) -> ca.Pair:
    """Let the second root sign; return it.  The leaves are then the caller's to renew.

    Raises UserError, OSError.
    """
    if not _next_key(site).exists():
        if stage(site) == STAGES[2]:
            return signing(site)
        raise UserError("there is no second root to switch to", "ringkey cert root new")
    pair = _second(site)
    roots = certificates.bundle(site.root_certificate)
    others = [root for root in roots if root != pair.certificate]
    _trust(site, [pair.certificate, *others])
    files.write(_key(site), pair.key_pem())
    return pair


def switched(site: Site) -> None:
    """Say that the leaves are renewed: the second root is the first now.  Raises OSError."""
    for path in (_next_key(site), _next(site)):
        path.unlink(missing_ok=True)
    files.sync_directory(site.root_certificate.parent)


def drop(site: Site, leaves: list[Path]) -> int:
    """Trust the root that signs only; return how many are trusted no more.

    Raises UserError, for a certificate of `leaves` that it has not signed too, and OSError.
    """
    if stage(site) == STAGES[1]:
        raise UserError("the second root does not sign yet", "ringkey cert root switch")
    first, *others = certificates.bundle(site.root_certificate)
    for path in leaves:
        if not certificates.look(path, [first]).signed:
            raise UserError(f"{path} is not signed by the new root", "ringkey cert renew")
    _trust(site, [first])
    return len(others)


def _second(site: Site) -> ca.Pair:
    return ca.load(
        files.read(_next(site), "the second root"),
        files.read_secret(_next_key(site), "the second root's private key"),
    )


def _trust(site: Site, roots: list[x509.Certificate]) -> None:
    pem = b"".join(root.public_bytes(Encoding.PEM) for root in roots)
    files.write(site.root_certificate, pem, files.PUBLIC)
    with contextlib.suppress(FileNotFoundError):  # a site of a gatekeeper alone has no image to make
        files.write(site.root_der, b"".join(root.public_bytes(Encoding.DER) for root in roots), files.PUBLIC)


def _common_name(root: x509.Certificate) -> str:
    found = root.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else "ringkey site"


def _key(site: Site) -> Path:
    return site.root_certificate.with_name("root.key")


def _next(site: Site) -> Path:
    return site.root_certificate.with_name("next.crt")


def _next_key(site: Site) -> Path:
    return site.root_certificate.with_name("next.key")
