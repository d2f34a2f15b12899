"""Key file generation (the seed, figure 2A): one key, as text for phones or JSON for gatekeepers."""

from ras import keyfile
from ras.keys import NONCE, Suite

from ringkey.keyserver.agent import DeviceKey

JSON_VERSION = 1  # of what the Advanced Secure File Service answers


def for_phone(suite: Suite, cvm: bytes, key: DeviceKey, gatekeepers: tuple[tuple[str, int], ...]) -> str:
    """Return `kkg.txt` (protocol.md section 3)."""
    return keyfile.encode(keyfile.KeyFile(suite, key.g, key.kg, cvm, gatekeepers))


def length_for_phone(suite: Suite, cvm: bytes, gatekeepers: tuple[tuple[str, int], ...]) -> int:
    """Return how many octets a `kkg.txt` has, without a key being issued for it."""
    return len(for_phone(suite, cvm, DeviceKey(bytes(NONCE), bytes(suite.key), cvm), gatekeepers).encode())


def for_gatekeeper(suite: Suite, cvm: bytes, key: DeviceKey) -> dict[str, object]:
    """Return `kkg.json` (docs/architecture.md, Advanced Secure File Service)."""
    return {
        "version": JSON_VERSION,
        "suite": suite.name,
        "g": key.g.hex(),
        "kg": key.kg.hex(),
        "cvm": cvm.hex(),
    }


def status(suite: Suite, cvms: tuple[bytes, ...], servers: tuple[bytes, ...]) -> dict[str, object]:
    """Return `status.json`: the check values, and the server ids of g, that this key server answers for.

    cvms: that of new keys first.
    """
    return {
        "version": JSON_VERSION,
        "suite": suite.name,
        "cvm": [cvm.hex() for cvm in cvms],
        "servers": [server.hex() for server in servers],
    }
