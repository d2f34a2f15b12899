"""Who broke the rules: each message held against protocol.md with the site's seed, and the verdict of it."""

import secrets

import pytest
from harness import forge, judge
from harness.faults import DOWN, UP, Datagram, kind_of
from harness.judge import Judge
from harness.report import Report
from harness.timeline import BAD, Timeline, of_phone, of_server
from harness.verdict import Evidence, sentence
from ras import keys, profile
from ras.endpoint import Endpoint
from ras.lookups import Lookup
from ras.policy import Settings
from ras.record import Record
from ras.registrar import Registrar
from ringkey.keyserver import keyring, sealing

SEED = bytes(range(32))
SUITE = keys.SHA256
KM = keys.master_key(SUITE, SEED)
G = bytes(16)
KG = keys.device_key(SUITE, KM, G)
PHONE, GATEKEEPER = ("127.0.0.1", 50000), ("127.0.0.1", 1719)


class Pair:
    """Endpoint and registrar of the core, and all they say to each other."""

    def __init__(self, pin="4711"):
        self.endpoint = Endpoint(secrets.token_bytes, PHONE)
        self.registrar = Registrar(Settings(lambda _: (GATEKEEPER, ("127.0.0.1", 1300))), secrets.token_bytes)
        self.registrar.set_site((keys.check_value(SUITE, KM),))
        ka = keys.authentication_key(SUITE, KG, pin)
        self.record = Record("1001", pin, SUITE, G, KG, keys.check_value(SUITE, KM), ka, ())
        self.now = 0
        self.said = []

    def run(self):
        """Let both work until both are quiet."""
        while True:
            out = [(UP, data) for data, _ in self.endpoint.datagrams_to_send()]
            while (event := self.registrar.next_event()) is not None:
                if event[0] == "lookup":
                    self.registrar.provide(event[1], Lookup(0, KG, "4711"), self.now)
            out += [(DOWN, data) for data, _ in self.registrar.datagrams_to_send()]
            if not out:
                return self.said
            for way, data in out:
                self.said.append(Datagram(way, kind_of(data), data, PHONE))
                if way == UP:
                    self.registrar.receive_datagram(data, PHONE, self.now)
                else:
                    self.endpoint.receive_datagram(data, GATEKEEPER, self.now)

    def register(self):
        self.endpoint.register(self.record, (GATEKEEPER,), self.now)
        return self.run()


@pytest.fixture
def jury():
    return Judge(lambda: [SEED], {"1001": "4711"}.get)


def complaints(jury, datagrams):
    return [jury.complaint(d) for d in datagrams]


def damaged(datagram):
    data = bytearray(datagram.data)
    data[-1] ^= 1
    return Datagram(datagram.way, datagram.kind, bytes(data), datagram.client)


def test_nothing_is_wrong_with_a_registration(jury):
    pair = Pair()
    pair.register()
    pair.now = pair.endpoint.get_timer()
    pair.endpoint.handle_timer(pair.now)  # keepAlive
    pair.run()
    pair.registrar.end_registration("1001", "maintenance", pair.now)
    pair.run()
    said = [d.kind for d in pair.said]
    assert said == ["GRQ", "GCF", "RRQ", "RCF", "RRQ-alive", "RCF-alive", "URQ", "UCF"]
    assert complaints(jury, pair.said) == [None] * 8
    assert complaints(jury, pair.said[:4]) == [None] * 4, "nor with retransmissions"


@pytest.mark.parametrize("number", range(4))
def test_a_message_that_is_signed_wrongly(jury, number):
    said = Pair().register()
    complaints(jury, said[:number])
    assert "integrity check value is not that of Ka" in jury.complaint(damaged(said[number]))


def test_a_wrong_pin_and_an_answer_to_another_question(jury):
    pair = Pair("4712")
    assert "wrong PIN" in jury.complaint(pair.register()[0])
    one, other = Pair().register(), Pair().register()
    complaints(jury, one[:1])
    assert jury.complaint(other[1]) == "Re is not the one that was asked with"
    assert jury.complaint(one[1]) is None
    assert "malformed" in jury.complaint(Datagram(UP, "GRQ", one[0].data[:20], PHONE))
    assert jury.complaint(Datagram(DOWN, "GCF", one[1].data, ("127.0.0.1", 1))) is None, "nobody knows him"


def test_another_seed(jury):
    stranger = Judge(lambda: [bytes(32)], {}.get)
    assert "is of no seed of this site" in stranger.complaint(Pair().register()[0])
    assert judge.check_values([SEED]) >= {keys.check_value(SUITE, KM).hex()}


def test_forged_rejects(jury, tmp_path):
    (tmp_path / "keyserver").mkdir()
    seal = sealing.new_key_file(tmp_path / "keyserver" / "seed.key")
    keyring.write(tmp_path / "keyserver" / "seed", keyring.first(SEED, seal))
    request = Pair().register()[0]
    complaints(jury, [request])
    for signed in (True, False):
        data = forge.reject(tmp_path, request, profile.REVOKED, signed=signed, others=(("192.0.2.1", 1719),))
        assert jury.complaint(Datagram(DOWN, "GRJ", data, PHONE)) is None
    spoilt = damaged(Datagram(DOWN, "GRJ", forge.reject(tmp_path, request, 1, signed=True), PHONE))
    assert "that of Kr" in jury.complaint(spoilt)


def test_the_verdict():
    evidence = Evidence()
    assert sentence(evidence.findings()).startswith("No side broke a rule")
    grq = Datagram(UP, "GRQ", b"", PHONE)
    for fate in ("", "", "drops"):
        evidence.passed(grq, None, fate)
    [finding] = evidence.findings()
    assert (finding.side, finding.text) == ("gatekeeper", "answered none of 2 correct GRQ")
    evidence.passed(Datagram(DOWN, "GCF", b"", PHONE), "its ICV is wrong", "")
    [finding] = evidence.findings()
    assert finding.text == "GCF: its ICV is wrong", "it did answer"
    assert sentence(evidence.findings()) == "At fault: gatekeeper."
    evidence.add("phone", "fault in keys: ValueError")
    evidence.add("phone", "fault in keys: ValueError")
    assert (
        sentence(evidence.findings())
        == "Facts against gatekeeper and phone, the earliest against gatekeeper."
    )


def test_a_phone_that_does_not_take_what_is_right():
    evidence = Evidence()
    for _ in range(3):
        evidence.passed(Datagram(UP, "GRQ", b"", PHONE), None, "")
        evidence.passed(Datagram(DOWN, "GCF", b"", PHONE), None, "")
    assert [(f.side, f.text) for f in evidence.findings()] == [("phone", "took none of 3 correct GCF")]


def test_the_report_escapes_what_it_shows(tmp_path):
    timeline = Timeline()
    timeline.add("phone", "<script>alert(1)</script>")
    timeline.add("gatekeeper", *of_server({"event": "dropped", "level": "warning", "reason": "<b>"}))
    report = Report()
    report.properties["board"] = "<i>"
    result = report.result("test_x[<a>]")
    result.outcome, result.error, result.entries = "failed", "E   <no>\n", timeline.plain()
    report.result("passed").entries = []
    report.write(tmp_path / "r" / "report.html")
    text = (tmp_path / "r" / "report.html").read_text()
    for raw in ("<script>", "<b>", "<i>", "<a>", "<no>"):
        assert raw not in text.split("</style>")[1].replace("<i>07", ""), raw
    assert "&lt;script&gt;" in text
    assert "1 failed, 1 passed" in text
    assert 'class="bad"' in text


def test_what_a_time_line_says():
    assert of_phone({"e": "ras", "way": "out", "message": "GRQ"}) == ("sends GRQ", "")
    assert of_phone({"e": "reason", "reason": "no-answer"})[1] == BAD
    assert of_phone({"e": "display", "lines": ["PIN:", ".."]})[0] == "[PIN:            ]  [..              ]"
    assert of_server({"event": "x", "level": "error", "long": "y" * 500})[1] == BAD
    assert len(of_server({"event": "x", "level": "error", "long": "y" * 500})[0]) < 250
