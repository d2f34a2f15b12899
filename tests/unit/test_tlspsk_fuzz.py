"""Whatever a server sends, the client answers with RemoteProtocolError or not at all."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ras.errors import RemoteProtocolError as AnyRemoteProtocolError
from ras.tpkt import Deframer, encode
from tlspsk import record
from tlspsk.errors import RemoteAlert, RemoteProtocolError
from tlspsk_server import Server, client, connected, greeted, keyed, plain

STAGES = [client, lambda: greeted()[0], lambda: keyed()[0], lambda: connected()[0]]
KINDS = (20, 21, 22, 23)


def feed(conn, pieces):
    """Feed the pieces; return the error, if there was one, after checking what it leaves behind."""
    caught = None
    try:
        for piece in pieces:
            conn.receive(piece)
    except RemoteProtocolError as error:
        caught = error
    if caught is not None:
        out = conn.data_to_send()
        if not isinstance(caught, RemoteAlert):
            assert caught.alert is not None
            assert out  # the alert
        with pytest.raises(RemoteProtocolError):
            conn.receive(b"x")
        assert conn.data_to_send() == b""
    return caught


def drain(conn):
    found = []
    while (event := conn.next_event()) is not None:
        found.append(event)
    return found


def cut(data, places):
    edges = [0, *sorted({p % (len(data) + 1) for p in places}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(st.integers(0, 3), st.lists(st.binary(max_size=200), max_size=5))
def test_arbitrary_octets(stage, pieces):
    conn = STAGES[stage]()
    before = drain(conn)
    feed(conn, pieces)
    assert before == [] or stage == 3
    assert all(event == ("closed",) for event in drain(conn))


@given(
    st.integers(0, 3),
    st.lists(st.tuples(st.sampled_from(KINDS), st.binary(max_size=100)), max_size=8),
)
def test_arbitrary_unprotected_records(stage, records):
    conn = STAGES[stage]()
    feed(conn, [plain(kind, payload) for kind, payload in records])
    assert all(event == ("closed",) for event in drain(conn))


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.binary(max_size=100)), max_size=8), st.booleans())
def test_arbitrary_protected_records(records, finished):
    """A server that has the key and goes wild all the same, before or after Finished."""
    if finished:
        conn, server = connected()
    else:
        conn, server = keyed()
        conn.receive(server.change_cipher_spec())
    feed(conn, [bytes(server.records.encode(kind, payload)) for kind, payload in records])
    for event in drain(conn):
        assert event == ("closed",) or (finished and event[0] == "data")


@settings(max_examples=300)
@given(st.integers(0), st.integers(1, 255), st.lists(st.integers(0, 500), max_size=4))
def test_first_flight_with_one_octet_changed(place, change, places):
    conn, server = greeted(Server(key_exchange=b"\x0c\x00\x00\x06\x00\x04hint"))
    flight = bytearray(plain(record.HANDSHAKE, server.flight()))
    flight[place % len(flight)] ^= change
    error = feed(conn, cut(bytes(flight), places))
    if error is None:
        # It can look right (random, session id, hint): then the handshake must fail at Finished,
        # which is under keys from another transcript.
        conn.data_to_send()
        assert drain(conn) == []


@settings(max_examples=300)
@given(st.integers(0), st.integers(1, 255), st.lists(st.integers(0, 500), max_size=4))
def test_last_flight_and_data_with_one_octet_changed(place, change, places):
    conn, server = keyed()
    first = bytes(server.last_flight())
    data = bytes(server.records.encode(record.APPLICATION_DATA, b"hello"))
    wire = bytearray(first + data)
    at = place % len(wire)
    wire[at] ^= change
    error = feed(conn, cut(bytes(wire), places))
    events = drain(conn)
    assert ("data", b"hello") not in events
    if at < len(first):
        assert events == []
    # A length field that has grown leaves the client waiting for the rest, which is all right.
    assert error is not None or at % len(wire) in (3, 4, 9, 10, len(first) + 3, len(first) + 4)


@given(st.lists(st.integers(0, 2000), max_size=30))
def test_any_cutting_of_a_right_session(places):
    conn, server = greeted()
    assert feed(conn, cut(plain(record.HANDSHAKE, server.flight()), places)) is None
    server.receive(conn.data_to_send())
    wire = bytes(server.last_flight()) + bytes(server.records.encode(record.APPLICATION_DATA, b"hello"))
    assert feed(conn, cut(wire, places)) is None
    assert drain(conn) == [("connected", "TLS_PSK_WITH_AES_128_CBC_SHA256"), ("data", b"hello")]


@given(st.binary(max_size=6000))
def test_any_data_arrives(data):
    conn, server = connected()
    conn.send(data)
    server.seen = []
    server.receive(conn.data_to_send())
    assert b"".join(payload for _, payload in server.seen) == data


@given(st.lists(st.binary(max_size=40), max_size=6), st.lists(st.integers(0, 300), max_size=6))
def test_any_cutting_of_tpkt_frames(payloads, places):
    deframer = Deframer(40)
    stream = b"".join(encode(p) for p in payloads)
    assert [p for piece in cut(stream, places) for p in deframer.receive(piece)] == payloads


@given(st.lists(st.binary(max_size=50), max_size=6))
def test_arbitrary_octets_as_tpkt(pieces):
    deframer = Deframer(20)
    try:
        for piece in pieces:
            assert all(len(payload) <= 20 for payload in deframer.receive(piece))
    except AnyRemoteProtocolError:
        pass
