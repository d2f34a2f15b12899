"""What is sealed in the state: AES-256-GCM under keys made from the PIN key, each tied to its row.

Sealed: version (1 octet) || salt (16) || nonce (12) || ciphertext || tag (16).  The salt gives the
key, HKDF-SHA-256(PIN key, salt, "ringkey-state").  The state is written for as long as phones keep
themselves alive: under one key, random nonces would be used up in some months (NIST SP 800-38D
section 8.3: 2^32 of them).
"""

import os
from collections import OrderedDict

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_VERSION = b"\x01"
_SALT = 16  # octets
_NONCE = 12
_TAG = 16
_HEAD = len(_VERSION) + _SALT
_INFO = b"ringkey-state"
# Seals under one salt: a quarter of what NIST allows.
MAX_SEALS = 1 << 30
# Keys kept at hand, by salt: each run has one, and rows of many runs lie side by side.
_MAX_KEYS = 256


class BrokenSealError(Exception):
    """The octets were not sealed under this key for this row."""


class StateSealer:
    """Seals and opens; belongs to one thread.  key: the 32 octets of the PIN key."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._keys: OrderedDict[bytes, AESGCM] = OrderedDict()
        self._salt = b""
        self._left = 0

    def __repr__(self) -> str:
        return "StateSealer()"

    def seal(self, row: bytes, plain: bytes) -> bytes:
        """Return `plain` sealed for one row, such as b"registration:" and its identifier."""
        if not self._left:
            self._salt, self._left = os.urandom(_SALT), MAX_SEALS
        self._left -= 1
        nonce = os.urandom(_NONCE)
        return _VERSION + self._salt + nonce + self._aead(self._salt).encrypt(nonce, plain, row)

    def open(self, row: bytes, sealed: bytes) -> bytes:
        """Return what was sealed for that row; raises BrokenSealError."""
        if sealed[:1] != _VERSION or len(sealed) < _HEAD + _NONCE + _TAG:
            raise BrokenSealError
        nonce = sealed[_HEAD : _HEAD + _NONCE]
        try:
            return self._aead(sealed[1:_HEAD]).decrypt(nonce, sealed[_HEAD + _NONCE :], row)
        except InvalidTag:
            raise BrokenSealError from None

    def _aead(self, salt: bytes) -> AESGCM:
        found = self._keys.get(salt)
        if found is None:
            found = AESGCM(HKDF(SHA256(), 32, salt, _INFO).derive(self._key))
            self._keys[salt] = found
            if len(self._keys) > _MAX_KEYS:
                self._keys.popitem(last=False)
        return found
