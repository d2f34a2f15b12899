"""Curves over time as an SVG, one small chart below the other; no library is worth having for that."""

from html import escape

_WIDTH, _HEIGHT = 640, 130  # of one chart
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 10, 26, 20


def svg(title: str, xs: list[float], unit: str, curves: dict[str, list[float]]) -> str:
    """Return an SVG with one chart for each curve, all from zero; xs: in `unit`, the same for all."""
    height = 30 + len(curves) * _HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}">',
        '<g font-family="sans-serif" font-size="11">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{_LEFT}" y="18" font-size="13">{escape(title)}</text>',
    ]
    for index, (name, ys) in enumerate(curves.items()):
        parts += _chart(30 + index * _HEIGHT, name, xs, ys, unit)
    return "\n".join([*parts, "</g>", "</svg>", ""])


def _chart(y: int, name: str, xs: list[float], ys: list[float], unit: str) -> list[str]:
    most = max([*ys, 1e-9])
    longest = max([*xs, 1e-9])
    top, bottom = y + _TOP, y + _HEIGHT - _BOTTOM
    right = _WIDTH - _RIGHT

    def place(x: float, value: float) -> str:
        across = _LEFT + (right - _LEFT) * x / longest
        return f"{across:.1f},{bottom - (bottom - top) * value / (1.1 * most):.1f}"

    points = " ".join(place(x, value) for x, value in zip(xs, ys, strict=True))
    return [
        f'<text x="{_LEFT}" y="{top - 6}">{escape(name)}</text>',
        f'<path d="M{_LEFT},{top} V{bottom} H{right}" fill="none" stroke="gray"/>',
        f'<text x="{_LEFT - 4}" y="{bottom}" text-anchor="end">0</text>',
        f'<text x="{_LEFT - 4}" y="{top + 10}" text-anchor="end">{most:.3g}</text>',
        f'<text x="{right}" y="{bottom + 14}" text-anchor="end">{longest:.3g} {escape(unit)}</text>',
        f'<polyline points="{points}" fill="none" stroke="#1f6fb4" stroke-width="1.2"/>',
    ]
