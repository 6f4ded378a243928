"""The engine under test, loaded once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from linewise.engines.llama_cpp import LlamaCppEngine

pytest.register_assert_rewrite("engine_conformance")


@pytest.fixture(scope="session")
def reference(tiny_gguf: Path) -> Iterator[LlamaCppEngine]:
    """The tiny model on one thread: the tests share their processor with others."""
    engine = LlamaCppEngine(tiny_gguf, threads=1)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def engine(reference: LlamaCppEngine) -> LlamaCppEngine:
    """The engine that most tests are about."""
    return reference
