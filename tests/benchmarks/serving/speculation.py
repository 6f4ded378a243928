"""Greedy writing that edits what is there, with drafts from the document's own tokens and without.

    python tests/benchmarks/serving/speculation.py [--rounds 3] [--writes 30] [--model FILE] FOLDER

Each round makes the same changes of Python files below FOLDER by instruction, in two schedulers in turns:
one that drafts where it pays, one that never does. There are three kinds of writes: renamings of a name in a
function, which write its lines anew; other small changes (a value, a parameter, type hints and so on); and
functions that are missing, of which little can be copied. What is compared is the time from a generation's
first token to its last, by token, then that of the whole writes, which read the document, too, and whether
both wrote the same. The figures are medians.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click

from linewise.assistant import Document, NoVerifier, WriteOptions, write
from linewise.edits import join_lines
from linewise.engines.protocol import CancelSignal, Engine, ModelInfo, Request, Segment, Token
from linewise.formats import get_format
from linewise.models import embedded_model_path
from linewise.serving.scheduler import Scheduler
from linewise_training.changes import read_code
from linewise_training.examples import changing_task, function_task

CHARACTERS = 2400  # of a document, as in the embedded model's training


class Timed:
    """An engine, how many tokens it has generated after the first of each generation, and in what time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.tokens = 0
        self.seconds = 0.0

    @property
    def info(self) -> ModelInfo:
        return self._engine.info

    def tokenize(self, segments: Sequence[Segment]) -> tuple[int, ...]:
        return self._engine.tokenize(segments)

    def stream(self, request: Request, cancel: CancelSignal | None = None) -> Iterator[Token]:
        last = None
        for token in self._engine.stream(request, cancel):
            now = time.perf_counter()
            if last is not None:
                self.tokens += 1
                self.seconds += now - last
            yield token
            last = time.perf_counter()  # what the writer does with a token is not counted

    def close(self) -> None:
        self._engine.close()


@dataclass(frozen=True)
class Task:
    """A write of `instruction` in the text of a document, of which it may be a window."""

    name: str
    text: str
    instruction: str


def tasks_below(folder: Path, writes: int) -> dict[str, list[Task]]:
    """At most so many tasks of each kind, in the files in random order, each file once for a kind."""
    kinds: dict[str, list[Task]] = {"renamings": [], "other changes": [], "functions": []}
    paths = sorted(folder.rglob("*.py"))
    random.Random(0).shuffle(paths)
    for number, path in enumerate(paths):
        text, rng = path.read_text(encoding="utf-8", errors="replace"), random.Random(number)
        code = read_code(text)
        if code is None:
            continue
        changes = [changing_task(path.name, code, CHARACTERS, rng) for _ in range(6)]
        renamings = [one.task for one in changes if one and one.kind.startswith("renaming")]
        others = [one.task for one in changes if one and not one.kind.startswith("renaming")]
        function = function_task(path.name, text, CHARACTERS, rng)
        found = zip(kinds, (renamings, others, [function] if function else []), strict=True)
        for kind, tasks in found:
            if tasks and len(kinds[kind]) < writes:
                lines = join_lines(tasks[0].log.lines)
                kinds[kind].append(Task(path.name, lines, tasks[0].instruction))
    return {kind: tasks for kind, tasks in kinds.items() if tasks}


def edit(task: Task, engine: Timed) -> tuple[float, tuple[str, ...]]:
    """Seconds of a whole write, and the lines that came of it."""
    document = Document(task.name, task.text)
    began = time.perf_counter()
    for _ in write(
        document, task.instruction, engine=engine, format=get_format(engine.info.format or ""),
        verifier=NoVerifier(), options=WriteOptions(max_tokens=200, max_tries=3),
    ):  # fmt: skip
        pass
    return time.perf_counter() - began, tuple(document.snapshot().lines)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--rounds", default=3, show_default=True)
@click.option("--writes", default=30, show_default=True, help="Of each kind.")
@click.option("--model", type=click.Path(path_type=Path, exists=True), help="Default: the embedded one.")
def main(folder: Path, rounds: int, writes: int, model: Path | None) -> None:
    """Measure, and print the figures."""
    kinds = tasks_below(folder, writes)
    model = model or embedded_model_path()
    with closing(Scheduler(model, speculation="off")) as without, closing(Scheduler(model)) as with_drafts:
        for kind, tasks in kinds.items():
            compare(kind, tasks, (without, with_drafts), rounds)


def compare(kind: str, tasks: Sequence[Task], engines: tuple[Engine, Engine], rounds: int) -> None:
    """Measure `tasks` in `engines`, the first of which makes no drafts, and print the figures."""
    each: list[list[float]] = []
    whole: list[list[float]] = []
    same = count = tokens = 0
    for engine in engines:
        edit(tasks[0], Timed(engine))
    for number in range(rounds):
        timed = [Timed(engine) for engine in engines]
        seconds = [0.0, 0.0]
        for task in tasks:
            order = (0, 1) if number % 2 else (1, 0)
            pair = {at: edit(task, timed[at]) for at in order}
            seconds = [before + pair[at][0] for at, before in enumerate(seconds)]
            same += pair[0][1] == pair[1][1]
            count += 1
        each.append([1000 * engine.seconds / engine.tokens for engine in timed])
        whole.append(seconds)
        tokens += timed[0].tokens
    plain, drafted = (median(pair[at] for pair in each) for at in range(2))
    click.echo(f"{kind}, {len(tasks)} writes of {tokens / count:.0f} tokens:")
    click.echo(f"  {plain:.3f} ms a token without drafts, {drafted:.3f} with them")
    click.echo(f"  {median(pair[0] / pair[1] for pair in each):.2f} times as fast by token (at least 1.5)")
    click.echo(f"  {median(pair[0] / pair[1] for pair in whole):.2f} times as fast by whole write")
    click.echo(f"  {same} of {count} documents came out the same")


if __name__ == "__main__":
    main()
