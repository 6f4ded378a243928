"""Brings a write's hunks into the editor: one versioned workspace/applyEdit each, tried once.

The editor owns the text. A hunk is announced to the document, sent for the version it was made for, and
has landed when the editor's own change has come back. An editor whose user typed meanwhile refuses; then
the hunk is stale, and the write rebases it over what was typed, checks it and lands it again.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import CancelledError, Future

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from linewise.assistant.document import Landing, StaleError
from linewise.edits import Hunk
from linewise.errors import LinewiseError
from linewise.lsp.documents import OpenDocument
from linewise.lsp.generation import Cancel

logger = logging.getLogger(__name__)

CHANGE_SECONDS = 10.0
"""How long an editor may take to tell of an edit that it applied: some gather changes first."""

TYPING_SECONDS = 2.0
"""How long an editor that refused may take to tell of the typing that was its reason."""


class EditorRefusedError(LinewiseError):
    """The editor will not take an edit, though its text is what the server knows."""


class EditorLanding:
    """Lands hunks of one write in one document; called on the thread that generates."""

    def __init__(
        self,
        editor: LanguageServer,
        target: OpenDocument,
        cancel: Cancel,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._editor, self._target, self._cancel, self._loop = editor, target, cancel, loop
        self._task: asyncio.Task[None] | None = None

    def abandon(self) -> None:
        """The editor is gone: wait for its answer no longer. Called on the event loop's thread."""
        if self._task is not None:
            self._task.cancel()

    def __call__(self, landing: Landing) -> Hunk:
        """Land one hunk and return it.

        Raises StaleError when the document changed first, EditorRefusedError when the editor will not.
        """
        landed: Future[None] = asyncio.run_coroutine_threadsafe(self._land(landing), self._loop)
        try:
            landed.result()
        except CancelledError as error:
            raise EditorRefusedError("The server is shutting down; nothing more is written.") from error
        return landing.hunk

    async def _land(self, landing: Landing) -> None:
        self._task = asyncio.current_task()
        try:
            await self._send(landing)
        finally:
            self._task = None

    async def _send(self, landing: Landing) -> None:
        target = self._target
        if self._cancel.is_set() or not target.is_open:
            raise StaleError(f"{target.uri} was closed, or the write was stopped, before an edit landed")
        target.document.expect(landing)
        version = target.version
        edit = types.TextDocumentEdit(
            text_document=types.OptionalVersionedTextDocumentIdentifier(uri=target.uri, version=version),
            edits=[target.text_edit(landing)],
        )
        params = types.ApplyWorkspaceEditParams(edit=types.WorkspaceEdit(document_changes=[edit]))
        try:
            answer = await self._editor.workspace_apply_edit_async(params)
        except JsonRpcException as error:
            target.document.forget_expected()
            raise EditorRefusedError(
                f"The editor could not apply an edit to {target.uri}: {error}"
            ) from error
        arrived = await target.newer_than(version, CHANGE_SECONDS if answer.applied else TYPING_SECONDS)
        if answer.applied and arrived:
            return
        target.document.forget_expected()
        if answer.applied:
            raise EditorRefusedError(
                f"The editor says that it applied an edit to {target.uri}, but told of no change; "
                "close the document and open it again."
            )
        if not arrived:
            reason = answer.failure_reason or "it gave no reason"
            raise EditorRefusedError(f"The editor refused an edit to {target.uri}: {reason}.")
        logger.info("An edit to %s was stale; it is rebased and tried again", target.uri)
        raise StaleError(f"{target.uri} changed while an edit was on its way; check it again")
