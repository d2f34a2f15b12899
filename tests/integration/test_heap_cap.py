"""The phone as an image has it, in a heap as small as a board's: log-in, keep-alive, power cycle.

A stock ESP32 has 144 KB of heap left with Wi-Fi up and nothing of the phone loaded; of those,
48 KB are to be free at the fullest moment, registered with the channel open.  `make heap`
measured the same phone with the same servers on the unix port built for 32 and for 64 bits:

    registered, own TLS client      32 bits      64 bits      ratio
    unix                             88,336      136,640      1.547
    esp32_generic, on doubles        95,024      146,048      1.537

Objects of 64 bits are not quite twice as large, since bytecode and the letters of names are the
same.  So on 64 bits both numbers are taken times 1.53, less than either, which makes the test
the stricter: 220 KB free before the phone is loaded, 73 KB at the fullest.  docs/memory.md has
the rest.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from harness.unixphone import UnixPhone, find_micropython
from heapmeter import boards, phases

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WITH_WIFI = 144 * 1024  # octets free on the chip before the phone is loaded
WANTED = 48 * 1024  # octets free at the fullest moment
RATIO = 1.53  # 64 bits to 32


def ratio() -> float:
    """Return how many octets here make one on the chip."""
    ask = [find_micropython(), "-c", "import sys; print(sys.maxsize > 1 << 31)"]
    wide = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip() == "True"
    return RATIO if wide else 1.0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[phases.Site]:
    """Key server and gatekeeper, the real ones."""
    with phases.running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture(scope="module", params=boards.NAMES)
def tree(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A board and its phone's modules, slimmed and compiled."""
    name = request.param
    return name, boards.compile_tree(name, tmp_path_factory.mktemp(name))


@pytest.mark.parametrize("psk", [phases.OWN, phases.NATIVE])
def test_what_is_free_at_the_fullest_moment(
    tree: tuple[str, Path], site: phases.Site, psk: str, tmp_path: Path
) -> None:
    board, modules = tree
    heap = boards.heap_with_free(int(WITH_WIFI * ratio()), modules)
    settings = boards.settings(board, tmp_path / "phone", site.root, site.key_server, psk)
    phone = UnixPhone(settings, start=boards.start(board, modules, settings, heap=heap))
    try:
        found = phases.lead(phone, keep_alives=1)
    finally:
        phone.power_cut()
    for memory in found:
        assert memory["free"] >= WANTED * ratio()
        own = memory["cipher"] == "TLS_PSK_WITH_AES_128_CBC_SHA256"
        if psk == phases.OWN:
            assert own
        elif own:
            pytest.skip("this MicroPython's tls has no PSK: it was the own client again")
    assert "MemoryError" not in phone.output
