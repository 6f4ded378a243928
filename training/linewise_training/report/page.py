"""The report as one HTML file that stands alone: style and charts inside, nothing from a network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from linewise_training.report.chart import Series, histogram
from linewise_training.report.figures import Cost, Figures
from linewise_training.report.printable import printable

_STYLE = """
:root { color-scheme: light dark; --ground: #fcfcfb; --card: #ffffff; --ink: #1c1c1a; --soft: #5f5e59;
  --rule: #e3e2dd; --before: #a3a29b; --after: #2a78d6; --fault: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ground: #161615; --card: #1f1f1d; --ink: #f2f1ec;
  --soft: #b0afa8; --rule: #363531; --before: #8b8a83; --after: #5a9ff0; --fault: #ff8a80; } }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 840px; margin: 0 auto; padding: 32px 20px 64px }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.15rem; margin: 0 0 4px }
p { margin: 4px 0 12px } .soft { color: var(--soft) } .fault { color: var(--fault); font-weight: 600 }
code { overflow-wrap: anywhere }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); gap: 12px;
  margin: 20px 0 }
.tile, section { background: var(--card); border: 1px solid var(--rule); border-radius: 8px }
.tile { padding: 12px 14px } .tile b { display: block; font-size: 1.5rem; font-weight: 600; line-height: 1.2 }
section { padding: 18px 20px; margin: 16px 0 }
svg { display: block; width: 100%; height: auto }
svg text { font: 12px system-ui, sans-serif; fill: var(--soft); font-variant-numeric: tabular-nums }
.grid { stroke: var(--rule) } .axis { stroke: var(--soft) }
.before { fill: var(--before); background: var(--before) }
.after { fill: var(--after); background: var(--after) }
.key { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin: 0 6px 0 0 }
.legend span.entry { margin-right: 20px; white-space: nowrap }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: 6px 14px 6px 0; border-bottom: 1px solid var(--rule);
  vertical-align: top }
th { font-weight: 600 } td.n, th.n { text-align: right; white-space: nowrap }
td div { overflow-wrap: anywhere }
"""


def page(figures: Figures, title: str) -> str:
    """The HTML of the report on `figures`; `title` is the name of the file that they are of."""
    name = escape(printable(title))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Edit sequences: {name}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>Edit sequences</h1>
<p class="soft"><code>{name}</code></p>
{_faults(figures)}{_tiles(figures)}
{_lines(figures)}
{_edits(figures)}
{_costs(figures.costs)}
{_table(figures)}
{_skips(figures)}
</main>
</body>
</html>
"""


def _faults(figures: Figures) -> str:
    if not figures.unfaithful:
        return ""
    numbers = ", ".join(str(number) for number in figures.unfaithful[:10])
    more = " and others" if len(figures.unfaithful) > 10 else ""
    return (
        f'<p class="fault">The edits of {_count(len(figures.unfaithful), "sequence")} do not write their '
        f"program (line {numbers}{more}): make the file again.</p>\n"
    )


def _tiles(figures: Figures) -> str:
    tiles = [
        (f"{figures.programs:,}", "programs"),
        (f"{figures.sequences:,}", "edit sequences"),
        (f"{figures.edits.mean:.1f}", "edits a sequence, mean"),
        (f"{figures.lines_before.mean:.1f} → {figures.lines_after.mean:.1f}", "lines an example, mean"),
        *((f"{cost.ratio:.2f} times", f"{cost.unit}, edits by program") for cost in figures.costs),
    ]
    if figures.skipped is not None:
        tiles.append((_share(figures.skips, figures.skips + figures.programs), "of the programs skipped"))
    cells = "".join(f'<div class="tile"><b>{value}</b>{label}</div>\n' for value, label in tiles)
    return f'<div class="tiles">\n{cells}</div>'


def _lines(figures: Figures) -> str:
    series = [
        Series("before", "before", figures.lines_before),
        Series("after", "after", figures.lines_after),
    ]
    return _section(
        "Lines per example, before and after",
        "Before: the lines of each program. After: the lines of each edit sequence as a model reads it, "
        "hunk headers included.",
        series,
        histogram(series, "lines per example", "lines"),
    )


def _edits(figures: Figures) -> str:
    series = [Series("edit sequences", "after", figures.edits)]
    return _section(
        "Edits per sequence",
        "How many steps a program is written in.",
        series,
        histogram(series, "edits per sequence", "edits"),
    )


def _costs(costs: Sequence[Cost]) -> str:
    sections = []
    for cost in costs:
        series = [Series("edit sequences", "after", cost.growth)]
        sections.append(
            _section(
                f"{cost.unit.capitalize()} added",
                f"By how many percent the text of a sequence, diff tokens and headers included, has more "
                f"{cost.unit} than its program.",
                series,
                histogram(series, f"{cost.unit} added, in percent of the program's", f"% more {cost.unit}"),
            )
        )
    return "\n".join(sections)


def _section(title: str, text: str, series: Sequence[Series], chart: str) -> str:
    legend = "".join(
        f'<span class="entry"><span class="key {one.style}"></span>{escape(one.name)}: '
        f"mean {one.tally.mean:.1f}, median {one.tally.quantile(0.5):,}</span>"
        for one in series
    )
    return (
        f'<section>\n<h2>{escape(title)}</h2>\n<p class="soft">{escape(text)}</p>\n'
        f'<p class="legend">{legend}</p>\n{chart}\n</section>'
    )


def _table(figures: Figures) -> str:
    rows = [
        ("lines of a program", figures.lines_before),
        ("lines of a sequence", figures.lines_after),
        ("edits of a sequence", figures.edits),
        ("lines that an edit adds", figures.added),
    ]
    for cost in figures.costs:
        rows += [
            (f"{cost.unit} of a sequence's program", cost.program),
            (f"{cost.unit} of a sequence", cost.text),
        ]
    head = "".join(f'<th class="n">{name}</th>' for name in ("mean", "median", "95 %", "most"))
    body = "".join(
        f'<tr><td>{escape(name)}</td><td class="n">{tally.mean:,.1f}</td>'
        f'<td class="n">{tally.quantile(0.5):,}</td><td class="n">{tally.quantile(0.95):,}</td>'
        f'<td class="n">{tally.most:,}</td></tr>\n'
        for name, tally in rows
    )
    return (
        f"<section>\n<h2>In numbers</h2>\n<table>\n<tr><th></th>{head}</tr>\n{body}</table>\n"
        '<p class="soft">95 %: the value that 95 in a hundred do not exceed.</p>\n</section>'
    )


def _skips(figures: Figures) -> str:
    if figures.skipped is None:
        body = '<p class="soft">The run left no skip file beside its output, so this is not known.</p>'
    elif not figures.skipped:
        body = "<p>No program was skipped.</p>"
    else:
        whole = figures.skips + figures.programs
        rows = "".join(
            f'<tr><td>{escape(printable(reason.kind))}</td><td class="n">{reason.count:,}</td>'
            f'<td class="n">{_share(reason.count, whole)}</td><td>'
            + "".join(
                f"<div>line {line:,}: {escape(printable(text.removeprefix(reason.kind + ': ')))}</div>"
                for line, text in reason.examples
            )
            + "</td></tr>\n"
            for reason in figures.skipped
        )
        body = (
            f"<p>{_count(figures.skips, 'line')} of the input gave no sequence, "
            f"{_share(figures.skips, whole)} of {whole:,}.</p>\n<table>\n"
            '<tr><th>reason</th><th class="n">programs</th><th class="n">share</th>'
            "<th>for example</th></tr>\n"
            f"{rows}</table>"
        )
    return f"<section>\n<h2>Skipped programs</h2>\n{body}\n</section>"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.1f} %"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
