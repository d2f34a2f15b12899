"""Which extensions a gatekeeper may ask for."""

import pytest
from ringkey.site.keyserver_tables import Scopes
from ringkey.site.scope import ALL, MAX_ENTRIES, Scope


@pytest.mark.parametrize(
    ("entries", "inside", "outside"),
    [
        (["*"], ["1", "0", "9" * 20], []),
        (["100"], ["100"], ["10", "1000", "0100", "101"]),
        (["2000-2999"], ["2000", "2500", "2999"], ["1999", "3000", "200", "02500", "25000"]),
        (["0100-0199"], ["0100", "0150"], ["100", "150", "0200"]),
        (["31*", "7"], ["31", "310", "31999", "7"], ["3", "32", "70", "131"]),
        ([], [], ["1", "100"]),
    ],
)
def test_scope(entries, inside, outside):
    scope = Scope(entries)
    assert all(ext in scope for ext in inside)
    assert not any(ext in scope for ext in outside)


@pytest.mark.parametrize(
    "entry", ["", "a", "1-", "-1", "20-1", "1-20", "300-200", "1**", "*1", "1 ", "1" * 21, "１*", "1\n"]
)
def test_what_is_no_entry(entry):
    with pytest.raises(ValueError, match=r"none of|two numbers"):
        Scope([entry])


def test_limits_and_names():
    with pytest.raises(ValueError, match="more than"):
        Scope(str(i) for i in range(MAX_ENTRIES + 1))
    scopes = Scopes({"main": ALL, "branch": Scope(["2*"])})
    assert scopes.may("main", "100")
    assert scopes.may("branch", "2")
    assert not scopes.may("branch", "1")
    assert not scopes.may("other", "2")
    assert Scopes().may("anybody", "1")
    assert not Scopes({}).may("main", "1")
