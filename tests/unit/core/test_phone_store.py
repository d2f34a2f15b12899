"""The store: two slots, and the power cut at every octet of every operation (phone/store.py)."""

from phone.store import DAMAGED, FRESH, MARKER, PROVISIONED, Store, StoreError
from ras.keys import SHA1, SHA256
from ras.record import Record

from support import Random, raises

random = Random(11)


def record(ext, suite=SHA1):
    return Record(
        ext, "4711", suite, random(16), random(suite.key), random(3), random(suite.key), (("gk", 1719),)
    )


class Cut(Exception):
    """The power is gone."""


class Slots:
    """Slots that lose power after `steps` steps: a step is an octet, or the start or end of an operation.

    How a torn slot looks is up to the flash or file system; `torn(new, old, at)` says it.
    """

    def __init__(self, torn=None):
        self.held = [None, None, None]
        self.steps = None
        self.taken = 0
        self._torn = torn

    def read(self, i):
        return self.held[i]

    def write(self, i, data):
        self._change(i, bytes(data))

    def erase(self, i):
        self._change(i, None)

    def _change(self, i, new):
        old = self.held[i]
        length = len(new) if new is not None else len(old or b"")
        for at in range(length + 2):
            if self.steps is not None and self.taken >= self.steps:
                # Before the first octet the old is there, behind the last the new.
                if at == length + 1:
                    self.held[i] = new
                elif at:
                    self.held[i] = self._torn(new, old, at - 1)
                raise Cut
            self.taken += 1
        self.held[i] = new


def _overwritten(new, old, at):
    return (new or b"\xff" * len(old))[:at] + (old or b"")[at:]


def _truncated(new, old, at):
    return (new or b"\xff" * len(old))[:at]


def _garbage(new, old, at):
    length = len(new if new is not None else old)
    return (new or b"")[:at] + random(length - min(at, len(new or b"")))


def _lost(new, old, at):
    return None


def _unchanged(new, old, at):
    return old


TORN = (_overwritten, _truncated, _garbage, _lost, _unchanged)


def every_cut(prepare, operate, check):
    """Do `prepare`, then `operate` with the power cut at each of its steps; `check` what is left."""
    for torn in TORN:
        steps = 0
        while True:
            slots = Slots(torn)
            prepare(Store(slots))
            slots.taken = 0
            slots.steps = steps
            store = Store(slots)
            store.load()
            try:
                operate(store)
            except Cut:
                pass
            else:
                assert slots.taken == steps, "the last one was not cut at all"
                break
            slots.steps = None
            again = Store(slots)
            check(again.load(), again)
            # Whatever is left, the phone can go on with it.
            newest = record("777")
            again.commit(newest)
            assert Store(slots).load() == newest
            steps += 1
        assert steps > 3


def test_what_is_committed_is_loaded():
    slots = Slots()
    store = Store(slots)
    assert store.load() is None
    assert store.state == FRESH
    for i in range(5):
        kept = record(str(i), SHA256 if i % 2 else SHA1)
        store.commit(kept)
        assert store.state == PROVISIONED
        again = Store(slots)
        assert again.load() == kept
        assert again.state == PROVISIONED
    assert slots.held[0] != slots.held[1]


def test_a_commit_leaves_the_slot_in_use_alone():
    slots = Slots()
    store = Store(slots)
    store.commit(record("1"))
    before = slots.held[0]
    store.commit(record("2"))
    assert slots.held[0] == before
    # A phone that has just started, without a load().
    before = slots.held[1]
    Store(slots).commit(record("3"))
    assert slots.held[1] == before


def test_power_cut_in_the_first_commit():
    new = record("2")

    def check(loaded, store):
        assert loaded is None or loaded == new
        assert store.state == (PROVISIONED if loaded else FRESH)

    every_cut(lambda store: None, lambda store: store.commit(new), check)


def test_power_cut_in_a_later_commit():
    old, new = record("1"), record("2")

    def check(loaded, store):
        assert loaded in (old, new)
        assert store.state == PROVISIONED

    every_cut(lambda store: store.commit(old), lambda store: store.commit(new), check)


def test_power_cut_with_both_slots_full():
    older, old, new = record("0"), record("1"), record("22222", SHA256)

    def prepare(store):
        store.commit(older)
        store.commit(old)

    def check(loaded, store):
        assert loaded in (old, new), "what was replaced long ago does not come back"

    every_cut(prepare, lambda store: store.commit(new), check)


def test_power_cut_in_an_erase():
    older, old = record("0"), record("1")

    def prepare(store):
        store.commit(older)
        store.commit(old)

    def check(loaded, store):
        assert loaded is None or loaded == old
        # That nothing is left is what was asked for, nothing to complain about.
        assert store.state == (PROVISIONED if loaded else FRESH)

    every_cut(prepare, lambda store: store.erase(), check)


def test_power_cut_twice():
    # The second cut hits the commit after a torn one: still old or new.
    old, torn, new = record("1"), record("2"), record("3")

    def prepare(store):
        store.commit(old)
        slots = store._slots
        slots.taken, slots.steps = 0, 40
        with raises(Cut):
            store.commit(torn)
        slots.steps = None

    def check(loaded, store):
        assert loaded in (old, new)

    every_cut(prepare, lambda store: store.commit(new), check)


def test_erased_is_gone_from_both_slots():
    slots = Slots()
    store = Store(slots)
    store.commit(record("1"))
    store.commit(record("2"))
    store.erase()
    assert slots.held == [None, None, None]
    assert store.state == FRESH
    assert store.load() is None
    store.erase()  # nothing there is no error
    kept = record("3")
    store.commit(kept)
    assert Store(slots).load() == kept


def test_lost_records_are_told_from_none():
    slots = Slots()
    Store(slots).commit(record("1"))
    slots.held[0] = None
    store = Store(slots)
    assert store.load() is None
    assert store.state == DAMAGED
    slots.held[0] = b"RKs1" + bytes(200)
    assert store.load() is None
    assert store.state == DAMAGED
    store.commit(record("2"))
    assert store.state == PROVISIONED


def test_a_marker_that_was_cut_off_is_set_again():
    slots = Slots()
    Store(slots).commit(record("1"))
    slots.held[MARKER] = None
    Store(slots).load()
    assert slots.held[MARKER] is not None


def test_any_bit_flipped_falls_back_to_the_other_slot():
    slots = Slots()
    store = Store(slots)
    old, new = record("1"), record("2")
    store.commit(old)
    store.commit(new)
    whole = slots.held[1]
    for at in range(len(whole)):
        for bit in (1, 0x80):
            flipped = bytearray(whole)
            flipped[at] ^= bit
            slots.held[1] = bytes(flipped)
            assert Store(slots).load() == old
    for at in range(len(whole)):
        slots.held[1] = whole[:at]
        assert Store(slots).load() == old
    slots.held[1] = whole + b"\0"
    assert Store(slots).load() == old


def test_the_serial_number_may_wrap():
    slots = Slots()
    store = Store(slots)
    store.commit(record("1"))
    store._serial = 0xFFFFFFFE
    kept = None
    for i in range(4):
        kept = record(str(i))
        store.commit(kept)
    assert Store(slots).load() == kept


class Failing(Slots):
    """A store that says no, or lies."""

    def __init__(self):
        Slots.__init__(self)
        self.fails = ""

    def read(self, i):
        if "r" in self.fails:
            raise OSError(5)
        return Slots.read(self, i)

    def write(self, i, data):
        if "w" in self.fails:
            raise OSError(28)
        if "l" not in self.fails:
            Slots.write(self, i, data)

    def erase(self, i):
        if "e" in self.fails and i != MARKER:
            raise OSError(5)
        Slots.erase(self, i)


def test_a_store_that_fails_keeps_the_old():
    slots = Failing()
    store = Store(slots)
    old = record("1")
    store.commit(old)
    for fails in ("w", "l"):
        slots.fails = fails
        with raises(StoreError) as caught:
            store.commit(record("2"))
        assert "4711" not in str(caught.value)
        slots.fails = ""
        assert Store(slots).load() == old
    new = record("3")
    store.commit(new)
    assert Store(slots).load() == new


def test_a_failed_erase_never_brings_back_the_older():
    slots = Failing()
    store = Store(slots)
    store.commit(record("1"))
    new = record("2")
    store.commit(new)
    slots.fails = "e"
    with raises(StoreError):
        store.erase()
    slots.fails = ""
    assert Store(slots).load() == new


def test_a_store_that_cannot_be_read_is_empty():
    slots = Failing()
    Store(slots).commit(record("1"))
    slots.fails = "r"
    store = Store(slots)
    assert store.load() is None
