"""The buffer of TLS connections, which asyncio has no argument for (tls_buffer.py)."""

import asyncio.sslproto
import subprocess
import sys

import pytest
from ringkey.tls_buffer import TLS_BUFFER


@pytest.mark.parametrize("module", ["ringkey.keyserver.gate", "ringkey.gatekeeper.key_session"])
def test_it_is_small_in_a_process_of_either_kind(module):
    script = f"import asyncio.sslproto, {module}; print(asyncio.sslproto.SSLProtocol.max_size)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) == TLS_BUFFER


def test_it_is_what_asyncio_makes_its_buffer_of():
    assert hasattr(asyncio.sslproto.SSLProtocol, "max_size")
