"""The fuzz targets hold for the seeds and the kept corpora, and fail where the core is broken on purpose."""

import importlib
import sys
from pathlib import Path

import pytest
from ras import codec, plain, q931, registrar, registrations, replay, tpkt

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fuzz"))

import corpus

NAMES = ("decoder", "registrar", "tpkt")


def target(name):
    return importlib.import_module(f"fuzz_{name}")


@pytest.fixture(autouse=True)
def caps():
    """Importing the registrar's target sets small caps, for its own process; here others follow."""
    before = target("registrar").set_caps()
    yield
    for module, name, value in before:
        setattr(module, name, value)


def _without_a_limit(deframer, limit):
    deframer._limit, deframer._in, deframer._bad = limit + 1, b"", False


def go_through(name, inputs):
    for data in inputs:
        target(name).one(data)


@pytest.mark.parametrize("name", NAMES)
def test_the_kept_corpus_holds(name):
    inputs = corpus.read(name)
    assert len(inputs) > len(corpus.seeds.SEEDS[name]()), "only seeds are there"
    assert sum(len(data) for data in inputs) < 2 * corpus.MAX_KEPT
    assert max(map(len, inputs)) <= target(name).MAX_INPUT
    go_through(name, inputs)


@pytest.mark.parametrize(
    ("name", "module", "what", "broken"),
    [
        ("registrar", codec, "verify", lambda *_: True),
        ("registrar", registrar, "compare_digest", lambda *_: True),
        ("registrar", replay.Nonces, "has", lambda *_: False),
        ("registrar", registrations.Registrations, "_forget", lambda *_: None),
        ("registrar", plain.Plain, "secured", lambda *_: None),
        ("registrar", plain.Plain, "handle_timer", lambda *_: None),
        ("tpkt", q931, "STATUS", q931.STATUS_ENQUIRY),
        ("tpkt", tpkt.Deframer, "__init__", _without_a_limit),
    ],
)
def test_a_broken_core_is_found_by_the_seeds(monkeypatch, name, module, what, broken):
    seeds = corpus.seeds.SEEDS[name]()
    monkeypatch.setattr(module, what, broken)
    with pytest.raises(AssertionError):
        go_through(name, seeds)


def test_the_decoder_target_finds_an_exception_that_is_none_of_the_api(monkeypatch):
    (data, *_) = corpus.seeds.decoder()
    fuzz_decoder = target("decoder")
    monkeypatch.setattr(fuzz_decoder.profile, "elements", lambda _: {}["x"])
    with pytest.raises(KeyError):
        fuzz_decoder.one(data)


def test_seeds_are_the_same_at_each_call():
    for name in NAMES:
        assert corpus.seeds.SEEDS[name]() == corpus.seeds.SEEDS[name]()
