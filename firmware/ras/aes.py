"""AES-128-CBC over whole blocks, from what the interpreter has."""

from ras.compat import const

BLOCK = const(16)  # octets

# One object does one message in one direction: MicroPython's cannot do both, and here
# every message (a record of TLS 1.2, a chunk of a sealed file) starts with an IV of its own.
try:
    from cryptolib import aes as _aes

    _CBC = 2  # MODE_CBC; cryptolib names it only in some builds

    def cbc_encrypt_in_place(key: bytes, iv: bytes, buffer: memoryview) -> None:
        """Encrypt `buffer`, whole blocks; key and iv are 16 octets."""
        _aes(key, _CBC, iv).encrypt(buffer, buffer)

    def cbc_decrypt(key: bytes, iv: bytes, data: bytes) -> bytes:
        """Return `data`, whole blocks, decrypted; key and iv are 16 octets."""
        return _aes(key, _CBC, iv).decrypt(data)

except ImportError:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    def cbc_encrypt_in_place(key: bytes, iv: bytes, buffer: memoryview) -> None:
        """Encrypt `buffer`, whole blocks; key and iv are 16 octets."""
        cipher = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
        buffer[:] = cipher.update(buffer) + cipher.finalize()

    def cbc_decrypt(key: bytes, iv: bytes, data: bytes) -> bytes:
        """Return `data`, whole blocks, decrypted; key and iv are 16 octets."""
        cipher = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
        return cipher.update(data) + cipher.finalize()
