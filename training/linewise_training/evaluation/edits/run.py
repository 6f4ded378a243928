"""One evaluation of edits from its settings to its report; a run that was cut goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from linewise.assistant import verifier_for
from linewise.assistant.inline import before_tail
from linewise.engines.protocol import Engine
from linewise.formats import Format, get_format
from linewise.verify.protocol import Verifier
from linewise_training.evaluation import folder
from linewise_training.evaluation.edits.instructions import (
    InstructionTask,
    change_tasks,
    instruction_tasks,
    written,
)
from linewise_training.evaluation.edits.measure import score
from linewise_training.evaluation.edits.ngram import NgramModel
from linewise_training.evaluation.edits.page import page
from linewise_training.evaluation.edits.report import figures
from linewise_training.evaluation.edits.settings import SETTINGS, Settings
from linewise_training.evaluation.edits.sources import read_sources
from linewise_training.evaluation.edits.suggest import PlainFormat, Suggestion, open_document, suggest
from linewise_training.evaluation.edits.tasks import CursorTask, commit_tasks, editing_tasks, gap_tasks
from linewise_training.evaluation.models import FIM, PLAIN, LoadedModel
from linewise_training.progress import Progress
from linewise_training.sampling import JsonlFile

BASELINE = "baseline"
_CONTEXT = 6  # lines before a cursor that the report shows


@dataclass(frozen=True, slots=True)
class Tasks:
    """Everything that is asked."""

    cursors: tuple[CursorTask, ...]
    instructions: tuple[InstructionTask, ...]

    @classmethod
    def draw(cls, paths: Sequence[Path], limit: int, seed: int, only: Sequence[str] = SETTINGS) -> Tasks:
        """`limit` tasks of each setting from the held-out part of `paths`; a fifth as many functions, half as
        many changes.

        Raises LinewiseError where nothing can be drawn.
        """
        files, histories = read_sources(paths)
        cursors = {
            "gap": lambda: gap_tasks(files, limit, seed),
            "editing": lambda: editing_tasks(files, limit, seed),
            "commit": lambda: commit_tasks(histories, limit, seed),
        }
        instructions = {
            "write": lambda: instruction_tasks(files, max(1, limit // 5), seed),
            "change": lambda: change_tasks(files, max(1, limit // 2), seed),
        }
        once = {task.task: task for name in cursors if name in only for task in cursors[name]()}
        asked = [task for name in instructions if name in only for task in instructions[name]()]
        return cls(tuple(once.values()), tuple(asked))


def evaluate_model(
    model: LoadedModel, tasks: Tasks, settings: Settings, out: Path, *, restart: bool = False
) -> dict[str, Any]:
    """Evaluate `model`; return what report.json says.

    Models that know no instructions are not asked to write. Raises LinewiseError where `out` holds another
    run, EngineError where the model fails.
    """
    engine = model.engine
    form = format_for(model)

    def answer(task: CursorTask) -> Suggestion:
        document = open_document(task)
        return suggest(document, task.cursor, engine, form)

    writer = None if model.form in (FIM, PLAIN) else (engine, form)
    return _evaluate(answer, writer, tasks, settings, model.about(), out, restart=restart)


def evaluate_baseline(
    model: NgramModel, about: Mapping[str, Any], tasks: Tasks, settings: Settings, out: Path, *, restart: bool
) -> dict[str, Any]:
    """The same for the n-gram model, which only knows what stands before the cursor."""

    def answer(task: CursorTask) -> Suggestion:
        lines = open_document(task).snapshot().lines
        at, column = task.cursor.line, task.cursor.column
        current = lines[at] if lines else ""
        before = "\n".join((*lines[max(0, at - _CONTEXT) : at], current[:column]))
        rest, tokens = model.complete(before + "\n" * (task.needed - 1))
        text = "\n" * (task.needed - 1) + rest
        shown = before_tail(text, current[column:])
        if shown is None:
            return Suggestion(None, column, column, tokens, (), None)
        return Suggestion(shown[0], column, column + shown[1], tokens, (), None)

    return _evaluate(answer, None, tasks, settings, about, out, restart=restart)


def format_for(model: LoadedModel) -> Format:
    """The Format in which `model` is asked. Raises ModelError where it lacks the tokens for it."""
    if model.form == PLAIN:
        return PlainFormat(model.engine.info.begin)
    return get_format(model.form, model.engine.info.fim)


def _evaluate(
    answer: Callable[[CursorTask], Suggestion],
    writer: tuple[Engine, Format] | None,
    tasks: Tasks,
    settings: Settings,
    about: Mapping[str, Any],
    out: Path,
    *,
    restart: bool,
) -> dict[str, Any]:
    told = {
        "benchmark": "edits",
        **asdict(settings),
        "data": list(settings.data),
        "only": list(settings.only),
    }
    folder.open_folder(out, told, about, restart=restart)
    verifier = None if settings.verifier == "none" else verifier_for("x.py", settings.verifier)
    total = len(tasks.cursors) + len(tasks.instructions)
    with JsonlFile(out / folder.RESULTS) as file, Progress(f"edits: {about['name']}", total) as progress:
        rows = list(file.rows)
        done = {str(row.get("task")) for row in rows}
        progress.advance(len(done))
        for row in _rows(answer, writer, tasks, verifier, settings.check_early, done):
            file.append(row)
            rows.append(row)
            progress.advance(1)
    report = {"benchmark": "edits", "settings": told, "model": dict(about), **figures(rows)}
    folder.write_json(out / folder.REPORT, report)
    (out / folder.PAGE).write_text(page(report, rows), encoding="utf-8")
    return report


def _rows(
    answer: Callable[[CursorTask], Suggestion],
    writer: tuple[Engine, Format] | None,
    tasks: Tasks,
    verifier: Verifier | None,
    check_early: bool,
    done: set[str],
) -> Iterator[dict[str, Any]]:
    """A row of results for each task that is not done yet; without scores where the model cannot be asked."""
    for task in tasks.cursors:
        if task.task in done:
            continue
        suggestion = answer(task)
        log = open_document(task).snapshot().log
        at = task.cursor.line
        line = log.lines[at] if log.lines else ""  # a commit may begin with an empty file
        yield {
            "task": task.task,
            "shape": f"{task.setting}, {task.kind}",
            "scores": score(task, log.lines, log.closed_lines, suggestion, verifier),
            "before": "\n".join((*log.lines[max(0, at - _CONTEXT) : at], line[: task.cursor.column])),
            "after": "\n".join((line[task.cursor.column :], *log.lines[at + 1 : at + 3])),
            "suggestion": suggestion.text,
            "unanswered": suggestion.unanswered,
            "wanted": list(task.wanted),
        }
    for one in tasks.instructions:
        if one.task in done:
            continue
        scores: dict[str, float] = {}
        text, dropped = "", list[str]()
        if writer is not None:
            scores, text, dropped = written(
                one, *writer, verifier or verifier_for("x.py", "none"), check_early=check_early
            )
        yield {
            "task": one.task,
            "shape": one.shape,
            "scores": scores,
            "before": one.instruction,
            "after": "",
            "suggestion": text,
            "dropped": dropped,
            "wanted": list(one.missing),
        }
