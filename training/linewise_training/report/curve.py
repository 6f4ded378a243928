"""Line charts as inline SVG: loss against steps, pass@k against k."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from linewise_training.report.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH

STYLES = ("after", "third", "before")
"""The CSS classes that colour a chart's curves, in this order."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Points (x, y) in order of x, with a band (low, high) around each where the measure has one."""

    name: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float]] = ()


def curves(
    chart: Sequence[Curve], x_axis: str, y_axis: str, *, log_x: bool = False, y_from_zero: bool = False
) -> str:
    """An SVG line chart with a legend. `log_x` spaces x by its logarithm; all x must then be positive.

    Raises ValueError where there is no point at all.
    """
    points = [point for curve in chart for point in curve.points]
    if not points:
        raise ValueError("a chart needs a point")
    bounds = [edge for curve in chart for edges in curve.band for edge in edges]
    values = [y for _, y in points] + bounds
    scale = math.log if log_x else float
    x_ticks = sorted({x for x, _ in points}) if log_x else _ticks(*_range([x for x, _ in points]))
    if all(float(x).is_integer() for x, _ in points):
        x_ticks = [x for x in x_ticks if float(x).is_integer()]  # there is no half step
    y_ticks = _ticks(*_range([*values, 0.0] if y_from_zero else values))
    left, right = min(scale(x) for x, _ in points), max(scale(x) for x, _ in points)

    def x_at(x: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (scale(x) - left) / ((right - left) or 1.0), 1)

    def y_at(y: float) -> float:
        share = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - share), 1)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(y_axis)}, {escape(x_axis)}">'
    ]
    for y in y_ticks:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y_at(y)}" y2="{y_at(y)}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 6}" y="{y_at(y) + 4:.1f}" text-anchor="end">{y:g}</text>'
        )
    for x in x_ticks:
        if left <= scale(x) <= right:
            at = f'x="{x_at(x)}" y="{HEIGHT - BOTTOM + 16}"'
            parts.append(f'<text class="tick" {at} text-anchor="middle">{x:,g}</text>')
    for style, curve in zip(_cycle(len(chart)), chart, strict=True):
        if curve.band:
            edge = [(x, high) for (x, _), (_, high) in zip(curve.points, curve.band, strict=True)]
            back = [(x, low) for (x, _), (low, _) in zip(curve.points, curve.band, strict=True)]
            outline = " ".join(f"{x_at(x)},{y_at(y)}" for x, y in [*edge, *reversed(back)])
            parts.append(f'<polygon class="band {style}" points="{outline}"/>')
        line = " ".join(f"{x_at(x)},{y_at(y)}" for x, y in curve.points)
        parts.append(f'<polyline class="line {style}" points="{line}"/>')
        for x, y in curve.points if len(curve.points) <= 30 else ():
            title = escape(f"{curve.name}: {y:.4g} at {x:,g}")
            parts.append(
                f'<circle class="{style}" cx="{x_at(x)}" cy="{y_at(y)}" r="3"><title>{title}</title></circle>'
            )
    parts.append(
        f'<text class="label" x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">'
        f"{escape(x_axis)}</text></svg>"
    )
    legend = "".join(
        f'<span class="entry"><span class="key {style}"></span>{escape(curve.name)}</span>'
        for style, curve in zip(_cycle(len(chart)), chart, strict=True)
    )
    return f'<p class="legend">{escape(y_axis)} &nbsp; {legend}</p>\n' + "\n".join(parts)


def _cycle(count: int) -> list[str]:
    return [STYLES[at % len(STYLES)] for at in range(count)]


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    # What differs less than numbers of this size can tell apart is drawn as one value.
    return (
        (low, high) if high - low > 1e-9 * max(abs(low), abs(high), 1e-9) else (low, low + max(1.0, abs(low)))
    )


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers, from at or below `low` to at or above `high`."""
    rough = (high - low) / 6
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [at * step for at in range(first, max(last, first + 1) + 1)]
