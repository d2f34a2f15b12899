"""How values are written on pages: times, spans, sizes, states.  All of it escapes what came from outside.

Pages are made on the server, whose time zone nobody has chosen; so times are written in UTC, and console.js
writes them anew in the browser's own.
"""

import io
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import segno
from markupsafe import Markup

# State of a phone or a generation -> how it is coloured, and what people read.
_STATES = {
    "registered": ("good", "Registered"),
    "failing": ("bad", "Failing"),
    "absent": ("plain", "Not registered"),
    "disabled": ("warn", "Disabled"),
    "current": ("good", "Current"),
    "overlap": ("warn", "Still in force"),
    "ended": ("plain", "Ended"),
    "ok": ("good", "In order"),
    "soon": ("warn", "Soon"),
}
# Step of a failure (gatekeeper/news.py) -> what a phone was about, for who does not know H.225.0 by heart.
_STEPS = {"GRQ": "Discovery (GRQ)", "RRQ": "Registration (RRQ)"}
# What is in a User-Agent -> who that is.  Nearly all of them say that they are Chrome and Safari too.
_BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "an iPhone"),
    ("iPad", "an iPad"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
_YEAR = 365 * 86400
_UNITS = ((_YEAR, "years"), (86400, "days"), (3600, "h"), (60, "min"), (1, "s"))
_RANKS = {"viewer": 1, "operator": 2, "administrator": 3}


def when(at: float | None, nothing: str = "–") -> str | Markup:
    """Return a moment as "4 min ago" that console.js keeps right; `nothing` for None."""
    if at is None:
        return nothing
    left = at - time.time()
    words = f"in {span(left)}" if left > 0 else ("just now" if left > -5 else f"{span(-left)} ago")
    return _time(at, "ago", words)


def moment(at: float | None, nothing: str = "–") -> str | Markup:
    """Return a moment as date and time to the second."""
    return nothing if at is None else _time(at, "full", f"{_of(at):%Y-%m-%d %H:%M:%S} UTC")


def day(at: float | None, nothing: str = "–") -> str | Markup:
    """Return a moment as a date."""
    return nothing if at is None else _time(at, "day", f"{_of(at):%Y-%m-%d}")


def tick(at: float, dated: bool) -> Markup:
    """Return a moment at the foot of a plot: the time of day, with the day where a plot has several."""
    words = f"{_of(at):%d %b %H:%M} UTC" if dated else f"{_of(at):%H:%M:%S} UTC"
    return _time(at, "tick-dated" if dated else "tick", words)


def countdown(at: float | None) -> str | Markup:
    """Return the time left until a moment as "1:02:03", which console.js counts down."""
    return "–" if at is None else _time(at, "countdown", clock(at - time.time()))


def clock(seconds: float) -> str:
    """Return a span as on a clock: "12:05", "1:02:03", "2 d 1:02:03"; nothing below zero."""
    left = max(0, int(seconds))
    days, hours, minutes = left // 86400, left // 3600 % 24, left // 60 % 60
    text = f"{minutes}:{left % 60:02}" if not (days or hours) else f"{hours}:{minutes:02}:{left % 60:02}"
    return f"{days} d {text}" if days else text


def span(seconds: float | None) -> str:
    """Return a span in its largest unit, "3 h"; in the next smaller one below two of it."""
    if seconds is None:
        return "–"
    for size, unit in _UNITS:
        if seconds >= 2 * size or size == 1:
            return f"{seconds // size:.0f} {unit}"
    return "0 s"


def count(number: float | None) -> str:
    """Return a number with its thousands apart: "12,345"."""
    return "–" if number is None else f"{number:,.0f}"


def size(octets: float | None) -> str:
    """Return a size in the unit that people would use: "1.5 MB"."""
    if octets is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if octets < 1000:
            return f"{octets:.0f} {unit}" if unit == "B" or octets >= 10 else f"{octets:.1f} {unit}"
        octets /= 1000
    return f"{octets:.1f} TB"


def grouped(text: str | None) -> str:
    """Return hexadecimal digits in groups of four, as people compare them."""
    return "–" if not text else " ".join(text[i : i + 4] for i in range(0, len(text), 4))


def mood(state: str) -> str:
    """Return how a state is coloured: "good", "warn", "bad" or "plain"."""
    return _STATES.get(state, ("plain", ""))[0]


def state_words(state: str) -> str:
    """Return a state for people."""
    return _STATES.get(state, ("", state))[1]


def step(name: str) -> str:
    """Return the step at which a phone fails in words, with the message's name where there is one."""
    return _STEPS.get(name, sentence(name))


def browser(agent: str | None) -> str:
    """Return "Firefox on Linux" for what a browser says of itself: to be told apart, not to be believed."""
    told = agent or ""
    program = next((name for sign, name in _BROWSERS if sign in told), "Unknown browser")
    system = next((name for sign, name in _SYSTEMS if sign in told), "")
    return f"{program} on {system}" if system else program


def may(me: Mapping[str, Any] | None, least: int) -> bool:
    """Tell whether who is logged in has at least the role of this rank (administration/roles.py)."""
    return me is not None and _RANKS.get(me["role"], 0) >= least


def sentence(text: str) -> str:
    """Return a text that begins with a capital letter, and otherwise as it is."""
    return text[:1].upper() + text[1:]


def qr(text: str) -> Markup:
    """Return a QR code (ISO/IEC 18004, error correction M) as SVG, without a style of its own."""
    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        out, kind="svg", xmldecl=False, svgns=True, omitsize=True, border=2, light="#fff", nl=False
    )
    # segno wrote it: numbers and constants, nothing of the text itself.
    return Markup(out.getvalue().decode())  # noqa: S704


def _time(at: float, how: str, words: str) -> Markup:
    full = f"{_of(at):%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}" data-{} title="{}">{}</time>').format(
        f"{_of(at):%Y-%m-%dT%H:%M:%SZ}", how, full, words
    )


def _of(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


FILTERS: dict[str, Callable[..., Any]] = {
    "when": when,
    "moment": moment,
    "day": day,
    "tick": tick,
    "countdown": countdown,
    "span": span,
    "count": count,
    "size": size,
    "grouped": grouped,
    "mood": mood,
    "state_words": state_words,
    "step": step,
    "browser": browser,
    "may": may,
    "sentence": sentence,
    "qr": qr,
}
