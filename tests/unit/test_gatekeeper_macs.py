"""The HMAC that is fast is the HMAC."""

import hmac
import os

import pytest
from ringkey.gatekeeper import macs


@pytest.mark.parametrize("name", ["sha1", "sha256"])
@pytest.mark.parametrize("there", [True, False])
def test_it_is_what_the_library_gives(monkeypatch, name, there):
    if not there:
        monkeypatch.setattr(macs, "_new", None)
    for length in (0, 1, 16, 32, 64, 65, 200):
        for octets in (b"", b"x", os.urandom(220), os.urandom(1472)):
            key = os.urandom(length)
            assert macs.hmac_of(key, octets, name) == hmac.digest(key, octets, name)


def test_where_openssl_is_there_it_is_taken():
    assert macs._new is not None
