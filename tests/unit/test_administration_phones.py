"""What is told of one phone (administration/phones.py)."""

import asyncio

import pytest
from ringkey.administration import phones, register
from ringkey.gatekeeper.directory import Entry

HELD = {"since": 400.0, "source": "192.0.2.7:1719", "cvm": "aabbcc", "channel": None, "suite": "sha256"}
REGISTERED = {**HELD, "g": "00" * 16, "expires_in": 60}
LINES = [
    {"at": 100.0, "what": "registered", "words": "RCF sent", "mood": "good"},
    {"at": 200.0, "what": "ended", "words": "registration ended", "mood": "plain"},
    {"at": 300.0, "what": "ended", "words": "registration ended", "mood": "plain"},
    {"at": 350.0, "what": "request", "words": "GRQ received", "mood": "plain"},
]


class Servers:
    """Answers for the gatekeeper; no key server is there."""

    def __init__(self, registered, timeline):
        self.phone = {"registered": registered, "failing": None, "timeline": timeline}

    async def entries(self):
        return (Entry("1001", "Ann", True, 1, 1),)

    async def control(self, server, _what, **_values):
        return self.phone if server == "gatekeeper" else None


@pytest.mark.parametrize(
    ("registered", "timeline", "since"),
    [(None, LINES, 300.0), (None, LINES[:1], None), (REGISTERED, LINES, 400.0)],
    ids=["ended", "never heard to end", "registered"],
)
def test_since_when_a_phone_is_as_it_is(monkeypatch, registered, timeline, since):
    """Registered since, or not since: the last end that the gatekeeper knows of."""

    async def nothing(*_):
        return {}

    monkeypatch.setattr(register, "of_extension", nothing)
    monkeypatch.setattr(register, "numbers", nothing)
    found = asyncio.run(phones.phone(Servers(registered, timeline), None, ext="1001"))
    assert found["state"] == ("absent" if registered is None else "registered")
    assert found["since"] == since
