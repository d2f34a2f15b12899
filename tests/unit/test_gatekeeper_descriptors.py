"""Channels never take the last descriptors: RAS, databases and key servers need theirs."""

import resource

import pytest
from ringkey.gatekeeper import descriptors
from ringkey.gatekeeper.listener import MAX_CONNECTIONS, MAX_PENDING

ENOUGH = MAX_CONNECTIONS + MAX_PENDING + descriptors.OTHERS
NONE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limits", "raised", "most"),
    [
        ((1024, NONE), ENOUGH, MAX_CONNECTIONS),
        ((1024, ENOUGH), ENOUGH, MAX_CONNECTIONS),
        ((ENOUGH + 1, ENOUGH + 1), None, MAX_CONNECTIONS),
        ((NONE, NONE), None, MAX_CONNECTIONS),
        ((1024, 4096), 4096, 4096 - MAX_PENDING - 1024),
        ((1024, 1024), 1024, 1024 - MAX_PENDING - 256),
        ((64, 64), 64, 1),
    ],
)
def test_room_for_channels(monkeypatch, capsys, limits, raised, most):
    set_to = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: set_to.append(both))
    assert descriptors.channels() == most
    assert set_to == ([] if raised is None else [(raised, limits[1])])
    assert ("few_channels" in capsys.readouterr().out) == (most < MAX_CONNECTIONS)
