"""`textDocument/inlineCompletion`: the ghost text at the cursor, and every request answered."""

from __future__ import annotations

import logging
from dataclasses import asdict

from lsprotocol import types

from linewise.assistant.inline import InlineCompletion, InlineOptions, complete
from linewise.configuration import Settings
from linewise.errors import EditError, LinewiseError
from linewise.formats.protocol import Cursor
from linewise.lsp.documents import OpenDocument, OpenDocuments, UnknownDocumentError
from linewise.lsp.generation import Cancel, Generation
from linewise.lsp.loading import LoadedModel, Loading
from linewise.lsp.messages import Messages
from linewise.lsp.writing import Writing

logger = logging.getLogger(__name__)


class Inline:
    """Answers inline requests.

    A newer request in a document ends the older one, which is answered with nothing, as is one whose
    document changed before the answer was ready. A client's own `$/cancelRequest` is answered as cancelled.
    While a write runs in the document, the answer is nothing, at once; so it is while one runs in another
    document and the engine has one lane, since an answer that waits for a write is for a text that is gone.
    """

    def __init__(
        self,
        documents: OpenDocuments,
        loading: Loading,
        generation: Generation,
        writing: Writing,
        messages: Messages,
    ) -> None:
        self._documents, self._loading, self._generation = documents, loading, generation
        self._writing, self._messages = writing, messages
        self._newest: dict[str, Cancel] = {}
        self.settings = Settings()

    @property
    def runs_beside_writes(self) -> bool:
        """Whether the engine has several lanes; not before the model is loaded."""
        loading = self._loading.start()
        if not loading.done() or loading.cancelled() or loading.exception() is not None:
            return False
        return loading.result().engine.info.lanes > 1

    async def answer(self, params: types.InlineCompletionParams) -> types.InlineCompletionList | None:
        """Complete at the cursor; None when there is nothing to show."""
        try:
            target = self._documents.get(params.text_document.uri)
            cursor = target.cursor(params.position)
        except (UnknownDocumentError, EditError) as error:
            logger.info("No inline completion: %s", error)
            return None
        if self._writing.is_in(target) or (self._writing.is_busy and not self.runs_beside_writes):
            return None
        cancel = Cancel()
        self.end_stale(target.uri)
        self._newest[target.uri] = cancel
        target.running.add(cancel)
        try:
            return await self._complete(target, cursor, cancel)
        except LinewiseError as error:
            self._messages.error_once(str(error))
            return None
        finally:
            target.running.discard(cancel)
            if self._newest.get(target.uri) is cancel:
                del self._newest[target.uri]

    def end_stale(self, uri: str | None = None) -> None:
        """End the request that runs for `uri`; with None, all: a write is about to need the engine."""
        for document, cancel in self._newest.items():
            if uri is None or document == uri:
                cancel.set()

    async def _complete(
        self, target: OpenDocument, cursor: Cursor, cancel: Cancel
    ) -> types.InlineCompletionList | None:
        revision = target.document.revision
        async with self._loading.use() as model:
            found = await self._generate(target, cursor, cancel, revision, model)
        if found is None or cancel.is_set() or target.document.revision != revision:
            return None
        replaced = target.columns(found.line, found.start, found.end)
        return types.InlineCompletionList(
            [types.InlineCompletionItem(insert_text=found.text, range=replaced)]
        )

    async def _generate(
        self, target: OpenDocument, cursor: Cursor, cancel: Cancel, revision: int, model: LoadedModel
    ) -> InlineCompletion | None:
        if cancel.is_set() or target.document.revision != revision:
            return None

        def job() -> InlineCompletion | None:
            # While this waited for the engine, the user may have gone on.
            if cancel.is_set() or target.document.revision != revision:
                return None
            return complete(
                target.document,
                cursor,
                engine=model.engine,
                format=model.format,
                options=InlineOptions(**asdict(self.settings.inline)),
                cancel=cancel,
            )

        return await self._generation.run(job, cancel, lanes=model.engine.info.lanes)
