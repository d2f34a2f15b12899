"""The services that benchmarks measure: started as a site would, awaited, and stopped again."""

import os

import pytest
from bench import servers
from bench.load import BenchError
from ringkey.site import runtime


def test_a_service_is_ready_when_it_is_given_and_has_stopped_afterwards(site, tmp_path):
    with servers.service(site, tmp_path, "keyserver") as server:
        assert server.ports == runtime.ports(site / "run", "keyserver")
        assert {"files", "advanced"} <= set(server.ports)
        assert runtime.read(site / "run", "keyserver")["pid"] == server.pid
        assert b'"event": "ready"' in (tmp_path / "keyserver.log").read_bytes()
    assert runtime.ports(site / "run", "keyserver") == {}
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_a_service_that_ends_at_once_is_told_with_what_it_said(site, tmp_path):
    (site / "ringkey.toml").write_text("[keyserver\n")
    with (
        pytest.raises(BenchError, match=r"keyserver serve does not start\n.*ringkey\.toml"),
        servers.service(site, tmp_path, "keyserver"),
    ):
        pytest.fail("it was given although it does not run")


def test_a_service_that_never_says_the_event_is_stopped(site, tmp_path, monkeypatch):
    monkeypatch.setattr(servers, "STARTING", 2.0)
    with (
        pytest.raises(BenchError, match="keyserver serve does not start"),
        servers.service(site, tmp_path, "keyserver", event="no such event"),
    ):
        pytest.fail("it was given although it is not ready")
    assert runtime.ports(site / "run", "keyserver") == {}
