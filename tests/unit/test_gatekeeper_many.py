"""Datagrams through the system's own calls: the same as through a socket's."""

import ctypes
import select
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringkey.gatekeeper import libc, many, many_calls
from ringkey.gatekeeper.ear import LONGEST

pytestmark = pytest.mark.skipif(not many_calls.LINUX, reason="a sockaddr_in is another one here")


def port(host="127.0.0.1"):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.bind((host, 0))
    sock.setblocking(False)
    return sock


@pytest.fixture(scope="module")
def ends():
    """Return (one that hears, two at different addresses that speak)."""
    found = port(), port("127.0.0.2"), port("127.0.0.3")
    yield found
    for one in found:
        one.close()


def read(reader):
    """Return all that there is, by calls."""
    calls = []
    while heard := one_call(reader):
        calls.append(heard)
    return calls


def one_call(reader):
    heard = []
    assert reader.read(lambda *one: heard.append(one)) == len(heard)
    return heard


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=60), st.integers(0, 60)), max_size=80))
def test_what_is_read_is_what_a_socket_reads(ends, sent):
    reader = many.reader(ends[0], LONGEST)
    for way in ("ours", "the socket's"):
        for who, data, times in sent:
            ends[who].sendto(data * times, ends[0].getsockname())
        if way == "ours":
            calls = read(reader)
            assert [len(call) for call in calls[:-1]] == [many.MOST] * len(calls[:-1])
            ours = [one for call in calls for one in call]
        else:
            assert [ends[0].recvfrom(LONGEST) for _ in sent] == ours
    assert read(reader) == []


def test_what_is_too_long_is_cut_as_a_socket_does(ends):
    for octets in (LONGEST - 1, LONGEST, LONGEST + 1, 60_000):
        ends[1].sendto(bytes(octets), ends[0].getsockname())
    assert [len(data) for call in read(many.reader(ends[0], LONGEST)) for data, _ in call] == [
        LONGEST - 1,
        LONGEST,
        LONGEST,
        LONGEST,
    ]


def test_a_source_is_one_object_and_few_are_remembered(ends, monkeypatch):
    monkeypatch.setattr(many, "MAX_KNOWN", 1)
    reader = many.reader(ends[0], LONGEST)
    for who in (1, 1, 2, 1):
        ends[who].sendto(b"x", ends[0].getsockname())
    ((one, two, other, again),) = read(reader)
    assert one[1] is two[1]
    assert [source for _, source in (one, two, other, again)] == [ends[i].getsockname() for i in (1, 1, 2, 1)]
    assert len(reader._known) == 1
    sender = many.sender(ends[0])
    for who in (1, 2):
        sender.send(b"x", ends[who].getsockname())
        sender.flush()
        assert heard(ends[who]) == (b"x", ends[0].getsockname())
    assert len(sender._known) == 1


def heard(sock):
    """Return the next datagram that a socket hears, and its source."""
    assert select.select([sock], [], [], 10)[0], "nothing came"
    return sock.recvfrom(65_536)


def nothing_more(sock):
    with pytest.raises(BlockingIOError):
        sock.recvfrom(1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=60), st.integers(0, 60)), max_size=80))
def test_what_is_sent_arrives_in_its_order(ends, sent):
    sender = many.sender(ends[0])
    for who, data, times in sent:
        sender.send(data * times, ends[who].getsockname())
    sender.flush()
    for who in (1, 2):
        for data in [data * times for to, data, times in sent if to == who]:
            assert heard(ends[who]) == (data, ends[0].getsockname())
        nothing_more(ends[who])


def test_they_go_out_when_they_are_many_or_when_it_is_said(ends):
    sender = many.sender(ends[0])
    for n in range(many.MOST - 1):
        sender.send(bytes((n,)), ends[1].getsockname())
    nothing_more(ends[1])
    sender.send(b"last", ends[1].getsockname())
    assert [heard(ends[1])[0] for _ in range(many.MOST)] == [*map(bytes, ((n,) for n in range(15))), b"last"]
    sender.send(b"one", ends[1].getsockname())
    nothing_more(ends[1])
    sender.flush()
    assert heard(ends[1])[0] == b"one"
    sender.flush()
    nothing_more(ends[1])


def test_what_the_network_does_not_take_and_what_comes_of_it_is_passed_over(ends):
    with port() as gone:
        nobody = gone.getsockname()
    sender, reader = many.sender(ends[0]), many.reader(ends[0], LONGEST)
    sender.send(b"before", ends[1].getsockname())
    sender.send(b"x", nobody)  # the kernel is told by ICMP that nobody is there
    sender.send(b"x", ("255.255.255.255", 9))  # not without SO_BROADCAST
    sender.send(b"x", ("255.255.255.255", 9))
    sender.send(b"between", ends[1].getsockname())
    sender.send(bytes(70_000), ends[1].getsockname())  # too long
    sender.send(bytes(many.LONGEST_OUT + 1), ends[1].getsockname())  # for a place among many
    sender.send(b"after", ends[1].getsockname())
    sender.flush()
    assert [len(heard(ends[1])[0]) for _ in range(4)] == [6, 7, many.LONGEST_OUT + 1, 5]
    nothing_more(ends[1])
    ends[1].sendto(b"y", ends[0].getsockname())
    assert [data for call in read(reader) for data, _ in call] == [b"y"]


def test_a_socket_that_is_closed_neither_reads_nor_sends():
    with port() as closed, port() as other:
        reader, sender = many.reader(closed, LONGEST), many.sender(closed)
        other.sendto(b"x", closed.getsockname())
        closed.close()
        assert read(reader) == []
        sender.send(b"x", other.getsockname())
        sender.flush()
        nothing_more(other)


def test_elsewhere_a_socket_does_it_itself(monkeypatch):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        assert many.reader(sock, LONGEST) is None
        assert type(many.sender(sock)) is many.Sender
    with port() as sock, port() as other:
        for name, value in (("LINUX", False), ("RECEIVE", None), ("SEND", None)):
            with monkeypatch.context() as patch:
                patch.setattr(many_calls, name, value)
                assert name == "SEND" or many.reader(sock, LONGEST) is None
                assert name == "RECEIVE" or type(many.sender(sock)) is many.Sender
        sender = many.Sender(sock)
        sender.send(b"x", ("255.255.255.255", 9))
        sender.send(b"y", other.getsockname())
        assert heard(other) == (b"y", sock.getsockname())
        assert libc.function(ctypes.PyDLL, "no_such_function") is None
