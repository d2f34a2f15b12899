"""What the endpoints do: register in closed or open loop, churn, storm.

Each returns its figures as a dict that JSON can hold; times in seconds, latencies in milliseconds.
"""

import random
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from loadgen.engine import DONE, LEAVE, REFRESH, REGISTER, WRONG_PIN, Endpoint, Engine

# Of 100 operations of a registered endpoint in churn; the rest are keep-alives.
LEAVES = 15
ANEW = 15  # as after a restart: it registers again without having left
WRONG = 5  # of 100 log-ins: a PIN mistyped
# Seconds that a turn may wait: how late an open loop or an end can be.
_TURN = 0.05


def summary(engine: Engine, seconds: float) -> dict[str, Any]:
    """Return the figures of an engine after `seconds`."""
    figures = engine.figures
    return {
        "seconds": seconds,
        "operations": {
            operation: {
                "done": figures.outcomes[operation, DONE],
                "rate": figures.outcomes[operation, DONE] / seconds if seconds else 0.0,
                "p50": figures.percentile(operation, 0.5),
                "p99": figures.percentile(operation, 0.99),
                "max": figures.percentile(operation, 1.0),
                **{
                    outcome: count
                    for (one, outcome), count in figures.outcomes.items()
                    if one == operation and outcome != DONE
                },
            }
            for operation in sorted({operation for operation, _ in figures.outcomes})
        },
        "retransmissions": figures.retransmissions,
        "lost": figures.lost,
        "strange_answers": figures.strange,
        "registered": sum(endpoint.registered for endpoint in engine.endpoints),
    }


def register(
    engine: Engine, *, window: int = 128, count: int | None = None, seconds: float | None = None
) -> dict[str, Any]:
    """Let each endpoint register, in turn, `window` at a time: closed loop.

    count: registrations, by default one of each endpoint; seconds: end after that time instead.
    """
    waiting = deque(engine.endpoints)
    left = len(waiting) if count is None else count
    began = time.monotonic()
    end = None if seconds is None else began + seconds

    def more() -> bool:
        return bool(waiting) and (time.monotonic() < end if end is not None else left > 0)

    engine.on_done = lambda endpoint, _operation, _outcome: waiting.append(endpoint)
    while more() or engine.in_flight:
        while engine.in_flight < window and more():
            left -= 1
            engine.start(waiting.popleft(), REGISTER)
        engine.turn(_TURN)
    return summary(engine, time.monotonic() - began)


def open_loop(engine: Engine, *, rate: float, seconds: float) -> dict[str, Any]:
    """Let `rate` endpoints a second register, however long the answers take; a late one is not waited for."""
    waiting = deque(engine.endpoints)
    engine.on_done = lambda endpoint, _operation, _outcome: waiting.append(endpoint)
    began = time.monotonic()
    started = missed = 0
    while (now := time.monotonic() - began) < seconds or engine.in_flight:
        due = int(min(now, seconds) * rate) - started - missed
        for _ in range(due):
            if waiting:
                started += 1
                engine.start(waiting.popleft(), REGISTER)
            else:
                missed += 1
        engine.turn(min(_TURN, 1 / rate))
    return {**summary(engine, time.monotonic() - began), "asked_rate": rate, "no_endpoint_free": missed}


def churn(
    engine: Engine,
    *,
    seconds: float,
    rate: float | None = None,
    window: int = 128,
    sample: Callable[[float, Engine], None] | None = None,
) -> dict[str, Any]:
    """Register, keep alive, leave, fail, at random: `rate` operations a second, or as the window allows.

    sample(seconds so far, engine): called about once a second.
    """
    idle = list(engine.endpoints)
    engine.on_done = lambda endpoint, _operation, _outcome: idle.append(endpoint)
    began = time.monotonic()
    started, sampled = 0, 0.0
    while (now := time.monotonic() - began) < seconds or engine.in_flight:
        if now < seconds:
            due = window if rate is None else int(now * rate) - started
            while due > 0 and idle and engine.in_flight < window:
                due -= 1
                started += 1
                at = random.randrange(len(idle))  # noqa: S311
                idle[at], idle[-1] = idle[-1], idle[at]
                endpoint = idle.pop()
                engine.start(endpoint, _next(endpoint))
        engine.turn(_TURN if rate is None else min(_TURN, 1 / rate))
        if sample is not None and now - sampled >= 1:
            sampled = now
            sample(now, engine)
    return summary(engine, time.monotonic() - began)


def _next(endpoint: Endpoint) -> str:
    draw = random.randrange(100)  # noqa: S311
    if endpoint.registered:
        return LEAVE if draw < LEAVES else REGISTER if draw < LEAVES + ANEW else REFRESH
    return WRONG_PIN if draw < WRONG else REGISTER


def storm(engine: Engine, *, limit: float = 120.0, spread: float = 0.0) -> dict[str, Any]:
    """Let all endpoints register at once, each until it is registered: power is back after a cut.

    spread: seconds over which they wake up; limit: seconds until those that are left count as locked out.
    """
    waiting = deque(engine.endpoints)
    last = 0.0
    again = 0
    began = time.monotonic()

    def done(endpoint: Endpoint, _operation: str, outcome: str) -> None:
        nonlocal last, again
        if outcome == DONE:
            last = time.monotonic() - began
        elif time.monotonic() - began < limit:
            again += 1  # a phone with stored keys goes on (section 6)
            engine.start(endpoint, REGISTER)

    engine.on_done = done
    total = len(engine.endpoints)
    while waiting or engine.in_flight:
        now = time.monotonic() - began
        wanted = total if spread <= 0 else min(total, int(total * now / spread) + 1)
        while waiting and total - len(waiting) < wanted:
            engine.start(waiting.popleft(), REGISTER)
            if (total - len(waiting)) % 32 == 0:
                engine.turn(0)
        engine.turn(_TURN if not waiting else 0.001)
    found = summary(engine, time.monotonic() - began)
    return {
        **found,
        "time_to_last": last,
        "began_anew": again,
        "locked_out": total - found["registered"],
        "loss": engine.loss,
    }
