"""Both stores, unix files and NVS, under a power cut at every step of every operation."""

import sys

from drivers import nvs
from phone.store import DAMAGED, FRESH, MARKER, PROVISIONED, Store
from ras.keys import SHA1, SHA256
from ras.record import Record

from powercut import LEFT, NVS, Cut, Disk, Power
from support import Random, raises

sys.path.append(__file__[: __file__.rfind("/") + 1] + "../../../boards/unix")
import filestore

random = Random(23)


def record(ext, suite=SHA256):
    gatekeepers = (("gatekeeper.example.org", 1719), ("192.0.2.1", 1719))
    return Record(
        ext, "4711", suite, random(16), random(suite.key), random(3), random(suite.key), gatekeepers
    )


class Files:
    """The unix board's store on a simulated disk."""

    def __init__(self):
        self.power = Power()
        self.disk = Disk(self.power)

    def slots(self):
        filestore._open_file = self.disk.open
        filestore.os = self.disk
        return filestore.FileSlots("state")

    def lose(self, left):
        self.disk.lose(left)


class Flash:
    """An ESP32's store: NVS, and a file system for the marker."""

    def __init__(self):
        self.power = Power()
        self.nvs = NVS(self.power)
        self.disk = Disk(self.power, durable=True)

    def slots(self):
        nvs._open_file = self.disk.open
        nvs.os = self.disk
        return nvs.NVSSlots(self.nvs, "/provisioned")

    def lose(self, left):
        self.nvs.lose(left)
        self.disk.lose(left)


STORES = (Files, Flash)


def every_cut(prepare, operate, check):
    """On each store: `prepare`, then `operate` cut at each step, in each way; then `check`."""
    for kind in STORES:
        for left in LEFT:
            steps = 0
            while True:
                where = "%s, %s, step %d" % (kind.__name__, left, steps)
                hardware = kind()
                prepare(Store(hardware.slots()), hardware)
                hardware.power.taken = 0
                hardware.power.until = steps
                try:
                    operate(Store(hardware.slots()))
                except Cut:
                    cut = True
                else:
                    cut = False
                hardware.power.until = None
                hardware.lose(left)
                again = Store(hardware.slots())
                found = again.load()
                check(found, again, where)
                assert Store(hardware.slots()).load() == found, "a start changes nothing: " + where
                # Whatever is left, the phone can go on with it.
                newest = record("777")
                again.commit(newest)
                hardware.lose("least")
                assert Store(hardware.slots()).load() == newest, where
                if not cut:
                    break
                steps += 1
            assert steps > 2, "%s was hardly cut" % where


def committed(*records):
    """Return a `prepare` that has committed these, one after the other."""

    def prepare(store, hardware):
        for one in records:
            store.commit(one)
        hardware.lose("least")  # and has been without power since

    return prepare


def test_the_first_commit():
    new = record("2")

    def operate(store):
        store.load()
        store.commit(new)

    def check(found, store, where):
        assert found is None or found == new, where
        assert store.state == (PROVISIONED if found else FRESH), where

    every_cut(committed(), operate, check)


def test_a_later_commit():
    oldest, old, new = record("0"), record("1"), record("22222", SHA1)

    def operate(store):
        store.load()
        store.commit(new)

    def check(found, store, where):
        assert found in (old, new), where
        assert store.state == PROVISIONED, where

    every_cut(committed(old), operate, check)
    every_cut(committed(oldest, old), operate, check)
    every_cut(committed(oldest, oldest, old), operate, check)


def test_a_commit_without_a_load():
    old, new = record("1"), record("2")

    def check(found, store, where):
        assert found in (old, new), where

    every_cut(committed(old), lambda store: store.commit(new), check)


def test_an_erase():
    oldest, old = record("0"), record("1")

    def operate(store):
        store.load()
        store.erase()

    def check(found, store, where):
        assert found is None or found == old, where
        if found is None:
            assert store.state in (FRESH, DAMAGED), where

    every_cut(committed(old), operate, check)
    every_cut(committed(oldest, old), operate, check)


def test_an_erase_and_a_new_user():
    old, new = record("1"), record("2")

    def operate(store):
        store.load()
        store.erase()
        store.commit(new)

    def check(found, store, where):
        assert found is None or found in (old, new), where

    every_cut(committed(record("0"), old), operate, check)


def test_a_load_that_puts_the_marker_back():
    old = record("1")

    def prepare(store, hardware):
        store.commit(old)
        hardware.slots().erase(MARKER)
        hardware.lose("most")

    def check(found, store, where):
        assert found == old, where
        assert store.state == PROVISIONED, where

    every_cut(prepare, lambda store: store.load(), check)


def test_two_cuts_in_a_row():
    # The commit after a torn one is cut as well: still old or new.
    for kind in STORES:
        for left in LEFT:
            for first in range(12):
                for second in range(12):
                    hardware = kind()
                    old, torn, new = record("1"), record("2"), record("3")
                    Store(hardware.slots()).commit(old)
                    hardware.lose("least")
                    seen = [old]
                    for steps, tried in ((first, torn), (second, new)):
                        hardware.power.taken, hardware.power.until = 0, steps
                        store = Store(hardware.slots())
                        try:
                            store.load()
                            store.commit(tried)
                        except Cut:
                            pass
                        hardware.power.until = None
                        hardware.lose(left)
                        found = Store(hardware.slots()).load()
                        assert found in (seen[-1], tried), (kind, left, first, second)
                        seen.append(found)


def test_nvs_lost_as_a_whole_is_noticed():
    hardware = Flash()
    Store(hardware.slots()).commit(record("1"))
    # What MicroPython's boot code does where it finds no free page.
    hardware.nvs.entries = {}
    store = Store(hardware.slots())
    assert store.load() is None
    assert store.state == DAMAGED
    store.erase()
    store = Store(hardware.slots())
    assert store.load() is None
    assert store.state == FRESH


def test_the_file_system_lost_as_a_whole_costs_nothing():
    # An update of the image writes it anew.
    hardware = Flash()
    kept = record("1")
    Store(hardware.slots()).commit(kept)
    hardware.disk.names = {}
    store = Store(hardware.slots())
    assert store.load() == kept
    assert store.state == PROVISIONED
    assert "/provisioned" in hardware.disk.names


def test_erased_is_gone():
    hardware = Flash()
    store = Store(hardware.slots())
    store.commit(record("1"))
    store.commit(record("2"))
    store.erase()
    assert hardware.nvs.entries == {}
    assert hardware.disk.names == {}
    store.erase()
    assert store.load() is None


def test_the_longest_record_fits():
    gatekeepers = tuple([("g" * 250 + "%d" % i, 65535) for i in range(8)])
    suite = SHA256
    longest = Record(
        "9" * 20, "1" * 16, suite, random(16), random(suite.key), random(3), random(suite.key), gatekeepers
    )
    hardware = Flash()
    Store(hardware.slots()).commit(longest)
    assert Store(hardware.slots()).load() == longest


def test_what_nvs_says_is_passed_on():
    class Broken(NVS):
        def get_blob(self, key, buffer):
            raise OSError(-0x1104, "ESP_ERR_NVS_NOT_ENOUGH_SPACE")

        set_blob = get_blob

        def erase_key(self, key):
            raise OSError(-0x1104, "")

    hardware = Flash()
    slots = hardware.slots()
    slots._nvs = Broken(hardware.power)
    for fails in (lambda: slots.read(0), lambda: slots.write(0, b"x"), lambda: slots.erase(1)):
        with raises(OSError):
            fails()
    # An entry that is longer than any of ours is not ours: it counts as torn.
    hardware = Flash()
    hardware.nvs.entries["slot0"] = bytes(5000)
    store = Store(hardware.slots())
    assert store.load() is None
    kept = record("5")
    store.commit(kept)
    assert Store(hardware.slots()).load() == kept
