"""The seed: sealed at rest, on paper, and its generations."""

import json
import os
import secrets
import subprocess
import sys

import pytest
from ras.keys import SHA256
from ringkey.errors import UserError
from ringkey.keyserver import keyring, sealing, words
from ringkey.keyserver.keyring import Keyring
from ringkey.site import files

SEED = bytes(range(32))
PASSPHRASE = "correct horse battery staple"


def nobody():
    raise AssertionError("nobody is to be asked")


@pytest.fixture
def cheap(monkeypatch):
    """Scrypt at a cost that tests can pay."""
    monkeypatch.setattr(sealing, "SCRYPT_N", 1 << 10)


@pytest.fixture
def ring(tmp_path):
    return keyring.first(SEED, sealing.new_key_file(tmp_path / "seed.key"), 1000)


# ---- sealed


def test_a_sealed_seed_opens_again_and_shows_nowhere(tmp_path, ring):
    path = tmp_path / "seed"
    keyring.write(path, ring)
    assert keyring.read(path, tmp_path / "seed.key", nobody) == ring
    assert keyring.seal_of(path) == "key"
    for text in (path.read_bytes(), repr(ring).encode(), repr(ring.seal).encode()):
        for form in (SEED, SEED.hex().encode(), repr(SEED).encode()):
            assert form not in text
    assert ring.seal.key.hex() not in repr(ring)
    assert path.stat().st_mode & 0o777 == (tmp_path / "seed.key").stat().st_mode & 0o777 == 0o600


def test_every_flipped_bit_of_it_is_noticed(tmp_path, ring):
    path = tmp_path / "seed"
    keyring.write(path, ring)
    good = path.read_bytes()
    for i in range(len(good) - 1):  # but the line's end
        flipped = bytearray(good)
        flipped[i] ^= 1
        path.write_bytes(flipped)
        with pytest.raises(UserError) as caught:
            keyring.read(path, tmp_path / "seed.key", nobody)
        assert SEED.hex() not in str(caught.value)


def test_nobody_can_lengthen_an_overlap(tmp_path, ring):
    path = tmp_path / "seed"
    keyring.write(path, ring.rotated(bytes(32), 100, 2000))
    body = json.loads(path.read_text())
    assert body["generations"][0]["until"] == 2100
    body["generations"][0]["until"] = 1 << 40
    path.write_text(json.dumps(body))
    with pytest.raises(UserError, match="does not open"):
        keyring.read(path, tmp_path / "seed.key", nobody)


def test_another_key_does_not_open_it(tmp_path, ring):
    keyring.write(tmp_path / "seed", ring)
    files.write(tmp_path / "seed.key", secrets.token_bytes(32))
    with pytest.raises(UserError, match="does not open") as caught:
        keyring.read(tmp_path / "seed", tmp_path / "seed.key", nobody)
    assert caught.value.next_step == "ringkey seed enter --replace"
    files.write(tmp_path / "seed.key", b"short")
    with pytest.raises(UserError, match="32 octets"):
        keyring.read(tmp_path / "seed", tmp_path / "seed.key", nobody)
    (tmp_path / "seed.key").unlink()
    with pytest.raises(UserError, match="cannot be read"):
        keyring.read(tmp_path / "seed", tmp_path / "seed.key", nobody)


def test_a_credential_goes_before_the_file(tmp_path, ring, monkeypatch):
    keyring.write(tmp_path / "seed", ring)
    directory = tmp_path / "credentials"
    directory.mkdir()
    (tmp_path / "seed.key").rename(directory / sealing.CREDENTIAL)
    (directory / sealing.CREDENTIAL).chmod(0o440)  # as systemd's access list shows
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(directory))
    assert keyring.read(tmp_path / "seed", tmp_path / "seed.key", nobody) == ring


def test_a_passphrase_opens_it_and_another_does_not(tmp_path, ring, cheap):
    path = tmp_path / "seed"
    keyring.write(path, Keyring(ring.generations, sealing.from_passphrase(PASSPHRASE)))
    found = keyring.read(path, tmp_path / "none", lambda: PASSPHRASE)
    assert found.generations == ring.generations
    # What reads can write again, without asking.
    keyring.write(path, found.rotated(bytes(32), 10, 2000))
    assert keyring.read(path, tmp_path / "none", lambda: PASSPHRASE).current.number == 2
    with pytest.raises(UserError, match="another passphrase") as caught:
        keyring.read(path, tmp_path / "none", lambda: "x" * 20)
    assert "xxx" not in str(caught.value)
    with pytest.raises(UserError, match="12 to 1024"):
        sealing.from_passphrase("short")


def test_a_foreign_file_cannot_make_scrypt_eat_the_memory(tmp_path):
    body = {"version": 1, "seal": {"by": "passphrase", "salt": "00", "n": 1 << 40, "r": 8, "p": 1}}
    files.write(tmp_path / "seed", json.dumps({**body, "generations": [], "sealed": "00"}).encode())
    with pytest.raises(UserError, match="no seal known"):
        keyring.read(tmp_path / "seed", tmp_path / "seed.key", nobody)


def test_a_seed_in_clear_is_refused_and_says_how_to_seal_it(tmp_path):
    files.write(tmp_path / "seed", SEED.hex().encode())
    with pytest.raises(UserError, match="in clear") as caught:
        keyring.read(tmp_path / "seed", tmp_path / "seed.key", nobody)
    assert caught.value.next_step == "ringkey seed seal"
    assert SEED.hex() not in str(caught.value)


# ---- generations


def test_generations_begin_overlap_and_end(ring):
    two = ring.rotated(b"2" * 32, 100, 2000)
    assert [g.number for g in two.in_force(2099)] == [2, 1]
    assert [g.number for g in two.in_force(2100)] == [2]
    three = two.rotated(b"3" * 32, 100, 2050)
    assert [(g.number, g.until) for g in three.generations] == [(1, 2100), (2, 2150), (3, None)]
    four = three.rotated(b"4" * 32, 0, 3000)
    assert [g.number for g in four.generations] == [4]  # seeds of no use are forgotten
    assert [g.number for g in three.ended(1, 2060).generations] == [2, 3]
    for wrong in (
        lambda: two.rotated(b"2" * 32, 1, 2001),
        lambda: two.ended(2, 2001),
        lambda: two.ended(9, 2001),
    ):
        with pytest.raises(UserError):
            wrong()
    full = ring
    for i in range(keyring.MAX_GENERATIONS - 1):
        full = full.rotated(bytes([i]) * 32, 10_000, 2000 + i)
    with pytest.raises(UserError, match="are in force"):
        full.rotated(b"9" * 32, 10, 2100)


# ---- on paper


@pytest.mark.parametrize("size", words.SIZES)
def test_words_and_shares_give_the_seed_back(size):
    seed = secrets.token_bytes(size)
    text = words.to_words(seed)
    assert len(text.split()) == size * 3 // 4
    assert words.from_words("  " + text.upper().replace(" ", "\n ")) == seed
    shares = words.split(seed, 2, 3)
    for pair in ((0, 1), (0, 2), (2, 1)):
        assert words.join([shares[i] for i in pair]) == seed
    assert words.needed(shares[0]) == 2


def test_vectors_of_the_standards():
    # BIP-39's own list of test vectors, and python-shamir-mnemonic's (SLIP-39, vectors.json, 4).
    assert words.to_words(bytes(16)) == "abandon " * 11 + "about"
    assert words.to_words(b"\x7f" * 32).split()[-1] == "title"


def test_wrong_words_are_told_by_their_place_only():
    text = words.to_words(SEED).split()
    with pytest.raises(UserError, match="word 3") as caught:
        words.from_words(" ".join([*text[:2], "zebras", *text[3:]]))
    assert "zebras" not in str(caught.value)
    for wrong in ([*text[:-2], text[-1], text[-2]], text[:-1], []):
        with pytest.raises(UserError) as caught:
            words.from_words(" ".join(wrong))
        assert not wrong or text[0] not in str(caught.value).split()


def test_wrong_shares_are_refused():
    shares, others = words.split(SEED, 2, 3), words.split(bytes(32), 2, 3)
    for wrong in (shares[:1], [shares[0]] * 2, [shares[0], others[1]], [shares[0], "academic acid"]):
        with pytest.raises(UserError, match="do not give a seed"):
            words.join(wrong)
    for need, count in ((1, 3), (4, 3), (2, 17)):
        with pytest.raises(UserError):
            words.split(SEED, need, count)


# ---- the process


def test_a_process_hides_itself():
    code = (
        "import ctypes, resource; from ringkey.site import process; assert process.hide();"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))"
    )
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0 (0, 0)\n"


def test_the_check_value_is_protocol_mds(ring):
    assert ring.current.check_value(SHA256).hex() == "19834e"
