"""The site's certificate authority: EC P-256, a root and what it signs (RFC 5280).

Two things tell a gatekeeper from everybody else that the root vouches for: the extended key
usage (clientAuth, which TLS itself checks) and a URI among its names (`ringkey:gatekeeper/NAME`),
which the key server checks.  A server's certificate has neither.

Everything is valid from the root's own birth on.  A phone without a set clock takes its image's
build time, or somewhat later, for now; so a certificate signed later must not start later.
"""

import ipaddress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ringkey.errors import UserError

# The root is in every phone's image: as long as phones are in use, and no roll-over in between.
ROOT_LIFE = timedelta(days=20 * 365 + 5)
# Nothing revokes a leaf but its end, and phones have no way to ask; yet a site that nobody looks
# after must not go silent each year.  Five years is the usual life of the phones' own hardware.
LEAF_LIFE = timedelta(days=5 * 365 + 1)
# The machine that builds the phones' image, and a Pi without a clock, may be behind this one.
BACKDATE = timedelta(days=1)
GATEKEEPER_ROLE = "ringkey:gatekeeper/"
_MAX_NAME = 253  # characters of a DNS name (RFC 1035 section 2.3.4)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key; its repr shows no key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    def certificate_pem(self) -> bytes:
        """Return the certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def certificate_der(self) -> bytes:
        """Return the certificate as DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def key_pem(self) -> bytes:
        """Return the private key as PKCS #8 PEM, not encrypted: its file's mode guards it."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def load(certificate: bytes, key: bytes) -> Pair:
    """Return the pair of two PEM texts; raises UserError where they are none, or not of each other."""
    try:
        cert = x509.load_pem_x509_certificate(certificate)
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UserError("not a certificate and an unencrypted private key in PEM") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != cert.public_key():
        raise UserError("the private key does not belong to the certificate")
    return Pair(cert, private)


def new_root(name: str, now: datetime | None = None) -> Pair:
    """Return a new root, valid from a day ago; `name` tells people which site's it is."""
    born = (now or datetime.now(UTC)).replace(microsecond=0) - BACKDATE
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    builder = _builder(subject, subject, key.public_key(), born, born + ROOT_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(sign_certificates=True), critical=True)
    return Pair(builder.sign(key, hashes.SHA256()), key)


def server(
    root: Pair, names: tuple[str, ...], life: timedelta = LEAF_LIFE, now: datetime | None = None
) -> Pair:
    """Return a key server's certificate for DNS names and IP addresses, at least one.

    life: from `now` on, or else from the root's birth; never beyond the root's end.  Raises
    UserError for a name that is neither.
    """
    if not names:
        raise UserError("a server's certificate needs a name or an IP address", "ringkey init --help")
    alternatives: list[x509.GeneralName] = [_general_name(name) for name in names]
    return _leaf(root, names[0], alternatives, ExtendedKeyUsageOID.SERVER_AUTH, _end(root, life, now))


def gatekeeper(root: Pair, name: str, life: timedelta = LEAF_LIFE, now: datetime | None = None) -> Pair:
    """Return the certificate that gatekeeper `name` shows to the key server; life: as for a server's."""
    role = x509.UniformResourceIdentifier(GATEKEEPER_ROLE + name)
    return _leaf(root, f"gatekeeper {name}", [role], ExtendedKeyUsageOID.CLIENT_AUTH, _end(root, life, now))


def check_name(name: str) -> str:
    """Return `name` where it is a DNS name or an IP address, else raise UserError."""
    _general_name(name)
    return name


def _leaf(
    root: Pair,
    name: str,
    alternatives: list[x509.GeneralName],
    purpose: x509.ObjectIdentifier,
    end: datetime,
) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = root.certificate
    born = issuer.not_valid_before_utc
    builder = _builder(_name(name), issuer.subject, key.public_key(), born, end)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(sign_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
    )
    return Pair(builder.sign(root.key, hashes.SHA256()), key)


def _end(root: Pair, life: timedelta, now: datetime | None) -> datetime:
    start = root.certificate.not_valid_before_utc if now is None else now.replace(microsecond=0)
    return min(start + life, root.certificate.not_valid_after_utc)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    start: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    # 64 characters: RFC 5280, ub-common-name.  The names that count are the alternative ones.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    labels = name.split(".")
    good = len(name) <= _MAX_NAME and all(
        1 <= len(label) <= 63
        and label.isascii()
        and label.replace("-", "").replace("_", "").isalnum()
        and not label.startswith("-")
        for label in labels
    )
    # All digits at the end is an address with a mistake in it, not a name (RFC 3696 section 2).
    if not good or labels[-1].isdigit():
        raise UserError(
            f"{name!r} is neither a DNS name nor an IP address", "ringkey init --help", usage=True
        )
    return x509.DNSName(name.lower())
