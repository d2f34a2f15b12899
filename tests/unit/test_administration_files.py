"""Files and templates for phones, put and removed by an administrator; nothing outside their directories."""

import asyncio
import os

import pytest
from ringkey.administration.roles import Author, Role
from ringkey.administration.site import Administration
from ringkey.errors import UserError
from ringkey.site.config import Site

ADMIN = Author("ann", Role.ADMINISTRATOR, "console", "192.0.2.7")
TOML = """\
[keyserver]
listen = "127.0.0.1"
server_id = "02:fc:00:00:00:01"
[keyserver.files]
directory = "files"
templates = "templates"
"""


@pytest.fixture
def site(tmp_path):
    (tmp_path / "ringkey.toml").write_text(TOML)
    for name in ("files", "templates", "keyserver", "elsewhere"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def files(site):
    """`files("put", path=…)`, `files("list", path=…)`, `files("remove", path=…)`."""

    def run(what, **values):
        async def within():
            administration = Administration(Site(site))
            try:
                if what == "list":
                    return await administration.ask(ADMIN, "files", **values)
                return await administration.do(ADMIN, f"file.{what}", **values)
            finally:
                await administration.stop()

        return asyncio.run(within())

    return run


def names(found):
    return [(one["name"], one["kind"], one["size"]) for one in found["entries"]]


def test_put_list_replace_remove(site, files):
    assert names(files("list")) == [("files", "folder", None), ("settings", "folder", None)]
    assert files("put", path="files/firmware/a/one.bin", content=b"1") == {
        "path": "files/firmware/a/one.bin",
        "size": 1,
        "new": True,
    }
    with pytest.raises(UserError, match="there already"):
        files("put", path="files/firmware/a/one.bin", content=b"22")
    assert (site / "files/firmware/a/one.bin").read_bytes() == b"1"
    assert not files("put", path="files/firmware/a/one.bin", content=b"22", replace=True)["new"]
    assert (site / "files/firmware/a/one.bin").read_bytes() == b"22"
    files("put", path="settings/phone.cfg", content=b"ext={{ ext }}\n")
    assert (site / "templates/phone.cfg").read_text() == "ext={{ ext }}\n"
    assert names(files("list", path="files/firmware")) == [("a", "folder", None)]
    assert names(files("list", path="settings")) == [("phone.cfg", "template", 14)]
    with pytest.raises(UserError, match="not empty"):
        files("remove", path="files/firmware/a")
    with pytest.raises(UserError, match="is a directory"):
        files("put", path="files/firmware/a", content=b"", replace=True)
    files("remove", path="files/firmware/a/one.bin")
    files("remove", path="files/firmware/a")
    with pytest.raises(UserError, match="there is no"):
        files("remove", path="files/firmware/a")
    assert sorted(os.listdir(site / "files/firmware")) == []  # no temporary file either


@pytest.mark.parametrize(
    "path",
    [
        *("../x", "files/../x", "files//x", "files/.x", "files/a/../../x", "/etc/passwd", "files/", "files"),
        *("files/a\\b", "files/a%2f..", "keyserver/seed", "files/" + "a/" * 9 + "x", "files/" + "a" * 65),
    ],
)
def test_no_name_leads_elsewhere(site, files, path):
    with pytest.raises(UserError):
        files("put", path=path, content=b"x", replace=True)
    with pytest.raises(UserError):
        files("remove", path=path)
    assert not (site / "x").exists()


def test_no_link_is_followed(site, files):
    (site / "elsewhere/secret").write_text("old")
    (site / "files/away").symlink_to(site / "elsewhere")
    (site / "files/link").symlink_to(site / "elsewhere/secret")
    os.mkfifo(site / "files/pipe")
    with pytest.raises(UserError, match="no directory away"):
        files("put", path="files/away/new", content=b"x")
    with pytest.raises(UserError, match="no directory away"):
        files("list", path="files/away")
    files("put", path="files/link", content=b"new", replace=True)  # the link itself is replaced
    assert (site / "elsewhere/secret").read_text() == "old"
    assert not (site / "files/link").is_symlink()
    assert names(files("list", path="files")) == [("link", "file", 3)]  # no link and no pipe is listed
    assert os.listdir(site / "elsewhere") == ["secret"]


@pytest.mark.parametrize("content", [b"{% if %}", b"{{ ext", b"\xff\xfe", b"x" * (2 << 20)])
def test_what_is_no_template_is_not_put(site, files, content):
    with pytest.raises(UserError, match="template"):
        files("put", path="settings/phone.cfg", content=content)
    assert os.listdir(site / "templates") == []


def test_a_full_disk_leaves_the_old_file(site, files, monkeypatch):
    files("put", path="files/one", content=b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ringkey.administration.files.os.fsync", full)
    with pytest.raises(UserError, match="No space left"):
        files("put", path="files/one", content=b"new", replace=True)
    monkeypatch.undo()
    assert (site / "files/one").read_bytes() == b"old"
    assert os.listdir(site / "files") == ["one"]
