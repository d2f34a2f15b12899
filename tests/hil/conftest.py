"""Hardware in the loop: the same tests for a process, an emulator and a board (docs/hil.md).

Fixtures: phone, phone2, phones(n); keyserver, gatekeeper, site; relay (the network and its faults).
"""

import contextlib
import fcntl
import shlex
import shutil
import time
from pathlib import Path

import pytest
from harness import bench as benches
from harness import connect, patience
from harness.bench import Bench, make_template
from harness.errors import HarnessError
from harness.phonelog import PhoneLog
from harness.report import Report
from harness.timeline import Timeline

ROOT = Path(__file__).resolve().parents[2]
_FAILED = pytest.StashKey()
_CASE = pytest.StashKey()
_REPORT = pytest.StashKey()


# -- what is under test


class Rig:
    """What the command line says."""

    def __init__(self, config):
        option = config.getoption
        self.urls = option("--phone") or []
        self.unix = not self.urls or set(self.urls) == {connect.UNIX}
        self.board = option("--board") or (connect.UNIX if self.unix else None)
        self.most = len(self.urls) or None  # phones; None: as many as are wanted
        self.baud = option("--baud")
        self.power_command = option("--power-command")
        self.may_erase = option("--erase-nvs")
        self.flash = option("--flash")
        self.base = option("--base-firmware")
        self.site = option("--site")
        self.seed = option("--fault-seed")
        self.results = option("--results") or ROOT / "build" / "hil"
        self.host = option("--host") or ("127.0.0.1" if self.unix else benches.own_address())
        ports = option("--relay-ports")
        default = (0, 0, 0) if self.unix else benches.well_known()
        self.ports = tuple(int(p) for p in ports.split(",")) if ports else default
        command = option("--gatekeeper-command")
        self.gatekeeper = shlex.split(command) if command else None
        patience.factor = option("--patience")

    def check(self):
        """Refuse what cannot work, in one line that says what to do."""
        if not self.unix and self.site is None:
            raise HarnessError(
                "a board trusts the root certificate in its image: give --site DIR, the site it was made for"
            )
        if self.flash and not self.unix and self.board is None:
            raise HarnessError("--flash wants to know for which board: give --board NAME")
        if len(self.ports) != 3:
            raise HarnessError("--relay-ports wants three: RAS,SIGNALLING,FILES")

    def properties(self):
        """What reports say of it."""
        boards = [connect.UNIX] if self.unix else [self.board or "not given"]
        return {"phones": ", ".join(self.urls) or "unix", **connect.properties(boards, self.base)}


@pytest.fixture(scope="session")
def rig(request):
    """What is under test; boards are flashed here where --flash says so."""
    rig = Rig(request.config)
    with one_line():
        rig.check()
        if rig.flash and not rig.unix:
            for url in rig.urls:
                connect.flash(url, rig.board, site=rig.site, base=rig.base, erase=rig.may_erase)
    return rig


@contextlib.contextmanager
def one_line():
    """End the run with what the harness says: no test could do without that phone."""
    try:
        yield
    except HarnessError as error:
        pytest.exit(str(error).splitlines()[0], returncode=4)


@pytest.fixture(scope="session")
def template(rig, environment, tmp_path_factory, request):
    """A site to copy; one for all workers of pytest-xdist, made by the first that comes here."""
    base = tmp_path_factory.getbasetemp()
    # Not by the environment, which a run within a test of a worker inherits.
    path = (base.parent if hasattr(request.config, "workerinput") else base) / "hil-template"
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (path.with_suffix(".made")).exists():
            make_template(path, host=rig.host, site=rig.site, environment=environment)
            path.with_suffix(".made").touch()
    return path


@pytest.fixture(scope="session")
def bench(rig, template, environment, tmp_path_factory, no_secret):
    """Site, servers and network for all tests; in the end, no secret is in what the servers have written."""
    bench = Bench(
        template,
        tmp_path_factory.mktemp("bench") / "bench",
        host=rig.host,
        ports=rig.ports,
        seed=rig.seed,
        environment=environment,
        warnings="error",
        gatekeeper_program=rig.gatekeeper,
    )
    yield bench
    bench.close()
    no_secret(bench.keyserver.output + bench.gatekeeper.output, {bench.path}, set(bench.pins.values()))


# -- one test


class Case:
    """One test on the bench: its time line, its phones, its files."""

    def __init__(self, bench, rig, node):
        self.bench = bench
        self.rig = rig
        self.folder = rig.results / "logs" / benches.file_name(node.nodeid.removeprefix("tests/hil/"))
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.timeline = Timeline()
        self.phones = []
        self.evidence = bench.begin(self.timeline, node.name, self.folder / "relay.pcap")

    def phone(self, number, **more):
        """Return phone `number` (from 0), off, with a user of its own; skips where there is none."""
        while len(self.phones) <= number:
            if self.rig.most is not None and len(self.phones) >= self.rig.most:
                pytest.skip(f"needs {number + 1} phones: give --phone {number + 1} times")
            name = "phone" if not self.phones else f"phone {len(self.phones) + 1}"
            log = PhoneLog(self.folder, name.replace(" ", ""))
            try:
                made = self._unix(name, log, more) if self.rig.unix else self._board(name, log)
            except BaseException:
                log.close()
                raise
            self.adopt(made)
        return self.phones[number]

    def adopt(self, phone):
        """Give a phone a user of its own, and switch it off in the end."""
        user = self.bench.user()
        phone.user = (user.ext, user.pin)
        phone.wrong_pin = user.wrong_pin
        self.phones.append(phone)
        return phone

    def unix_phone(self, **more):
        """Return one more phone that is a process here; skips where boards are under test."""
        if not self.rig.unix:
            pytest.skip("needs a phone that is a process of this machine")
        return self.phone(len(self.phones), **more)

    def end(self, failed):
        """Switch all off; return what the report shows, with the files that were kept."""
        for phone in self.phones:
            with contextlib.suppress(HarnessError):
                if failed:
                    phone.drain()  # what it has to say about it comes a little later
                phone.power_cut()
            phone.close()
        self.bench.end()
        if not failed:
            shutil.rmtree(self.folder)
        files = sorted(self.folder.iterdir()) if self.folder.exists() else []
        return {
            "entries": self.timeline.plain(),
            "findings": [{"when": f.when, "side": f.side, "text": f.text} for f in self.evidence.findings()],
            "files": [str(f.relative_to(self.rig.results)) for f in files if f.stat().st_size],
        }

    def _unix(self, name, log, more):
        return self.bench.unix_phone(name, log, **more)

    def _board(self, name, log):
        url = self.rig.urls[len(self.phones)]
        with one_line() if url not in _looked_at else contextlib.nullcontext():
            return self._opened(url, name, log)

    def _opened(self, url, name, log):
        phone = connect.open_phone(
            url,
            name=name,
            board=self.rig.board,
            baud=self.rig.baud,
            power_command=self.rig.power_command,
            log=log,
            add=self.bench.switch.add,
            on_event=self.bench.phone_event,
        )
        try:
            if url not in _looked_at:
                self._look_at(phone, url)
            phone.power_cut()
        except BaseException:
            phone.close()
            raise
        return phone

    def _look_at(self, phone, url):
        """Before the first test: is it that board, and may its keys go?"""
        boot = phone.reset()
        if boot.get("store") == "provisioned" and not self.rig.may_erase:
            raise HarnessError(
                f"{url}: this phone has somebody's keys, which these tests replace: "
                "give --erase-nvs, or another phone"
            )
        _looked_at.add(url)


_looked_at = set()  # URLs


@pytest.fixture
def case(bench, rig, request, no_secret):
    """The test on the bench; for what the fixtures below do not do."""
    case = Case(bench, rig, request.node)
    request.node.stash[_CASE] = case
    yield case
    output = "".join(phone.output for phone in case.phones)
    pins = {pin for phone in case.phones for pin in (phone.user[1], phone.wrong_pin)}
    request.node.stash[_CASE] = case.end(request.node.stash.get(_FAILED, False))
    no_secret(output, {bench.path}, pins)


@pytest.fixture
def phone(case):
    """A phone, off; `phone.user` is an extension of its own, and its PIN."""
    return case.phone(0)


@pytest.fixture
def phone2(case, phone):
    """A second phone, off."""
    return case.phone(1)


@pytest.fixture
def phones(case):
    """`phones(3)` returns three phones, off."""
    return lambda number: [case.phone(n) for n in range(number)]


@pytest.fixture
def keyserver(case):
    """The key server, running: stop, kill, start, restart, expect(event, **fields), log."""
    return case.bench.keyserver


@pytest.fixture
def gatekeeper(case):
    """The gatekeeper, running."""
    return case.bench.gatekeeper


@pytest.fixture
def site(case):
    """The site: user(), configure(table, key=value), certificate(…), second_gatekeeper(); `path` is where."""
    return case.bench


@pytest.fixture
def relay(case):
    """The network between phones and servers: ras, signalling, files, blackout()."""
    return case.bench.network


# -- the report


def pytest_configure(config):
    config.stash[_REPORT] = Report()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    shown = item.stash.get(_CASE, None)
    if report.when == "teardown" and isinstance(shown, dict):
        report.hil = shown  # plain, so that it travels from a worker of pytest-xdist
    return report


def pytest_runtest_logreport(report):
    config = _config[0]
    if not report.nodeid.startswith("tests/hil/") or hasattr(config, "workerinput"):
        return
    result = config.stash[_REPORT].result(report.nodeid.removeprefix("tests/hil/"))
    if report.when == "call":
        result.seconds = report.duration
    if report.failed:
        result.outcome = "failed"
        result.error += str(report.longrepr)
    elif report.skipped and result.outcome != "failed":
        result.outcome = "skipped"
        result.error = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    for name, value in getattr(report, "hil", {}).items():
        setattr(result, name, value)


_config = []  # pytest_runtest_logreport is not given it


def pytest_sessionstart(session):
    _config[:] = [session.config]
    if not hasattr(session.config, "workerinput"):
        report = session.config.stash[_REPORT]
        report.properties = Rig(session.config).properties()
        _tell_junit(session.config, report.properties)


def _tell_junit(config, properties):
    from _pytest.junitxml import xml_key  # record_testsuite_property does not reach it from a worker

    xml = config.stash.get(xml_key, None)
    if xml is not None:
        for name, value in properties.items():
            xml.add_global_property(name, value)


def pytest_sessionfinish(session):
    config = session.config
    report = config.stash.get(_REPORT, None)
    if report is None or hasattr(config, "workerinput") or not report.results:
        return
    report.properties["time"] = time.strftime("%Y-%m-%d %H:%M:%S")
    path = Rig(config).results / "report.html"
    report.write(path)
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"\nreport: {path}")
