"""Greedy writing that edits what is there, with drafts from the document's own tokens and without.

    python tests/benchmarks/serving/speculation.py [--rounds 3] FILE...

Each round writes in each FILE (Python, its first 60 lines) by an instruction to change what stands there, in
two model servers in turns: one that drafts where it pays, one that never does. What is compared is the time
for a token, all that a write does included, and whether both wrote the same. The figures are medians.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import click
from running import served

from linewise.assistant import Document, NoVerifier, WriteOptions, write
from linewise.engines.protocol import CancelSignal, Engine, ModelInfo, Request, Segment, Token
from linewise.formats import get_format

_LINES = 60
_INSTRUCTIONS = (
    "add type hints to the functions",
    "rename the argument path to target",
    "add a docstring to every function",
    "print the result of every function",
)


class Counting:
    """An engine, and how many tokens it has generated."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.tokens = 0

    @property
    def info(self) -> ModelInfo:
        return self._engine.info

    def tokenize(self, segments: Sequence[Segment]) -> tuple[int, ...]:
        return self._engine.tokenize(segments)

    def stream(self, request: Request, cancel: CancelSignal | None = None) -> Iterator[Token]:
        for token in self._engine.stream(request, cancel):
            self.tokens += 1
            yield token

    def close(self) -> None:
        self._engine.close()


def edit(path: Path, instruction: str, engine: Engine) -> tuple[float, int, tuple[str, ...]]:
    """Seconds, tokens, and the lines that came of it."""
    lines = path.read_text(encoding="utf-8").splitlines()[:_LINES]
    document, counting = Document(path.name, "\n".join(lines) + "\n"), Counting(engine)
    began = time.perf_counter()
    for _ in write(
        document, instruction, engine=counting, format=get_format(engine.info.format or ""),
        verifier=NoVerifier(), options=WriteOptions(max_tokens=200, max_tries=3),
    ):  # fmt: skip
        pass
    return time.perf_counter() - began, counting.tokens, tuple(document.snapshot().lines)


@click.command()
@click.argument(
    "paths", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True)
)
@click.option("--rounds", default=3, show_default=True)
def main(paths: tuple[Path, ...], rounds: int) -> None:
    """Measure, and print the figures."""
    ratios, plain, drafted = [], [], []
    same = count = 0
    with served(speculation="off") as without, served(speculation="auto") as with_drafts:
        edit(paths[0], _INSTRUCTIONS[0], without)
        edit(paths[0], _INSTRUCTIONS[0], with_drafts)
        for _ in range(rounds):
            seconds, tokens = [0.0, 0.0], [0, 0]
            for number, path in enumerate(paths):
                instruction = _INSTRUCTIONS[number % len(_INSTRUCTIONS)]
                pair = [edit(path, instruction, engine) for engine in (without, with_drafts)]
                for at, (took, made, _) in enumerate(pair):
                    seconds[at] += took
                    tokens[at] += made
                same += pair[0][2] == pair[1][2]
                count += 1
            plain.append(1000 * seconds[0] / tokens[0])
            drafted.append(1000 * seconds[1] / tokens[1])
            ratios.append(plain[-1] / drafted[-1])
    click.echo(f"{median(plain):.3f} ms a token without drafts, {median(drafted):.3f} with them")
    click.echo(
        f"{median(ratios):.2f} times as fast (at least 1.5); {same} of {count} documents came out the same"
    )


if __name__ == "__main__":
    main()
