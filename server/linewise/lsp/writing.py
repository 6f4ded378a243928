"""The command `linewise.write`: one write at a time in a document, each hunk landing as it is ready."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from linewise.assistant.checking import verifier_for
from linewise.assistant.events import HunkDropped, HunkLanded, HunkProgress, HunkTurned, WriteDone, WriteEvent
from linewise.assistant.options import WriteOptions
from linewise.assistant.write import write
from linewise.configuration import Settings
from linewise.errors import LinewiseError
from linewise.lsp.arguments import WriteArguments, read_write_arguments
from linewise.lsp.documents import OpenDocument, OpenDocuments
from linewise.lsp.generation import Cancel, Generation
from linewise.lsp.landing import EditorLanding
from linewise.lsp.loading import LoadedModel, Loading
from linewise.lsp.progress import WriteProgress

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What the command answers. `seconds` is wall time; `reason` says why the write ended."""

    edits: int
    tokens: int
    seconds: float
    reason: str


class Writing:
    """Runs the writes that an editor asks for."""

    def __init__(
        self,
        server: LanguageServer,
        documents: OpenDocuments,
        loading: Loading,
        generation: Generation,
    ) -> None:
        self._server, self._documents, self._loading = server, documents, loading
        self._generation = generation
        self.settings = Settings()
        self._targets: set[OpenDocument] = set()
        self._landings: set[EditorLanding] = set()

    @property
    def is_busy(self) -> bool:
        """Whether a write runs or waits."""
        return bool(self._targets)

    def is_in(self, target: OpenDocument) -> bool:
        """Whether one runs or waits in `target`."""
        return target in self._targets

    def abandon(self) -> None:
        """The editor is gone: no write waits for it any longer."""
        for landing in self._landings:
            landing.abandon()

    async def execute(self, params: types.ExecuteCommandParams) -> WriteResult:
        """Answer the command. Raises JsonRpcException (RequestFailed) with one sentence for the user.

        A stop by the progress token ends the write with `reason` "cancelled"; a `$/cancelRequest` is
        answered as cancelled. What has landed stays in both cases.
        """
        arguments = read_write_arguments(params.arguments)
        cancel = Cancel()
        progress = WriteProgress(self._server, params.work_done_token, cancel)
        message = "failed"
        try:
            target = self._documents.get(arguments.uri)
            self._require_edits_supported()
            self._require_free(target)
            self._targets.add(target)
            target.running.add(cancel)
            try:
                await progress.begin(f"Linewise: {arguments.instruction}")
                async with self._loading.use() as model:
                    result = await self._write(arguments, target, model, progress, cancel)
            finally:
                cancel.set()
                target.running.discard(cancel)
                self._targets.discard(target)
        except LinewiseError as error:
            message = str(error)
            raise JsonRpcException(message, code=types.LSPErrorCodes.RequestFailed) from error
        except asyncio.CancelledError:
            message = "cancelled"
            raise
        else:
            message = f"{result.edits} edits, {result.reason}"
            return result
        finally:
            progress.end(message)

    async def _write(
        self,
        arguments: WriteArguments,
        target: OpenDocument,
        model: LoadedModel,
        progress: WriteProgress,
        cancel: Cancel,
    ) -> WriteResult:
        loop = asyncio.get_running_loop()
        place = None if arguments.range is None else target.cursor(arguments.range.start).line
        target.document.close_pending()
        report = _Reporter(progress)
        land = EditorLanding(self._server, target, cancel, loop)

        def tell(event: WriteEvent) -> None:
            loop.call_soon_threadsafe(report, event)

        def job() -> WriteResult:
            events = write(
                target.document,
                arguments.instruction,
                engine=model.engine,
                format=model.format,
                verifier=verifier_for(
                    target.document.path, self.settings.verifier, len(target.document.snapshot().lines)
                ),
                options=WriteOptions(**asdict(self.settings.write), line=place),
                land=land,
                cancel=cancel,
            )
            return _follow(events, tell)

        self._landings.add(land)
        try:
            return await self._generation.run(job, cancel, lanes=model.engine.info.lanes)
        finally:
            self._landings.discard(land)

    def _require_edits_supported(self) -> None:
        workspace = self._server.client_capabilities.workspace
        edits = workspace.workspace_edit if workspace is not None else None
        if workspace is None or not workspace.apply_edit or edits is None or not edits.document_changes:
            raise LinewiseError(
                "This editor cannot apply versioned edits (workspace/applyEdit with documentChanges), "
                "without which typing could be lost; use `linewise write` in a terminal."
            )

    def _require_free(self, target: OpenDocument) -> None:
        if target in self._targets:
            raise LinewiseError(f"A write is already running in {target.uri}; stop it or let it end first.")


def _follow(events: Iterable[WriteEvent], tell: Callable[[WriteEvent], None]) -> WriteResult:
    """Run a write to its end, telling of each event."""
    for event in events:
        tell(event)
        if isinstance(event, WriteDone):
            return WriteResult(event.edits, event.tokens, round(event.seconds, 3), event.reason)
    raise AssertionError("a write always ends with WriteDone")


class _Reporter:
    """Turns events into the one line that an editor shows."""

    def __init__(self, progress: WriteProgress) -> None:
        self._progress = progress
        self._landed = 0

    def __call__(self, event: WriteEvent) -> None:
        if isinstance(event, HunkLanded):
            self._landed += 1
            doubt = f" (not checked in full: {event.unchecked})" if event.unchecked else ""
            self._progress.report(f"{self._landed} edits{doubt}")
        elif isinstance(event, HunkProgress):
            self._progress.report(f"{self._landed} edits, writing at line {event.start + 1}")
        elif isinstance(event, HunkTurned):
            logger.info("Turned an edit another way: %s", event.reason)
            self._progress.report(f"{self._landed} edits, another way: {event.reason}")
        elif isinstance(event, HunkDropped):
            logger.info("Dropped an edit: %s", event.reason)
            self._progress.report(f"{self._landed} edits, trying another way")
