"""The report on a run of a recipe: what each stage made, how the losses fell, what the data are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linewise.errors import FileError
from linewise_training.report.curve import Curve, curves
from linewise_training.report.html import document, section, table, tiles

STAGES = ("corpus", "tokenizer", "pretrain", "lintseq", "sft", "export")
SEQUENCES_PAGE = "lintseq/sequences.jsonl.report.html"
"""Where the lintseq stage of a run writes its own page, from the run folder."""

_TRAINED = {"pretrain": "Pretraining", "sft": "Fine-tuning"}


@dataclass(frozen=True, slots=True)
class TrainedStage:
    """One training stage: its losses by step, and its last figures."""

    name: str
    losses: tuple[tuple[int, float], ...]
    """(step, mean loss in nats per learned token since the last one)."""
    tokens_per_second: float | None
    """The median of the readings; None for a stage that has none."""
    mfu: float | None
    """Model FLOPs utilization, from 0 to 1, the median; None where the device's peak is not known."""
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What a run folder holds."""

    done: Mapping[str, Mapping[str, Any]]
    """Of each complete stage what its `done.json` tells."""
    trained: tuple[TrainedStage, ...]
    licences: Mapping[str, int]
    """Files of the corpus by licence."""
    origins: Mapping[str, int]
    """Files of the corpus by origin, the most first."""
    sequences_page: bool
    """Whether the page on the edit sequences is there (SEQUENCES_PAGE)."""


def gather_run(directory: Path) -> RunFigures:
    """The figures of a run folder. Raises FileError where no stage is complete, or a file cannot be read."""
    done = {stage: _read(directory / stage / "done.json") for stage in STAGES}
    if not any(done.values()):
        raise FileError(
            f"{directory} holds no complete stage of a run; name a folder that `linewise train run` wrote"
        )
    manifest = _read(directory / "corpus" / "manifest.json")
    return RunFigures(
        {stage: told for stage, told in done.items() if told},
        tuple(
            _trained(directory / stage, told)
            for stage in _TRAINED
            if (told := done[stage]) and (directory / stage / "losses.jsonl").is_file()
        ),
        _most_first(manifest.get("files_by_licence", {})),
        _most_first(manifest.get("files_by_origin", {})),
        (directory / SEQUENCES_PAGE).is_file(),
    )


def run_page(figures: RunFigures, title: str) -> str:
    """The HTML of the report; a link to the page on the edit sequences is relative to the run folder."""
    parts = [tiles(_main_figures(figures))]
    for stage in figures.trained:
        if stage.losses:
            chart = curves([Curve("training", stage.losses)], "step", "loss, nats per learned token")
            parts.append(section(_TRAINED[stage.name], chart, _told(stage)))
    rows = [
        (stage, ", ".join(f"{key.replace('_', ' ')} {_number(value)}" for key, value in told.items()))
        for stage, told in ((stage, _plain(told)) for stage, told in figures.done.items())
    ]
    parts.append(section("Stages", table(("stage", "what it gave"), rows, numbers=2)))
    if figures.sequences_page:
        link = f'<p><a href="{SEQUENCES_PAGE}">{SEQUENCES_PAGE}</a></p>'
        parts.append(section("Edit sequences", link, "Lines and edits of the sequences that LintSeq made:"))
    for name, counts in (("Licences", figures.licences), ("Origins", figures.origins)):
        if counts:
            shown = list(counts.items())[:20]
            rest = sum(counts.values()) - sum(count for _, count in shown)
            lines = [(key, f"{count:,}") for key, count in shown]
            lines += [(f"{len(counts) - 20:,} others", f"{rest:,}")] if rest else []
            parts.append(section(name, table((name[:-1].lower(), "files"), lines), "Files of the corpus."))
    return document("Training run", title, "\n".join(parts))


def write_run_report(directory: Path) -> Path:
    """Write `report.html` in a run folder. Raises FileError where there is nothing to report."""
    page = run_page(gather_run(directory), directory.name)
    out = directory / "report.html"
    out.write_text(page, encoding="utf-8")
    return out


def _main_figures(figures: RunFigures) -> list[tuple[str, str]]:
    told = []
    if "corpus" in figures.done:
        told.append((f"{figures.done['corpus']['files']:,}", "files"))
    if "lintseq" in figures.done:
        told.append((f"{figures.done['lintseq']['sequences']:,}", "edit sequences"))
    if figures.trained:
        last = figures.trained[-1].figures
        told.append((_rounded(last["parameters"]), "parameters"))
        told.append((_rounded(sum(stage.figures["tokens"] for stage in figures.trained)), "tokens read"))
        told.append((_duration(sum(stage.figures["seconds"] for stage in figures.trained)), "training"))
        if "validation_loss" in last:
            told.append((f"{last['validation_loss']:.3f}", "held-out loss, nats per learned token"))
    if "export" in figures.done:
        told.append((f"{figures.done['export']['bytes'] / 2**20:.1f} MiB", "model file"))
    return told


def _told(stage: TrainedStage) -> str:
    told = [f"{_rounded(stage.figures['tokens'])} tokens in {_duration(stage.figures['seconds'])}"]
    if "validation_loss" in stage.figures:
        told.append(f"held-out loss {stage.figures['validation_loss']:.3f}")
    if stage.tokens_per_second is not None:
        told.append(f"{stage.tokens_per_second:,.0f} tokens a second")
    if stage.mfu is not None:
        told.append(f"{stage.mfu:.0%} of the device's peak FLOPs")
    return ", ".join(told) + "."


def _trained(folder: Path, told: Mapping[str, Any]) -> TrainedStage:
    rows = []
    with (folder / "losses.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue  # a kill cut this line; the stage went on from its checkpoint
    by_step = {row["step"]: row for row in rows if "loss" in row}  # a resumed stage tells some steps again
    return TrainedStage(
        folder.name,
        tuple((step, float(by_step[step]["loss"])) for step in sorted(by_step)),
        _median([row["tokens_per_second"] for row in by_step.values() if "tokens_per_second" in row]),
        _median([row["mfu"] for row in by_step.values() if "mfu" in row]),
        _plain(told),
    )


def _median(values: list[float]) -> float | None:
    return sorted(values)[len(values) // 2] if values else None


def _rounded(count: float) -> str:
    """A count in millions, or as it is where that says nothing."""
    return f"{count / 1e6:,.1f} M" if count >= 1e6 else f"{count:,.0f}"


def _duration(seconds: float) -> str:
    """Seconds in the unit that fits."""
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def _plain(told: Mapping[str, Any]) -> dict[str, float]:
    return {key: value for key, value in told.items() if isinstance(value, int | float)}


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"


def _most_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(f"{path} cannot be read ({error}); run the stage again") from error
    return table
