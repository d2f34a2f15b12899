"""Logs: both forms, both places, and the net that keeps secrets out."""

import io
import json
import logging

import pytest
import structlog
from ringkey import log
from ringkey.errors import UserError

SECRET = "5ec2e7" * 5


@pytest.fixture
def written():
    """What has been logged as JSON: `written(form)` starts over and returns the stream."""
    root = logging.getLogger()
    before = root.handlers[:], root.level

    def start(form="json", file=None):
        stream = io.StringIO()
        log.configure(form, file, stream)
        return stream

    yield start
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        if handler not in before[0]:
            handler.stream.close()
    for handler in before[0]:
        root.addHandler(handler)
    root.setLevel(before[1])
    for name in log._CHATTY:
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()  # other tests read what structlog writes when nobody has set it up


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("name", ["kg", "KG", "km", "ka", "ks", "pin", "seed", "Kr", "kf", "psk"])
def test_a_secret_under_its_name_is_hidden_at_any_depth(written, form, name):
    stream = written(form)
    logger = log.get("ringkey.test")
    logger.info("direct", **{name: SECRET})
    logger.info("octets", **{name: SECRET.encode()})
    logger.info("nested", key={"deep": [{name: SECRET}]})
    logger.info("unnamed_octets", value=SECRET.encode(), others=(SECRET.encode(),))
    assert SECRET not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 4
    assert stream.getvalue().count("hidden") == 3


def test_json_has_time_level_name_and_event(written):
    stream = written()
    log.get("ringkey.test").warning("it_happened", ext="100", pin=None)
    found = json.loads(stream.getvalue())
    assert found.pop("timestamp").endswith("Z")
    assert found == {
        "event": "it_happened",
        "level": "warning",
        "logger": "ringkey.test",
        "ext": "100",
        "pin": None,
    }


def test_libraries_and_exceptions_take_the_same_way_without_local_variables(written):
    for form in ("json", "text"):
        stream = written(form)
        kg = SECRET
        try:
            raise ValueError("wrong")
        except ValueError:
            logging.getLogger("aiohttp.server").exception("Error handling %s", "request")
            log.get("ringkey.test").exception("failed")
        text = stream.getvalue()
        assert text.count("ValueError: wrong") == 2
        assert "Error handling request" in text
        assert kg not in text


def test_a_line_cannot_be_forged_or_without_end(written):
    stream = written()
    log.get("ringkey.test").info("request", path='/\n{"event": "ready"}', long="x" * 5000)
    (line,) = stream.getvalue().splitlines()
    assert len(json.loads(line)["long"]) == log.MAX_TEXT + 1
    stream = written("text")
    log.get("ringkey.test").info("request", path="/\nready")
    assert len(stream.getvalue().splitlines()) == 1


def test_a_log_file_too(written, tmp_path):
    stream = written("json", tmp_path / "log")
    log.get("ringkey.test").info("first")
    assert (tmp_path / "log").read_text() == stream.getvalue()
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
    with pytest.raises(UserError, match="cannot write the log file"):
        written("json", tmp_path / "none" / "log")
