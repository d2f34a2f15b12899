"""Randomness in blocks: each octet once, in every process."""

import os

import pytest
from ringkey.gatekeeper import randomness
from ringkey.gatekeeper.randomness import BLOCK, Randomness


def test_every_octet_comes_from_the_system_and_goes_out_once(monkeypatch):
    blocks = []

    def urandom(n):
        blocks.append(bytes((len(blocks) * 7 + i) & 0xFF for i in range(n)))
        return blocks[-1]

    monkeypatch.setattr(randomness.os, "urandom", urandom)
    draw = Randomness()
    sizes = [8, 16, 32, 0, 1, BLOCK, 16, 2 * BLOCK, 8, BLOCK - 8] + 200 * [8, 16]
    drawn = [draw(n) for n in sizes]
    assert [len(one) for one in drawn] == sizes
    # What went out lies in the blocks in this order, and nowhere twice.
    rest = iter(blocks)
    block, at = b"", 0
    for n, one in zip(sizes, drawn, strict=True):
        if n > BLOCK:
            assert one in blocks
            continue
        if at + n > len(block):
            block, at = next(each for each in rest if len(each) == BLOCK), 0
        assert one == block[at : at + n]
        at += n
    assert sum(sizes) <= sum(map(len, blocks))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # other tests may have left threads
def test_a_child_process_draws_its_own():
    draw = Randomness()
    draw(8)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, draw(16))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 16) != draw(16)
    os.close(read)
    os.close(write)


def test_it_tells_nothing():
    draw = Randomness()
    draw(8)
    assert repr(draw) == "Randomness()"
