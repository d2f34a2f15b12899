"""Files written whole or not at all, and secrets that only their owner may read."""

import os
import stat

import pytest
from ringkey.errors import UserError
from ringkey.site import files


def test_a_file_has_its_mode_whatever_the_umask(tmp_path):
    old = os.umask(0o277)
    try:
        files.write(tmp_path / "secret", b"s")
        files.write(tmp_path / "public", b"p", files.PUBLIC)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "public").stat().st_mode) == 0o644
    assert sorted(p.name for p in tmp_path.iterdir()) == ["public", "secret"]


@pytest.mark.parametrize("failing", ["write", "fsync", "fchmod"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failing):
    path = tmp_path / "f"
    files.write(path, b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="No space"):
        files.write(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_short_writes_are_carried_on(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data[:3])))
    files.write(tmp_path / "f", b"0123456789")
    monkeypatch.undo()
    assert (tmp_path / "f").read_bytes() == b"0123456789"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_secret_open_to_others_is_refused_with_the_chmod_to_type(tmp_path, mode):
    path = tmp_path / "a seed"
    files.write(path, b"secret")
    path.chmod(mode)
    for read in (files.read_secret, files.check_secret):
        with pytest.raises(UserError) as caught:
            read(path, "the seed")
        assert f"{mode:04o}" in caught.value.what
        assert caught.value.next_step == f"chmod 600 '{path}'"
    path.chmod(0o600)
    assert files.read_secret(path, "the seed") == b"secret"


def test_what_is_missing_too_large_or_no_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        files.read(tmp_path / "x", "it")
    with pytest.raises(UserError, match="not a file"):
        files.read(tmp_path, "it")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UserError, match="not a file"):
        files.read(tmp_path / "fifo", "it")
    (tmp_path / "big").write_bytes(bytes(files.MAX_FILE + 1))
    with pytest.raises(UserError, match="something else"):
        files.read(tmp_path / "big", "it")
    (tmp_path / "full").write_bytes(bytes(files.MAX_FILE))
    assert len(files.read(tmp_path / "full", "it")) == files.MAX_FILE
