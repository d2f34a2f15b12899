"""What a site on disk holds, read without the project's own code where a test compares with it."""

import json

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def seeds_of(site):
    """Return the seeds of a site, oldest generation first, unsealed with its key file."""
    body = json.loads((site / "keyserver" / "seed").read_text())
    sealed = bytes.fromhex(body.pop("sealed"))
    context = b"ringkey-seed:" + json.dumps(body, sort_keys=True).encode()
    key = (site / "keyserver" / "seed.key").read_bytes()
    return [bytes.fromhex(one) for one in json.loads(AESGCM(key).decrypt(sealed[:12], sealed[12:], context))]


def seed_of(site):
    """Return the seed that the site's new keys come from."""
    return seeds_of(site)[-1]
