"""A phone's key, PIN and Ka in one object (gatekeeper/phone_records.py), and the memory of keys with it."""

import math
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from ras.keys import SHA1, SHA256, authentication_key
from ringkey.gatekeeper.answers import Found
from ringkey.gatekeeper.directory import Directory
from ringkey.gatekeeper.key_cache import KeyCache
from ringkey.gatekeeper.phone_records import PhoneRecords
from ringkey.gatekeeper.pins import Pins

G, CVM, KG = bytes(range(16)), b"\1\2\3", bytes(range(100, 132))
FOUND = Found(KG, SHA256, CVM)
OTHER = Found(bytes(32), SHA256, CVM)

keys = st.builds(
    lambda suite, kg, cvm: Found(kg[: suite.key], suite, cvm),
    st.sampled_from((SHA1, SHA256)),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=0, max_size=20),
)
nonces = st.binary(min_size=16, max_size=16)
pins = st.text("0123456789", min_size=1, max_size=16)


@given(g=nonces, found=keys, asked=st.floats(0, 1e8), pin=pins, stamp=st.integers(1, 1 << 40))
def test_what_was_put_is_there(g, found, asked, pin, stamp):
    records = PhoneRecords()
    assert not records.set_pin("1001", pin, stamp)
    records.put("1001", g, found, asked)
    there_g, there, when = records.get("1001")
    assert (there_g, there) == (g, found)
    assert asked - 0.002 < when <= max(asked, 0.001)
    assert records.has("1001", g, found.cvm)
    assert records.lookup("1001", g, found.cvm, stamp, -math.inf) is None, "no PIN yet"
    assert records.pin("1001", stamp) is None
    assert records.set_pin("1001", pin, stamp)
    known = records.lookup("1001", g, found.cvm, stamp, -math.inf)
    assert (known.code, known.kg, known.pin, known.available) == (0, found.kg, pin, True)
    assert known.ka == authentication_key(found.suite, found.kg, pin)
    assert records.pin("1001", stamp) == pin
    assert records.get("1001") == (there_g, there, when)
    assert records.lookup("1001", g, found.cvm, stamp + 1, -math.inf) is None, "of an earlier directory"
    assert records.pin("1001", stamp + 1) is None
    assert records.lookup("1001", g, found.cvm, stamp, when + 0.001) is None, "asked for too long ago"
    assert records.lookup("1001", g, found.cvm + b"4", stamp, -math.inf) is None
    assert records.lookup("1001", g, found.cvm[:-1], stamp, -math.inf) is None or not found.cvm
    records.put("1001", g, found, asked + 1)
    assert records.pin("1001", stamp) == pin, "the same key: the PIN stays"
    records.forget_pin("1001")
    records.forget_pin("1002")
    assert records.pin("1001", stamp) is None
    assert records.get("1001")[:2] == (g, found)
    assert not records.has("1002", g, found.cvm)
    assert records.take("1001")
    assert not records.take("1001")
    assert records.get("1001") is records.lookup("1001", g, found.cvm, stamp, -math.inf) is None


def test_a_key_that_was_never_asked_for_is_only_good_where_any_is():
    records = PhoneRecords()
    records.put("1001", G, FOUND, -math.inf)
    records.set_pin("1001", "4711", 1)
    assert records.get("1001")[2] == -math.inf
    assert records.lookup("1001", G, CVM, 1, 0.0) is None
    assert records.lookup("1001", G, CVM, 1, -math.inf).pin == "4711"


@pytest.mark.parametrize("changed", [(bytes(16), FOUND), (G, OTHER), (G, Found(KG, SHA256, b"\1\2\4"))])
def test_another_key_has_no_pin_and_no_ka(changed):
    records = PhoneRecords()
    records.put("1001", G, FOUND, 1.0)
    records.set_pin("1001", "4711", 1)
    records.put("1001", *changed, 1.0)
    assert records.pin("1001", 1) is None
    held = records._records["1001"]
    assert authentication_key(SHA256, KG, "4711") not in held
    assert b"4711" not in held


def test_no_record_shows_a_secret_and_all_pins_go_at_the_end(tmp_path):
    records = PhoneRecords()
    with Directory.open(tmp_path / "directory.db", tmp_path / "pin.key") as directory:
        directory.add("1001", "4711")
        found = Pins(directory, records)
        assert found.get("1001") == "4711"
        records.put("1001", G, FOUND, 1.0)
        found.proven("1001")
        assert found.ready("1001", G, CVM, None) is None, "nobody has asked the directory in this turn"
        assert found.get("1001", 1) == "4711"
        assert found.ready("1001", G, CVM, 1).pin == "4711"
        for shown in (repr(records), repr(found), repr(records.get("1001"))):
            assert "4711" not in shown
            assert repr(KG)[2:-1] not in shown
        found.close()
    assert b"4711" not in records._records["1001"]


def test_a_pin_that_is_gone_from_the_directory_goes_from_the_record(tmp_path):
    records = PhoneRecords()
    with Directory.open(tmp_path / "directory.db", tmp_path / "pin.key") as directory:
        directory.add("1001", "4711")
        records.put("1001", G, FOUND, 1.0)
        found = Pins(directory, records)
        assert found.get("1001", 1) == "4711"
        assert found.ready("1001", G, CVM, 1) is not None
        directory.disable("1001")
        assert found.get("1001", 2) is None
        assert found.ready("1001", G, CVM, 2) is None
        assert b"4711" not in records._records["1001"]


def test_pins_that_nobody_has_proven_are_bounded(tmp_path, monkeypatch):
    records = PhoneRecords()
    with Directory.open(tmp_path / "directory.db", tmp_path / "pin.key") as directory:
        directory.add("1001", "4711")
        found = Pins(directory, records)
        found.get("1001")
        records.put("1001", G, FOUND, 1.0)
        found.proven("1001")
        found.proven("1001")
        found.proven("1002")
        assert repr(found) == "Pins(0)", "it is in the record"
        monkeypatch.setattr(directory, "get", None)
        assert found.get("1001") == "4711", "and not read again"


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="octets of CPython's objects")
def test_a_proven_key_with_its_pin_takes_a_block_of_144_octets():
    records = PhoneRecords()
    records.put("100001", G, FOUND, time.monotonic())
    records.set_pin("100001", "12345678", 1 << 40)
    assert sys.getsizeof(records._records["100001"]) <= 144


def test_of_more_phones_than_there_is_room_for_one_goes():
    told = []
    cache = KeyCache(3, lambda key, found: told.append((key[1], found)))
    cache.put_back({(G, ext, CVM): FOUND for ext in "12345"})
    for ext in "12345":
        cache.prove((G, ext, CVM))
    assert len(cache) == 5, "a run before had room for them"
    for n, ext in enumerate("54"):
        cache.put((G, ext, CVM), FOUND)
        assert len(cache) == 4 - n
    assert told == [("1", None), ("2", None)]
    cache.put((G, "6", CVM), FOUND)
    assert cache.get((G, "3", CVM)) == FOUND, "who has proven nothing goes before"


def test_the_key_that_was_proven_before_stays_until_it_is_proven_again():
    cache = KeyCache(10)
    old, new = (G, "1001", CVM), (bytes(16), "1001", CVM)
    for key, found in ((old, FOUND), (new, OTHER)):
        cache.put(key, found)
        cache.prove(key)
    assert (cache.get(old), cache.get(new)) == (FOUND, OTHER)
    for i in range(50):
        cache.put((G, str(i), CVM), FOUND)
    assert (cache.get(old), cache.get(new)) == (FOUND, OTHER), "strangers' keys go first"
    cache.prove(old)
    assert (cache.get(old), cache.get(new)) == (FOUND, OTHER)
    cache.forget([old])
    assert (cache.get(old), cache.get(new)) == (None, OTHER)


class Memory(RuleBasedStateMachine):
    """A KeyCache with records beside a dict: nothing is lost, kept too long, or told wrongly."""

    names = st.tuples(
        st.sampled_from([bytes(16), G]),
        st.sampled_from(["1", "2", "3"]),
        st.sampled_from([CVM, b"\4\5\6", None]),
    )

    def __init__(self):
        super().__init__()
        self.told = {}
        self.cache = KeyCache(1000, self.tell)
        self.model = {}

    def tell(self, key, found):
        if found is None:
            assert self.told.pop(key, None) is not None
        else:
            self.told[key] = found

    @rule(key=names, kg=st.sampled_from([KG, bytes(32)]), cvm=st.sampled_from([CVM, b"\4\5\6"]))
    def put(self, key, kg, cvm):
        self.model[key] = Found(kg, SHA256, key[2] or cvm)
        self.cache.put(key, self.model[key])

    @rule(key=names)
    def prove(self, key):
        self.cache.prove(key)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def forget(self, data):
        key = data.draw(st.sampled_from(sorted(self.model, key=repr)))
        del self.model[key]
        self.cache.forget([key])

    @rule(g=st.sampled_from([bytes(16), G]))
    def revoke(self, g):
        self.model = {key: found for key, found in self.model.items() if key[0] != g}
        self.cache.forget_g({g})

    @rule(cvm=st.sampled_from([CVM, b"\4\5\6"]))
    def retire(self, cvm):
        self.model = {key: found for key, found in self.model.items() if found.cvm == cvm}
        self.cache.forget_all_but((cvm,))

    @invariant()
    def the_same(self):
        assert self.cache.all() == self.model == self.told
        assert len(self.cache) == len(self.model)
        for g in (bytes(16), G):
            for ext in "123":
                for cvm in (CVM, b"\4\5\6", None):
                    assert self.cache.get((g, ext, cvm)) == self.model.get((g, ext, cvm))
                    lately = self.cache.get((g, ext, cvm), time.monotonic() - 60)
                    assert lately == self.model.get((g, ext, cvm))


TestMemory = Memory.TestCase
