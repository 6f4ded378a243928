"""One evaluation from its settings to its report: sample, run with tests, add up.

Every step writes to the output folder as it goes, so the same command goes on where a run was killed and
ends with the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from linewise.engines.protocol import Request, Sampling, Segment
from linewise.errors import LinewiseError
from linewise.formats.protocol import Prompt
from linewise_training.evaluation import folder
from linewise_training.evaluation.contamination import contamination
from linewise_training.evaluation.grading import Item, grade
from linewise_training.evaluation.models import LoadedModel
from linewise_training.evaluation.page import page
from linewise_training.evaluation.problems import Problem
from linewise_training.evaluation.report import figures
from linewise_training.evaluation.writing import Shape, ask
from linewise_training.execution import Runner, Status
from linewise_training.progress import Progress
from linewise_training.sampling import DEFAULT_LANES, Ask, draw, sample_seed


@dataclass(frozen=True, slots=True)
class Settings:
    """What is asked of a model. `data` is the SHA-256 of the benchmark's file; `timeout` is in seconds."""

    benchmark: str
    data: str
    limit: int | None
    shapes: tuple[Shape, ...]
    samples: int
    temperature: float
    top_p: float
    max_tokens: int
    seed: int
    timeout: float
    ks: tuple[int, ...]


def evaluate(
    model: LoadedModel,
    problems: Sequence[Problem],
    settings: Settings,
    out: Path,
    *,
    data: Path | None,
    workers: int | None = None,
    lanes: int = DEFAULT_LANES,
    restart: bool = False,
) -> dict[str, Any]:
    """Evaluate `model` on `problems`; return what report.json says.

    `data` is the file that `problems` were read from: it is compared with the model's data, where these are
    known; None does without. `workers` processes run the programs (None: one for each processor); `lanes`
    samples are drawn at once. Neither changes the result. Raises LinewiseError where `out` holds another
    run, EngineError where the model fails.
    """
    told = {**asdict(settings), "shapes": list(settings.shapes), "ks": list(settings.ks)}
    about = model.about()
    begin = _begin(model)
    asked = {
        (problem.task, shape): ask(problem, shape, model.form, model.engine.info, begin)
        for problem in problems
        for shape in settings.shapes
    }
    asks = [
        Ask(
            task,
            shape,
            number,
            _request(asked[task, shape].prompt, settings, task, shape, number),
            one.finished,
        )
        for (task, shape), one in asked.items()
        for number in range(settings.samples)
    ]
    folder.open_folder(out, told, about, restart=restart)
    with Progress("sampling", len(asks)) as progress:
        samples = draw(model.engine, asks, out / folder.SAMPLES, lanes=lanes, advance=progress.advance)
    by_task = {problem.task: problem for problem in problems}
    items = [
        Item(by_task[task], shape, one, tuple(samples[at * settings.samples : (at + 1) * settings.samples]))
        for at, ((task, shape), one) in enumerate(asked.items())
    ]
    with Progress("running tests", len(items)) as progress, Runner(workers) as runner:
        rows = grade(
            items,
            out / folder.RESULTS,
            runner,
            ks=settings.ks,
            timeout=settings.timeout,
            advance=progress.advance,
        )
    report: dict[str, Any] = {
        "benchmark": settings.benchmark,
        "settings": told,
        "model": about,
        "problems": len(problems),
        "warnings": _environment(rows),
        "data_known": None,
        **figures(rows, samples, model.engine.info.parameters, settings.ks),
    }
    if data is not None:
        seen = contamination(model.path, data, by_task.keys())
        report["data_known"] = seen.known
        report["warnings"] += [seen.warning] if seen.warning else []
    folder.write_json(out / folder.REPORT, report)
    (out / folder.PAGE).write_text(page(report, rows, samples), encoding="utf-8")
    return report


def _begin(model: LoadedModel) -> tuple[Segment, ...]:
    """The token that every text of the model begins with, if its file says so."""
    text = model.engine.info.begin
    return (Segment(text, special=True),) if text else ()


def _request(prompt: Prompt, settings: Settings, task: str, shape: str, number: int) -> Request:
    sampling = Sampling(
        temperature=settings.temperature,
        top_p=settings.top_p,
        seed=sample_seed(settings.seed, task, shape, number),
        max_tokens=settings.max_tokens,
    )
    return Request(prompt.segments, sampling, prompt.healed, prompt.stop)


def _environment(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What kept programs from being run at all. Raises LinewiseError where that was all of them."""
    graded = [sample for row in rows for sample in row["samples"]]
    missing = [sample["message"] for sample in graded if sample["status"] == Status.ENVIRONMENT.value]
    if not missing:
        return []
    if len(missing) == len(graded):
        raise LinewiseError(
            f"no program could be run here: {missing[0]}; install what is missing, and --restart"
        )
    return [
        f"{len(missing)} of {len(graded)} programs could not be run here and count as failed, "
        f"the first because: {missing[0]}"
    ]
