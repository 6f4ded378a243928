"""From scored tasks to figures: a mean with its interval for every score, by setting and kind of cursor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from linewise_training.evaluation.scores import mean_estimate

COUNTS = ("tokens", "accepted lines", "hunks", "turned", "averted", "tokens an edit")
"""Scores that are no shares: only their means are told."""


def figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What report.json says of the results: by setting as a whole, and by kind of cursor within it.

    Rows without scores are of tasks that the model could not be asked.
    """
    rows = [row for row in rows if row["scores"]]
    shapes = sorted({str(row["shape"]) for row in rows})
    settings = sorted({shape.partition(", ")[0] for shape in shapes})
    groups = {
        name: [row for row in rows if str(row["shape"]).partition(", ")[0] == name] for name in settings
    }
    groups |= {shape: [row for row in rows if row["shape"] == shape] for shape in shapes}
    return {"tasks": len(rows), "shapes": {name: _of(group) for name, group in sorted(groups.items())}}


def _of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = list(dict.fromkeys(name for row in rows for name in row["scores"]))
    values = {name: [row["scores"][name] for row in rows if name in row["scores"]] for name in names}
    counts = {name: sum(found) / len(found) for name, found in values.items() if name in COUNTS}
    accepted = sum(values.get("accepted lines", ()))
    return {
        "tasks": len(rows),
        "scores": {
            name: {**asdict(mean_estimate(found)), "tasks": len(found)}
            for name, found in values.items()
            if name not in COUNTS
        },
        "means": counts,
        "tokens_per_accepted_line": sum(values["tokens"]) / accepted if accepted else None,
    }
