"""Greedy writing that edits what is there, with drafts from the document's own tokens and without.

    python tests/benchmarks/serving/speculation.py [--rounds 3] FILE...

Each round writes in each FILE (Python, its first 60 lines), in two schedulers in turns: one that drafts
where it pays, one that never does. There are two kinds of tasks: an instruction to change what stands
there, and one to go on with a renaming, of which the first two places are edited already. What is compared
is the time from a generation's first token to its last, by token, then that of the whole writes, which read
the document, too, and whether both wrote the same. The figures are medians.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from keyword import iskeyword
from pathlib import Path
from statistics import median

import click

from linewise.assistant import Document, NoVerifier, WriteOptions, write
from linewise.engines.protocol import CancelSignal, Engine, ModelInfo, Request, Segment, Token
from linewise.formats import get_format
from linewise.models import embedded_model_path
from linewise.serving.scheduler import Scheduler

_LINES = 60
_USES = 5
_INSTRUCTIONS = (
    "add type hints to the functions",
    "rename the argument path to target",
    "add a docstring to every function",
    "print the result of every function",
)


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
    """A write in `text`, in which the first two places of the word `old` are made `new` before."""

    name: str
    text: str
    instruction: str
    old: str = ""
    new: str = ""

    def document(self) -> Document:
        """The document as the write finds it, edits and all."""
        document, text = Document(self.name, self.text), self.text
        for _ in range(2 if self.old else 0):
            place = re.search(rf"\b{self.old}\b", text)
            assert place
            document.change(place.start(), place.end(), self.new)
            text = text[: place.start()] + self.new + text[place.end() :]
        return document


def tasks_of(path: Path, number: int) -> dict[str, Task]:
    """The tasks in one file by their kind: a renaming where it uses some name of its own five times."""
    lines = path.read_text(encoding="utf-8").splitlines()[:_LINES]
    text = "\n".join(lines) + "\n"
    found = {"instructions": Task(path.name, text, _INSTRUCTIONS[number % len(_INSTRUCTIONS)])}
    # A name is what is called, taken apart, set or passed somewhere; any other word may be prose.
    counts = Counter(re.findall(r"\b[a-z_]{3,}\b", text))
    for old, count in counts.most_common():
        if count >= _USES and not iskeyword(old) and re.search(rf"\b{old}[(.=,]", text):
            new = f"new_{old}"
            found["renaming"] = Task(path.name, text, f"rename {old} to {new}", old, new)
            break
    return found


def edit(task: Task, engine: Timed) -> tuple[float, tuple[str, ...]]:
    """Seconds of a whole write, and the lines that came of it."""
    document = task.document()
    began = time.perf_counter()
    for _ in write(
        document, task.instruction, engine=engine, format=get_format(engine.info.format or ""),
        verifier=NoVerifier(), options=WriteOptions(max_tokens=200, max_tries=3),
    ):  # fmt: skip
        pass
    return time.perf_counter() - began, tuple(document.snapshot().lines)


@click.command()
@click.argument(
    "paths", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True)
)
@click.option("--rounds", default=3, show_default=True)
def main(paths: tuple[Path, ...], rounds: int) -> None:
    """Measure, and print the figures."""
    kinds: dict[str, list[Task]] = {}
    for number, path in enumerate(paths):
        for kind, task in tasks_of(path, number).items():
            kinds.setdefault(kind, []).append(task)
    model = embedded_model_path()
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
