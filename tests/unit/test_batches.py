"""Keys that wait together are asked for together; the answer is held to what was asked."""

import asyncio
import json

import pytest
from ras.keys import SHA256
from ringkey.gatekeeper.answers import BadAnswerError, Found, Refused, parse_keys, question
from ringkey.gatekeeper.batches import Batches


class Asked:
    """What was asked singly and together; nothing is answered before `go`."""

    def __init__(self):
        self.single, self.together = [], []
        self.go = asyncio.Event()

    async def one(self, question):
        self.single.append(question)
        await self.go.wait()
        if question == "fails":
            raise OSError("a bug")
        return f"{question} alone"

    async def many(self, questions):
        self.together.append(questions)
        return [None if one == "odd" else f"{one} with others" for one in questions]


async def turns():
    """Let what can go on go on: a question's task, then its worker's."""
    for _ in range(4):
        await asyncio.sleep(0)


def test_what_waits_is_asked_together():
    async def main():
        asked = Asked()
        batches = Batches(asked.one, asked.many, workers=2, most=3)
        tasks = []
        for name in ("a", "b", "c", "odd", "d", "e", "fails"):
            tasks.append(asyncio.create_task(batches.ask(name)))
            await turns()
        assert (asked.single, asked.together) == (["a", "b"], []), "two workers, two at once"
        tasks[5].cancel()  # who asked has given up
        asked.go.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert found[:5] == ["a alone", "b alone", "c with others", "odd alone", "d with others"]
        assert isinstance(found[5], asyncio.CancelledError)
        assert isinstance(found[6], OSError)
        assert asked.together == [["c", "odd", "d"]]
        assert await batches.ask("later") == "later alone"

    asyncio.run(main())


def test_stop_cancels_whoever_waits():
    async def main():
        asked = Asked()
        batches = Batches(asked.one, asked.many, workers=1, most=3)
        tasks = []
        for name in "abc":
            tasks.append(asyncio.create_task(batches.ask(name)))
            await turns()
        await batches.stop()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in found)

    asyncio.run(main())


G = [bytes([i]) * 16 for i in range(3)]
RIGHT = {
    "version": 1,
    "suite": "sha256",
    "keys": [
        {"g": G[0].hex(), "ext": "1", "kg": "ab" * 32, "cvm": "010203"},
        {"g": G[1].hex(), "ext": "2", "error": "revoked", "detail": ""},
        {"g": G[2].hex(), "ext": "3", "error": 5},
    ],
}


def test_an_answer_for_many():
    found = parse_keys(json.dumps(RIGHT).encode(), G)
    assert found == [Found(b"\xab" * 32, SHA256, b"\1\2\3"), Refused("revoked"), None]
    assert "ab" * 32 not in repr(found)


@pytest.mark.parametrize(
    "change",
    [
        {"keys": RIGHT["keys"][:2]},
        {"keys": RIGHT["keys"][::-1]},
        {"keys": {}},
        {"keys": [5, 5, 5]},
        {"suite": "x"},
    ],
)
def test_an_answer_that_is_not_to_the_question(change):
    with pytest.raises(BadAnswerError):
        parse_keys(json.dumps({**RIGHT, **change}).encode(), G)


def test_how_a_key_is_asked_for():
    assert question(G[1], "7", None) == {"g": G[1].hex(), "ext": "7"}
    assert question(G[1], "7", b"\1\2\3") == {"g": G[1].hex(), "ext": "7", "cvm": "010203"}
