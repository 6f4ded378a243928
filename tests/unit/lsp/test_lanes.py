"""Several generations at once in a language server, where its engine has several lanes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from lsprotocol import types

from linewise.edits import PositionEncoding
from linewise.engines.protocol import CancelSignal, ModelInfo, Request, Segment, Token
from linewise.lsp.documents import OpenDocument, OpenDocuments
from linewise.lsp.generation import Cancel, Generation
from linewise.lsp.inline import Inline
from linewise.lsp.loading import Loading
from linewise.lsp.messages import Messages
from linewise.lsp.writing import Writing

LIMIT = 60  # seconds: no event of these tests takes one


class Engine:
    """Completes every line with `done`, on as many lanes as it is told."""

    def __init__(self, lanes: int) -> None:
        self.info = replace(ModelInfo("scripted", "script", 4096, 256, 0, 0, "edit-log/1", {}), lanes=lanes)

    def tokenize(self, segments: Sequence[Segment]) -> tuple[int, ...]:
        return tuple(byte for segment in segments for byte in segment.text.encode())

    def stream(self, request: Request, cancel: CancelSignal | None = None) -> Iterator[Token]:
        yield Token(0, f"{request.healed}done\n", -0.1)

    def close(self) -> None:
        """Nothing to free."""


class Parts:
    """What answers inline requests, without an editor; `wrote` are the documents that a write runs in."""

    def __init__(self, lanes: int, wrote: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.documents, self.generation = OpenDocuments(), Generation()
        opened = {uri: self.documents.open(item(uri)) for uri in ("file:///a.py", "file:///b.py")}
        self.loading = Loading(Engine(lanes))
        server = object()  # nothing is sent to it
        writing = Writing(server, self.documents, self.loading, self.generation)  # type: ignore[arg-type]
        monkeypatch.setattr(writing, "_targets", {opened[uri] for uri in wrote})
        messages = Messages(server)  # type: ignore[arg-type]
        self.inline = Inline(self.documents, self.loading, self.generation, writing, messages)

    async def answer(self, uri: str) -> str | None:
        await self.loading.model()
        place = types.InlineCompletionParams(
            text_document=types.TextDocumentIdentifier(uri=uri),
            position=types.Position(0, 4),
            context=types.InlineCompletionContext(trigger_kind=types.InlineCompletionTriggerKind.Automatic),
        )
        found = await self.inline.answer(place)
        return None if found is None else str(found.items[0].insert_text)


def item(uri: str) -> types.TextDocumentItem:
    return types.TextDocumentItem(uri=uri, language_id="python", version=1, text="x = \n")


@pytest.mark.parametrize(
    ("lanes", "wrote", "expected"),
    [
        (1, [], ["done", "done"]),
        (1, ["file:///b.py"], [None, None]),
        (2, ["file:///b.py"], ["done", None]),
    ],
)
async def test_ghost_text_goes_on_in_other_documents_while_a_write_runs(
    lanes: int, wrote: list[str], expected: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = Parts(lanes, wrote, monkeypatch)
    try:
        assert [await parts.answer(f"file:///{name}.py") for name in "ab"] == expected
    finally:
        parts.generation.close()
        parts.loading.close()


@pytest.mark.parametrize("lanes", [1, 2])
async def test_jobs_run_side_by_side_where_the_engine_has_lanes(lanes: int) -> None:
    generation, began, go_on = Generation(), threading.Event(), threading.Event()

    def first() -> bool:
        began.set()
        return go_on.wait(LIMIT)

    def second() -> bool:
        alone = not go_on.is_set()
        go_on.set()
        return alone

    waiting = asyncio.ensure_future(generation.run(first, Cancel(), lanes=lanes))
    await asyncio.to_thread(began.wait, LIMIT)
    beside = asyncio.ensure_future(generation.run(second, Cancel(), lanes=lanes))
    if lanes == 1:
        await asyncio.sleep(0)
        assert not go_on.is_set()
        go_on.set()
    assert await waiting
    assert await beside is (lanes > 1)
    generation.close()


async def test_a_cancelled_job_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    generation, cancel, began = Generation(), Cancel(), threading.Event()

    def job() -> bool:
        began.set()
        return cancel.wait(LIMIT)

    task = asyncio.ensure_future(generation.run(job, cancel, lanes=2))
    await asyncio.to_thread(began.wait, LIMIT)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancel.is_set()
    generation.close()


def test_documents_of_one_name_are_told_apart() -> None:
    first, second = (
        OpenDocument(item(uri), PositionEncoding.UTF_16) for uri in ("file:///a/x.py", "file:///b/x.py")
    )
    assert first.document.path == second.document.path
    assert first.document.key != second.document.key
