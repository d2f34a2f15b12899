"""Which files the state of N workers is in, and from one number of workers to another.

One process has the file that the site names, `state.db`.  N workers have `state-0ofN.db` to
`state-(N-1)ofN.db`, and `state.layout` says so.  That file decides: what does not belong to its N is from
before, or was never finished.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ras import kept
from ras.registrar import RETRANSMISSION

from ringkey import log
from ringkey.errors import UserError
from ringkey.gatekeeper.errors import StateForeignError
from ringkey.gatekeeper.pinkey import load_pin_key
from ringkey.gatekeeper.state import restore, rows, ticks
from ringkey.gatekeeper.state.store import MAX_ANSWERS, Batch, Loaded, Store
from ringkey.gatekeeper.workers.shards import of_extension
from ringkey.site import files
from ringkey.site.config import MAX_WORKERS, GatekeeperConfig

# What SQLite puts behind a file's name: its write-ahead log, and that one's index.
_ENDS = ("", "-wal", "-shm")


def file_of(path: Path, shard: int, shards: int) -> Path:
    """Return the file of worker `shard` of `shards`; path: the one that the site names."""
    return path if shards == 1 else path.with_name(f"{path.stem}-{shard}of{shards}{path.suffix}")


def settle(config: GatekeeperConfig, shards: int) -> None:
    """See to it that the state is in the files of `shards` workers, before any of them runs.

    Raises UserError where it cannot be read or written: then the files that were there still count.
    """
    path = config.state
    before = _read(path)
    if before != shards:
        old = [file_of(path, shard, before) for shard in range(before)]
        for name in _leftovers(path, before):
            name.unlink(missing_ok=True)
        if any(name.exists() for name in old):
            _rewrite(old, path, shards, load_pin_key(config.pin_key, config.directory))
        _write(path, shards)
    for name in _leftovers(path, shards):
        name.unlink(missing_ok=True)


def _layout(path: Path) -> Path:
    return path.with_suffix(".layout")


def _read(path: Path) -> int:
    """Return for how many workers the files are."""
    layout = _layout(path)
    if not layout.exists():
        return 1
    try:
        found = json.loads(files.read(layout, "layout of the state"))["workers"]
    except (ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, int) or not 1 < found <= MAX_WORKERS:
        raise UserError(
            f"{layout} does not say for how many workers the state is. Without it the gatekeeper begins with "
            f"what {path.name} has: phones register again as they find out",
            f"rm {layout}",
        )
    return found


def _write(path: Path, shards: int) -> None:
    """Say for how many workers the files are: from here on it is so."""
    layout = _layout(path)
    try:
        if shards == 1:
            layout.unlink(missing_ok=True)
            files.sync_directory(path.parent)
        else:
            files.write(layout, json.dumps({"workers": shards}).encode())
    except OSError as error:
        raise UserError(f"cannot write {layout}: {error.strerror}", f"ls -la {path.parent}") from None


def _leftovers(path: Path, shards: int) -> Iterator[Path]:
    """Yield the files of other numbers of workers."""
    wanted = {file_of(path, shard, shards) for shard in range(shards)}
    for other in (path, *path.parent.glob(f"{path.stem}-*of*{path.suffix}")):
        if other not in wanted and (other == path or _ours(other.stem[len(path.stem) :])):
            for end in _ENDS:
                yield other.with_name(other.name + end)


def _ours(text: str) -> bool:
    """Tell whether a name goes on as `file_of` lets it: "-0of2"."""
    shard, _, shards = text[1:].partition("of")
    return text[:1] == "-" and shard.isdecimal() and shards.isdecimal()


def _rewrite(old: list[Path], path: Path, shards: int, key: bytes) -> None:
    """Write the files of `shards` workers with what is in the old ones."""
    found = [one for name in old if (one := _load(name, key)) is not None]
    now = ticks.moment()
    shifts = [ticks.shift_after(one.moment, now) for one in found]
    # The times of all files on one scale; the highest, so that none is below zero.
    shift = max(shifts, default=0)
    there = [_Part(one, from_, now.mono) for one, from_ in zip(found, shifts, strict=True)]
    moment = replace(now, ticks=now.mono + shift)
    for shard in range(shards):
        batch = Batch(moment, whole=True)
        for part in there:
            part.put(batch, shard, shards, shift)
        batch.nonces = _newest_last([one.nonces for one in found])
        answers = sorted(entry for part in there for entry in part.answers(shift))
        batch.answers = [octets for _, octets in answers[-MAX_ANSWERS:]]
        store = Store(file_of(path, shard, shards), key)
        try:
            store.open()
            store.apply(batch)
        finally:
            store.close()
    files.sync_directory(path.parent)
    log.get("ringkey.gatekeeper.state").info(
        "state_divided", before=len(old), workers=shards, registrations=sum(len(part.held) for part in there)
    )


def _load(name: Path, key: bytes) -> Loaded | None:
    """Return what is in a file, None where it is not there or cannot be read for good."""
    if not name.exists():
        return None
    store = Store(name, key)
    try:
        store.open()
        return store.load()
    except StateForeignError as error:
        aside = store.set_aside()
        log.get("ringkey.gatekeeper.state").error(
            "state_set_aside",
            reason=error.what,
            aside=str(aside),
            effect="what was kept there is lost: its phones register again",
        )
        return None
    finally:
        store.close()


class _Part:
    """What one file had.  shift: its ticks less the monotonic clock; now: ms of that clock."""

    def __init__(self, loaded: Loaded, shift: int, now: int) -> None:
        self._loaded = loaded
        self._shift = shift
        self._now = now
        self.held = []
        for octets in loaded.registrations.values():
            try:
                one = kept.unpack(octets, shift)
            except ValueError:
                continue  # as at any start: it counts as not there (restore.py)
            if one.expires > now:
                self.held.append(one)

    def put(self, batch: Batch, shard: int, shards: int, shift: int) -> None:
        """Put into a batch what worker `shard` of `shards` is to have of it."""
        for one in self.held:
            if of_extension(one.ext, shards) == shard:
                batch.registrations[one.ext] = kept.pack(one, shift)
        for name, octets in self._loaded.keys.items():
            try:
                ext = rows.key_of(name)[1]
            except ValueError:
                continue
            if of_extension(ext, shards) == shard:
                batch.keys[name] = octets
        later = shift - self._shift
        for key, (failures, last, until) in self._loaded.failures.items():
            # By source each file has what all have counted; of two the one that says more.
            entry = (failures, last + later, until + later)
            batch.failures[key] = max(entry, batch.failures.get(key, entry))
        notes = dict(self._loaded.notes)
        moment = self._loaded.moment
        if moment is None or not ticks.same_boot(moment, ticks.moment()):
            notes.pop(restore.RG, None)
        batch.notes = {**notes, **batch.notes}

    def answers(self, shift: int) -> Iterator[tuple[int, bytes]]:
        """Yield (ticks, octets) of the answers that may still be asked for again."""
        for octets in self._loaded.answers:
            key, answer, when = rows.unpack_reply(octets)
            if self._now + self._shift - when < RETRANSMISSION:
                when += shift - self._shift
                yield when, rows.pack_reply(key, answer, when)


def _newest_last(lists: list[list[Any]]) -> list[Any]:
    """Return the entries of several lists, each once, as near to the end as in the list it came from."""
    found: dict[Any, None] = {}
    for back in range(max(map(len, lists), default=0)):
        for one in lists:
            if back < len(one):
                found.setdefault(one[-1 - back])
    return list(reversed(found))
