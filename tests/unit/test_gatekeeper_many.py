"""Datagrams through the system's own calls: the same as through a socket's."""

import select
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringkey.gatekeeper import many
from ringkey.gatekeeper.ear import LONGEST

pytestmark = pytest.mark.skipif(not many._LINUX, reason="a sockaddr_in is another one here")


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
        sender(b"x", ends[who].getsockname())
        select.select([ends[who]], [], [], 10)
        assert ends[who].recvfrom(10)[0] == b"x"
    assert len(sender._known) == 1


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([1, 2]), st.binary(max_size=1500))
def test_what_is_sent_arrives(ends, who, data):
    many.sender(ends[0])(data, ends[who].getsockname())
    select.select([ends[who]], [], [], 10)
    assert ends[who].recvfrom(2000) == (data, ends[0].getsockname())


def test_what_the_network_does_not_take_and_what_comes_of_it_is_passed_over(ends):
    with port() as gone:
        nobody = gone.getsockname()
    sender, reader = many.sender(ends[0]), many.reader(ends[0], LONGEST)
    sender(b"x", nobody)  # the kernel is told by ICMP that nobody is there
    sender(bytes(70_000), ends[1].getsockname())  # too long
    sender(b"x", ("255.255.255.255", 9))  # not without SO_BROADCAST
    ends[1].sendto(b"y", ends[0].getsockname())
    assert [data for call in read(reader) for data, _ in call] == [b"y"]


def test_a_socket_that_is_closed_neither_reads_nor_sends():
    with port() as closed, port() as other:
        reader, sender = many.reader(closed, LONGEST), many.sender(closed)
        other.sendto(b"x", closed.getsockname())
        closed.close()
        assert read(reader) == []
        sender(b"x", other.getsockname())
        with pytest.raises(BlockingIOError):
            other.recvfrom(100)


def test_elsewhere_a_socket_does_it_itself(monkeypatch):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        assert many.reader(sock, LONGEST) is None
        assert many.sender(sock) == sock.sendto
    with port() as sock:
        for name, value in (("_LINUX", False), ("_RECEIVE", None), ("_SEND", None)):
            with monkeypatch.context() as patch:
                patch.setattr(many, name, value)
                assert name == "_SEND" or many.reader(sock, LONGEST) is None
                assert name == "_RECEIVE" or many.sender(sock) == sock.sendto
        assert many._system("no_such_function") is None
