"""Pictures, as SVG: bars for each metric of a sitting, and curves of how something grows."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from benchmarks.goals import METRICS, Metric
from benchmarks.report import Sitting, shown

WIDTH, LEFT, RIGHT = 860, 130, 190
BAR, GAP, HEAD = 16, 4, 40
GOAL = "#16a34a"
COLOURS = ("#c2410c", "#f59e0b", "#475569", "#64748b", "#94a3b8", "#cbd5e1")


def draw(sitting: Sitting) -> str:
    """The bars are medians, the whiskers the least and the most, the dashed lines the goals."""
    parts: list[str] = []
    y = 10
    for name, metric in METRICS.items():
        found = {product: sitting.values(product, name) for product in sitting.rounds}
        found = {product: values for product, values in found.items() if values}
        if found:
            parts += _group(metric, found, y, list(sitting.rounds))
            y += HEAD + len(found) * (BAR + GAP) + 12
    about = "" if sitting.whole else "only a trial of smaller workloads; "
    about += f"{sitting.about['machine']}; {sitting.about['server'].partition(':')[0]}; {sitting.about['at']}"
    parts.append(_text(10, y + 14, about, colour="#64748b"))
    return _page(parts, y + 26)


def _group(
    metric: Metric, found: dict[str, list[float]], y: int, products: list[str]
) -> Iterator[str]:
    most = max(metric.goal, *(max(values) for values in found.values()))
    unit = (WIDTH - LEFT - RIGHT) / most
    better = f"{metric.unit}, {metric.better} is better".removeprefix(", ")
    yield _text(10, y + 16, f"{metric.title} ({better})", weight="bold")
    yield _text(WIDTH - 10, y + 16, f"goal {shown(metric.goal)}", anchor="end", colour=GOAL)
    top = y + 26
    for number, (product, values) in enumerate(found.items()):
        row = top + number * (BAR + GAP)
        colour = COLOURS[products.index(product) % len(COLOURS)]
        yield from _bar(product, values, row, unit, colour)
    x = LEFT + metric.goal * unit
    end = top + len(found) * (BAR + GAP)
    yield f'<path d="M{x:.1f} {top - 3}V{end}" stroke="{GOAL}" stroke-dasharray="3 2"/>'


def _bar(product: str, values: list[float], y: int, unit: float, colour: str) -> Iterator[str]:
    median = statistics.median(values)
    middle = y + BAR / 2
    yield _text(LEFT - 8, y + 12, product, anchor="end")
    yield f'<rect x="{LEFT}" y="{y}" width="{median * unit:.1f}" height="{BAR}" fill="{colour}"/>'
    low, high = LEFT + min(values) * unit, LEFT + max(values) * unit
    yield f'<path d="M{low:.1f} {middle}H{high:.1f}" stroke="#0f172a"/>'
    yield _text(high + 6, y + 12, shown(median))


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    colour: str = "#0f172a",
    weight: str = "normal",
    size: int = 12,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"'
        f' font-weight="{weight}" font-size="{size}">{escape(text)}</text>'
    )


# Curves ---------------------------------------------------------------------------------

CURVE_HEIGHT, TOP, BOTTOM = 180, 40, 50


def curve(title: str, axis: str, marks: Sequence[str], lines: Mapping[str, Sequence[float]]) -> str:
    """Each line over the same marks, below one another, each from zero to its own most."""
    parts = [_text(10, 20, title, weight="bold")]
    for number, (name, values) in enumerate(lines.items()):
        top = TOP + number * (CURVE_HEIGHT + BOTTOM)
        parts += _line(name, values, axis, marks, top, COLOURS[number % len(COLOURS)])
    return _page(parts, TOP + len(lines) * (CURVE_HEIGHT + BOTTOM))


def _line(
    name: str, values: Sequence[float], axis: str, marks: Sequence[str], top: int, colour: str
) -> Iterator[str]:
    bottom = top + CURVE_HEIGHT
    step = (WIDTH - LEFT - 40) / max(1, len(values) - 1)
    unit = (CURVE_HEIGHT - 40) / (max(values) or 1)
    points = [(LEFT + at * step, bottom - value * unit) for at, value in enumerate(values)]
    yield _text(10, top + 4, name)
    yield f'<path d="M{LEFT} {bottom}H{WIDTH - 30}" stroke="#94a3b8"/>'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for (x, y), value, mark in zip(points, values, marks, strict=True):
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
        yield _text(x, y - 8, shown(value), anchor="middle", size=10)
        yield _text(x, bottom + 14, mark, anchor="middle", colour="#64748b", size=10)
    yield _text(LEFT - 40, bottom + 14, axis, anchor="end", colour="#64748b", size=10)


def _page(parts: Sequence[str], height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}"'
        ' font-family="system-ui, sans-serif" font-size="12">\n'
        '<rect width="100%" height="100%" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )
