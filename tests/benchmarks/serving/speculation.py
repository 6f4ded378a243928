"""Greedy writing that edits what is there, with drafts from the document's own tokens and without.

    python tests/benchmarks/serving/speculation.py [--rounds 3] FILE...

Each round writes in each FILE (Python, its first 60 lines) by an instruction to change what stands there, in
two schedulers in turns: one that drafts where it pays, one that never does. What is compared is the time
from a generation's first token to its last, by token, then that of the whole writes, which read the document,
too, and whether both wrote the same. The figures are medians.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median

import click

from linewise.assistant import Document, NoVerifier, WriteOptions, write
from linewise.engines.protocol import CancelSignal, Engine, ModelInfo, Request, Segment, Token
from linewise.formats import get_format
from linewise.models import embedded_model_path
from linewise.serving.scheduler import Scheduler

_LINES = 60
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


def edit(path: Path, instruction: str, engine: Timed) -> tuple[float, tuple[str, ...]]:
    """Seconds of a whole write, and the lines that came of it."""
    lines = path.read_text(encoding="utf-8").splitlines()[:_LINES]
    document = Document(path.name, "\n".join(lines) + "\n")
    began = time.perf_counter()
    for _ in write(
        document, instruction, engine=engine, format=get_format(engine.info.format or ""),
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
    each: list[list[float]] = []
    whole: list[list[float]] = []
    same = count = 0
    model = embedded_model_path()
    with closing(Scheduler(model, speculation="off")) as without, closing(Scheduler(model)) as with_drafts:
        for engine in (without, with_drafts):
            edit(paths[0], _INSTRUCTIONS[0], Timed(engine))
        for _ in range(rounds):
            timed = [Timed(engine) for engine in (without, with_drafts)]
            seconds = [0.0, 0.0]
            for number, path in enumerate(paths):
                instruction = _INSTRUCTIONS[number % len(_INSTRUCTIONS)]
                pair = [edit(path, instruction, engine) for engine in timed]
                seconds = [before + took for before, (took, _) in zip(seconds, pair, strict=True)]
                same += pair[0][1] == pair[1][1]
                count += 1
            each.append([1000 * engine.seconds / engine.tokens for engine in timed])
            whole.append(seconds)
    plain, drafted = (median(pair[at] for pair in each) for at in range(2))
    click.echo(f"{plain:.3f} ms a token without drafts, {drafted:.3f} with them")
    click.echo(f"{median(pair[0] / pair[1] for pair in each):.2f} times as fast by token (at least 1.5)")
    click.echo(f"{median(pair[0] / pair[1] for pair in whole):.2f} times as fast by whole write")
    click.echo(f"{same} of {count} documents came out the same")


if __name__ == "__main__":
    main()
