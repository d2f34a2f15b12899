"""The tables below `[keyserver]` in `ringkey.toml`: files, uploads, scopes, enrolment, admin.

Each may be missing; its defaults are those of a site that was made before the table existed.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ringkey.site.scope import Scope
from ringkey.site.table import Table

# Gatekeepers of one site: every one holds a connection or two of the Advanced service's 1,000.
MAX_GATEKEEPERS = 256
# Patterns that every request for a file is held against.
MAX_PATTERNS = 64
# What may stand in a gatekeeper's name: it is in a certificate's URI and a directory's name.
GATEKEEPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
POLICIES = ("open", "window", "listed")
# Octets; what a site may allow at most, so that a slip of the keyboard cannot fill every disk.
_MOST_OCTETS = 1 << 34


@dataclass(frozen=True, slots=True)
class FilesConfig:
    """`[keyserver.files]`: what phones get besides keys.

    directory: static files; templates: dynamic ones; variables: TOML that templates are filled
    from; None where there are none.  sealed: names, with * and ?, that are given out sealed only.
    """

    directory: Path | None = None
    templates: Path | None = None
    variables: Path | None = None
    sealed: tuple[str, ...] = ()

    def sealed_only(self, name: str) -> bool:
        """Tell whether `name`, such as "settings/phone.cfg", is given out sealed only."""
        return any(fnmatchcase(name, pattern) for pattern in self.sealed)


@dataclass(frozen=True, slots=True)
class UploadsConfig:
    """`[keyserver.uploads]`: what gatekeepers may write; limits for each of them.

    directory: None where none may; max_file: octets of a file; max_files: their number; max_total:
    octets of all; phones: phones may read them.
    """

    directory: Path | None = None
    max_file: int = 1 << 20
    max_files: int = 100
    max_total: int = 16 << 20
    phones: bool = False


@dataclass(frozen=True, slots=True)
class EnrolmentConfig:
    """`[keyserver.enrolment]`: who gets a key file.

    policy: one of POLICIES; directory: where the window and the list are kept; per_source: key
    files a minute for one address; per_extension: an hour for one extension from one network;
    0: no limit.
    """

    directory: Path
    policy: str = "open"
    per_source: int = 120
    per_extension: int = 30


@dataclass(frozen=True, slots=True)
class AdminConfig:
    """`[keyserver.admin]`, `[gatekeeper.admin]`: health and metrics, plain HTTP.

    listen: IP address; port: TCP.
    """

    listen: str
    port: int


@dataclass(frozen=True, slots=True)
class Scopes:
    """`[keyserver.scopes]`: name to Scope; None where every gatekeeper may ask for all."""

    scopes: Mapping[str, Scope] | None = None

    def may(self, name: str, ext: str) -> bool:
        """Tell whether gatekeeper `name` may ask for the key of `ext`."""
        if self.scopes is None:
            return True
        scope = self.scopes.get(name)
        return scope is not None and ext in scope

    def knows(self, name: str) -> bool:
        """Tell whether gatekeeper `name` may ask for anything."""
        return self.scopes is None or name in self.scopes


def read_files(table: Table | None) -> FilesConfig:
    """Return `[keyserver.files]`; raises UserError."""
    if table is None:
        return FilesConfig()
    found = FilesConfig(
        directory=_path(table, "directory"),
        templates=_path(table, "templates"),
        variables=_path(table, "variables"),
        sealed=table.texts("sealed", (), MAX_PATTERNS),
    )
    table.done()
    return found


def read_uploads(table: Table | None) -> UploadsConfig:
    """Return `[keyserver.uploads]`; raises UserError."""
    if table is None:
        return UploadsConfig()
    default = UploadsConfig()
    found = UploadsConfig(
        directory=_path(table, "directory"),
        max_file=table.integer("max_file", default.max_file, 1, _MOST_OCTETS),
        max_files=table.integer("max_files", default.max_files, 1, 100_000),
        max_total=table.integer("max_total", default.max_total, 1, _MOST_OCTETS),
        phones=table.flag("phones", False),
    )
    if found.max_total < found.max_file:
        raise table.error("max_total", "smaller than max_file")
    table.done()
    return found


def read_scopes(table: Table | None) -> Scopes:
    """Return `[keyserver.scopes]`; raises UserError."""
    if table is None:
        return Scopes()
    scopes: dict[str, Scope] = {}
    for name in table.names():
        if not GATEKEEPER_NAME.fullmatch(name):
            raise table.error(name, "not a gatekeeper's name: letters, digits and . _ -, up to 64")
        if len(scopes) >= MAX_GATEKEEPERS:
            raise table.error(name, f"more than {MAX_GATEKEEPERS} gatekeepers")
        try:
            scopes[name] = Scope(table.texts(name, (), 1 << 20))
        except ValueError as e:
            raise table.error(name, str(e)) from None
    return Scopes(scopes)


def read_enrolment(table: Table | None, default_directory: Path) -> EnrolmentConfig:
    """Return `[keyserver.enrolment]`; raises UserError."""
    default = EnrolmentConfig(default_directory)
    if table is None:
        return default
    policy = table.text("policy", default.policy)
    if policy not in POLICIES:
        raise table.error("policy", f"there are {', '.join(POLICIES)}")
    found = EnrolmentConfig(
        directory=_path(table, "directory") or default_directory,
        policy=policy,
        per_source=table.integer("per_source", default.per_source, 0, 1_000_000),
        per_extension=table.integer("per_extension", default.per_extension, 0, 1_000_000),
    )
    table.done()
    return found


def read_admin(table: Table | None, port: int = 8445) -> AdminConfig | None:
    """Return `[keyserver.admin]` or the like, None where there is none; raises UserError.

    port: its default.
    """
    if table is None:
        return None
    found = AdminConfig(table.ip("listen", "127.0.0.1"), table.port("port", port))
    everybody = table.flag("anybody", False)
    if not ipaddress.ip_address(found.listen).is_loopback and not everybody:
        raise table.error(
            "listen", "not a loopback address: it is plain HTTP, for all to read (anybody = true allows it)"
        )
    table.done()
    return found


def _path(table: Table, key: str) -> Path | None:
    return table.path(key, "") if key in table else None
