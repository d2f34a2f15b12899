"""`ringkey gatekeeper top`: what a running gatekeeper does, as it does it.

The gatekeeper counts (gatekeeper/observed.py) and says so at its control socket; rates are the difference of
two answers.  Drawn with what click brings for terminals: 80 columns and 24 lines are enough.
"""

import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from ringkey.cli import Options
from ringkey.errors import UserError
from ringkey.site import control

NAME = "gatekeeper"
# Rows of outcomes: those of the highest rate; all of them are in the metrics.
MAX_ROWS = 9
_CLEAR = "\x1b[H\x1b[2J"
_ALTERNATE, _BACK = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"

Figures = dict[str, Any]


@click.command(
    name="top",
    epilog="""\b
Examples:
  ringkey gatekeeper top                    q or Ctrl-C ends it
  ringkey gatekeeper top --once
  ringkey gatekeeper top --once --json | jq .rates
""",
)
@click.option("--interval", type=click.FloatRange(0.2, 60), default=1.0, show_default=True, help="Seconds.")
@click.option("--once", is_flag=True, help="Print one picture, of one interval, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: with --once one object, else one a line.")
@click.pass_obj
def command(options: Options, interval: float, once: bool, as_json: bool) -> None:
    """Show what the gatekeeper of this site does: rates, failing extensions, look-ups, the key server."""
    before = _ask(options)
    live = not (once or as_json) and sys.stdin.isatty() and sys.stdout.isatty()
    with _terminal(live) as keys:
        while not _pause(interval, keys):
            now = _ask(options)
            seen = between(before, now)
            before = now
            if as_json:
                click.echo(json.dumps(seen))
            else:
                columns, lines = os.get_terminal_size(sys.stdout.fileno()) if live else (80, 1000)
                text = picture(seen, columns, lines)
                click.echo(_CLEAR + text if live else text, nl=not live)
            if once or not (live or as_json):
                return


def between(before: Figures, now: Figures) -> Figures:
    """Return what `top` shows: `now`, with rates a second since `before` instead of counts."""
    seconds = max(1e-6, now["at"] - before["at"])

    def rate(name: str) -> float:
        return float(round(max(0, now[name] - before[name]) / seconds, 1))

    old = {tuple(labels): count for *labels, count in before["outcomes"]}
    rates = [
        {
            "message": message,
            "outcome": outcome,
            "reason": reason,
            "rate": round(max(0, count - old.get((message, outcome, reason), 0)) / seconds, 1),
            "total": count,
        }
        for message, outcome, reason, count in now["outcomes"]
    ]
    look_ups = {
        name: round(max(0, count - before["look_ups"].get(name, 0)) / seconds, 1)
        for name, count in now["look_ups"].items()
    }
    kept = ("up", "tables", "latencies", "failing", "key_server")
    return {
        **{name: now[name] for name in kept},
        "seconds": round(seconds, 3),
        "received": rate("received"),
        "sent": rate("sent"),
        "rates": sorted(rates, key=lambda one: (-one["rate"], -one["total"])),
        "look_ups": look_ups,
        "key_requests": rate("key_requests"),
    }


def picture(seen: Figures, columns: int, lines: int) -> str:
    """Return the view as text of at most `lines` lines of `columns` characters."""
    tables, server = seen["tables"], seen["key_server"]
    state = "ready" if server["ready"] else "DOES NOT ANSWER"
    followed = f"{server['followed']} of {server['servers']} followed"
    busy = f"datagrams/s {seen['received']:.0f} in, {seen['sent']:.0f} out"
    registrations, channels = tables.get("registrations", 0), tables.get("channels", 0)
    out = [
        f"ringkey gatekeeper   up {_span(seen['up'])}   {time.strftime('%H:%M:%S')}",
        f"registrations {registrations:.0f}   channels {channels:.0f}   {busy}",
        f"key server {state}, {followed}, check value {' '.join(server['cvm']) or 'not known'}",
        "look-ups/s  " + ("   ".join(f"{k} {v:g}" for k, v in sorted(seen["look_ups"].items())) or "none"),
        "latency     " + ("   ".join(_latency(*one) for one in seen["latencies"].items()) or "none yet"),
        "tables      " + "   ".join(f"{k} {v:.0f}" for k, v in tables.items() if k not in _ABOVE),
        "",
        f"{'per second':>10} {'in all':>10}  {'message':<8}{'outcome':<17}reason",
    ]
    out += [
        f"{one['rate']:>10g} {one['total']:>10}  {one['message']:<8}{one['outcome']:<17}{one['reason']}"
        for one in seen["rates"][:MAX_ROWS]
    ]
    out += ["", f"{'failing':<10}{'since':>7} {'times':>6}  {'step':<6}why"]
    out += [
        f"{one['ext']:<10}{_span(one['seconds_ago']):>7} {one['count']:>6}  {one['step']:<6}{one['words']}"
        for one in seen["failing"]
    ] or ["none"]
    # The last line stays free: a terminal that is full to the last character scrolls.
    return "\n".join(line[:columns] for line in out[: lines - 1])


_ABOVE = ("registrations", "channels")  # tables that a line of their own has


def _latency(kind: str, percentiles: dict[str, float]) -> str:
    name = {"GRQ": "GRQ-GCF", "RRQ": "RRQ-RCF"}.get(kind, "look-up")
    return f"{name} {1000 * percentiles['p50']:.1f}/{1000 * percentiles['p99']:.1f} ms"


def _span(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def _ask(options: Options) -> Figures:
    found = control.ask(options.site.run, NAME, "figures")
    if found is None:
        raise UserError(
            f"no gatekeeper of {options.site.root} runs here, or it does not answer",
            "ringkey gatekeeper serve",
        )
    return found


@contextmanager
def _terminal(live: bool) -> Iterator[tuple[int, ...]]:
    """Take keys as they are pressed, on a screen of its own; leave the terminal as it was.

    Gives the descriptors that keys come from: Ctrl-C is one of them, since an exception out of nowhere may be
    lost in whatever runs at that moment.
    """
    if not live:
        yield ()
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    reading, writing = os.pipe()
    handler = signal.signal(signal.SIGINT, lambda *_: os.write(writing, b"q"))
    try:
        tty.setcbreak(sys.stdin)
        click.echo(_ALTERNATE, nl=False)
        yield sys.stdin.fileno(), reading
    finally:
        click.echo(_BACK, nl=False)
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        signal.signal(signal.SIGINT, handler)
        os.close(reading)
        os.close(writing)


def _pause(seconds: float, keys: tuple[int, ...]) -> bool:
    """Wait; tell whether q was pressed."""
    if not keys:
        time.sleep(seconds)
        return False
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        for key in select.select(keys, [], [], left)[0]:
            if os.read(key, 1) in (b"q", b"Q", b""):
                return True
    return False
