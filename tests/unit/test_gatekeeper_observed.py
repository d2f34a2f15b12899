"""What is counted of a gatekeeper: bounded, by stable names, and drawn in 80 by 24."""

import re
from pathlib import Path

import pytest
from ras import profile
from ras.held import Held
from ras.keys import SHA256
from ringkey.cli import top
from ringkey.gatekeeper import observed, reasons
from ringkey.gatekeeper.answers import Found, Refused, Unavailable
from ringkey.gatekeeper.observed import Observed

CORE = Path(__file__).resolve().parents[2] / "firmware" / "ras"
SOURCE = ("192.0.2.7", 1719)
# What raises within receive_datagram of a registrar.
MODULES = ("registrar", "registrations", "plain", "profile", "message", "aper", "per")


def texts():
    """Return the reasons that the core gives, as they stand in its source."""
    for module in MODULES:
        text = (CORE / f"{module}.py").read_text()
        yield from re.findall(r'RemoteProtocolError\(\s*f?"([^"]+)"', text)
        yield from re.findall(r'\("dropped", [a-z.]+, f?"([^"]+)"', text)


@pytest.mark.parametrize("text", sorted(set(texts())))
def test_every_reason_of_the_core_has_a_name(text):
    name = reasons.of_text(text.replace("%s", "GRQ"))
    assert name != reasons.OTHER, "give it one in gatekeeper/reasons.py"
    assert reasons.words(name) != name
    assert re.fullmatch(r"[a-z][a-z-]{0,30}", name)


def test_the_core_gives_reasons_at_all():
    assert len(set(texts())) > 25


def test_every_code_has_a_name():
    for code in range(profile.UNKNOWN_EXTENSION, profile.SUITE_REFUSED + 1):
        assert reasons.words(reasons.of_code(code)) != reasons.of_code(code)
    assert reasons.of_code(99) == reasons.OTHER


def test_what_strangers_choose_is_no_label_and_bounded():
    seen = Observed()
    for number in range(3 * observed.MAX_OPEN):
        source = (f"192.0.2.{number % 250}", number)
        seen.came(bytes((number % 256,)) * 5)
        seen.event(("request", source, str(number)))
        seen.event(("lookup", number, str(number), bytes(16), "sha256", "RRQ", bytes(3)))
        seen.event(("dropped", source, f"GRQ: wrong ICV {number}"))
        seen.event(("dropped", source, f"PER: {number}"))
    assert set(seen.outcomes) == {("GRQ", "dropped", "wrong-icv"), ("other", "dropped", "malformed")}
    assert set(seen.received) <= {"GRQ", "GCF", "GRJ", "RRQ", "RCF", "RRJ", "URQ", "UCF", "XRS", "other"}
    assert max(len(seen._open), len(seen._ext_of)) <= observed.MAX_OPEN
    assert len(seen._failing) <= observed.MAX_FAILING
    assert len(seen.failing()) == observed.SHOWN


def test_a_failure_is_forgotten_when_the_phone_registers():
    seen = Observed()
    held = Held("1001", SHA256, SOURCE, *([bytes(16)] * 3), bytes(32), bytes(32), bytes(3))
    for _ in range(2):
        seen.event(("request", SOURCE, "1001"))
        seen.event(("refused", SOURCE, "1001", profile.REVOKED))
    seen.event(("refused", SOURCE, "1001", profile.OBSOLETE))
    (failing,) = seen.failing()
    assert (failing["step"], failing["reason"], failing["count"]) == ("RRQ", "obsolete", 1)
    seen.event(("registered", held, None))
    assert seen.failing() == []
    assert seen.outcomes["GRQ", "refused", "revoked"] == 2


def test_latencies_are_of_the_request_they_answer():
    timed = []
    seen = Observed(lambda kind, seconds: timed.append(kind))
    held = Held("1001", SHA256, SOURCE, *([bytes(16)] * 3), bytes(32), bytes(32), bytes(3))
    seen.event(("confirmed", SOURCE, "1001"))  # of a request that was never seen
    assert timed == []
    seen.came(b"\x02")
    seen.event(("request", SOURCE, "1001"))
    seen.event(("lookup", 1, "1001", bytes(16), "sha256", "GRQ", bytes(3)))
    seen.event(("confirmed", SOURCE, "1001"))
    seen.event(("lookup", 2, "1001", bytes(16), "sha256", "RRQ", bytes(3)))
    seen.event(("registered", held, None))
    seen.key(Found(bytes(32), SHA256, bytes(3)), 0.5)
    seen.key(Found(bytes(32), SHA256, bytes(3)), None)
    seen.key(Refused("revoked"), 0.1)
    seen.key(Unavailable("x"), 2.0)
    assert timed == ["GRQ", "RRQ", "key", "key", "key"]
    assert seen.latencies()["key"] == {"p50": 0.5, "p99": 2.0}
    assert dict(seen.look_ups) == {"found": 1, "memory": 1, "revoked": 1, "unavailable": 1}


def figures(at, count):
    seen = Observed()
    for _ in range(count):
        seen.event(("confirmed", SOURCE, "1"))
    for reason in ("GRQ: wrong ICV", "GRQ: not signed", "PER: x", "GRQ: no extension", "GRQ: replayed Re"):
        for kind in ("GRQ", "RRQ", "URQ"):
            seen.event(("dropped", SOURCE, reason.replace("GRQ", kind)))
    for number in range(40):
        seen.event(("refused", SOURCE, "9" * 20 + str(number), number % 6))
    return {
        "at": at,
        "up": 100_000.0,
        "outcomes": [[*labels, count] for labels, count in seen.outcomes.items()],
        "received": 10 * count,
        "sent": count,
        "tables": dict.fromkeys(
            ("registrations", "answers", "nonces", "look_ups", "throttle", "channels"), 99999
        ),
        "look_ups": {"memory": count},
        "key_requests": 0,
        "latencies": {kind: {"p50": 0.0012, "p99": 1.5} for kind in ("GRQ", "RRQ", "key")},
        "failing": seen.failing(),
        "key_server": {"ready": False, "followed": 0, "servers": 2, "cvm": ["0a0b0c", "010203"]},
    }


def test_rates_are_differences():
    seen = top.between(figures(10.0, 5), figures(12.0, 25))
    assert seen["rates"][0] == {
        "message": "GRQ",
        "outcome": "confirmed",
        "reason": "",
        "rate": 10.0,
        "total": 25,
    }
    assert (seen["received"], seen["sent"], seen["look_ups"]) == (100.0, 10.0, {"memory": 10.0})
    again = top.between(figures(12.0, 25), figures(12.5, 0))  # it was started again in between
    assert all(one["rate"] == 0 for one in again["rates"])


def test_the_picture_fits_80_by_24():
    text = top.picture(top.between(figures(10.0, 5), figures(12.0, 25)), 80, 24)
    lines = text.split("\n")
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80
    assert "DOES NOT ANSWER" in text
    assert "0a0b0c" in text
    assert "GRQ-GCF 1.2/1500.0 ms" in text
    assert sum(line.startswith("9999") for line in lines) >= 3, "no room for extensions that fail"
