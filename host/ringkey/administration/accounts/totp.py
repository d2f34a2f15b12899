"""A second factor that is a clock: RFC 6238, by pyotp, its secrets sealed under a key of the site.

Codes of the step before and after are taken too (a clock that is half a minute off), none twice.
"""

import hmac
import secrets
from pathlib import Path
from typing import Any

import pyotp
import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ringkey.administration.accounts.errors import AccountError
from ringkey.administration.accounts.tables import USER, Base
from ringkey.site import files

STEP = 30  # seconds: what every app for phones has
DIGITS = 6
_KEY = 32  # octets: AES-256
_NONCE = 12
_EITHER = 1  # steps before and after now


class Totp:
    """The second factors of users.  key: file of the key that secrets are sealed under, made when needed."""

    def __init__(self, base: Base, key: Path) -> None:
        self._base = base
        self._key = key

    def begin(self, user: str, issuer: str) -> tuple[str, str]:
        """Return (secret, otpauth URI) of a factor that `confirm` will put in force."""
        secret = pyotp.random_base32()
        sealed = self._seal(user, secret)
        with self._base.writing() as connection:
            connection.execute(sa.update(USER).where(USER.c.name == user).values(totp_pending=sealed))
        return secret, pyotp.TOTP(secret).provisioning_uri(name=user, issuer_name=issuer)

    def confirm(self, user: str, code: str) -> None:
        """Put the factor of `begin` in force; raises AccountError where the code is not one of it."""
        with self._base.writing() as connection:
            row = self._row(connection, user)
            if row is None or row.totp_pending is None:
                raise AccountError("there is no second factor to confirm; begin again")
            step = self._step_of(self._open(user, row.totp_pending), code, 0)
            if step is None:
                raise AccountError("the code is not the one that this clock wants; look at the phone's time")
            values = {"totp": row.totp_pending, "totp_pending": None, "totp_step": step}
            connection.execute(sa.update(USER).where(USER.c.name == user).values(**values))

    def remove(self, user: str) -> None:
        """Want no second factor any more."""
        with self._base.writing() as connection:
            connection.execute(
                sa.update(USER).where(USER.c.name == user).values(totp=None, totp_pending=None)
            )

    def check(self, user: str, code: str) -> bool:
        """Tell whether the user may come in with this code: none is wanted, or it is one not used before."""
        with self._base.writing() as connection:
            row = self._row(connection, user)
            if row is None or row.totp is None:
                return True
            step = self._step_of(self._open(user, row.totp), code, row.totp_step)
            if step is None:
                return False
            connection.execute(sa.update(USER).where(USER.c.name == user).values(totp_step=step))
        return True

    def _row(self, connection: sa.Connection, user: str) -> Any:
        query = sa.select(USER.c.totp, USER.c.totp_pending, USER.c.totp_step).where(USER.c.name == user)
        return connection.execute(query).one_or_none()

    def _step_of(self, secret: str, code: str, used: int) -> int | None:
        """Return the step that `code` belongs to, None where to none after `used`."""
        totp = pyotp.TOTP(secret, digits=DIGITS, interval=STEP)
        now = self._base.now() // STEP
        code = code.replace(" ", "")
        found = None
        for step in range(now - _EITHER, now + _EITHER + 1):
            if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode()) and step > used:
                found = step
        return found

    def _seal(self, user: str, secret: str) -> bytes:
        nonce = secrets.token_bytes(_NONCE)
        return nonce + AESGCM(self._load()).encrypt(nonce, secret.encode(), b"totp:" + user.encode())

    def _open(self, user: str, sealed: bytes) -> str:
        try:
            opened = AESGCM(self._load()).decrypt(sealed[:_NONCE], sealed[_NONCE:], b"totp:" + user.encode())
        except (InvalidTag, ValueError):
            raise AccountError(
                f"the second factor of {user} was sealed under another key than {self._key}",
                f"ringkey user invite {user}",
            ) from None
        return opened.decode()

    def _load(self) -> bytes:
        if not self._key.exists():
            files.write(self._key, secrets.token_bytes(_KEY))
        key = files.read_secret(self._key, "the key of second factors")
        if len(key) != _KEY:
            raise AccountError(f"{self._key} has not {_KEY} octets", f"ls -l {self._key}")
        return key
