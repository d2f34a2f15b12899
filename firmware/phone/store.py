"""The phone's non-volatile store: one record in two slots (docs/architecture.md, "Storage of the phone").

A board's driver gives three slots, each with a whole, durable write:

    read(i) -> bytes or None    what is in slot i
    write(i, data)              returns when slot i holds `data` over a power cut
    erase(i)                    returns when slot i is empty; no error where it was

All raise OSError.  Slots 0 and 1 hold records.  Slot 2 is a marker of one octet, "this
phone was provisioned"; a driver keeps it elsewhere than the records where it can (on an
ESP32 not in NVS, which MicroPython's boot code may erase as a whole), so that the loss of
the records can be told from a phone that never had any.

A slot's octets: "RKs1", 4 octets serial number, 2 octets length, the record
(ras/record_octets.py), the first 8 octets of SHA-256 over all before.  The valid slot with the
later serial number counts.  A commit goes to the other one, so that a power cut at any
octet of it leaves the record that was; a torn slot does not verify.
"""

from ras.compat import const
from ras.errors import RemoteProtocolError
from ras.mac import digest
from ras.record import Record
from ras.record_octets import MAX_RECORD, decode, encode

MARKER = const(2)  # the marker's slot

FRESH = "fresh"  # never provisioned, or logged out
PROVISIONED = "provisioned"
DAMAGED = "damaged"  # was provisioned; no slot holds a valid record now

_MAGIC = b"RKs1"
_HEAD = const(10)
_CHECK = const(8)
_SERIALS = 1 << 32

MAX_SLOT = _HEAD + MAX_RECORD + _CHECK  # octets: the longest that a slot must hold
_MARK = b"1"


class StoreError(Exception):
    """The record could not be written or erased; its text holds no secret."""


class Store:
    """The record of one phone over a board's `slots`.

    state: FRESH, PROVISIONED or DAMAGED, as of the last load(), commit() or erase().
    """

    def __init__(self, slots: object) -> None:
        self._slots = slots
        self._current = None  # the slot in use: 0, 1, or None
        self._serial = 0
        self.state = FRESH

    def load(self) -> "Record | None":
        """Return the Record that counts, or None; sets `state`.  Raises nothing.

        A slot that cannot be read is as good as a torn one.
        """
        record = self._latest()
        marked = self._read(MARKER) is not None
        if record is not None:
            self.state = PROVISIONED
            if not marked:
                # The power was cut between the first record and its marker.
                try:
                    self._slots.write(MARKER, _MARK)
                except OSError:
                    pass  # a missing marker costs a word on the display, no key
        else:
            self.state = DAMAGED if marked else FRESH
        return record

    def commit(self, record: Record) -> None:
        """Make `record` the one that counts; when this returns it outlives a power cut.

        Raises StoreError: then the record before still counts, unless what was written
        turns out to be readable after all, in which case the new one does, whole.
        """
        if self._current is None:
            self._latest()  # another record may lie there, if nobody called load()
        target = 1 if self._current == 0 else 0
        serial = (self._serial + 1) % _SERIALS
        data = _pack(serial, encode(record))
        try:
            self._slots.write(target, data)
        except OSError:
            raise StoreError("store: not written")
        if self._read(target) != data:
            raise StoreError("store: read back other octets than written")
        self._current = target
        self._serial = serial
        self.state = PROVISIONED
        if self._read(MARKER) is None:
            try:
                self._slots.write(MARKER, _MARK)
            except OSError:
                pass

    def erase(self) -> None:
        """Remove the keys from both slots, for good; raises StoreError.

        The older record goes before the newer one: a power cut in between leaves the
        record that was, and never brings one back that was already replaced.
        """
        if self._current is None:
            self._latest()
        newer = 0 if self._current is None else self._current
        try:
            self._slots.erase(MARKER)
        except OSError:
            pass  # a marker left behind costs a word on the display
        for i in (1 - newer, newer):
            try:
                self._slots.erase(i)
            except OSError:
                # Not on to the newer one: the older would count again.
                raise StoreError("store: not erased")
        self._current = None
        self._serial = 0
        self.state = FRESH

    def _latest(self) -> "Record | None":
        """Find the slot that counts and return its Record, or None."""
        self._current = None
        self._serial = 0
        latest = None
        for i in (0, 1):
            found = _unpack(self._read(i))
            if found is None:
                continue
            serial, record = found
            # Later is less than half of all numbers ahead, so that the count may wrap.
            if latest is None or 0 < (serial - self._serial) % _SERIALS < _SERIALS >> 1:
                latest = record
                self._current = i
                self._serial = serial
        return latest

    def _read(self, i: int) -> "bytes | None":
        try:
            return self._slots.read(i)
        except OSError:
            return None


def _pack(serial: int, body: bytes) -> bytes:
    """Return a slot's octets."""
    head = _MAGIC + serial.to_bytes(4, "big") + len(body).to_bytes(2, "big")
    return head + body + digest("sha256", head, body)[:_CHECK]


def _unpack(data: "bytes | None") -> "tuple[int, Record] | None":
    """Return (serial number, Record) of a slot's octets, or None unless every octet is as written."""
    if data is None or not _HEAD + _CHECK < len(data) <= MAX_SLOT:
        return None
    end = len(data) - _CHECK
    if data[:4] != _MAGIC or int.from_bytes(data[8:_HEAD], "big") != end - _HEAD:
        return None
    if digest("sha256", memoryview(data)[:end])[:_CHECK] != data[end:]:
        return None
    try:
        return int.from_bytes(data[4:8], "big"), decode(data[_HEAD:end])
    except RemoteProtocolError:
        return None  # whole, but of a release that this one does not know
