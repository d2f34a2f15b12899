"""The fault kit: which datagrams a rule takes, what it makes of them, and relays with real sockets."""

import contextlib
import random
import shutil
import socket
import subprocess
import threading

import pytest
from harness import faults
from harness.errors import HarnessError
from harness.faults import DOWN, UP, Datagram, Rule
from harness.relay import Network

CLIENT = ("127.0.0.1", 50000)
GRQ = bytes((0 << 2, 1, 2, 3, 4, 5, 6, 7))
GCF = bytes((1 << 2, 9, 8, 7))


def grq(data=GRQ):
    return Datagram(UP, faults.kind_of(data), data, CLIENT)


def take(rule, datagram, rng=None):
    """What becomes of a datagram with that one rule."""
    rng = rng or random.Random(1)
    return rule.act(datagram, rng) if rule.takes(datagram, rng) else [(0.0, datagram.data)]


def test_a_rule_takes_what_it_is_for():
    rule = Rule("drops", faults.drop, "GRQ", skip=1, times=2)
    assert [len(take(rule, grq())) for _ in range(5)] == [1, 0, 0, 1, 1]
    assert len(rule.hits) == 2
    rule = Rule("drops", faults.drop, None, way=DOWN, times=None)
    assert len(take(rule, grq())) == 1
    assert take(rule, Datagram(DOWN, "GCF", GCF, CLIENT)) == []
    rule = Rule("drops", faults.drop, None, where=lambda d: d.data[1] == 1)
    assert take(rule, grq()) == []
    assert len(take(rule, grq(bytes((0, 2, 3))))) == 1
    with pytest.raises(HarnessError, match="no message 'GQR'"):
        Rule("drops", faults.drop, "GQR")
    with pytest.raises(HarnessError, match="0 of 1"):
        Rule("drops", faults.drop, "GRQ").wait(0.01)


def test_what_is_delivered_instead():
    assert take(Rule("", faults.delay(2.5)), grq()) == [(2.5, GRQ)]
    assert take(Rule("", faults.double(1)), grq()) == [(0.0, GRQ), (1, GRQ)]
    assert take(Rule("", faults.replace(lambda d: d.data[:2])), grq()) == [(0.0, GRQ[:2])]
    assert take(Rule("", faults.replace(lambda d: None)), grq()) == []
    [(_, data)] = take(Rule("", faults.corrupt), grq())
    assert data[:2] == GRQ[:2], "still the same message"
    assert sum(bin(a ^ b).count("1") for a, b in zip(data, GRQ, strict=True)) == 1


def test_the_same_seed_gives_the_same_faults():
    def run(seed):
        rng = random.Random(seed)
        lossy, flips = Rule("", faults.drop, chance=0.3, times=None), Rule("", faults.corrupt, times=None)
        return [(lossy.takes(grq(), rng), flips.act(grq(), rng)) for _ in range(50)]

    assert run(7) == run(7) != run(8)


def test_kinds():
    assert faults.kind_of(GRQ) == "GRQ"
    assert faults.kind_of(b"") == faults.UNKNOWN == faults.kind_of(bytes((200, 0)))
    assert faults.kind_of(bytes((3 << 2, 0))) == "RRQ", "as far as it can be told"


class Echo:
    """A gatekeeper that answers GRQ with GCF and the request's second octet; TCP, with the same again."""

    def __init__(self):
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.sources = []
        for target in (self._datagrams, self._connections):
            threading.Thread(target=target, daemon=True).start()

    def _datagrams(self):
        with contextlib.suppress(OSError):
            while True:
                data, source = self.udp.recvfrom(2000)
                if source is None:  # shut down
                    return
                self.sources.append(source)
                self.udp.sendto(GCF[:1] + data[1:2], source)

    def _connections(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.tcp.accept()
                threading.Thread(target=self._connection, args=(connection,), daemon=True).start()

    def _connection(self, connection):
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(1000):
                connection.sendall(data)

    def close(self):
        for one in (self.udp, self.tcp):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def echo():
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def network(echo):
    network = Network()
    network.ras.to = echo.udp.getsockname()
    network.signalling.to = network.files.to = echo.tcp.getsockname()
    yield network
    network.close()


@pytest.fixture
def phone(network):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.connect(("127.0.0.1", network.ras.port))
        phone.settimeout(5)
        yield phone


def ask(phone, number):
    phone.send(bytes((0, number, 0, 0, 0)))


def hears_nothing(phone):
    phone.settimeout(0.15)
    with pytest.raises(TimeoutError):
        phone.recv(100)
    phone.settimeout(5)


def test_datagrams_pass(network, phone, echo):
    ask(phone, 1)
    assert phone.recv(100) == GCF[:1] + b"\1"
    assert [d.kind for d in network.ras.passed] == ["GRQ", "GCF"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.sendto(bytes((0, 2)), ("127.0.0.1", network.ras.port))
        other.settimeout(5)
        assert other.recv(100)[1] == 2
    assert len(set(echo.sources)) == 2, "each phone is a source of its own"


def test_faults_on_the_wire(network, phone):
    rule = network.ras.drop("GCF")
    ask(phone, 1)
    assert rule.wait(5).kind == "GCF"
    hears_nothing(phone)
    network.ras.double("GRQ")
    ask(phone, 2)
    assert [phone.recv(100)[1], phone.recv(100)[1]] == [2, 2]
    network.ras.reorder("GRQ", way=UP)
    ask(phone, 3)
    hears_nothing(phone)  # for less than the half second after which it would come by itself
    ask(phone, 4)
    assert [phone.recv(100)[1], phone.recv(100)[1]] == [4, 3]
    held = network.ras.hold("GCF")
    ask(phone, 5)
    held.wait(5)
    hears_nothing(phone)
    network.ras.release()
    assert phone.recv(100)[1] == 5
    with network.blackout():
        ask(phone, 6)
        hears_nothing(phone)
    ask(phone, 7)
    assert phone.recv(100)[1] == 7


def test_injected_and_replayed(network, phone, echo):
    ask(phone, 1)
    phone.recv(100)
    seen = network.ras.last("GRQ")
    network.ras.inject(b"\x08forged", seen.client)
    assert phone.recv(100) == b"\x08forged"
    network.ras.replay(seen)
    assert phone.recv(100)[1] == 1
    network.ras.replay(seen, elsewhere=True)
    hears_nothing(phone)
    assert len(set(echo.sources)) == 2
    with pytest.raises(HarnessError, match="no RRQ has come"):
        network.ras.last("RRQ")


def connect(network):
    connection = socket.create_connection(("127.0.0.1", network.signalling.port), 5)
    connection.settimeout(5)
    return connection


def test_connections(network):
    relay = network.signalling
    with connect(network) as connection:
        connection.sendall(b"one")
        assert connection.recv(100) == b"one"
        relay.corrupt(DOWN)
        connection.sendall(b"two")
        assert connection.recv(100) == b"t" + bytes((ord("w") ^ 0x10,)) + b"o"
        relay.stall()
        connection.sendall(b"three")
        hears_nothing(connection)
        relay.go_on()
        assert connection.recv(100) == b"three"
        relay.cut()
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100) == b""
    relay.refuse()
    with connect(network) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(b"x")
        assert connection.recv(100) == b""
    relay.clear()
    with connect(network) as connection:
        connection.sendall(b"again")
        assert connection.recv(100) == b"again"
    relay.wait(3)
    with pytest.raises(HarnessError, match="3 of 4 connections"):
        relay.wait(4, 0.01)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="no tshark: apt-get install tshark")
def test_the_capture_is_one_that_tshark_reads(network, phone, tmp_path):
    path = tmp_path / "relay.pcap"
    network.record(path)
    ask(phone, 1)
    phone.recv(100)
    with connect(network) as connection:
        connection.sendall(b"hello")
        assert connection.recv(100) == b"hello"
    network.record(None)
    fields = ("ip.proto", "udp.dstport", "tcp.dstport", "tcp.len", "tcp.analysis.flags")
    done = subprocess.run(
        ["tshark", "-r", path, "-T", "fields", *(w for f in fields for w in ("-e", f))],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[1] for row in rows[:2]] == ["1719", str(phone.getsockname()[1])]
    assert [row[2] for row in rows[2:5]][::2] == ["1300", "1300"]
    assert [row[3] for row in rows if row[3] not in ("", "0")] == ["5", "5"]
    assert not any(row[4] for row in rows if len(row) > 4), "no segment is missing or repeated"
