"""A datagram through the registrar: turns, what is told, what goes out."""

import asyncio

import pytest
from ras.errors import LocalProtocolError
from ras.policy import Settings
from ringkey.gatekeeper import flow
from ringkey.gatekeeper.flow import AS_ONE, CROWD, Flow
from ringkey.gatekeeper.observed import Observed
from ringkey.gatekeeper.state.waiting import Outbox, Waiting

pytestmark = pytest.mark.skipif(
    not str(flow.__file__).endswith(".py"), reason="compiled, only a registrar can be in a registrar's place"
)
HERE = ("192.0.2.1", 1719)


class Registrar:
    """Notes the turn of each datagram, and answers it."""

    def __init__(self):
        self.settings = Settings(lambda _: (HERE, HERE))
        self.events = []
        self.turns = []
        self.out = []

    def receive_datagram(self, data, source, now):
        if data == b"bug":
            raise LocalProtocolError("a bug")
        if data == b"full":
            raise OSError(24, "of which nobody is to read")
        self.turns.append(self.memory.turn)
        self.out.append((b"to " + data, source))

    def failed(self, data, source, now):
        self.events.append(("dropped", source, data.decode()))

    def next_event(self):
        return self.events.pop(0) if self.events else None

    def datagrams_to_send(self):
        out, self.out = self.out, []
        return out


class Memory:
    turn = None


class Sender:
    """Notes what is sent, and when it goes out."""

    def __init__(self, sent):
        self._sent, self._waits = sent, []

    def send(self, data, address):
        self._waits.append((data, address))

    def flush(self):
        self._sent += self._waits
        self._waits.clear()


class World:
    """A flow, and what comes out of it."""

    def __init__(self):
        self.registrar, self.sent, self.told, self.phones = Registrar(), [], [], []
        self.looked_up, self.ignored = [], []
        self.registrar.memory = memory = Memory()
        self.flow = Flow(
            self.registrar,
            memory,
            self.told.append,
            self.looked_up.append,
            lambda *what: self.ignored.append(what),
            Observed(),
        )
        self.flow.sender = Sender(self.sent)
        self.flow.phone_at = self.phones.append

    def turn(self, *datagrams):
        """Let datagrams be read together; returns the turns that they had."""
        self.registrar.turns.clear()
        for data in datagrams:
            self.flow.take(data, HERE)
        self.flow.turn_over()
        return set(self.registrar.turns)


@pytest.fixture
def clock(monkeypatch):
    at = [1000]
    monkeypatch.setattr(flow, "now", lambda: at[0])
    return at


def test_each_turn_is_one_of_its_own_where_few_come(clock):
    world = World()
    turns = [world.turn(*[b"x"] * count) for count in (1, 2, CROWD - 1, 1)]
    assert [len(one) for one in turns] == [1] * 4
    assert len(set().union(*turns)) == 4
    assert world.registrar.memory.turn is None


def test_in_a_crowd_turns_of_some_ms_are_one(clock):
    world = World()
    first = world.turn(*[b"x"] * CROWD)
    clock[0] += AS_ONE - 1
    assert world.turn(*[b"x"] * CROWD) == first
    clock[0] += 1
    second = world.turn(b"x")
    assert second != first, "from the first of them on, not from the last"
    assert world.turn(b"x") != second, "there was no crowd before it"


def test_what_is_told_of_a_change_ends_the_crowds_turn(clock):
    world = World()
    first = world.turn(*[b"x"] * CROWD)
    assert world.turn(*[b"x"] * CROWD) == first
    world.flow.begin_anew()
    second = world.turn(*[b"x"] * CROWD)
    assert second != first
    assert world.turn(*[b"x"] * CROWD) == second


def test_a_bug_of_ours_is_one_datagrams(clock, capsys):
    world = World()
    world.turn(b"a", b"bug", b"full", b"b")
    assert world.sent == [(b"to a", HERE), (b"to b", HERE)]
    assert world.flow.received == 4
    assert world.told == [("dropped", HERE, "bug"), ("dropped", HERE, "full")], "each has an outcome"
    said = capsys.readouterr().out
    assert "a bug" in said
    assert "OSError" in said
    assert "of which nobody" not in said


def test_what_fails_again_and_again_is_a_few_lines(clock, capsys):
    world = World()
    for _ in range(100):
        world.turn(*[b"bug"] * 10)
    assert world.flow.received == len(world.told) == 1000
    assert 1 <= capsys.readouterr().out.count("registrar_failed") <= 3 * flow.FAULTS


def test_a_bug_of_who_hears_of_events_is_one_datagrams(clock, capsys):
    world = World()
    hear = world.told.append

    def told(event):
        hear(event)
        raise KeyError("of which nobody is to read")

    world.flow._on_event = told
    world.turn(b"a", b"bug", b"b")
    assert world.flow.received == 3
    assert world.sent == [(b"to a", HERE), (b"to b", HERE)]
    said = capsys.readouterr().out
    assert "KeyError" in said
    assert "of which nobody" not in said


def test_what_is_read_together_is_answered_together(clock):
    world = World()
    world.flow.take(b"a", HERE)
    world.flow.take(b"b", HERE)
    assert world.sent == []
    world.flow.turn_over()
    assert world.sent == [(b"to a", HERE), (b"to b", HERE)]


def test_what_nobody_has_asked_for_goes_out_at_once(clock):
    world = World()
    world.registrar.out.append((b"URQ", HERE))
    world.flow.work()
    assert world.sent == [(b"URQ", HERE)]


def test_where_there_is_no_port_nothing_is_sent(clock):
    world = World()
    world.flow.sender = None
    world.turn(b"a")
    world.flow.flush()
    assert world.sent == []


def test_events_go_where_they_belong(clock):
    world = World()
    asks = ("lookup", 7, "1001", bytes(16), "sha256", "GRQ", bytes(3), HERE, False)
    known = ("lookup", 0, *asks[2:])
    events = [asks, known, ("ignored", "192.0.2.9", 2000), ("dropped", HERE, "GRQ: wrong ICV")]
    world.registrar.events = list(events)
    world.flow.work()
    assert world.told == events
    assert world.looked_up == [asks], "the other one was answered at once"
    assert world.ignored == [("192.0.2.9", 2.0)]


def test_a_gcf_under_kg_makes_no_phone(clock):
    world = World()
    world.registrar.events = [("confirmed", HERE, "1001")]
    world.flow.work()
    assert world.phones == []
    world.registrar.settings.noise.proven(HERE, 0)
    world.registrar.events = [("confirmed", HERE, "1001"), ("greeted", HERE, "1001")]
    world.flow.work()
    assert world.phones == [HERE[0]] * 2


class Noticed:
    """Answers wait for `waiting`, or for nothing."""

    waiting = None

    def changed(self):
        waiting, self.waiting = self.waiting, None
        return waiting


def test_what_waits_goes_out_once_and_what_came_twice_twice():
    async def main():
        sent, noticed = [], Noticed()
        outbox = Outbox(noticed, lambda *one: sent.append(one), lambda: None)
        first = noticed.waiting = Waiting(asyncio.get_running_loop(), 60)
        outbox.put([(b"RCF", HERE)])
        outbox.put([(b"GCF", HERE)])
        assert sent == [(b"GCF", HERE)], "which says nothing that is to be kept"
        outbox.put([(b"RCF", HERE)])
        assert len(sent) == 1, "asked for again, and not before its time"
        first.release()
        first.release()
        assert sent == [(b"GCF", HERE), (b"RCF", HERE), (b"RCF", HERE)]
        first.add(outbox, (b"late", HERE))
        assert sent[-1] == (b"late", HERE)

    asyncio.run(main())


def test_what_has_waited_goes_out_together_of_each_port():
    async def main():
        out, noticed = [], Noticed()
        senders = [Sender(out), Sender(out)]
        outboxes = [Outbox(noticed, one.send, one.flush) for one in senders]
        wait = Waiting(asyncio.get_running_loop(), 60)
        for which, data in ((0, b"a"), (0, b"b"), (1, b"c"), (0, b"d")):
            noticed.waiting = wait
            outboxes[which].put([(data, HERE)])
        assert out == []
        wait.release()
        assert out == [(data, HERE) for data in (b"a", b"b", b"c", b"d")]

    asyncio.run(main())
