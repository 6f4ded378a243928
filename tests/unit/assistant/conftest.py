"""A scripted engine: a real implementation of the Engine protocol whose every answer is given beforehand."""

from __future__ import annotations

import math
import random
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from linewise.engines.protocol import CancelSignal, ModelInfo, Request, Segment, Token
from linewise.verify.protocol import Problem

sys.path.insert(0, str(Path(__file__).parent))  # `import writes` works under any import mode

SPECIAL = re.compile(r"(<\|[a-z]+\|>)")


class ScriptedEngine:
    """Answers the n-th request with the n-th script, a few characters a token; then with nothing.

    `end_chances` are the probabilities of ending that its special tokens tell, one after another.
    `before_token` is called with the number of tokens yielded so far, so that a test can act meanwhile.
    """

    def __init__(
        self,
        scripts: Iterable[str] = (),
        *,
        context_length: int = 100_000,
        before_token: Callable[[int], None] | None = None,
        end_chances: Iterable[float] = (),
    ) -> None:
        self.scripts = list(scripts)
        self.requests: list[Request] = []
        self.before_token = before_token
        self._end_chances = list(end_chances)
        self.yielded = 0
        self._context_length = context_length

    @property
    def info(self) -> ModelInfo:
        return ModelInfo("scripted", "script", self._context_length, 256, 0, 0, "edit-log/1", {})

    def tokenize(self, segments: Sequence[Segment]) -> tuple[int, ...]:
        return tuple(
            n for segment in segments for n in range(1 if segment.special else len(segment.text) // 3 + 1)
        )

    def next_script(self, request: Request) -> str:
        return self.scripts.pop(0) if self.scripts else ""

    def stream(self, request: Request, cancel: CancelSignal | None = None) -> Iterator[Token]:
        self.requests.append(request)
        pieces = []
        for part in SPECIAL.split(self.next_script(request)):
            special = bool(SPECIAL.fullmatch(part))
            pieces += (
                [(part, True)] if special else [(part[i : i + 4], False) for i in range(0, len(part), 4)]
            )
        for count, (text, special) in enumerate(pieces):
            if self.before_token:
                self.before_token(self.yielded)
            if count >= request.sampling.max_tokens or (cancel and cancel.is_set()):
                return
            if special and text in request.stop:
                return
            self.yielded += 1
            chance = self._end_chances.pop(0) if special and self._end_chances else None
            yield Token(count, text, -0.5, special, math.log(chance) if chance else None)

    def close(self) -> None:
        pass

    def prompts(self) -> list[str]:
        return ["".join(segment.text for segment in request.prompt) for request in self.requests]


class WordVerifier:
    """Each line with the word BAD is a problem."""

    name = "words"

    def problems(self, sources: Sequence[str]) -> list[tuple[Problem, ...]]:
        return [
            tuple(
                Problem(n, 0, "bad", "BAD stands here")
                for n, line in enumerate(s.split("\n"))
                if "BAD" in line
            )
            for s in sources
        ]


class RandomEngine(ScriptedEngine):
    """Writes random edit-log text of good, bad and misplaced hunks, by the request's seed."""

    LINES = ("x = 1", "def f():", "    return x", "print(z)", "y = (", "pass", "import os", "print(x)", "")

    def next_script(self, request: Request) -> str:
        pick = random.Random(request.sampling.seed)
        hunks = [f"@1,0\n{pick.choice(self.LINES)}\n"] * pick.randint(0, 1)
        for _ in range(pick.randint(0, 6)):
            body = "".join(f"{line}\n" for line in pick.choices(self.LINES, k=pick.randint(1, 4)))
            hunks.append(f"@{pick.randint(1, 4)},{pick.choice((0, 1, 1, 1, 2))}\n{body}")
        return "<|diff|>".join(hunks)


@pytest.fixture(scope="session")
def scripted() -> type[ScriptedEngine]:
    return ScriptedEngine


@pytest.fixture(scope="session")
def random_engine() -> type[RandomEngine]:
    return RandomEngine


@pytest.fixture(scope="session")
def words() -> WordVerifier:
    return WordVerifier()
