"""Another model takes over between two requests, and none is lost; one that fails changes nothing."""

from __future__ import annotations

import asyncio
import queue
import threading

import pytest
from lsprotocol import types

from linewise.configuration import EngineSettings, Settings
from linewise.errors import EngineError, ModelError
from linewise.formats import get_format
from linewise.lsp.documents import OpenDocuments
from linewise.lsp.loading import LoadedModel, Loading


class FakeEngine:
    def __init__(self, name: str, fails: bool = False) -> None:
        self.name, self.fails = name, fails
        self.tried = self.closed = False

    def stream(self, request, cancel=None):
        assert not self.closed
        self.tried = True
        if self.fails:
            raise EngineError("it computes nothing")
        return iter(())

    def close(self) -> None:
        self.closed = True


class KeepingEngine(FakeEngine):
    """Keeps something of documents, so it is told when they are closed."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.forgotten: queue.Queue[str] = queue.Queue()

    def forget(self, slot: str) -> None:
        self.forgotten.put(slot)


@pytest.fixture
def engines(monkeypatch) -> dict[str, FakeEngine]:
    """Engines by the model's name; a name that is not in it cannot be loaded."""
    made = {name: FakeEngine(name, fails=name == "broken") for name in ("one", "two", "broken")}

    def load(settings, engine, cancel=None) -> LoadedModel:
        if settings.model not in made:
            raise ModelError(f"there is no {settings.model}")
        return LoadedModel(made[settings.model], get_format("edit-log/1"))

    monkeypatch.setattr("linewise.lsp.loading.load_model", load)
    return made


@pytest.fixture
def loading(engines) -> Loading:
    loading = Loading(None)
    loading.settings = Settings(model="one")
    return loading


async def name(loading: Loading) -> str:
    return (await loading.model()).engine.name


async def test_the_next_request_uses_the_new_model_and_a_running_one_keeps_the_old(loading, engines):
    async with loading.use() as running:
        assert running.engine.name == "one"
        await loading.replace(Settings(model="two"))
        assert engines["two"].tried
        async with loading.use() as later:
            assert later.engine.name == "two"
        assert not engines["one"].closed
    assert engines["one"].closed
    assert not engines["two"].closed
    loading.close()
    assert engines["two"].closed


@pytest.mark.parametrize(("model", "why"), [("broken", "computes nothing"), ("gone", "there is no gone")])
@pytest.mark.parametrize("hold", [False, True])
async def test_a_model_that_fails_changes_nothing(loading, engines, model, why, hold):
    assert await name(loading) == "one"
    with pytest.raises(EngineError, match=why):
        await loading.replace(Settings(model=model), hold=hold)
    assert await name(loading) == "one"
    assert loading.settings.model == "one"
    assert not engines["one"].closed
    assert engines["broken"].closed == (model == "broken")
    await loading.replace(Settings(model="two"))
    assert await name(loading) == "two"


async def test_after_a_first_load_that_failed_another_one_can_serve(loading, engines):
    loading.settings = Settings(model="gone")
    with pytest.raises(ModelError):
        await loading.model()
    await loading.replace(Settings(model="two"))
    assert await name(loading) == "two"


async def test_requests_wait_where_nothing_serves_meanwhile(loading, engines, monkeypatch):
    await loading.model()
    release = threading.Event()
    monkeypatch.setattr("linewise.lsp.loading.try_model", lambda model: release.wait(60))
    switch = asyncio.create_task(loading.replace(Settings(model="two"), hold=True))
    while loading.start().done():
        await asyncio.sleep(0)
    waiting = asyncio.create_task(name(loading))
    release.set()
    await switch
    assert await waiting == "two"


@pytest.mark.parametrize("hold", [False, True])
async def test_no_request_of_many_is_lost_while_models_change(loading, engines, hold, monkeypatch):
    def fresh(settings: Settings, engine, cancel=None) -> LoadedModel:
        return LoadedModel(FakeEngine(settings.model), get_format("edit-log/1"))

    monkeypatch.setattr("linewise.lsp.loading.load_model", fresh)
    served: list[FakeEngine] = []
    done = False

    async def ask() -> None:
        while not done:
            async with loading.use() as model:
                for _ in range(3):
                    assert not model.engine.closed
                    await asyncio.sleep(0)
                served.append(model.engine)

    askers = [asyncio.create_task(ask()) for _ in range(20)]
    for number in range(10):
        await loading.replace(Settings(model=str(number)), hold=hold)
    done = True
    await asyncio.gather(*askers)
    assert len({engine.name for engine in served}) > 1
    assert all(engine.closed for engine in served if engine.name != "9")
    loading.close()


async def test_servers_that_did_not_answer_are_asked_again_and_a_models_file_is_not(engines, monkeypatch):
    monkeypatch.setattr("linewise.lsp.loading.RETRY_SECONDS", 0.0)
    for kind, after in (("http", "late"), ("auto", None)):
        engines.pop("late", None)
        loading = Loading(None)
        loading.settings = Settings(model="late", engine=EngineSettings(kind=kind))
        with pytest.raises(ModelError):
            await loading.model()
        engines["late"] = FakeEngine("late")
        if after is None:
            with pytest.raises(ModelError):
                await loading.model()
        else:
            assert await name(loading) == after
        loading.close()


async def test_a_document_that_is_closed_is_forgotten_by_the_engines(loading, engines):
    keeping = engines["one"] = KeepingEngine("one")
    documents = OpenDocuments(loading.forget)
    item = types.TextDocumentItem("file:///a.py", "python", 1, "x = 1\n")
    first = documents.open(item).document.key
    documents.close(item.uri)  # nothing is loaded yet
    await loading.model()
    second = documents.open(item).document.key
    async with loading.use():
        await loading.replace(Settings(model="two"))  # has nothing to forget
        third = documents.open(item).document.key  # it was open: the editor starts again
        documents.close(item.uri)
    assert [keeping.forgotten.get(timeout=60) for _ in range(2)] == [second, third]
    assert first not in (second, third)
    loading.close()
