"""Runs of tests/hil as a user starts them: against a broken gatekeeper, remote phones, wrong phones."""

import re
import shutil
import socket
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from harness import bench
from harness.unixphone import write_settings

ROOT = Path(__file__).resolve().parents[2]
FIRST = "tests/hil/test_login.py::test_first_log_in"

# A gatekeeper that is broken in one point, and otherwise the real one.
BROKEN = """
import os, sys
from ras import profile
{fault}
from ringkey.cli import main
main()
"""
FAULTS = {
    # It signs its GCF with another key than Ka.
    "signs": """
seal = profile.seal
def wrong(kind, value, found, suite, key):
    return seal(kind, value, found, suite, bytes(len(key)) if kind == "GCF" and key else key)
profile.seal = wrong
""",
    # It takes every request and answers none.
    "silent": """
from ringkey.gatekeeper.flow import Flow
Flow.take = lambda self, data, source: None
""",
    # It dies of the first request.
    "dies": """
from ringkey.gatekeeper.flow import Flow
Flow.take = lambda self, data, source: os._exit(7)
""",
}


def command(*args):
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *map(str, args)]


def run(environment, *args, timeout=120):
    """Run pytest in the repository; returns the CompletedProcess."""
    return subprocess.run(
        command(*args),
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


class Page(HTMLParser):
    """The report, read as a person reads it: texts by where they stand."""

    def __init__(self, path):
        super().__init__()
        self.verdict = ""
        self.facts = []
        self.columns = []
        self.cells = []  # (column, text)
        self.links = []
        self._open = []
        self._column = -1
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag in ("meta", "br"):
            return
        self._open.append((tag, attrs.get("class", "")))
        if tag == "tr":
            self._column = -1
        elif tag in ("td", "th"):
            self._column += 1
        elif tag == "li":
            self.facts.append("")
        elif tag == "a":
            self.links.append(attrs["href"])

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if ("div", "verdict") in self._open and ("p", "") in self._open:
            self.verdict += data
        elif ("li", "") in self._open:
            self.facts[-1] += data
        elif ("table", "line") in self._open:
            if self._open[-1][0] == "th" and not re.fullmatch(r"[\d.]+", data):
                self.columns.append(data)
            elif self._open[-1][0] == "td":
                self.cells.append((self.columns[self._column], data))

    def said(self, column):
        """What stands in a column, from above."""
        return [text for where, text in self.cells if where == column]


@pytest.fixture(scope="module")
def reports(tmp_path_factory, request):
    """The report of one failing test for each fault; the runs take their time side by side."""
    environment = request.getfixturevalue("environment")
    started = {}
    for name, fault in FAULTS.items():
        folder = tmp_path_factory.mktemp(name)
        (folder / "gatekeeper.py").write_text(BROKEN.format(fault=fault))
        args = (
            *(FIRST, "--results", folder / "results", "--junitxml", folder / "junit.xml"),
            *("--gatekeeper-command", f"{sys.executable} {folder / 'gatekeeper.py'}"),
        )
        process = subprocess.Popen(
            command(*args),
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started[name] = (folder, process)
    found = {}
    for name, (folder, process) in started.items():
        output, _ = process.communicate(timeout=180)
        assert process.returncode == 1, output
        found[name] = (Page(folder / "results" / "report.html"), folder)
    return found


@pytest.mark.parametrize(
    ("fault", "fact"),
    [
        ("signs", "gatekeeper GCF: integrity check value is not that of Ka of extension"),
        ("silent", "gatekeeper answered none of 3 correct GRQ"),
        ("dies", "gatekeeper ended by itself, with exit status 7"),
    ],
)
def test_a_failing_tests_report_alone_names_the_side_at_fault(reports, fault, fact):
    page, _ = reports[fault]
    assert page.verdict.startswith("At fault: gatekeeper."), (page.verdict, page.facts)
    assert any(one.startswith(fact) for one in page.facts), page.facts
    assert not any(one.startswith(("phone", "key server")) for one in page.facts)


def test_all_sides_are_in_one_time_line(reports):
    page, folder = reports["signs"]
    assert page.columns[-4:] == ["phone", "network", "gatekeeper", "key server"]
    assert any("sends GRQ" in text for text in page.said("phone"))
    assert any("gets GCF" in text for text in page.said("phone"))
    assert any(text.startswith("gcf_sent") for text in page.said("gatekeeper"))
    assert any(text.startswith("key_issued") for text in page.said("key server"))
    assert any("← GCF" in text and "not that of Ka" in text for text in page.said("network"))
    assert not any("sends RRQ" in text for text in page.said("phone")), "the phone does not take that GCF"


def test_a_failing_tests_files_are_kept_beside_the_report(reports):
    page, folder = reports["signs"]
    files = {Path(link).name: folder / "results" / link for link in page.links}
    assert set(files) == {"phone.log", "phone.raw", "relay.pcap"}
    assert " < " in files["phone.log"].read_text()
    assert b"\x1e{" in files["phone.raw"].read_bytes()
    if shutil.which("tshark"):
        read = ["tshark", "-r", files["relay.pcap"], "-d", "udp.port==1719,h225"]
        read += ["-T", "fields", "-e", "h225.RasMessage"]
        kinds = subprocess.run(read, capture_output=True, text=True, check=True).stdout.split()
        assert kinds[:2] == ["0", "1"], "GRQ, GCF"


def test_junit_says_what_was_under_test(reports):
    _, folder = reports["signs"]
    text = (folder / "junit.xml").read_text()
    properties = dict(re.findall(r'<property name="([^"]*)" value="([^"]*)"', text))
    assert properties["board"] == "unix"
    assert re.fullmatch(r"sha256 [0-9a-f]{64} .*", properties["image"])
    assert {"base firmware", "ringkey", "python", "phones"} <= properties.keys()


# -- phones on other machines, as far as this one can be one


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def remote(tmp_path, environment):
    """Two phones served over rfc2217, whose settings name the servers of a site: (arguments, their ports)."""
    site = tmp_path / "site"
    bench.make_template(site, environment=environment)
    ports = (free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM), free_port(socket.SOCK_STREAM))
    served = []
    for number in range(2):
        settings = write_settings(
            tmp_path / f"phone{number}", site / "phone" / "root.der", [f"127.0.0.1:{ports[2]}"]
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.serve", "--rfc2217", "0", "--settings", settings],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        served.append((process, process.stdout.readline().split()[1]))
    args = ["--site", site, "--host", "127.0.0.1", "--relay-ports", ",".join(map(str, ports))]
    yield [*args, "--results", tmp_path / "results"], [url for _, url in served]
    for process, _ in served:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def test_phone_twice(remote, environment):
    """They register at the same time, and one takes the other's extension over; the first is told."""
    args, urls = remote
    phones = [word for url in urls for word in ("--phone", url)]
    done = run(environment, "tests/hil/test_two_phones.py", *args, *phones, "--board", "unix")
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
    # Their keys are there now, and are not for the next run to lose unasked.
    done = run(environment, FIRST, *args, "--phone", urls[0], "--board", "unix")
    assert done.returncode == 4
    assert f"{urls[0]}: this phone has somebody's keys" in done.stdout
    assert "give --erase-nvs" in done.stdout
    done = run(environment, FIRST, *args, "--phone", urls[0], "--board", "unix", "--erase-nvs")
    assert done.returncode == 0, done.stdout


def test_one_phone_where_two_are_needed_is_skipped_with_the_reason(remote, environment):
    args, urls = remote
    done = run(environment, "tests/hil/test_two_phones.py", *args, "--phone", urls[0])
    assert done.returncode == 0, done.stdout
    assert "2 skipped" in done.stdout
    assert "needs 2 phones: give --phone 2 times" in done.stdout


# -- wrong phones


def one_error(done):
    """The line that a run which could not begin ends in."""
    assert done.returncode == 4, done.stdout
    [line] = [line for line in done.stdout.splitlines() if "outcomes.Exit: " in line]
    assert "Traceback" not in done.stdout
    return line


def test_a_wrong_phone_ends_the_run_in_one_line(remote, environment):
    args, urls = remote
    done = run(environment, FIRST, *args, "--phone", "/dev/ttyNOWHERE7", "--board", "esp32_generic")
    assert "/dev/ttyNOWHERE7: there is no such port" in one_error(done)
    done = run(environment, FIRST, *args, "--phone", urls[0], "--board", "esp32_generic")
    assert "this phone is a unix, not a esp32_generic: give --board unix" in one_error(done)
    done = run(environment, FIRST, "--phone", urls[0])
    assert "give --site DIR" in one_error(done)


def test_a_line_without_a_reset_wants_a_power_command(remote, environment):
    args, _ = remote
    with socket.create_server(("127.0.0.1", 0)) as listener:  # which accepts by itself
        url = f"socket://127.0.0.1:{listener.getsockname()[1]}"
        done = run(environment, FIRST, *args, "--phone", url)
    assert f"{url} has no reset line: give --power-command" in one_error(done)


def test_all_tests_are_collected_without_a_board(environment):
    """A plain `pytest` knows the options, wherever it is started from."""
    done = run(environment, "--collect-only", "tests/hil", "tests/unit/test_harness.py")
    assert done.returncode == 0, done.stdout
