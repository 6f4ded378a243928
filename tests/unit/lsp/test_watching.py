"""Files of settings are followed, whatever becomes of the folder that they lie in."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from linewise.configuration import Configuration, Settings, load_configuration
from linewise.errors import ModelError
from linewise.lsp import watching
from linewise.lsp.loading import Loading
from linewise.lsp.watching import Watching

LIMIT = 60  # seconds: no event of these tests takes one


class Told:
    """Messages that are only noted, and how often the settings were read."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.reads = 0

    def read(self) -> Configuration:
        found = load_configuration()
        self.reads += 1
        return found

    def error(self, message: str) -> None:
        self.errors.append(message)

    def errors_once(self, messages: Sequence[str]) -> None:
        self.errors += messages


class Refusing(Loading):
    """Loads no other model, whatever is asked for."""

    def __init__(self) -> None:
        super().__init__(None)
        self.settings = load_configuration().settings

    async def replace(self, settings: Settings, *, hold: bool = False):
        raise ModelError(f"{settings.threads} threads are of no use")


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def config(tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """The user's file, which is followed."""
    path = tmp_path / "config" / "linewise.toml"
    path.parent.mkdir()
    monkeypatch.setenv("LINEWISE_CONFIG", str(path))
    monkeypatch.setenv("LINEWISE_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(watching, "QUIET_SECONDS", 0.01)
    followed = Watching(told.read, lambda settings: None, Refusing(), told)
    followed.start(None)
    yield path
    await followed.close()


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


async def test_a_folder_that_is_made_anew_is_followed(config: Path, told: Told) -> None:
    await until(lambda: told.reads > 0)
    before = told.reads
    shutil.rmtree(config.parent)
    config.parent.mkdir()
    await until(lambda: told.reads > before)
    await quiet(told)
    config.write_text("threads = 2\n")
    await until(lambda: told.errors != [])
    assert "2 threads" in told.errors[0]


async def quiet(told: Told) -> None:
    """All that comes of a change is over, most likely: a test waits so that it can fail, not to pass."""
    before = -1
    while told.reads != before:
        before = told.reads
        await asyncio.sleep(0.8)  # watchdog tells half a second later


async def test_what_was_refused_once_is_told_again(config: Path, told: Told) -> None:
    for count, threads in enumerate((2, 3, 2), 1):
        config.write_text(f"threads = {threads}\n")
        await until(lambda count=count: len(told.errors) == count)
    assert told.errors[0] == told.errors[2]
