"""The harness tells what it waited for, and what came instead."""

import threading

import pytest
from harness.errors import HarnessError
from harness.unixphone import UnixPhone
from harness.watched import Watched


def test_watched_waits_for_what_comes_later():
    watched = Watched()
    timer = threading.Timer(0.05, watched.add, ["b"])
    watched.add("a")
    timer.start()
    assert watched.find(lambda e: e == "b", 0, 5) == (1, "b")
    timer.join()
    assert list(watched) == ["a", "b"]


def test_watched_gives_up_after_its_time_and_at_the_end():
    watched = Watched()
    assert watched.find(lambda e: True, 0, 0.01) is None
    watched.end()
    assert watched.find(lambda e: True, 0, 60) is None


def test_a_phone_that_is_off_says_so(tmp_path):
    phone = UnixPhone(tmp_path / "none.json")
    assert not phone.is_on
    with pytest.raises(HarnessError, match="off"):
        phone.switch_off()
    phone.power_cut()
    with pytest.raises(HarnessError, match="no event 'boot'"):
        phone.expect_event("boot", 0.01)
    with pytest.raises(HarnessError, match="line is closed"):
        phone.press("1")
