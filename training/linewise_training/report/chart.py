"""Histograms as inline SVG without scripts, fonts or other files; the page's CSS gives the colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil

from linewise_training.report.tally import Bins, Tally, common_bins

WIDTH, HEIGHT = 760, 280
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 44
_PLOT_WIDTH = WIDTH - LEFT - RIGHT
_PLOT_HEIGHT = HEIGHT - TOP - BOTTOM
_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True, slots=True)
class Series:
    """One row of bars: `style` is the CSS class that colours it."""

    name: str
    style: str
    tally: Tally


def histogram(series: Sequence[Series], axis: str, unit: str) -> str:
    """An SVG histogram of `series`, side by side in common bins, heights in percent of each series.

    `axis` is the text under the horizontal axis; `unit` names the values in what shows at a bar ("lines").
    """
    bins = common_bins([one.tally for one in series])
    shares = [one.tally.shares(bins) for one in series]
    step = _step(max(max(row) for row in shares))
    top = _ceiling(max(max(row) for row in shares), step)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(axis)}">',
        *_grid(top, step),
        *_bars(series, shares, bins, top, unit),
        *_ticks(bins),
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(0, top)}" y2="{_y(0, top)}"/>',
        f'<text class="label" x="{LEFT + _PLOT_WIDTH / 2:.0f}" y="{HEIGHT - 6}" '
        f'text-anchor="middle">{escape(axis)}</text>',
        "</svg>",
    ]
    return "\n".join(parts)


def _grid(top: float, step: float) -> list[str]:
    parts = []
    for line in range(round(top / step) + 1):
        share = line * step
        y = _y(share, top)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{100 * share:g} %</text>'
        )
    return parts


def _bars(
    series: Sequence[Series], shares: Sequence[Sequence[float]], bins: Bins, top: float, unit: str
) -> list[str]:
    slot = _PLOT_WIDTH / bins.count
    gap = min(4.0, slot * 0.2)
    # One series fills its slot up to a width that still reads as a bar.
    width = min((slot - gap) / len(series), 36.0)
    parts = []
    for row, (one, heights) in enumerate(zip(series, shares, strict=True)):
        for at, share in enumerate(heights):
            if not share:
                continue
            x = LEFT + (at + 0.5) * slot + (row - len(series) / 2) * width
            y = _y(share, top)
            title = f"{one.name}: {100 * share:.1f} % have {bins.name(at)} {unit}"
            parts.append(
                f'<rect class="{one.style}" x="{x:.1f}" y="{y}" width="{max(1.0, width - 1):.1f}" '
                f'height="{_y(0, top) - y:.1f}" rx="1.5"><title>{escape(title)}</title></rect>'
            )
    return parts


def _ticks(bins: Bins) -> list[str]:
    """The least value of a bin under it, as many as there is room for; "+" says that the last bin is open."""
    slot = _PLOT_WIDTH / bins.count
    last = bins.count - 1
    characters = len(str(bins.start(last))) + 1
    every = max(1, ceil((7 * characters + 8) / slot))
    parts = []
    for at in range(bins.count):
        closing = bins.open_ended and at == last
        if not closing and (at % every or (bins.open_ended and last - at < every)):
            continue
        # A bin of several values begins at its edge; a bin of one is that value.
        x = LEFT + (at + (0.5 if bins.width == 1 or closing else 0)) * slot
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
            f"{bins.start(at)}{'+' if closing else ''}</text>"
        )
    return parts


def _y(share: float, top: float) -> float:
    return round(TOP + _PLOT_HEIGHT * (1 - share / top), 1)


def _step(most: float) -> float:
    return next((step for step in _STEPS if most / step <= 5), _STEPS[-1])


def _ceiling(most: float, step: float) -> float:
    lines = 1
    while lines * step < most:
        lines += 1
    return lines * step
