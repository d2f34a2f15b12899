"""What has changed since the last batch, and the batch that is made of it.  No I/O."""

from collections.abc import Callable
from typing import Any

from ras import kept
from ras.held import Held
from ras.registrar import Registrar
from ras.throttle import MAX_SOURCES

from ringkey.gatekeeper.answers import Found, Status
from ringkey.gatekeeper.state import rows
from ringkey.gatekeeper.state.restore import RG, STATUSES, Keys
from ringkey.gatekeeper.state.store import MAX_ANSWERS, Batch
from ringkey.gatekeeper.state.sweep import Sweep
from ringkey.gatekeeper.state.ticks import Moment


class Collector:
    """Changes of one registrar and of the keys.

    all_keys: tells all there is of keys; failures: the counters that are on the disk.
    """

    def __init__(self, registrar: Registrar, all_keys: Callable[[], Keys], failures: set[str]) -> None:
        self._registrar = registrar
        self._all_keys = all_keys
        self._failures = failures
        self._keys: dict[bytes, bytes | None] = {}
        self._notes: dict[str, bytes] = {RG: registrar.server_nonces.key}
        self._sweep = Sweep()
        self.registrations: dict[str, Held | None] = {}
        kept.watch(registrar)

    @property
    def pending(self) -> bool:
        """Tell whether there is anything for a batch that does not wait for the next second."""
        return bool(self.registrations or self._keys or self._notes or self._registrar.news)

    @property
    def counted(self) -> bool:
        """Tell whether there is anything that does."""
        return bool(kept.counted(self._registrar) or self._registrar.news)

    def event(self, event: tuple[Any, ...]) -> None:
        """Take an event of the registrar that changes a registration: registered, refreshed, ended."""
        held = event[1]
        # Where another one has taken the place of one that ended, that is what is kept.
        self.registrations[held.ext] = held if event[0] != "ended" else self._registrar.registration(held.ext)

    def key(self, key: rows.Key, found: Found | None) -> None:
        """Take a device key, or None for one that is to be forgotten."""
        self._keys[rows.key_name(key)] = None if found is None else rows.pack_found(found)

    def statuses(self, statuses: dict[str, Status]) -> None:
        """Take what the key servers said last."""
        self._notes[STATUSES] = rows.pack_statuses(statuses)

    def batch(self, now: Moment, *, whole: bool, failures: bool, octets: int = 0) -> Batch:
        """Return the changes since the last batch.

        whole: all there is instead; failures: the throttle's counters as well; octets: of the journal.
        """
        shift = now.ticks - now.mono
        registrar = self._registrar
        exchanges = kept.exchanges(self._registrar, now.mono)
        nonces = [(kind, re) for kind, re, *_ in exchanges if re is not None]
        answered = [(*exchange[2:], now.mono) for exchange in exchanges if exchange[3] is not None]
        begins = ends = False
        if whole:
            there = self._all_keys()
            self._sweep.stop()
            self.registrations = {held.ext: held for held in registrar.held()}
            self._keys = {rows.key_name(key): rows.pack_found(found) for key, found in there.found.items()}
            self._notes = {STATUSES: rows.pack_statuses(there.statuses), RG: registrar.server_nonces.key}
            nonces = kept.nonces(registrar)
            answered = [one for one in kept.answered(registrar)[-MAX_ANSWERS:] if one[1]]
        else:
            begins, ends = self._tell_more(octets)
            if begins:
                nonces = kept.nonces(registrar)
        batch = Batch(
            now,
            whole,
            base=whole or begins,
            begins=begins,
            ends=ends,
            registrations={
                name: None if held is None else kept.pack(held, shift)
                for name, held in self.registrations.items()
            },
            keys=self._keys,
            nonces=nonces,
            answers=[rows.pack_reply(key, answer, when + shift) for key, answer, when in answered],
            notes=self._notes,
        )
        if failures or whole:
            self._count(batch, shift)
        self.registrations, self._keys, self._notes = {}, {}, {}
        return batch

    def forget(self) -> None:
        """Drop what was noted: nothing can be written now, and later all is written anew."""
        self.registrations, self._keys, self._notes = {}, {}, {}
        self._sweep.stop()
        kept.watch(self._registrar)

    def _tell_more(self, octets: int) -> tuple[bool, bool]:
        """Let more registrations go with this batch; return whether a sweep begins with it, and ends."""
        sweep, registrar = self._sweep, self._registrar
        begins = not sweep.under_way and sweep.due(octets, registrar.count())
        if begins:
            sweep.begin(held.ext for held in registrar.held())
        elif not sweep.under_way:
            return False, False
        for ext in sweep.share(len(self.registrations)):
            held = registrar.registration(ext)
            if held is not None:
                self.registrations.setdefault(ext, held)
        return begins, not sweep.under_way

    def _count(self, batch: Batch, shift: int) -> None:
        found = kept.failures(self._registrar)
        self._failures.update(map(rows.pack_failed, found))
        # Sources that were pushed out of the throttle go from the disk as well, many at a time.
        if batch.whole or len(self._failures) > 2 * max(MAX_SOURCES, kept.counters(self._registrar)):
            batch.all_failures = True
            found = kept.all_failures(self._registrar)
            self._failures = set(map(rows.pack_failed, found))
        batch.failures = {
            rows.pack_failed(key): (failures, last + shift, until + shift)
            for key, (failures, last, until) in found.items()
        }
