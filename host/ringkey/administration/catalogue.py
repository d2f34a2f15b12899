"""All entries of the table: each module here has ENTRIES, or ACTIONS and QUERIES."""

import functools
import importlib

from ringkey.administration.table import KINDS, Action, Entry, Query

MODULES = (
    "ringkey.administration.overview",
    "ringkey.administration.phones",
    "ringkey.administration.extensions",
    "ringkey.administration.keys",
    "ringkey.administration.enrolment",
    "ringkey.administration.certificates",
    "ringkey.administration.files",
    "ringkey.administration.labels",
    "ringkey.administration.audit",
    "ringkey.administration.settings",
    "ringkey.administration.accounts.actions",
)


@functools.cache
def actions() -> dict[str, Action]:
    """Return every action by its name, in the order of the modules."""
    return {name: entry for name, entry in _all().items() if isinstance(entry, Action)}


@functools.cache
def queries() -> dict[str, Query]:
    """Return every query by its name."""
    return {name: entry for name, entry in _all().items() if not isinstance(entry, Action)}


@functools.cache
def _all() -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not name.startswith(error.name):
                raise
            continue  # a package without that room
        entries = (*getattr(module, "QUERIES", ()), *getattr(module, "ACTIONS", ()))
        for entry in entries:
            if entry.name in found:
                raise ValueError(f"{entry.name} is there twice")
            bad = [one.name for one in entry.parameters if one.kind not in KINDS]
            if bad:
                raise ValueError(f"{entry.name}: of an unknown kind: {', '.join(bad)}")
            found[entry.name] = entry
    return found
