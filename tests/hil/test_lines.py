"""The same three smoke tests on each kind of line: a pty, socket:// and rfc2217://."""

import shlex
import subprocess
import sys

import pytest
from harness import connect
from harness.bench import file_name
from harness.phonelog import PhoneLog

PROCESS = "these lines lead to phones that are processes of this machine"


@pytest.fixture
def serve(environment):
    """`serve("--socket", "0", …)` starts `python -m harness.serve`; returns (URL, port of its control)."""
    started = []

    def start(*args):
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.serve", *map(str, args)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        _, url, *rest = process.stdout.readline().replace(",", " ").split()
        return url, int(rest[-1]) if rest else None

    yield start
    for process in started:
        process.terminate()
        assert process.wait(20) == 0
        process.stdout.close()


@pytest.fixture(params=["pty", "socket", "rfc2217"])
def line_phone(request, case, serve, environment):
    """A unix phone on that kind of line, off."""
    if not case.rig.unix:
        pytest.skip(PROCESS)
    if request.param == "pty":
        return case.unix_phone()
    settings = case.bench.settings(file_name(request.node.name))
    url, control = serve(f"--{request.param}", 0, "--settings", settings, "--control", 0)
    command = ["env", f"PYTHONPATH={environment['PYTHONPATH']}", sys.executable]
    command += ["-m", "harness.serve", "--control", control, "--switch"]
    phone = connect.open_phone(
        url,
        board="unix",
        # Over rfc2217 the client's RTS resets it, as at a port of one's own.
        power_command=f"{shlex.join(map(str, command))} {{on|off}}" if request.param == "socket" else None,
        log=PhoneLog(case.folder, "phone"),
        add=case.bench.switch.add,
        on_event=case.bench.phone_event,
    )
    phone.power_cut()
    return case.adopt(phone)


def test_log_in(line_phone, gatekeeper):
    line_phone.power_on()
    assert line_phone.wait_boot()["store"] == "fresh"
    line_phone.log_in(*line_phone.user)
    line_phone.expect_display(f"^Registered\n{line_phone.user[0]}")
    gatekeeper.expect("channel_open", ext=line_phone.user[0])
    assert line_phone.state == "registered"


def test_hard_reset(line_phone):
    line_phone.transition("registered")
    assert line_phone.reset(hard=True)["store"] == "provisioned"
    line_phone.expect_display(f"^Registered\n{line_phone.user[0]}")


def test_log_out(line_phone, gatekeeper):
    line_phone.transition("registered")
    line_phone.transition("prompting")
    gatekeeper.expect("registration_ended", ext=line_phone.user[0], reason="logged out")
    assert line_phone.display == ("Extension:", "")


@pytest.mark.parametrize("scheme", ["socket", "rfc2217"])
def test_opening_the_line_does_not_reset_the_phone(case, serve, scheme, gatekeeper):
    """Nor does closing it: somebody looks at the console of a phone that is in use."""
    if not case.rig.unix:
        pytest.skip(PROCESS)
    url, _ = serve(f"--{scheme}", 0, "--settings", case.bench.settings(f"looked-at-{scheme}"))
    first = case.adopt(connect.open_phone(url, log=PhoneLog(case.folder, "first")))
    first.press("0*")  # it may have shown its prompt before anybody looked
    first.expect_display("^Extension:\n$")
    first.log_in(*first.user)
    first.expect_display("^Registered\n(?!opening)")
    first.close()
    gatekeeper.mark()
    second = case.adopt(connect.open_phone(url, log=PhoneLog(case.folder, "second")))
    gatekeeper.expect("kept_alive", ext=first.user[0])
    second.press("L")
    second.expect_display("^Extension:")
    assert [e["e"] for e in second.events if e["e"] == "boot"] == []
    assert [e for e in gatekeeper.log if e["event"] == "registered"] == []
