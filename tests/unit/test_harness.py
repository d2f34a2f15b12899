"""The harness tells what it waited for, and what came instead."""

import signal
import socket
import sys
import threading
import tomllib

import pytest
from harness import service, sites
from harness.errors import HarnessError
from harness.relay import Network
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


# A service that says that it is ready, and does not heed a signal to stop.
STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('{"event": "ready"}', flush=True)
while True:
    signal.pause()
"""


def test_a_service_that_does_not_stop_is_killed_and_leaves_nothing_open(tmp_path, monkeypatch):
    stubborn = service.Service(tmp_path, "serve", program=(sys.executable, "-c", STUBBORN))
    stubborn.expect("ready")
    monkeypatch.setattr(service, "STOPPING", 1.0)
    with pytest.raises(HarnessError, match="serve does not stop"):
        stubborn.stop()
    assert stubborn.process.returncode == -signal.SIGKILL
    assert stubborn.process.stdout.closed
    assert stubborn.process.stderr.closed
    assert not any(thread.is_alive() for thread in stubborn._threads)
    assert stubborn.stop() == -signal.SIGKILL  # as a fixture does at the end


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


def test_values_are_set_where_they_stand_and_comments_stay(tmp_path):
    file = tmp_path / "ringkey.toml"
    file.write_text('[a]\nport = 1      # why\nname = "x"\n# port = 5\n\n[a.b]\nport = 2\n')
    sites.set_values(tmp_path, "a", port=0, name='y"', names=["p", "q"], on=True)
    sites.set_values(tmp_path, "a.b", port=3)
    text = file.read_text()
    assert "port = 0      # why" in text
    found = tomllib.loads(text)
    assert found == {"a": {"port": 0, "name": 'y"', "names": ["p", "q"], "on": True, "b": {"port": 3}}}
    with pytest.raises(HarnessError, match=r"has no \[c\]"):
        sites.set_values(tmp_path, "c", port=1)
    with pytest.raises(HarnessError, match=r"c\.d"):
        sites.set_values(tmp_path, "c.d", port=1)
    sites.set_values(tmp_path, "a.new", port=5)
    assert tomllib.loads((tmp_path / sites.FILE).read_text())["a"]["new"] == {"port": 5}


def test_a_relays_port_is_kept_for_it_while_its_server_is_down():
    network = Network()
    try:
        port = network.files.port
        network.files.to = None
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5)
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", port))
        network.files.to = ("127.0.0.1", 9)
        socket.create_connection(("127.0.0.1", port), 5).close()
    finally:
        network.close()
