"""A place of its own for each test's servers, and the end of every process that it started."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from servers import SCRIPTED, end_servers
from steps import Gate

from linewise.engines.llama_cpp import LlamaCppEngine
from linewise.serving.client import ServerEngine
from linewise.serving.scheduler import Scheduler
from linewise.serving.starting import Starter


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The runtime folder: a short path, since those of sockets must be."""
    folder = Path(tempfile.mkdtemp(prefix="lw-"))
    monkeypatch.setenv("LINEWISE_RUNTIME_DIR", str(folder))
    yield folder
    end_servers(folder)


@pytest.fixture
def model_file(runtime: Path) -> Path:
    """What a scripted server takes for its model."""
    path = runtime / "scripted.gguf"
    path.write_bytes(b"a model")
    return path


@pytest.fixture
def starter(model_file: Path) -> Starter:
    """Starts a scripted server that the test may do anything to."""
    return Starter(model_file, command=SCRIPTED)


@pytest.fixture
def own_engine(starter: Starter) -> Iterator[ServerEngine]:
    """A client of that server."""
    engine = ServerEngine(starter)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def shared_starter() -> Iterator[Starter]:
    """The starter of a scripted server that tests leave as it is."""
    folder = Path(tempfile.mkdtemp(prefix="lw-"))
    (folder / "scripted.gguf").write_bytes(b"a model")
    yield Starter(
        folder / "scripted.gguf",
        command=SCRIPTED,
        environment={**os.environ, "LINEWISE_RUNTIME_DIR": str(folder)},
    )
    end_servers(folder)


@pytest.fixture
def engine(shared_starter: Starter) -> Iterator[ServerEngine]:
    """A client of that server."""
    engine = ServerEngine(shared_starter)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def alone(tiny_gguf: Path) -> Iterator[LlamaCppEngine]:
    """The plain engine, which says what each generation would be alone."""
    engine = LlamaCppEngine(tiny_gguf, threads=1)
    yield engine
    engine.close()


@pytest.fixture
def scheduler(tiny_gguf: Path) -> Iterator[Scheduler]:
    scheduler = Scheduler(tiny_gguf, threads=1, lanes=4, slots=6)
    yield scheduler
    scheduler.close()


@pytest.fixture(autouse=True)
def no_gate_stays_shut() -> Iterator[None]:
    yield
    for gate in Gate.made:
        gate.open()
    Gate.made.clear()
