"""An evaluation of edits as one HTML page: figures by setting and cursor, and suggestions to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from linewise_training.report.html import document, section, table, tiles
from linewise_training.report.printable import printable

SHOWN = 60
"""Suggestions of which the page shows the text; the results file has all."""

_COLUMNS = ("exact", "chrf", "suggested", "unanswered", "repeats suffix", "parses", "clean", "reversal")


def page(report: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """The page of `report` (report.json), with some of the misses among `rows`."""
    model, shapes = report["model"], report["shapes"]
    whole = [name for name in shapes if ", " not in name]
    cells = [
        (_percent(shapes[name]["scores"]["exact"]["value"]), f"exact, {name}")
        for name in whole
        if not name.startswith("write")
    ]
    body = [
        tiles(cells),
        section(
            "Scores",
            _scores(shapes),
            "Shares in percent with 95 % intervals; what is missing has no meaning there.",
        ),
        section("Costs", _costs(shapes), "Mean numbers of generated tokens."),
        section(
            "Not right", _misses(rows), "Tasks whose needed lines did not come out, evenly from all of them."
        ),
        section(
            "Settings", table(("setting", "value"), [(k, str(v)) for k, v in report["settings"].items()], 2)
        ),
    ]
    return document("Edits", f"{model['name']} ({model['form']})", "\n".join(body))


def _scores(shapes: Mapping[str, Any]) -> str:
    rows = []
    for name, found in shapes.items():
        scores = found["scores"]
        cells = [_interval(scores[column]) if column in scores else "" for column in _COLUMNS]
        rows.append((name, str(found["tasks"]), *cells))
    return table(("cursor", "tasks", *_COLUMNS), rows)


def _costs(shapes: Mapping[str, Any]) -> str:
    rows = []
    for name, found in shapes.items():
        means, accepted = found["means"], found["tokens_per_accepted_line"]
        edit = means.get("tokens an edit", means["tokens"])
        rows.append((name, f"{edit:.1f}", f"{accepted:.1f}" if accepted else ""))
    return table(("cursor", "tokens an edit", "tokens an accepted line"), rows)


def _misses(rows: Sequence[Mapping[str, Any]]) -> str:
    missed = [row for row in rows if row["scores"] and not row["scores"]["exact"]]
    step = max(1, -(-len(missed) // SHOWN))
    parts = []
    for row in missed[::step]:
        suggestion = row["suggestion"]
        told = "(no suggestion)" if suggestion is None else suggestion
        told = "\n".join((told, *(f"(dropped: {reason})" for reason in row.get("dropped", ()))))
        parts.append(
            f"<details><summary>{_text(row['task'])}</summary>\n"
            f"<pre>{_text(row['before'])}<b>[{_text(told)}]</b>{_text(row['after'])}</pre>\n"
            f'<p class="soft">wanted</p><pre>{_text(chr(10).join(row["wanted"]))}</pre></details>'
        )
    return "\n".join(parts) or "<p>None.</p>"


def _text(text: str) -> str:
    return escape("\n".join(printable(line) for line in text.split("\n")))


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _interval(score: Mapping[str, Any]) -> str:
    return f"{100 * score['value']:.1f} ({100 * score['low']:.1f} to {100 * score['high']:.1f})"
