"""One site's administration: what is to be done is checked, put on record, and done."""

import asyncio
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ringkey import log
from ringkey.administration import catalogue
from ringkey.administration.live import Live
from ringkey.administration.readers import Readers
from ringkey.administration.record import Record
from ringkey.administration.roles import Author, Forbidden, Role
from ringkey.administration.table import Action, Entry
from ringkey.administration.values import checked, cut, on_record
from ringkey.errors import UserError
from ringkey.site import control, files
from ringkey.site.config import Config, Site, load

DIRECTORY = "admin"

if TYPE_CHECKING:
    from ringkey.gatekeeper.directory import Entry as Extension

_T = TypeVar("_T")
_log = log.get("ringkey.administration")


class Unknown(UserError):
    """There is no such action or query."""


def no_passphrase() -> str:
    """Say that nobody is there to type the passphrase of the seed."""
    raise UserError(
        "the seed is sealed under a passphrase, and the key server does not run: start it, or do it at its "
        "command line",
        "ringkey keyserver serve",
    )


class Administration:
    """Of one site.  passphrase: asked for where the seed needs one and no key server runs.

    live: follows the gatekeeper once `start` was called.  Belongs to one event loop.
    """

    def __init__(self, site: Site, passphrase: Callable[[], str] = no_passphrase) -> None:
        self.site = site
        self.passphrase = passphrase
        self.directory = site.root / DIRECTORY
        self.record = Record(self.directory)
        self.live = Live(site)
        self.readers = Readers()
        self._config: Config | None = None
        self._config_version: tuple[int, int] = (0, 0)
        self._accounts: Any = None

    @property
    def config(self) -> Config:
        """The site's configuration, read again where the file has changed; raises UserError."""
        try:
            about = self.site.config_file.stat()
            version = about.st_mtime_ns, about.st_ino
        except OSError:
            version = (0, 0)
        if self._config is None or version != self._config_version or version == (0, 0):
            self._config, self._config_version = load(self.site), version
        return self._config

    @property
    def accounts(self) -> Any:
        """The users of the console (accounts/store.py), opened at the first use; raises UserError."""
        if self._accounts is None:
            files.make_directory(self.directory)
            store = importlib.import_module("ringkey.administration.accounts.store")
            self._accounts = store.Accounts.open(self.directory / "accounts.db")
        return self._accounts

    async def start(self) -> None:
        """Begin to follow the servers, for `live` and its series."""
        await self.live.start()

    async def stop(self) -> None:
        """Let go of everything; safe at any time, and twice."""
        await self.live.stop()
        self.readers.close()
        if self._accounts is not None:
            accounts, self._accounts = self._accounts, None
            accounts.close()

    async def do(self, author: Author, name: str, /, **values: object) -> dict[str, Any]:
        """Carry out an action, and put it on record; returns its result.

        Raises Forbidden, Unknown, BadValue or another UserError: it was not done then, and is on record.
        """
        action = catalogue.actions().get(name)
        if action is None:
            await self.record.refused(author, name, "there is no such action")
            raise Unknown(f"there is no action {cut(name)!r}", "ringkey --help")
        good = await self._admitted(author, action, values)
        told = {"action": name, "values": on_record(action, good)}
        number = await self.record.write(author, "asked", **told)
        try:
            result = await action.does(self, author, **good)
        except BaseException as error:
            # The type of what nobody expected; its text may hold anything.
            reason = cut(error.what) if isinstance(error, UserError) else type(error).__name__
            await asyncio.shield(self._note(author, "failed", **told, of=number, reason=reason))
            raise
        await self._note(author, "done", **told, of=number)
        self.live.did(action.name, good)
        return result

    async def ask(self, author: Author, name: str, /, **values: object) -> dict[str, Any]:
        """Answer a query; raises as `do`.  Only refusals are on record."""
        query = catalogue.queries().get(name)
        if query is None:
            raise Unknown(f"there is no query {cut(name)!r}", "ringkey --help")
        good = await self._admitted(author, query, values)
        return await query.does(self, author, **good)

    async def note(self, author: Author, what: str, outcome: str, /, **fields: object) -> None:
        """Put on record what is no action: "log-in", "log-out", a request that was refused.

        outcome: "done" or "refused" (of which too many a second are only counted); texts are cut.  Where the
        record cannot be written, the log has a line.
        """
        told = {name: cut(value) if isinstance(value, str) else value for name, value in fields.items()}
        if outcome == "refused":
            reason = str(told.pop("reason", ""))
            await self.record.refused(author, what, reason, **told)
        else:
            await self._note(author, outcome, action=cut(what), **told)

    # -- for the entries of the table

    async def control(self, server: str, do: str, /, **arguments: object) -> dict[str, Any] | None:
        """Ask a running service over its control socket, None where it does not run; raises UserError."""
        if not self.site.run.is_dir():
            return None
        return await control.inquire(self.site.run, server, do, **arguments)

    async def entries(self) -> "tuple[Extension, ...]":
        """Return all extensions; raises UserError."""
        return await self.readers.entries(self.config)

    async def off_loop(self, work: Callable[[], _T]) -> _T:
        """Return what `work` does to files, done in a thread; OSError becomes a UserError."""

        def guarded() -> _T:
            try:
                return work()
            except OSError as error:
                where = error.filename or "a file of the site"
                raise UserError(f"{where}: {error.strerror}", "df -h .") from None

        return await asyncio.to_thread(guarded)

    async def _admitted(self, author: Author, entry: Entry, values: dict[str, object]) -> dict[str, Any]:
        if author.role < entry.role:
            what = (
                f"{entry.name} is for the role {entry.role.title}, and {author.name} is {author.role.title}"
            )
            await self.record.refused(author, entry.name, "role")
            raise Forbidden(what, "ringkey user role --help")
        try:
            return checked(entry, values)
        except UserError as error:
            if isinstance(entry, Action):
                await self.record.refused(author, entry.name, error.what)
            raise

    async def _note(self, author: Author, what: str, /, **fields: object) -> None:
        try:
            await self.record.write(author, what, **fields)
        except UserError as error:
            # What was asked is on record, what came of it is here.
            _log.error("outcome_not_on_record", outcome=what, action=fields.get("action"), reason=error.what)


__all__ = ["Administration", "Author", "Forbidden", "Role", "Unknown"]
