"""The client: recorded sessions of OpenSSL, and a scripted server that misbehaves."""

import hashlib

from tlspsk import errors, handshake, record
from tlspsk.client import PSKClient
from tlspsk.errors import LocalProtocolError, RemoteAlert, RemoteProtocolError

from support import Random, raises
from tlspsk_server import (
    ALL,
    DONE,
    EMS,
    ETM,
    FRAGMENT,
    IDENTITY,
    KEY,
    RENEGOTIATION,
    Server,
    client,
    connected,
    greeted,
    keyed,
    plain,
    server_hello,
)

HELLO = (
    "160303003e0100003a03032febe1ef872568512878fb8b031bc02b7ed328904086d5e8e0f4757936fd01b80000"
    "0400ae00ff0100000d00010001030016000000170000"
)
# (client, server), in turn: OpenSSL 3.0's s_server with -psk_hint, and the client under
# RecordedRandom.  It says "ping", the server "pong\n".
WITH_EMS = (
    (
        HELLO,
        (
            "160303005e0200005a0303f6d9e8b03ad80d66955d36dfed0eba98c41aa575dd1da87dbae1d81c27a24a6b206e"
            "d8118d404d7e469c2d2ea7919e35ada3fe0ab540bb0e6a3ee2fa584bded2b400ae000012ff0100010000010001"
            "030016000000170000160303000a0c000006000472696e6716030300040e000000"
        ),
    ),
    (
        (
            "160303002610000022002030303131323233333434353536363737383839396161626263636464656566661403"
            "030001011603030050e653ff6d5daac493223202672eb1571a0737e855baa6c6352d73115547d1a40bc7ee333f"
            "6bc96bb3bd3675cc359589a385283185f8a66e13d7a96966757e9eaa536d057f554d7ad5b1d56221e91ba812"
        ),
        (
            "140303000101160303005099efb24d1d0d44fb7043b077395e8234ce0945c459aba0a9d5bc9ee6287494d480e5"
            "8566a2a99c6912567ef6875fc0c466864be9cac805059012564b77f6111da2e60066f81f4cf0a0c657e0a8cf30"
            "1e"
        ),
    ),
    (
        (
            "17030300402840f2099aa6465aab0f3bbc965240464279afd14703192942b15690b126249e88f8e482e28bf2c3"
            "209086ab92bd00ad5e609206d307cce0b64b818cffcaaff9"
        ),
        (
            "170303004020898ac73b7f7104fd74171b7b620ac6fcc97eda82cf62fe12e4eb4698126b269958647d2e16cc38"
            "e51f9ea58ff308d05f5407ac911dc982c2691c34f1a9b291"
        ),
    ),
)
# The same with a server that has no extended master secret (Options = -ExtendedMasterSecret).
WITHOUT_EMS = (
    (
        HELLO,
        (
            "160303005a02000056030356d54f31a94f26c2f651a39606ccd213fdd78cb1a2e04b5f3c5b7ea64c9073e62027"
            "e1bfef92ab7ace42d64d087ed737fc2d669132768479c55b801ff4c73cffd000ae00000eff0100010000010001"
            "0300160000160303000a0c000006000472696e6716030300040e000000"
        ),
    ),
    (
        (
            "160303002610000022002030303131323233333434353536363737383839396161626263636464656566661403"
            "030001011603030050e653ff6d5daac493223202672eb1571a6faf39402fbb26d93c4a103094aacbbaf906f7c1"
            "c1672711bfeb00b58e1e8b559e111004d7f9a9befe99d87dc27d271446682d36f21f1defb7e9c651b2824e98"
        ),
        (
            "14030300010116030300508feaaa8687540f40a15fa1441f703daf25bf1ec82f02c4ae3619eb15c36a6065501b"
            "a7bc8ef47f286b81789c39b3c15977c4e5c455d2f227bc15e04270e3589de5e4f3f53300e49490cb078f2a232b"
            "95"
        ),
    ),
    (
        (
            "17030300402840f2099aa6465aab0f3bbc96524046f0bfab5042cb8ab69a7ef7ccc4a7e9801661abc8fb348142"
            "6c98e3b571b4c5043adaf08e29d5014366586bd9209775ba"
        ),
        (
            "1703030040de5144c30641324c64be26b123425a524364abca5eb714936dea0918cc26a3e4e9754a5b32069f01"
            "e7011673758ab032cdc347affbee6fd35a3783022d492f22"
        ),
    ),
)


class RecordedRandom:
    """The octets that the recorded client drew."""

    def __init__(self):
        self.calls = 0

    def __call__(self, n):
        self.calls += 1
        return hashlib.sha256(b"random " + str(self.calls).encode()).digest()[:n]


def events(c):
    found = []
    while True:
        event = c.next_event()
        if event is None:
            return found
        found.append(event)


def fails(c, data, alert):
    """Feed data; the client must refuse it and tell the server so with `alert`.  Return the error."""
    c.data_to_send()
    with raises(RemoteProtocolError) as caught:
        c.receive(data)
    assert caught.value.alert == alert, (caught.value.alert, str(caught.value))
    assert not isinstance(caught.value, RemoteAlert)
    return caught.value


def fails_plain(c, data, alert):
    """As fails(), before encryption; the alert can be read."""
    error = fails(c, data, alert)
    out = c.data_to_send()
    assert out == plain(record.ALERT, bytes((errors.FATAL, alert))), out
    return error


def replay(session, step):
    c = PSKClient(IDENTITY, KEY, RecordedRandom())
    c.start()
    for number, (ours, theirs) in enumerate(session):
        if number == 2:
            c.send(b"ping")
        assert c.data_to_send().hex() == ours, number
        data = bytes.fromhex(theirs)
        for at in range(0, len(data), step):
            c.receive(data[at : at + step])
    assert events(c) == [("connected", "TLS_PSK_WITH_AES_128_CBC_SHA256"), ("data", b"pong\n")]


def test_recorded_session():
    replay(WITH_EMS, 10000)


def test_recorded_session_octet_by_octet():
    replay(WITH_EMS, 1)


def test_recorded_session_without_extended_master_secret():
    replay(WITHOUT_EMS, 7)


def test_server_learns_the_identity():
    _, s = keyed()
    assert s.identity == IDENTITY


def test_data_both_ways():
    c, s = connected()
    c.send(b"a" * 10000)
    s.seen = []
    s.receive(c.data_to_send())
    assert [len(p) for _, p in s.seen] == [2048] * 4 + [1808]
    c.receive(s.records.encode(record.APPLICATION_DATA, b"b" * 2000))
    assert events(c) == [("data", b"b" * 2000)]
    c.send(b"")
    assert c.data_to_send() == b""


def test_handshake_coalesced_in_one_record():
    # greeted() and connected() do this: ServerHello and ServerHelloDone share a record
    c, s = greeted(Server(key_exchange=handshake.message(12, b"\x00\x04hint")))
    c.receive(plain(record.HANDSHAKE, s.flight()))
    s.receive(c.data_to_send())
    c.receive(s.last_flight())
    assert events(c) == [("connected", "TLS_PSK_WITH_AES_128_CBC_SHA256")]


def test_handshake_fragmented_at_every_place():
    flight = Server().flight()
    for cut in range(1, len(flight)):
        c, s = greeted()
        c.receive(plain(record.HANDSHAKE, flight[:cut]) + plain(record.HANDSHAKE, flight[cut:]))
        s.receive(c.data_to_send())
        c.receive(s.last_flight())
        assert events(c) == [("connected", "TLS_PSK_WITH_AES_128_CBC_SHA256")], cut


def test_handshake_in_records_of_one_octet():
    c, s = greeted()
    for octet in s.flight():
        c.receive(plain(record.HANDSHAKE, bytes((octet,))))
    s.receive(c.data_to_send())
    finished = s.finished()
    c.receive(s.change_cipher_spec())
    for octet in finished:
        c.receive(s.records.encode(record.HANDSHAKE, bytes((octet,))))
    assert events(c) == [("connected", "TLS_PSK_WITH_AES_128_CBC_SHA256")]


def test_server_without_the_optional_extensions():
    hello = server_hello(ETM + RENEGOTIATION, session=b"s" * 32)
    c, _ = connected(Server(hello=hello, ems=False))
    # It did not agree to short records, so long ones are taken.
    assert c._records.limit == record.MAX_PLAINTEXT


def test_server_hello_that_is_refused():
    for hello, alert in (
        (server_hello(FRAGMENT + EMS + RENEGOTIATION), errors.HANDSHAKE_FAILURE),  # no RFC 7366
        (server_hello(None), errors.HANDSHAKE_FAILURE),
        (server_hello(b""), errors.HANDSHAKE_FAILURE),
        (server_hello(FRAGMENT + ETM + EMS), errors.HANDSHAKE_FAILURE),  # no RFC 5746
        (server_hello(version=b"\x03\x02"), errors.PROTOCOL_VERSION),
        (server_hello(version=b"\x03\x04"), errors.PROTOCOL_VERSION),
        (server_hello(suite=b"\x00\xa8"), errors.ILLEGAL_PARAMETER),
        (server_hello(suite=b"\x00\x8c"), errors.ILLEGAL_PARAMETER),
        (server_hello(suite=b"\x00\xff"), errors.ILLEGAL_PARAMETER),
        (server_hello(compression=b"\x01"), errors.ILLEGAL_PARAMETER),
        (server_hello(ALL + b"\x00\x00\x00\x00"), errors.UNSUPPORTED_EXTENSION),
        (server_hello(ALL + ETM), errors.ILLEGAL_PARAMETER),
        (server_hello(b"\x00\x16\x00\x01\x00" + RENEGOTIATION), errors.ILLEGAL_PARAMETER),
        (server_hello(b"\x00\x01\x00\x01\x01" + ETM + RENEGOTIATION), errors.ILLEGAL_PARAMETER),
        (server_hello(ETM + b"\xff\x01\x00\x02\x01\x00"), errors.ILLEGAL_PARAMETER),
        (server_hello(ETM + RENEGOTIATION + b"\x00"), errors.DECODE_ERROR),
        (server_hello(session=b"s" * 33), errors.DECODE_ERROR),
        (handshake.message(2, server_hello()[4:] + b"\x00"), errors.DECODE_ERROR),
    ):
        c, _ = greeted()
        fails_plain(c, plain(record.HANDSHAKE, hello), alert)


def test_server_hello_cut_anywhere():
    body = server_hello()[4:]
    for size in range(len(body)):
        c, _ = greeted()
        with raises(RemoteProtocolError):
            c.receive(plain(record.HANDSHAKE, handshake.message(2, body[:size])))
        assert c.data_to_send()[:6] == b"\x15\x03\x03\x00\x02\x02"


def test_messages_out_of_turn():
    certificate = handshake.message(11, b"\x00\x00\x00")
    finished = handshake.message(20, bytes(12))
    ticket = handshake.message(4, bytes(6))
    for messages in (
        DONE,
        finished,
        certificate,
        server_hello() + server_hello(),
        server_hello() + certificate,
        server_hello() + finished,
        server_hello() + DONE + DONE,
        server_hello() + DONE + finished,
        server_hello() + DONE + ticket,
        server_hello() + handshake.message(13, bytes(3)),  # CertificateRequest
        server_hello() + handshake.message(12, b"\x00\x00") * 2,
        handshake.message(1, bytes(40)),
        handshake.message(255, b""),
    ):
        c, _ = greeted()
        error = fails(c, plain(record.HANDSHAKE, messages), errors.UNEXPECTED_MESSAGE)
        assert " in state WAIT_" in str(error), str(error)


def test_malformed_messages():
    for messages in (
        server_hello() + handshake.message(12, b"\x00"),
        server_hello() + handshake.message(12, b"\x00\x02x"),
        server_hello() + handshake.message(12, b"\x00\x00x"),
        server_hello() + handshake.message(14, b"x"),
        handshake.message(0, b"x"),
        b"\x02\x00\x04\x01",  # a message longer than any honest one, by its header alone
        b"\x02\xff\xff\xff",
    ):
        c, _ = greeted()
        fails_plain(c, plain(record.HANDSHAKE, messages), errors.DECODE_ERROR)


def test_early_change_cipher_spec():
    # CVE-2014-0224: a ChangeCipherSpec before the keys are agreed must not switch anything on
    c, _ = greeted()
    fails_plain(c, plain(20, b"\x01"), errors.UNEXPECTED_MESSAGE)
    c, _ = greeted()
    fails_plain(c, plain(22, server_hello()) + plain(20, b"\x01"), errors.UNEXPECTED_MESSAGE)


def test_change_cipher_spec_malformed_or_twice():
    for payload in (b"\x00", b"\x01\x01", b"\x02"):
        c, _ = keyed()
        fails(c, plain(20, payload), errors.DECODE_ERROR)
    c, s = keyed()
    c.receive(s.change_cipher_spec())
    fails(c, s.records.encode(20, b"\x01"), errors.UNEXPECTED_MESSAGE)


def test_no_message_spans_the_change_of_keys():
    c, s = keyed()
    fails(c, plain(22, s.finished()[:5]) + s.change_cipher_spec(), errors.UNEXPECTED_MESSAGE)


def test_finished_without_change_cipher_spec():
    c, s = keyed()
    fails(c, plain(22, s.finished()), errors.UNEXPECTED_MESSAGE)


def test_finished_that_is_wrong():
    for change in range(12):
        c, s = keyed()
        bad = bytearray(s.finished())
        bad[4 + change] ^= 0x80
        c.receive(s.change_cipher_spec())
        fails(c, s.records.encode(22, bytes(bad)), errors.DECRYPT_ERROR)
        assert c.next_event() is None
    for body in (b"", bytes(11), bytes(13)):
        c, s = keyed()
        c.receive(s.change_cipher_spec())
        fails(c, s.records.encode(22, handshake.message(20, body)), errors.DECRYPT_ERROR)


def test_tampered_transcript_is_noticed():
    # The server signs, in Finished, another ServerHello than the client has seen.
    c = client()
    s = Server()
    s.receive(c.data_to_send())
    s.transcript = s.transcript.replace(FRAGMENT, b"\x00\x01\x00\x01\x04")
    c.receive(plain(22, s.flight()))
    with raises(RemoteProtocolError):
        s.receive(c.data_to_send())  # extended master secret: not even the keys agree


def test_wrong_key_seen_from_the_client():
    c, s = greeted(Server(key=bytes(32)))
    c.receive(plain(22, s.flight()))
    with raises(RemoteProtocolError) as caught:
        s.receive(c.data_to_send())
    assert caught.value.alert == errors.BAD_RECORD_MAC
    with raises(RemoteAlert) as caught:
        c.receive(plain(21, bytes((2, errors.BAD_RECORD_MAC))))
    assert str(caught.value) == "server sent bad_record_mac"
    assert caught.value.alert == errors.BAD_RECORD_MAC
    assert c.data_to_send() == b""  # a fatal alert is not answered
    c, s = greeted(Server(key=bytes(32)))
    c.receive(plain(22, s.flight()))
    with raises(RemoteProtocolError):
        s.receive(c.data_to_send())
    fails(c, s.last_flight(), errors.BAD_RECORD_MAC)


def test_unknown_identity_seen_from_the_client():
    c, _ = keyed()
    with raises(RemoteAlert) as caught:
        c.receive(plain(21, b"\x02\x73"))
    assert "unknown_psk_identity" in str(caught.value)


def test_data_before_finished():
    c, s = keyed()
    c.receive(s.change_cipher_spec())
    fails(c, s.records.encode(23, b"early"), errors.UNEXPECTED_MESSAGE)
    c, _ = greeted()
    fails_plain(c, plain(23, b"early"), errors.UNEXPECTED_MESSAGE)
    with raises(LocalProtocolError) as caught:
        greeted()[0].send(b"x")
    assert str(caught.value) == "send() in state WAIT_HELLO"


def test_close_from_the_server():
    c, s = connected()
    s.seen = []
    c.receive(s.records.encode(23, b"bye") + s.records.encode(21, b"\x01\x00") + b"what comes after")
    assert events(c) == [("data", b"bye"), ("closed",)]
    s.receive(c.data_to_send())
    assert s.seen == [(21, b"\x01\x00")]
    c.receive(b"more")
    c.receive_eof()
    c.close()
    assert events(c) == []
    assert c.data_to_send() == b""
    with raises(LocalProtocolError):
        c.send(b"x")


def test_close_from_the_client():
    c, s = connected()
    s.seen = []
    c.close()
    c.close()
    s.receive(c.data_to_send())
    assert s.seen == [(21, b"\x01\x00")]
    c.receive(s.records.encode(23, b"under way"))
    assert events(c) == []
    with raises(LocalProtocolError):
        c.send(b"x")
    c.receive(s.records.encode(21, b"\x01\x00"))
    assert events(c) == [("closed",)]
    assert c.data_to_send() == b""


def test_close_from_the_client_then_end_of_file():
    c, _ = connected()
    c.close()
    c.receive_eof()  # RFC 5246 section 7.2.1: who closes need not wait for the answer
    assert events(c) == [("closed",)]


def test_close_before_and_during_the_handshake():
    c = PSKClient(IDENTITY, KEY, Random(1))
    c.close()
    assert c.data_to_send() == b""
    c, s = greeted()
    c.close()
    assert c.data_to_send() == plain(21, b"\x01\x00")
    c.receive(plain(22, s.flight()))
    assert c.data_to_send() == b""
    c, s = keyed()
    c.close()
    s.seen = []
    s.receive(c.data_to_send())
    assert s.seen == [(21, b"\x01\x00")]


def test_truncation():
    for make in (client, lambda: greeted()[0], lambda: keyed()[0], lambda: connected()[0]):
        c = make()
        c.data_to_send()
        with raises(RemoteProtocolError) as caught:
            c.receive_eof()
        assert caught.value.alert is None
        assert "receive_eof() in state" in str(caught.value)
        assert events(c) == []
        assert c.data_to_send() == b""


def test_renegotiation_is_declined():
    c, s = connected()
    s.seen = []
    c.receive(s.records.encode(22, handshake.message(0, b"")))
    s.receive(c.data_to_send())
    assert s.seen == [(21, bytes((1, errors.NO_RENEGOTIATION)))]
    c.receive(s.records.encode(23, b"still here"))
    assert events(c) == [("data", b"still here")]
    error = fails(c, s.records.encode(22, server_hello()), errors.UNEXPECTED_MESSAGE)
    assert str(error) == "ServerHello in state OPEN"


def test_hello_request_in_the_handshake_is_ignored():
    c, s = greeted()
    c.receive(plain(22, handshake.message(0, b"")) + plain(22, s.flight()))
    s.receive(c.data_to_send())
    c.receive(s.last_flight())
    assert events(c) == [("connected", "TLS_PSK_WITH_AES_128_CBC_SHA256")]


def test_records_that_carry_nothing_are_limited():
    for kind, payload in ((23, b""), (21, b"\x01\x5a"), (22, bytes(4))):
        c, s = connected()
        for _ in range(2):
            for _ in range(record.MAX_IDLE_RECORDS):
                c.receive(s.records.encode(kind, payload))
            c.receive(s.records.encode(23, b"x"))
        assert events(c) == [("data", b"x")] * 2
        for _ in range(record.MAX_IDLE_RECORDS):
            c.receive(s.records.encode(kind, payload))
        fails(c, s.records.encode(kind, payload), errors.UNEXPECTED_MESSAGE)


def test_alerts_malformed():
    for payload in (b"\x01", b"\x01\x00\x00", b"\x00\x00", b"\x03\x28"):
        c, _ = greeted()
        fails_plain(c, plain(21, payload), errors.DECODE_ERROR)


def test_data_from_before_a_fault_is_kept():
    c, s = connected()
    fails(c, s.records.encode(23, b"good") + b"\x17\x03\x03\x00\x40" + bytes(64), errors.BAD_RECORD_MAC)
    assert events(c) == [("data", b"good")]


def test_fault_is_told_under_encryption_and_is_final():
    c, s = connected()
    s.seen = []
    fails(c, b"garbage", errors.UNEXPECTED_MESSAGE)
    s.receive(c.data_to_send())
    assert s.seen == [(21, bytes((2, errors.UNEXPECTED_MESSAGE)))]
    with raises(RemoteProtocolError):
        c.receive(s.records.encode(23, b"x"))
    c.receive_eof()
    c.close()
    with raises(LocalProtocolError):
        c.send(b"x")
    assert c.data_to_send() == b""
    assert events(c) == []


def test_caller_mistakes():
    c = PSKClient(IDENTITY, KEY, Random(1))
    with raises(LocalProtocolError) as caught:
        c.receive(b"x")
    assert str(caught.value) == "receive() in state IDLE"
    c.start()
    with raises(LocalProtocolError):
        c.start()
    for identity, key in ((b"", KEY), (b"i" * 129, KEY), (IDENTITY, b""), (IDENTITY, b"k" * 65)):
        with raises(ValueError):
            PSKClient(identity, key, Random(1))


def test_secrets_are_wiped_and_not_shown():
    c, s = keyed()
    negotiation = c._negotiation
    assert negotiation._key == bytearray(32)
    assert negotiation._master != bytearray(48)
    c.receive(s.last_flight())
    assert KEY.hex() not in repr(c)
    assert repr(c) == "PSKClient(OPEN)"
    assert c._negotiation is None
    assert negotiation._master == bytearray(48)
    write = c._records._write
    assert write.enc != bytearray(16)
    c.receive(s.records.encode(21, b"\x01\x00"))
    assert write.enc == bytearray(16)
    assert write.mac == bytearray(32)
    c, _ = greeted()
    assert c._negotiation._key == bytearray(KEY)
    fails_plain(c, b"\x00\x00\x00\x00\x00", errors.UNEXPECTED_MESSAGE)
    assert c._negotiation._key == bytearray(32)
