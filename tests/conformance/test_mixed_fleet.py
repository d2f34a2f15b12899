"""A mixed fleet at one gatekeeper: both suites, two generations of Km, protocol versions 2 to 7, strangers.

Requests are built by pycrate, an independent codec, and the answers are read by it.
"""

import itertools

import pytest
from exchange import name_of
from pair import SIGNALLING, Gatekeeper, Site
from pycrate_asn1dir.H225 import H323_MESSAGES
from ras import dotted, keys, message, oids, profile
from ras.errors import RemoteProtocolError
from ras.generator import pack
from ras.registrar import Lookup
from support import Random

RAS = H323_MESSAGES.RasMessage
VERSIONS = (2, 3, 4, 5, 6, 7)
PIN = "20934"
PROFILE = tuple(int(arc) for arc in dotted.dotted(oids.PROFILE).split("."))
# Tokens of other procedures, as devices of other makers put them beside ours: H.235.1's, a Diffie-Hellman
# half-key with an empty modSize, and one of nobody.
FOREIGN = [
    {"tokenOID": (0, 0, 8, 235, 0, 2, 5), "timeStamp": 1700000000, "random": 7, "generalID": "gk"},
    {
        "tokenOID": (0, 0, 8, 235, 0, 3, 24),
        "dhkey": {"halfkey": (5, 8), "modSize": (0, 0), "generator": (0, 0)},
    },
    {"tokenOID": (1, 3, 6, 1, 4, 1, 99999, 3), "challenge": bytes(8), "profileInfo": []},
]


class Mixed(Site):
    """Two generations of Km, of both suites each: {check value: (suite, Km)}."""

    def __init__(self, random):
        super().__init__(random)
        self.pins = {}
        self.generations = {}
        for seed in (b"the old seed, 16 octets", b"the new seed, 16 octets"):
            for suite in (keys.SHA1, keys.SHA256):
                km = keys.master_key(suite, seed)
                self.generations[keys.check_value(suite, km)] = (suite, km)

    def look_up(self, ext, g, cvm=None):
        suite, km = self.generations[cvm]
        if ext not in self.pins:
            return Lookup(profile.UNKNOWN_EXTENSION, keys.device_key(suite, km, g))
        return Lookup(0, keys.device_key(suite, km, g), self.pins[ext])


@pytest.fixture(scope="module")
def gatekeeper():
    random = Random(31)
    site = Mixed(random)
    found = Gatekeeper(site, random, suites=("sha256", "sha1"))
    cvms = tuple(site.generations)
    found.registrar.set_site(cvms, (), cvms[2:])
    return found


def transport(address):
    ip = bytes(int(part) for part in address[0].split("."))
    return ("ipAddress", {"ip": ip, "port": address[1]})


def endpoint_type():
    vendor = {"vendor": {"t35CountryCode": 181, "t35Extension": 0, "manufacturerCode": 18}}
    return {"vendor": vendor, "terminal": {}, "mc": False, "undefinedNode": False}


def request(kind, number, version, ext, address, *, tokens=None):
    """Return a GRQ or RRQ of a protocol version as pycrate takes it; no tokens: none at all."""
    value = {"requestSeqNum": number, "protocolIdentifier": (0, 0, 8, 2250, 0, version)}
    if kind == "gatekeeperRequest":
        value |= {"rasAddress": transport(address), "endpointType": endpoint_type()}
        value["endpointAlias"] = [("h323-ID", "phone of " + ext), ("dialledDigits", ext)]
    else:
        value |= {
            "discoveryComplete": True,
            "callSignalAddress": [transport(address)],
            "rasAddress": [transport(address)],
            "terminalType": endpoint_type(),
            "terminalAlias": [("dialledDigits", ext)],
            "endpointVendor": endpoint_type()["vendor"],
            "timeToLive": 300,
            "keepAlive": False,
            "willSupplyUUIEs": False,
        }
        if version >= 4:
            value["maintainConnection"] = False
    if tokens:
        value["tokens"] = tokens
    return value


def encoded(kind, value):
    RAS.set_val((kind, value))
    return RAS.to_aper()


def short(octets):
    """Return a message again with no more extension bits than it has extensions, as older devices do."""
    decoded = message.decode_message(octets)
    sequence, fields, additions = message.table_of(decoded.kind)
    names = [additions[i] for i in range(0, len(additions), 2)]
    last = max(i for i, name in enumerate(names) if name in decoded.value)
    message._tables[decoded.kind] = (sequence, fields, additions[: 2 * (last + 1)])
    try:
        out = bytes(message.encode_message(decoded.kind, decoded.value)[0])
    finally:
        message._tables[decoded.kind] = (sequence, fields, additions)
    assert len(out) <= len(octets)
    RAS.from_aper(out)  # pycrate reads it, too
    return out


class Device:
    """An endpoint of some maker that speaks the profile, in a version of H.225.0."""

    def __init__(self, gatekeeper, number, suite, km, version, *, cut):
        self.gatekeeper = gatekeeper
        self.ext = str(3000 + number)
        self.address = (f"192.0.{2 + number // 200}.{1 + number % 200}", 1719)
        self.suite, self.version, self.cut = suite, version, cut
        self.g = pack(b"server", self.ext, 1000 + number)
        self.kg = keys.device_key(suite, km, self.g)
        self.ka = keys.authentication_key(suite, self.kg, PIN)
        self.found = {1: self.g, 2: keys.check_value(suite, km), 3: bytes([number]) * 16}

    def send(self, kind, number):
        ours = {
            "tokenOID": PROFILE,
            "profileInfo": [
                {"elementID": at, "element": ("octets", octets)} for at, octets in sorted(self.found.items())
            ],
        }
        ours["profileInfo"].append({"elementID": 99, "element": ("name", "of a later version")})
        # Ours is neither the first token nor the last.
        value = request(
            kind, number, self.version, self.ext, self.address, tokens=[*FOREIGN[:2], ours, FOREIGN[2]]
        )
        oid = tuple(int(arc) for arc in dotted.dotted(oids.ALGORITHM + bytes((self.suite.arc,))).split("."))
        value["integrityCheckValue"] = {"algorithmOID": oid, "icv": (0, 8 * self.suite.icv)}
        octets = encoded(kind, value)
        octets = bytearray(short(octets) if self.cut else octets)
        message.sign(octets, message.decode_message(bytes(octets)).icv, self.suite, self.ka)
        ((answer, to),) = self.gatekeeper.receive(bytes(octets), self.address, 1000)
        assert to == self.address
        assert 2 * len(answer) <= 3 * len(octets)
        assert message.verify(message.decode_message(answer), self.suite, self.ka)
        RAS.from_aper(answer)
        name, told = RAS.get_val()
        assert told["requestSeqNum"] == number
        (token,) = told["tokens"]
        elements = {one["elementID"]: one["element"][1] for one in token["profileInfo"]}
        assert elements[3] == self.found[3]
        return name, told, elements

    def register(self):
        """Register; return the RCF as pycrate reads it, and its elements."""
        name, _, elements = self.send("gatekeeperRequest", 7)
        assert name == "gatekeeperConfirm"
        self.found[4] = elements[4]
        name, told, elements = self.send("registrationRequest", 8)
        assert name == "registrationConfirm"
        assert told["callSignalAddress"] == [transport(SIGNALLING)]
        return elements


def test_everybody_who_knows_the_pin_registers_with_the_suite_and_generation_they_have(gatekeeper):
    site = gatekeeper.site
    cvms = list(site.generations)
    devices = []
    for number, (cvm, version, cut) in enumerate(itertools.product(cvms, VERSIONS, (False, True))):
        suite, km = site.generations[cvm]
        device = Device(gatekeeper, number, suite, km, version, cut=cut)
        site.pins[device.ext] = PIN
        elements = device.register()
        # Only those of the old generation are asked to fetch new keys.
        assert (elements.get(7) == b"\1") == (cvm in cvms[:2])
        devices.append(device)
    held = {one.ext: one for one in gatekeeper.registrar.held()}
    assert len(held) == len(devices) == 48
    for device in devices:
        one = held[device.ext]
        assert (one.suite, one.cvm, one.source) == (device.suite, device.found[2], device.address)
        ks = keys.session_key(device.suite, device.kg, PIN, device.found[3], device.found[4])
        assert gatekeeper.registrar.psk(one.sid) == ks


def test_no_suite_is_talked_down(gatekeeper):
    """Where a site allows one suite, the other's phones are told so, and no answer comes in it."""
    random = Random(32)
    site = Mixed(random)
    only = Gatekeeper(site, random, suites=("sha256",))
    only.registrar.set_site(tuple(site.generations))
    suite, km = next(iter(site.generations.values()))
    assert suite is keys.SHA1
    device = Device(only, 1, suite, km, 4, cut=False)
    site.pins[device.ext] = PIN
    sent = []
    receive = only.receive
    only.receive = lambda data, source, now: sent.append(data) or [(b"", source)]
    with pytest.raises(RemoteProtocolError):
        device.send("gatekeeperRequest", 7)
    ((answer, _),) = receive(sent[0], device.address, 1000)
    assert name_of(sent[0], answer) == "GRJ 5"
    assert only.registrar.held() == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["gatekeeperRequest", "registrationRequest"])
@pytest.mark.parametrize("tokens", [None, FOREIGN], ids=["no-tokens", "foreign-tokens"])
def test_a_plain_endpoint_is_told_the_truth_and_never_registered(gatekeeper, version, kind, tokens):
    site = gatekeeper.site
    site.pins["2999"] = PIN
    before = len(gatekeeper.registrar.held())
    address = (f"198.51.100.{version}", 1719)
    octets = encoded(kind, request(kind, 500 + version, version, "2999", address, tokens=tokens))
    ((answer, to),) = gatekeeper.receive(octets, address, 5000)
    assert to == address
    assert name_of(octets, answer) in ("GRJ plain", "RRJ plain")
    RAS.from_aper(answer)
    name, told = RAS.get_val()
    assert name == kind.replace("Request", "Reject")
    assert told["requestSeqNum"] == 500 + version
    assert told["rejectReason"][0] == "securityDenial"
    assert len(gatekeeper.registrar.held()) == before
    assert gatekeeper.registrar.registration("2999") is None
    assert "without the profile" in gatekeeper.events[-1][2]


def test_a_plain_endpoint_does_not_take_a_phones_extension(gatekeeper):
    site = gatekeeper.site
    suite, km = list(site.generations.values())[3]
    device = Device(gatekeeper, 150, suite, km, 6, cut=False)
    site.pins[device.ext] = PIN
    device.register()
    sid = gatekeeper.registrar.registration(device.ext).sid
    octets = encoded(
        "registrationRequest",
        request("registrationRequest", 9, 4, device.ext, ("198.51.100.9", 1719)) | {"keepAlive": True},
    )
    gatekeeper.receive(octets, device.address, 5000)
    gatekeeper.receive(octets, ("198.51.100.9", 1719), 5000)
    held = gatekeeper.registrar.registration(device.ext)
    assert (held.sid, held.source) == (sid, device.address)


def test_plain_endpoints_by_the_thousand_are_told_only_now_and_then():
    random = Random(33)
    strict = Gatekeeper(Site(random), random)
    told = 0
    for number in range(1, 2001):
        value = request("gatekeeperRequest", number, 4, "2999", ("198.51.100.9", 1719))
        told += len(strict.receive(encoded("gatekeeperRequest", value), ("198.51.100.9", 1719), number))
    assert told == 200


# -- plain endpoints where the site lets some of them register


class Listed:
    """Extensions that begin with 28, of one network, but for those that have a PIN."""

    def __init__(self, site):
        self.site = site

    def allows(self, ext, host):
        if not host.startswith("198.51.100."):
            return False
        return ext is None or (ext.startswith("28") and ext not in self.site.pins)


@pytest.fixture
def open_gatekeeper():
    """A gatekeeper that lets them in, at which a device of the profile is registered in each suite."""
    random = Random(34)
    site = Mixed(random)
    found = Gatekeeper(site, random, suites=("sha256", "sha1"), plain=Listed(site))
    cvms = tuple(site.generations)
    found.registrar.set_site(cvms, (), cvms[2:])
    for number, cvm in enumerate(cvms):
        device = Device(found, number, *site.generations[cvm], 2 + number, cut=False)
        site.pins[device.ext] = PIN
        device.register()
    return found


class PlainDevice:
    """An H.323 endpoint that knows nothing of the profile, in a version of H.225.0."""

    def __init__(self, gatekeeper, ext, version, *, cut=False, tokens=None, host=None):
        self.gatekeeper = gatekeeper
        self.ext, self.version, self.cut, self.tokens = ext, version, cut, tokens
        self.address = (host or f"198.51.100.{ext[2:].lstrip('0')}", 1719)
        self.number = 0

    def send(self, kind, **changes):
        """Return (name, value) of the answer as pycrate reads it."""
        self.number += 1
        if kind == "unregistrationRequest":
            value = {"requestSeqNum": self.number, "callSignalAddress": [transport(self.address)]}
        else:
            value = request(kind, self.number, self.version, self.ext, self.address, tokens=self.tokens)
        octets = encoded(kind, value | changes)
        octets = short(octets) if self.cut and kind == "registrationRequest" else octets
        ((answer, to),) = self.gatekeeper.receive(octets, self.address, 1000)
        assert to == self.address
        assert 2 * len(answer) <= 3 * len(octets)
        RAS.from_aper(answer)
        name, told = RAS.get_val()
        assert told["requestSeqNum"] == self.number
        assert not {"tokens", "cryptoTokens", "integrityCheckValue"} & set(told)
        return name, told

    def keep_alive(self, identifier):
        """Send a lightweight RRQ as H.323 section 7.2.2 has it: without what stays."""
        return self.send(
            "registrationRequest", keepAlive=True, endpointIdentifier=identifier, terminalAlias=[]
        )


@pytest.mark.parametrize("tokens", [None, FOREIGN], ids=["no-tokens", "foreign-tokens"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_plain_endpoint_registers_beside_the_fleet(open_gatekeeper, version, tokens):
    registrar = open_gatekeeper.registrar
    fleet = [(one.ext, one.sid, one.source, one.expires) for one in registrar.held()]
    assert len(fleet) == 4
    for ext, cut in (("2801", False), ("2802", True)):
        # An h323-ID before the extension, in the GRQ; pycrate has read the value of each answer.
        device = PlainDevice(open_gatekeeper, ext, version, cut=cut, tokens=tokens)
        name, told = device.send("gatekeeperRequest")
        assert name == "gatekeeperConfirm"
        assert told["rasAddress"] == transport(open_gatekeeper.address)
        name, told = device.send("registrationRequest")
        assert name == "registrationConfirm"
        identifier = told["endpointIdentifier"]
        assert identifier == registrar.plain.of(ext).identifier
        assert told["callSignalAddress"] == []
        assert told["timeToLive"] == 300
        name, told = device.keep_alive(identifier)
        assert (name, told["endpointIdentifier"]) == ("registrationConfirm", identifier)
    assert len(registrar.plain) == 2
    name, _ = device.send("unregistrationRequest", endpointIdentifier=identifier)
    assert name == "unregistrationConfirm"
    name, told = device.keep_alive(identifier)
    assert (name, told["rejectReason"][0]) == ("registrationReject", "fullRegistrationRequired")
    assert [one.ext for one in registrar.plain.all()] == ["2801"]
    assert [(one.ext, one.sid, one.source, one.expires) for one in registrar.held()] == fleet


def test_two_plain_endpoints_of_one_extension(open_gatekeeper):
    assert PlainDevice(open_gatekeeper, "2803", 4).send("registrationRequest")[0] == "registrationConfirm"
    other = PlainDevice(open_gatekeeper, "2803", 5, host="198.51.100.200")
    name, told = other.send("registrationRequest")
    assert name == "registrationReject"
    assert told["rejectReason"] == ("duplicateAlias", [("dialledDigits", "2803")])


@pytest.mark.parametrize("version", VERSIONS)
def test_no_plain_endpoint_has_the_extension_of_the_fleet(open_gatekeeper, version):
    open_gatekeeper.site.pins["2804"] = PIN  # of the list, and with a PIN
    fleet = [(one.ext, one.sid, one.source, one.expires) for one in open_gatekeeper.registrar.held()]
    for ext in ("2804", *(one[0] for one in fleet)):
        device = PlainDevice(open_gatekeeper, ext, version, host="198.51.100.9")
        for kind, refusal in (
            ("gatekeeperRequest", "gatekeeperReject"),
            ("registrationRequest", "registrationReject"),
        ):
            name, told = device.send(kind)
            assert (name, told["rejectReason"][0]) == (refusal, "securityDenial")
    assert [(one.ext, one.sid, one.source, one.expires) for one in open_gatekeeper.registrar.held()] == fleet
    assert len(open_gatekeeper.registrar.plain) == 0
