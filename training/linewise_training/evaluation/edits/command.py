"""`linewise eval edits`: put into `linewise eval` by its group."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from linewise_training.evaluation.edits.settings import SETTINGS, Settings
from linewise_training.evaluation.models import form_option, model_option

_PATH = click.Path(path_type=Path, exists=True)
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command("edits")
@click.option(
    "--data",
    "data",
    type=_PATH,
    multiple=True,
    required=True,
    help="files.jsonl or histories.jsonl of a corpus (its held-out part is used), or a folder of .py files.",
)
@click.option("--out", type=_FOLDER, required=True, help="Folder to write to; a cut run goes on there.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=200, show_default=True, help="Tasks of each setting."
)
@click.option(
    "--setting", "only", type=click.Choice(SETTINGS), multiple=True,
    help="These settings alone; may be given more than once.  [default: all]",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--verifier",
    type=click.Choice(["pylint", "fast", "none"]),
    default="pylint",
    show_default=True,
    help="By what suggestions are called clean.",
)
@click.option(
    "--check-early/--no-check-early",
    default=True,
    show_default=True,
    help="Look at the hunks of a write while they are written, as the product does.",
)
@click.option("--baseline-data", type=_FILE, help="files.jsonl that a 5-gram model learns from, to compare.")
@click.option(
    "--baseline-characters",
    type=click.IntRange(min=1),
    default=50_000_000,
    show_default=True,
    help="How much of it.",
)
@click.option("--restart", is_flag=True, help="Begin anew where another run's output is.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@model_option
@form_option
def edits_command(
    *,
    data: tuple[Path, ...],
    out: Path,
    limit: int,
    only: tuple[str, ...],
    seed: int,
    verifier: str,
    check_early: bool,
    baseline_data: Path | None,
    baseline_characters: int,
    restart: bool,
    as_json: bool,
    model_path: Path | None,
    form: str | None,
) -> None:
    """Completions at cursors in held-out files and commits, and hunks by instruction.

    Writes results.jsonl, report.json and report.html to --out; with --baseline-data the same for a 5-gram
    model to its folder baseline, so that `linewise eval compare` can tell the two apart.
    """
    from linewise_training.evaluation.edits import ngram, run  # noqa: PLC0415
    from linewise_training.evaluation.edits.sources import training_texts  # noqa: PLC0415
    from linewise_training.evaluation.folder import digest  # noqa: PLC0415
    from linewise_training.evaluation.models import loaded  # noqa: PLC0415

    asked = tuple(name for name in SETTINGS if name in only) or SETTINGS
    tasks = run.Tasks.draw(data, limit, seed, asked)
    read = tuple(digest(path) for path in data)
    settings = Settings(read, limit, seed, verifier, check_early, asked)
    with loaded(model_path, form) as model:
        report = run.evaluate_model(model, tasks, settings, out, restart=restart)
    reports = {"model": report}
    if baseline_data is not None:
        model_of_words = ngram.train(training_texts(baseline_data), baseline_characters)
        about = {
            "name": "5-gram model with stupid back-off",
            "form": "n-gram",
            "data": digest(baseline_data),
            "characters": baseline_characters,
            "vocabulary": model_of_words.vocabulary,
        }
        place = out / run.BASELINE
        reports["baseline"] = run.evaluate_baseline(
            model_of_words, about, tasks, settings, place, restart=restart
        )
    click.echo(json.dumps(reports, indent=2) if as_json else _told(reports, out))


def _told(reports: Mapping[str, Mapping[str, Any]], out: Path) -> str:
    """The reports in a few lines."""
    lines = []
    for report in reports.values():
        lines.append(f"{report['model']['name']} ({report['model']['form']}), {report['tasks']} tasks")
        for name, found in report["shapes"].items():
            scores = ", ".join(
                f"{score} {100 * found['scores'][score]['value']:.1f} %"
                for score in ("exact", "chrf", "repeats suffix", "parses", "clean", "reversal")
                if score in found["scores"]
            )
            lines.append(f"  {name}, {found['tasks']} tasks: {scores}")
    lines.append(f"report: {out / 'report.html'}")
    return "\n".join(lines)
