"""The whole phone on the unix board: real TLS, real UDP, the registrar of the core, and OpenSSL's TLS-PSK."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ras import keys
from standins import EXT, KM, PIN, SUITE, Rig, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Everything started."""
    running = Rig(tmp_path)
    yield running
    running.close()


def test_log_in_and_power_cycle(rig: Rig) -> None:
    phone = rig.phone()
    phone.shows("Extension:")
    phone.press(f"{EXT}#{PIN}#")
    phone.shows("PIN:", ".....")
    got = phone.expect(e="key-file")
    assert got["cvm"] == keys.check_value(SUITE, KM).hex()
    for way, message in (("out", "GRQ"), ("in", "GCF"), ("out", "RRQ"), ("in", "RCF")):
        phone.expect(e="ras", way=way, message=message)
    phone.expect(e="registered", ext=EXT)
    phone.expect(e="commit", ok=True)
    opened = phone.expect(e="channel", state="open")
    assert "PSK" in opened["cipher"]
    phone.shows("Registered", EXT)
    phone.close(cut=True)

    # From its own memory, with the key server gone.
    rig.keyserver.on = False
    phone = rig.phone()
    assert phone.expect(e="boot")["store"] == "provisioned"
    phone.shows("Registered", EXT)
    assert phone.close() == 0
    assert len(rig.keyserver.kgs) == 1


def test_a_wrong_pin_meets_silence_and_stores_nothing(rig: Rig) -> None:
    phone = rig.phone()
    phone.shows("Extension:")
    phone.press(f"{EXT}#999#")
    phone.shows("Log-in failed:", "ext. or PIN?", timeout=40)
    phone.shows("Extension:")
    assert "registered" not in rig.gatekeeper.names()
    assert not list((rig.directory / "state").iterdir())
    phone.press(f"{EXT}#{PIN}#")
    phone.shows("Registered", EXT)


def test_logging_out_forgets_everything(rig: Rig) -> None:
    phone = rig.logged_in()
    phone.press("L")
    phone.expect(e="erase", ok=True)
    phone.shows("Logging out")
    phone.shows("Extension:")
    wait_until(lambda: "ended" in rig.gatekeeper.names())
    assert not list((rig.directory / "state").iterdir())
    phone.close(cut=True)
    phone = rig.phone()
    assert phone.expect(e="boot")["store"] == "fresh"
    phone.shows("Extension:")


def test_a_revoked_key_is_fetched_anew(rig: Rig) -> None:
    rig.logged_in().close(cut=True)
    rig.gatekeeper.revoked.update(rig.keyserver.kgs)
    phone = rig.phone()
    phone.expect(e="step", step="key-revoked")
    phone.shows("Registered", EXT)
    assert len(rig.keyserver.kgs) == 2


def test_the_channel_is_opened_again(rig: Rig) -> None:
    phone = rig.logged_in()
    rig.gatekeeper.drop_channel()
    phone.shows("Channel failed,", "trying again")
    # Its PSK is no longer listened for; after some tries the phone registers anew.
    phone.expect(e="registered", timeout=40)
    phone.shows("Registered", EXT)


def test_logged_out_by_the_gatekeeper(rig: Rig) -> None:
    phone = rig.logged_in()
    rig.gatekeeper.release("maintenance")
    phone.expect(e="ras", way="in", message="URQ")
    phone.expect(e="ras", way="out", message="UCF")
    phone.shows("Registered", EXT)  # by itself, at once
    rig.gatekeeper.release("undefinedReason")
    phone.shows("Gatekeeper has", "logged you out")
    phone.shows("Extension:")


def test_records_lost_are_said_so(rig: Rig) -> None:
    rig.logged_in().close(cut=True)
    for slot in (rig.directory / "state").glob("slot*"):
        slot.write_bytes(slot.read_bytes()[:-1] + b"!")
    phone = rig.phone()
    assert phone.expect(e="boot")["store"] == "damaged"
    phone.shows("Stored keys lost", "log in again")
    phone.shows("Extension:")
