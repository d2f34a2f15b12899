"""Plots as SVG, made here: lines over time in a box of fixed units that the page's style colours.

No library: a plot is a path, four grid lines, and columns to point at, and so it is there without
JavaScript, on paper, and as text for who cannot see it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

WIDTH, HEIGHT = 600, 160
# Points of one line: about a point a pixel of a wide screen's half; more would only weigh.
MAX_POINTS = 240
# Columns that can be pointed at: wide enough for a finger's reading of an hour.
_COLUMNS = 60

Point = tuple[float, float | None]
"""(seconds since 1970, value); None where nothing was measured."""


@dataclass(frozen=True, slots=True)
class Line:
    """name: in the legend; path, area: SVG; latest: its last value, for people."""

    name: str
    path: str
    area: str
    latest: str


@dataclass(frozen=True, slots=True)
class Plot:
    """What templates/parts.html draws.

    columns: x and width in units of the box, moment (seconds since 1970), and what is said of it in UTC.
    """

    id: str
    title: str
    lines: tuple[Line, ...]
    grid: tuple[tuple[float, str], ...]
    columns: tuple[tuple[float, float, float, str], ...]
    begin: float
    end: float
    dated: bool
    said: str
    empty: str
    width: int = WIDTH
    height: int = HEIGHT


def plot(key: str, title: str, unit: str, lines: Sequence[tuple[str, Sequence[Point]]], empty: str) -> Plot:
    """Return the plot of some lines, each with its name; `empty` is said where there is nothing to draw.

    unit: behind each value, such as "/s"; "%" and counts begin at 0 as all do.
    """
    kept = [(name, _thinned(points)) for name, points in lines]
    known = [(at, value) for _, points in kept for at, value in points if value is not None]
    if len({at for at, _ in known}) < 2:
        return Plot(
            key, title, tuple(Line(n, "", "", "") for n, _ in kept), (), (), 0.0, 0.0, False, "", empty
        )
    begin, end = min(at for at, _ in known), max(at for at, _ in known)
    top = _ceiling(max(value for _, value in known))
    grid = tuple((HEIGHT - HEIGHT * i / 4, _figure(top * i / 4, unit, top)) for i in (4, 3, 2, 1, 0))

    def x(at: float) -> float:
        return round(WIDTH * (at - begin) / (end - begin), 1)

    def y(value: float) -> float:
        return round(HEIGHT - HEIGHT * value / top, 1)

    drawn = []
    for name, points in kept:
        runs = _runs(points)
        path = "".join("M" + "L".join(f"{x(at)} {y(v)}" for at, v in run) for run in runs)
        area = "".join(
            f"M{x(run[0][0])} {HEIGHT}L"
            + "L".join(f"{x(at)} {y(v)}" for at, v in run)
            + f"L{x(run[-1][0])} {HEIGHT}Z"
            for run in runs
        )
        last = next((v for _, v in reversed(points) if v is not None), None)
        drawn.append(
            Line(name, path, area if len(kept) == 1 else "", "" if last is None else _figure(last, unit, top))
        )
    said = f"{title}: " + "; ".join(f"{one.name} {one.latest or 'not known'}" for one in drawn)
    far = end - begin > 86400
    return Plot(
        key,
        title,
        tuple(drawn),
        grid,
        _columns(kept, begin, end, unit, top),
        begin,
        end,
        far,
        f"{said}; from {_clock(begin, far)} to {_clock(end, far)} UTC, highest {_figure(top, unit, top)}",
        "",
    )


def _thinned(points: Sequence[Point]) -> list[Point]:
    """Return at most MAX_POINTS: of each group the highest, so that no peak is lost."""
    if len(points) <= MAX_POINTS:
        return list(points)
    step = math.ceil(len(points) / MAX_POINTS)
    groups = [points[i : i + step] for i in range(0, len(points), step)]
    return [max(group, key=lambda p: -1.0 if p[1] is None else p[1]) for group in groups]


def _runs(points: Sequence[Point]) -> list[list[tuple[float, float]]]:
    """Return what is without a gap, each run on its own."""
    runs: list[list[tuple[float, float]]] = [[]]
    for at, value in points:
        if value is not None:
            runs[-1].append((at, value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _columns(
    lines: list[tuple[str, list[Point]]], begin: float, end: float, unit: str, top: float
) -> tuple[tuple[float, float, float, str], ...]:
    step, wide = (end - begin) / _COLUMNS, WIDTH / _COLUMNS
    found = []
    for i in range(_COLUMNS):
        least, most = begin + i * step, begin + (i + 1) * step
        values = []
        for name, points in lines:
            within = [v for at, v in points if v is not None and least <= at <= most]
            if within:
                values.append(f"{name} {_figure(within[-1], unit, top)}")
        if values:
            found.append(
                (
                    round(i * wide, 1),
                    round(wide, 1),
                    least,
                    f"{_clock(least, False)} UTC: " + ", ".join(values),
                )
            )
    return tuple(found)


def _ceiling(value: float) -> float:
    """Return a round number, not below the value, that four divide well."""
    if value <= 0:
        return 4.0
    scale = 10.0 ** math.floor(math.log10(value))
    return float(
        next(
            step * scale
            for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 5, 6, 8, 10)
            if step * scale >= value * 0.999
        )
    )


def _figure(value: float, unit: str, top: float) -> str:
    if not unit:
        return f"{value:,.0f}"  # a count: means of a minute have parts, phones have none
    if value >= 100 or value == int(value):
        return f"{value:,.0f}{unit}"
    return f"{value:.{1 if top >= 10 else 2}f}".rstrip("0").rstrip(".") + unit


def _clock(at: float, dated: bool) -> str:
    return f"{datetime.fromtimestamp(at, UTC):{'%d %b %H:%M' if dated else '%H:%M:%S'}}"
