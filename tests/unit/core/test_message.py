"""Aligned PER and RAS messages: what X.691 and H.225.0 say of odd, cut and newer input.

That every message reads the same elsewhere is tests/conformance's affair.
"""

from ras import answers, aper, build, dotted, keys, message, oids, profile
from ras.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from ras.per import Reader, Writer

from support import Random, raises

KA = bytes(range(32))
ELEMENTS = {profile.G: b"g" * 16, profile.CVM_ID: b"cvm", profile.RE: b"e" * 16}


def grq(suite=keys.SHA256, elements=None):
    value = build.gatekeeper_request(5, "1001", ("192.0.2.50", 40000))
    return profile.seal(message.GRQ, value, elements or ELEMENTS, suite, KA)


def all_messages():
    """Return one sealed message of each kind."""
    nonces = {profile.RE: b"e" * 16, profile.RG: b"r" * 16}
    error = {profile.ERROR: b"\x03", profile.RE: b"e" * 16, profile.RG: b"r" * 16}
    here, there = ("192.0.2.1", 1719), ("192.0.2.50", 40000)
    others = (("192.0.2.2", 1719), ("2001:db8::2", 1719))
    made = [
        (message.GRQ, build.gatekeeper_request(5, "1001", there), ELEMENTS),
        (message.GCF, answers.gatekeeper_confirm(5, here, others), nonces),
        (message.GRJ, answers.gatekeeper_reject(5, "securityDenial", others), error),
        (message.RRQ, build.registration_request(6, "1001", there, there, 300), dict(ELEMENTS, **{})),
        (message.RRQ, build.keep_alive(7, "abcd", there, there, 300), nonces),
        (message.RCF, answers.registration_confirm(6, "abcd", here, 300, others), dict(nonces)),
        (message.RRJ, answers.registration_reject(6, "securityDenial"), error),
        (message.URQ, build.unregistration_request(8, "abcd", there, "maintenance"), nonces),
        (message.UCF, build.unregistration_confirm(8), nonces),
    ]
    made[3][2][profile.RG] = b"r" * 16
    made[5][2][profile.SID] = b"s" * 16
    return [profile.seal(kind, value, elements, keys.SHA256, KA) for kind, value, elements in made]


def test_a_grq_reads_back_and_verifies():
    for suite in (keys.SHA1, keys.SHA256):
        octets = grq(suite)
        assert 100 <= len(octets) <= 170, len(octets)
        m = message.decode_message(octets)
        assert m.kind == message.GRQ
        assert m.value["endpointAlias"] == [("dialledDigits", "1001")]
        assert profile.elements(m) == ELEMENTS
        assert profile.suite_of(m) is suite
        assert message.verify(m, suite, KA)
        assert not message.verify(m, suite, bytes(32))
        assert not message.verify(m, keys.SHA1 if suite is keys.SHA256 else keys.SHA256, KA)


def test_every_kind_reads_back():
    for octets in all_messages():
        m = message.decode_message(octets)
        profile.elements(m)
        assert message.verify(m, keys.SHA256, KA)


def test_no_bit_of_a_message_can_be_changed():
    for octets in all_messages():
        for i in range(8 * len(octets)):
            flipped = bytearray(octets)
            flipped[i >> 3] ^= 0x80 >> (i & 7)
            try:
                m = message.decode_message(bytes(flipped))
                profile.elements(m)
                suite = profile.suite_of(m)
            except RemoteProtocolError:
                continue
            assert suite is None or not message.verify(m, suite, KA), i


def test_a_message_cut_anywhere_is_refused_cleanly():
    for octets in all_messages():
        for n in range(len(octets)):
            with raises(RemoteProtocolError):
                profile.elements(message.decode_message(octets[:n]))


def test_octets_behind_a_message_do_no_harm_but_are_under_its_icv():
    octets = grq()
    m = message.decode_message(octets + b"\x00\x01")
    assert profile.elements(m) == ELEMENTS
    assert not message.verify(m, keys.SHA256, KA)


def test_noise_never_raises_anything_else():
    random = Random(7)
    samples = all_messages()
    for i in range(3000):
        if i % 3:
            data = bytearray(samples[random.below(len(samples))])
            for _ in range(1 + random.below(6)):
                data[random.below(len(data))] = random.below(256)
        else:
            data = bytearray(random(random.below(80)))
            if data:
                data[0] &= 0x1F
        try:
            m = message.decode_message(bytes(data))
            if m.kind in (message.GRQ, message.RRQ, message.URQ, message.GCF, message.RCF):
                profile.elements(m)
                profile.suite_of(m)
        except RemoteProtocolError:
            pass


def test_absurd_lengths_are_refused():
    with raises(RemoteProtocolError):
        message.decode_message(bytes(message.MAX_MESSAGE + 1))
    octets_type = (aper.OCTETS, 0, None)
    for data in (b"\x05ab", b"\xbf\xff", b"\xc1" + bytes(20), b"\xff"):
        with raises(RemoteProtocolError):
            aper.decode(Reader(data), octets_type)
    with raises(RemoteProtocolError):  # 16,383 NULLs in two octets
        aper.decode(Reader(b"\xbf\xff"), (aper.SEQUENCE_OF, (aper.NULL,), 0, None))
    with raises(RemoteProtocolError):
        aper.decode(Reader(b"\x00"), (aper.OID,))


def test_unknown_extensions_are_skipped():
    octet, boolean = (aper.INTEGER, 0, 255), (aper.BOOLEAN,)
    old = (aper.SEQUENCE, ("a", octet, aper.MUST), ("b", boolean))
    new = (
        aper.SEQUENCE,
        ("a", octet, aper.MUST),
        ("b", boolean, "c", (aper.OCTETS, 0, None), "d", (aper.OID,)),
    )
    tail = (aper.SEQUENCE, ("s", old, aper.MUST, "z", octet, aper.MUST), None)
    newer_tail = (aper.SEQUENCE, ("s", new, aper.MUST, "z", octet, aper.MUST), None)
    value = {"s": {"a": 7, "b": True, "c": b"x" * 200, "d": b"\x2a"}, "z": 9}
    writer = Writer()
    aper.encode(writer, newer_tail, value)
    assert aper.decode(Reader(bytes(writer.data)), tail) == {"s": {"a": 7, "b": True}, "z": 9}
    assert aper.decode(Reader(bytes(writer.data)), newer_tail) == value
    # and an extension bitmap that is shorter than ours
    writer = Writer()
    aper.encode(writer, tail, {"s": {"a": 7, "b": True}, "z": 9})
    assert aper.decode(Reader(bytes(writer.data)), newer_tail) == {"s": {"a": 7, "b": True}, "z": 9}


def test_an_unknown_alternative_is_skipped():
    octet, boolean, null = (aper.INTEGER, 0, 255), (aper.BOOLEAN,), (aper.NULL,)
    new = (aper.CHOICE, ("a", null), ("b", boolean, "c", (aper.OCTETS, 0, None)))
    old = (aper.CHOICE, ("a", null), ("b", boolean))
    both = (aper.SEQUENCE, ("x", old, aper.MUST, "z", octet, aper.MUST), None)
    newer = (aper.SEQUENCE, ("x", new, aper.MUST, "z", octet, aper.MUST), None)
    writer = Writer()
    aper.encode(writer, newer, {"x": ("c", b"hello"), "z": 1})
    assert aper.decode(Reader(bytes(writer.data)), both) == {"x": (aper.UNKNOWN, 2), "z": 1}


def test_unknown_messages_give_the_number_of_a_request():
    # an ARQ: choice 9, seven OPTIONALs and the extension bit, then requestSeqNum 0x1235
    m = message.decode_message(b"\x24\x00\x12\x34" + bytes(30))
    assert m.kind == aper.UNKNOWN
    assert m.value == {"requestSeqNum": 0x1235}
    assert message.decode_message(b"\x2a\x00\x12\x34" + bytes(30)).value == {}  # an ACF asks nothing
    assert message.decode_message(b"\x80\x01\x00").kind == aper.UNKNOWN  # a RIP, of the extension
    with raises(RemoteProtocolError):
        message.decode_message(b"\x24\x00")
    with raises(RemoteProtocolError):
        message.decode_message(b"\x7e")  # choice 31 of 25


def test_numbers_strings_and_bits_round_trip():
    cases = [
        ((aper.INTEGER, 1, 65535), (1, 2, 256, 65535)),
        ((aper.INTEGER, 1, 4294967295), (1, 255, 256, 257, 65536, 1 << 24, 4294967295)),
        ((aper.INTEGER, 0, 127), (0, 1, 127)),
        ((aper.INTEGER, 0, 255), (0, 255)),
        ((aper.INTEGER, None, None), (0, -1, 127, 128, -128, -129, 1 << 70, -(1 << 70))),
        ((aper.BITS, 0, 2048), ((0, 0), (1, 1), (5, 3), (1 << 99, 100))),
        ((aper.BITS, 32, 32), ((0x80000001, 32),)),
        ((aper.OCTETS, 2, 2), (b"ab",)),
        ((aper.OCTETS, 1, 20), (b"a", b"a" * 20)),
        ((aper.CHARS, 1, 128, 4, "#*,0123456789"), ("1", "*#,09", "1" * 128)),
        ((aper.CHARS, 1, 128, 16, None), ("x", "\u00e9\u4e16")),
        ((aper.CHARS, 1, 512, 8, None), ("sip:a@b",)),
    ]
    for kind, values in cases:
        for value in values:
            for shift in range(8):
                writer = Writer()
                writer.bits(0, shift)
                aper.encode(writer, kind, value)
                reader = Reader(bytes(writer.data))
                reader.bits(shift)
                assert aper.decode(reader, kind) == value, (kind, value, shift)


def test_what_does_not_fit_its_type_is_our_own_fault():
    for kind, value in (
        ((aper.INTEGER, 1, 10), 11),
        ((aper.OCTETS, 1, 2), b""),
        ((aper.CHARS, 1, 128, 4, "#*,0123456789"), "a"),
        ((aper.CHARS, 1, 512, 8, None), "\u00e9"),
        ((aper.CHOICE, ("a", (aper.NULL,)), None), ("b", 0)),
        ((aper.SEQUENCE, ("a", (aper.NULL,), aper.MUST), None), {}),
        ((aper.SEQUENCE_OF, (aper.NULL,), 0, None), [0] * 65),
    ):
        with raises(LocalProtocolError):
            aper.encode(Writer(), kind, value)
    with raises(LocalProtocolError):
        message.encode_message("ARQ", {})


def test_a_profile_token_that_is_malformed_is_refused():
    def with_entries(entries, tokens=1):
        value = build.gatekeeper_request(5, "1001", ("192.0.2.50", 40000))
        token = {
            "tokenOID": oids.PROFILE,
            "profileInfo": [{"elementID": n, "element": e} for n, e in entries],
        }
        value["tokens"] = [token] * tokens
        return message.decode_message(bytes(message.encode_message(message.GRQ, value)[0]))

    good = [(1, ("octets", b"g" * 16)), (2, ("octets", b"cvm")), (3, ("octets", b"e" * 16))]
    assert profile.elements(with_entries(good)) == ELEMENTS
    assert profile.elements(with_entries(good + [(99, ("flag", True))])) == ELEMENTS
    for bad in (
        good[1:],
        good + good[:1],
        good[:2] + [(3, ("octets", b"e" * 15))],
        good[:2] + [(3, ("integer", 5))],
        [],
    ):
        with raises(RemoteProtocolError):
            profile.elements(with_entries(bad))
    for tokens in (0, 2):
        with raises(RemoteProtocolError):
            profile.elements(with_entries(good, tokens))


def test_other_tokens_beside_the_profile_s_are_no_harm():
    value = build.gatekeeper_request(5, "1001", ("192.0.2.50", 40000))
    empty = (0, 0)
    stranger = {
        "tokenOID": dotted.octets("0.0.8.235.0.2.5"),
        "timeStamp": 12345,
        "dhkey": {"halfkey": (5, 1024), "modSize": empty, "generator": empty},
        "random": -3,
        "generalID": "gk",
    }
    value["tokens"] = [
        stranger,
        {
            "tokenOID": oids.PROFILE,
            "profileInfo": [{"elementID": n, "element": ("octets", v)} for n, v in sorted(ELEMENTS.items())],
        },
    ]
    octets, _ = message.encode_message(message.GRQ, value)
    m = message.decode_message(bytes(octets))
    assert m.value["tokens"][0] == stranger
    assert profile.elements(m) == ELEMENTS


def test_an_icv_of_unknown_algorithm_or_wrong_length_is_malformed():
    for algorithm, icv in ((oids.ALGORITHM + b"\x03", bytes(16)), (oids.ALGORITHM + b"\x02", bytes(12))):
        value = build.gatekeeper_request(5, "1001", ("192.0.2.50", 40000))
        value["integrityCheckValue"] = {"algorithmOID": algorithm, "icv": icv}
        m = message.decode_message(bytes(message.encode_message(message.GRQ, value)[0]))
        with raises(RemoteProtocolError):
            profile.suite_of(m)


def test_object_identifiers():
    assert dotted.octets("2.25.273361958028179150373490966389896869464") == oids.BASE
    assert dotted.dotted(oids.PROFILE) == "2.25.273361958028179150373490966389896869464.1"
    assert dotted.octets("0.0.8.2250.0.6") == oids.H225_V6
    for text in ("0.0", "1.39.7", "2.100.3", "2.999", "0.0.8.235.0.2.5"):
        assert dotted.dotted(dotted.octets(text)) == text


def test_errors_are_of_one_family():
    assert issubclass(RemoteProtocolError, ProtocolError)
    assert issubclass(LocalProtocolError, ProtocolError)
