"""Whom the key server gave no keys lately (keyserver/denials.py)."""

from ringkey.keyserver import denials as module
from ringkey.keyserver.denials import Denials


def deny(denials, ext, code="window-closed"):
    denials.add(ext, code, source="192.0.2.5", serial=None)


def test_the_last_refusal_is_kept_until_keys_are_given():
    denials = Denials()
    deny(denials, "1001", "not-listed")
    deny(denials, "1001")
    deny(denials, "1001")
    deny(denials, "1002")
    (one,) = denials.tell({"ext": "1001"})["denied"]
    assert (one["reason"], one["count"]) == ("window-closed", 2)
    assert (one["step"], one["source"]) == ("keys", "192.0.2.5")
    assert one["words"] == "it got no keys: the enrolment window is closed"
    assert [one["ext"] for one in denials.tell({})["denied"]] == ["1001", "1002"]
    denials.forget("1001")
    assert denials.tell({"ext": "1001"})["denied"] == []


def test_who_has_the_latest_is_not_told_again():
    denials = Denials()
    deny(denials, "1001")
    n = denials.tell({})["n"]
    assert denials.tell({"n": n}) == {"n": n, "denied": None}
    denials.forget("9999")  # nothing was to be forgotten
    assert denials.tell({"n": n})["denied"] is None
    denials.forget("1001")
    assert denials.tell({"n": n})["denied"] == []


def test_strangers_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(module, "MAX_DENIED", 10)
    denials = Denials()
    for ext in range(1000):
        deny(denials, str(ext))
    assert [one["ext"] for one in denials.tell({})["denied"]] == [str(ext) for ext in range(990, 1000)]
