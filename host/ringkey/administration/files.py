"""What phones get besides keys: the files and templates of the file service (keyserver/shelf.py).

Names are those that phones ask for: "files/firmware/one.bin", "settings/phone.cfg".  As where they are read
(keyserver/tree.py), every part is opened from the directory before it, and no link is followed.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringkey.administration.roles import Author, Role
from ringkey.administration.table import (
    FLAG,
    INTEGER,
    SECONDS,
    TEXT,
    Action,
    Parameter,
    Query,
    listing,
    maybe,
    thing,
)
from ringkey.errors import UserError
from ringkey.site import files as site_files

if TYPE_CHECKING:
    from ringkey.administration.site import Administration

# Entries of one directory that are listed: a person looks at a screen or two, a script at a model range.
MAX_ENTRIES = 2000
# Octets of one file that is put here; a template is a text of a few KiB.
MAX_FILE = 32 << 20
_HERE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_BELOW = _HERE | os.O_NOFOLLOW


async def list_(admin: "Administration", _author: Author, *, path: str) -> Any:
    return await admin.off_loop(lambda: _list(admin, path.strip("/")))


async def put(admin: "Administration", _author: Author, *, path: str, content: bytes, replace: bool) -> Any:
    new = await admin.off_loop(lambda: _put(admin, path, content, replace))
    return {"path": path, "size": len(content), "new": new}


async def remove(admin: "Administration", _author: Author, *, path: str) -> Any:
    await admin.off_loop(lambda: _remove(admin, path))
    return {"path": path}


def _list(admin: "Administration", path: str) -> Any:
    roots = _roots(admin)
    if not path:
        entries = [{"name": name, "kind": "folder", "size": None, "changed": None} for name in roots]
        return {"path": "", "entries": entries, "more": False}
    first, parts = _parts(roots, path, empty=True)
    found: list[dict[str, Any]] = []
    more = False
    with _walk(roots[first], parts, make=False) as at:
        listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=at)
        try:
            names = sorted(os.listdir(listed))
        finally:
            os.close(listed)
        for name in names:
            about = os.stat(name, dir_fd=at, follow_symlinks=False)
            kind = "folder" if stat.S_ISDIR(about.st_mode) else "template" if first == "settings" else "file"
            if not _good(name) or not (stat.S_ISDIR(about.st_mode) or stat.S_ISREG(about.st_mode)):
                continue  # no phone can ask for it
            if len(found) == MAX_ENTRIES:
                more = True
                break
            size = None if kind == "folder" else about.st_size
            found.append({"name": name, "kind": kind, "size": size, "changed": about.st_mtime})
    found.sort(key=lambda one: one["kind"] != "folder")
    return {"path": path, "entries": found, "more": more}


def _put(admin: "Administration", path: str, content: bytes, replace: bool) -> bool:
    roots = _roots(admin)
    first, parts = _parts(roots, path)
    if first == "settings":
        _check_template(path, content)
    *directories, name = parts
    with _walk(roots[first], directories, make=True) as at:
        there = _kind(name, at)
        if there == "folder":
            raise UserError(f"{path} is a directory", f"ringkey file list {path}")
        if there is not None and not replace:
            raise UserError(f"{path} is there already", f"ringkey file put --replace {path} FILE")
        temporary = f".{name}.{secrets.token_hex(4)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, site_files.PUBLIC, dir_fd=at)
        try:
            try:
                view = memoryview(content)
                while view:
                    view = view[os.write(descriptor, view) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(temporary, name, src_dir_fd=at, dst_dir_fd=at)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=at)
            raise
        _sync(at)
    return there is None


def _remove(admin: "Administration", path: str) -> None:
    roots = _roots(admin)
    first, parts = _parts(roots, path)
    *directories, name = parts
    with _walk(roots[first], directories, make=False) as at:
        there = _kind(name, at)
        if there is None:
            raise UserError(f"there is no {path}", f"ringkey file list {first}")
        try:
            if there == "folder":
                os.rmdir(name, dir_fd=at)
            else:
                os.unlink(name, dir_fd=at)
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                raise UserError(f"{path} is not empty", f"ringkey file list {path}") from None
            raise
        _sync(at)


def _roots(admin: "Administration") -> dict[str, Path]:
    config = admin.config.need_keyserver().files
    found = {"files": config.directory, "settings": config.templates}
    return {name: path for name, path in found.items() if path is not None}


def _parts(roots: dict[str, Path], path: str, *, empty: bool = False) -> tuple[str, tuple[str, ...]]:
    """Return the root's name and the parts below it; raises UserError."""
    from ringkey.keyserver.names import BadName, parts_of

    first, _, rest = path.partition("/")
    if first not in roots:
        there = " or ".join(f"{name}/…" for name in roots) or "nothing: ringkey.toml has no [keyserver.files]"
        raise UserError(f"{path!r}: there is {there}", "ringkey file list")
    if not rest and empty:
        return first, ()
    try:
        return first, parts_of(rest)
    except BadName:
        raise UserError(
            f"{path!r} is no name that phones can ask for: letters, digits and . _ + @ -, no dot in front, "
            "up to 64 characters a part and 8 parts",
            "ringkey file list",
        ) from None


def _good(name: str) -> bool:
    from ringkey.keyserver.names import BadName, one_part

    try:
        return bool(one_part(name))
    except BadName:
        return False


def _check_template(path: str, content: bytes) -> None:
    from ringkey.keyserver.templates import check

    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise UserError(f"{path} is a template, and not UTF-8 text", "ringkey file put --help") from None
    wrong = check(text)
    if wrong is not None:
        raise UserError(f"{path} is no template that can be filled: {wrong}", "ringkey file put --help")


def _kind(name: str, at: int) -> str | None:
    try:
        about = os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return "folder" if stat.S_ISDIR(about.st_mode) else "file"


@contextmanager
def _walk(root: Path, parts: tuple[str, ...] | list[str], *, make: bool) -> Iterator[int]:
    """Give the directory `parts` below the root, open; make: make what is not there."""
    at = os.open(root, _HERE)
    try:
        for part in parts:
            try:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=at)
                below = os.open(part, _BELOW, dir_fd=at)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                    raise UserError(f"there is no directory {'/'.join(parts)}", "ringkey file list") from None
                raise
            os.close(at)
            at = below
        yield at
    finally:
        os.close(at)


def _sync(at: int) -> None:
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=at)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Characters of a whole name: keyserver/names.py's 255, and the root's.
_PATH = Parameter("path", "text", "its name, such as files/firmware/one.bin", least=1, most=300)

QUERIES = (
    Query(
        "files",
        Role.VIEWER,
        "What phones get besides keys: files and templates",
        ("file", "list"),
        list_,
        (
            Parameter(
                "path", "text", "a directory, such as files/firmware", required=False, default="", most=300
            ),
        ),
        thing(
            {
                "path": TEXT,
                "entries": listing(
                    thing(
                        {
                            "name": TEXT,
                            "kind": {"enum": ["folder", "file", "template"]},
                            "size": maybe(INTEGER),
                            "changed": maybe(SECONDS),
                        }
                    )
                ),
                "more": FLAG,
            }
        ),
    ),
)

ACTIONS = (
    Action(
        "file.put",
        Role.ADMINISTRATOR,
        "Put a file or a template where phones get it",
        ("file", "put"),
        put,
        (
            _PATH,
            Parameter("content", "content", "what is in it", most=MAX_FILE),
            Parameter("replace", "flag", "in the place of one that is there", required=False, default=False),
        ),
        thing({"path": TEXT, "size": INTEGER, "new": FLAG}),
    ),
    Action(
        "file.remove",
        Role.ADMINISTRATOR,
        "Remove a file, a template or an empty directory",
        ("file", "remove"),
        remove,
        (_PATH,),
        thing({"path": TEXT}),
    ),
)
