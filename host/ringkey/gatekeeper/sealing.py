"""PINs sealed at rest: AES-256-GCM under the key file, tied to their extension.

A sealed PIN is version (1 octet) || nonce (12) || ciphertext (16) || tag (16).  The PIN
is padded to its longest length first, so that a sealed one does not tell how many
digits it has, and EXT is associated data, so that a sealed PIN copied to another
extension does not open there.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from ras.keys import MAX_PIN, pin_digits

KEY = 32  # octets of the key file: AES-256
# Octets (NIST SP 800-38D section 8.2.2).  Random ones are good for 2^32 seals under one
# key; a site would have to set 4 thousand million PINs to come near.
_NONCE = 12
_VERSION = b"\x01"
_TAG = 16
_PIN = b"ringkey-pin:"
_CHECK = b"ringkey-key-check"
_SEALED_PIN = len(_VERSION) + _NONCE + MAX_PIN + _TAG


class BrokenSealError(Exception):
    """The octets were not sealed under this key for this purpose."""


class Sealer:
    """Seals and opens with the 32 octets of a key file; raises ValueError for another length."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY:
            raise ValueError(f"a PIN key has {KEY} octets")
        self._aead = AESGCM(key)

    def __repr__(self) -> str:
        return "Sealer()"

    def seal_pin(self, ext: str, pin: str) -> bytes:
        """Return `pin` sealed for `ext`, 45 octets; raises ValueError unless 1 to 16 digits."""
        return self._seal(pin_digits(pin).ljust(MAX_PIN, b"\0"), _PIN + ext.encode())

    def open_pin(self, ext: str, sealed: bytes) -> str:
        """Return the PIN; raises BrokenSealError where it was not sealed here for `ext`."""
        if len(sealed) != _SEALED_PIN:
            raise BrokenSealError
        return self._open(sealed, _PIN + ext.encode()).rstrip(b"\0").decode()

    def seal_check(self) -> bytes:
        """Return a known text sealed, by which `opens_check` tells the key again."""
        return self._seal(_CHECK, _CHECK)

    def opens_check(self, sealed: bytes) -> bool:
        """Tell whether `sealed` was made by `seal_check` under this same key."""
        try:
            return self._open(sealed, _CHECK) == _CHECK
        except BrokenSealError:
            return False

    def _seal(self, plain: bytes, purpose: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return _VERSION + nonce + self._aead.encrypt(nonce, plain, purpose)

    def _open(self, sealed: bytes, purpose: bytes) -> bytes:
        if sealed[:1] != _VERSION or len(sealed) < 1 + _NONCE + _TAG:
            raise BrokenSealError
        try:
            return self._aead.decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], purpose)
        except InvalidTag:
            raise BrokenSealError from None
