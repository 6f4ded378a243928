"""The command line run in this process, with a scripted engine in place of a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest

import linewise.engines
from linewise.cli import main
from linewise.engines.protocol import ModelInfo, Request, Segment, Token

SPECIAL = re.compile(r"(<\|[a-z]+\|>)")


class ScriptedEngine:
    """Answers the n-th request with the n-th script, then with nothing."""

    def __init__(self, scripts: Sequence[str], before_token: Callable[[int], None] | None) -> None:
        self.scripts = list(scripts)
        self.before_token = before_token
        self.closed = False

    @property
    def info(self) -> ModelInfo:
        return ModelInfo("scripted", "script", 100_000, 256, 1_000_000, 2**20, "edit-log/1", {})

    def tokenize(self, segments: Sequence[Segment]) -> tuple[int, ...]:
        return tuple(range(sum(1 + len(segment.text) // 3 for segment in segments)))

    def stream(self, request: Request, cancel=None) -> Iterator[Token]:
        script = request.healed + self.scripts.pop(0) if self.scripts else ""
        for count, text in enumerate(filter(None, SPECIAL.split(script))):
            if self.before_token:
                self.before_token(count)
            if cancel and cancel.is_set():
                return
            yield Token(count, text, -0.5, bool(SPECIAL.fullmatch(text)))

    def close(self) -> None:
        self.closed = True


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str


@pytest.fixture
def linewise_command(monkeypatch, capsys) -> Callable[..., Outcome]:
    """Runs `linewise ARGUMENTS`; with `scripts`, the model is an engine that answers by them."""

    def run(*arguments: object, scripts: Sequence[str] | None = None, before_token=None) -> Outcome:
        if scripts is not None:
            engine = ScriptedEngine(scripts, before_token)
            monkeypatch.setattr(linewise.engines, "load_engine", lambda path, **_: engine)
            arguments = (*arguments, "--model", "scripted.gguf")
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        if scripts is not None:
            assert engine.closed or exit_.value.code
        return Outcome(exit_.value.code, captured.out, captured.err)

    return run


@pytest.fixture
def scripted_engine() -> Callable[[Sequence[str]], ScriptedEngine]:
    return lambda scripts: ScriptedEngine(scripts, None)
