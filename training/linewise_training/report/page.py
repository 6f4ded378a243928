"""The report on a file of edit sequences: the paper's Figure 3 for this data, costs, and what was skipped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from linewise_training.report.chart import Series, histogram
from linewise_training.report.figures import Cost, Figures
from linewise_training.report.html import document, section, table, tiles
from linewise_training.report.printable import printable


def page(figures: Figures, title: str) -> str:
    """The HTML of the report on `figures`; `title` is the name of the file that they are of."""
    parts = (
        _faults(figures) + _tiles(figures),
        _lines(figures),
        _edits(figures),
        _costs(figures.costs),
        _table(figures),
        _skips(figures),
    )
    return document("Edit sequences", title, "\n".join(parts))


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
    told = [
        (f"{figures.programs:,}", "programs"),
        (f"{figures.sequences:,}", "edit sequences"),
        (f"{figures.edits.mean:.1f}", "edits a sequence, mean"),
        (f"{figures.lines_before.mean:.1f} → {figures.lines_after.mean:.1f}", "lines an example, mean"),
        *((f"{cost.ratio:.2f} times", f"{cost.unit}, edits by program") for cost in figures.costs),
    ]
    if figures.skipped is not None:
        told.append((_share(figures.skips, figures.skips + figures.programs), "of the programs skipped"))
    return tiles(told)


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
    return section(title, f'<p class="legend">{legend}</p>\n{chart}', text)


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
    numbers = table(
        ("", "mean", "median", "95 %", "most"),
        (
            (
                name,
                f"{tally.mean:,.1f}",
                f"{tally.quantile(0.5):,}",
                f"{tally.quantile(0.95):,}",
                f"{tally.most:,}",
            )
            for name, tally in rows
        ),
    )
    return section(
        "In numbers",
        f'{numbers}\n<p class="soft">95 %: the value that 95 in a hundred do not exceed.</p>',
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
    return section("Skipped programs", body)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.1f} %"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
