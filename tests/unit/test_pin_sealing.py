"""PINs at rest: sealed under the key file, tied to their extension, in no file in clear."""

import os
import stat

import pytest
from directory_files import EXT, PIN, put_key, raw
from hypothesis import given, settings
from hypothesis import strategies as st
from ringkey.gatekeeper import errors
from ringkey.gatekeeper.directory import Directory
from ringkey.gatekeeper.sealing import BrokenSealError, Sealer


@pytest.fixture
def paths(tmp_path):
    return tmp_path / "directory.db", tmp_path / "pin.key"


@pytest.fixture
def directory(paths):
    with Directory.open(*paths) as opened:
        yield opened


# Sealing


@settings(max_examples=200)
@given(key=st.binary(min_size=32, max_size=32), ext=EXT, pin=PIN)
def test_a_sealed_pin_opens_for_its_extension_only(key, ext, pin):
    sealer = Sealer(key)
    sealed = sealer.seal_pin(ext, pin)
    assert sealer.open_pin(ext, sealed) == pin
    assert len(sealed) == 45
    with pytest.raises(BrokenSealError):
        sealer.open_pin(ext + "0", sealed)
    with pytest.raises(BrokenSealError):
        Sealer(bytes(b ^ 1 for b in key)).open_pin(ext, sealed)
    assert sealer.seal_pin(ext, pin) != sealed


@settings(max_examples=200)
@given(at=st.integers(0, 44), bit=st.integers(0, 7))
def test_any_flipped_bit_breaks_the_seal(at, bit):
    sealer = Sealer(bytes(32))
    sealed = bytearray(sealer.seal_pin("1001", "4711"))
    sealed[at] ^= 1 << bit
    with pytest.raises(BrokenSealError):
        sealer.open_pin("1001", bytes(sealed))


def test_no_pin_is_in_any_file(paths):
    with Directory.open(*paths) as directory:
        directory.add("1001", "4711471147114711")
        directory.import_csv(["1002,0815081508150815"])
        directory.set_pin("1001", "2342234223422342")
        for file in paths[0].parent.iterdir():  # the write-ahead log is among them now
            octets = file.read_bytes()
            for pin in (b"4711471147114711", b"0815081508150815", b"2342234223422342"):
                assert pin not in octets, file
    assert [f.name for f in paths[0].parent.iterdir() if stat.S_IMODE(f.stat().st_mode) != 0o600] == []


def test_files_are_for_the_owner_only_while_open(paths):
    old = os.umask(0)
    try:
        with Directory.open(*paths) as directory:
            directory.add("1001", "4711")
            modes = {f.name: stat.S_IMODE(f.stat().st_mode) for f in paths[0].parent.iterdir()}
    finally:
        os.umask(old)
    assert set(modes) == {"directory.db", "directory.db-wal", "directory.db-shm", "pin.key"}
    assert set(modes.values()) == {0o600}


def test_swapped_sealed_pins_are_detected(paths, directory):
    directory.add("1001", "4711")
    directory.add("1002", "0815")
    directory.add("1003", "2342")
    [(sealed,)] = raw(paths[0], "SELECT sealed_pin FROM extension WHERE ext = '1002'")
    raw(paths[0], "UPDATE extension SET sealed_pin = ? WHERE ext = '1001'", sealed)
    with pytest.raises(errors.SealedPinError, match="1001"):
        directory.get("1001")
    assert directory.get("1003").pin == "2342"
    directory.set_pin("1001", "4712")  # what the error says to do helps
    assert directory.get("1001").pin == "4712"


# The key file


def test_a_key_that_is_there_before_the_database_is_used(paths):
    key = bytes(range(32))
    put_key(paths[1], key)
    with Directory.open(*paths) as directory:
        directory.add("1001", "4711")
    assert paths[1].read_bytes() == key


def test_a_database_without_its_key_is_refused(paths):
    Directory.open(*paths).close()
    paths[1].unlink()
    with pytest.raises(errors.PinKeyError, match="back-up"):
        Directory.open(*paths)
    assert not paths[1].exists()


def test_a_database_with_another_key_is_refused(paths):
    Directory.open(*paths).close()
    put_key(paths[1])
    with pytest.raises(errors.PinKeyError, match="not the key"):
        Directory.open(*paths)


@pytest.mark.parametrize("octets", [b"", bytes(31), bytes(33), b"00" * 32])
def test_a_damaged_key_is_refused(paths, octets):
    put_key(paths[1], octets)
    with pytest.raises(errors.PinKeyError, match="32 octets"):
        Directory.open(*paths)


def test_a_key_that_others_may_read_is_refused(paths):
    Directory.open(*paths).close()
    paths[1].chmod(0o640)
    with pytest.raises(errors.PinKeyError, match="chmod 600"):
        Directory.open(*paths)


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(errors.DirectoryError, match="nowhere"):
        Directory.open(tmp_path / "nowhere" / "directory.db", tmp_path / "nowhere" / "pin.key")
