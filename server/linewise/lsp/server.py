"""Wires the language server: which request goes where, and how it starts and ends."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from lsprotocol import types
from lsprotocol.converters import get_converter
from pygls.lsp.server import LanguageServer

import linewise
from linewise.configuration import Configuration, Problem, Settings, load_configuration
from linewise.edits import PositionEncoding
from linewise.engines.protocol import Engine
from linewise.errors import EditError
from linewise.lsp.arguments import WRITE_COMMAND
from linewise.lsp.documents import OpenDocuments, UnknownDocumentError
from linewise.lsp.generation import Generation
from linewise.lsp.inline import Inline
from linewise.lsp.loading import LoadedModel, Loading
from linewise.lsp.messages import Messages
from linewise.lsp.protocol import LinewiseProtocol
from linewise.lsp.transport import claim_standard_streams, serve_streams, serve_tcp
from linewise.lsp.watching import Watching
from linewise.lsp.writing import WriteResult, Writing

logger = logging.getLogger(__name__)


class LinewiseServer(LanguageServer):
    """The language server of one editor."""

    def __init__(self, options: Mapping[str, object] | None = None, engine: Engine | None = None) -> None:
        """`options` are settings by dotted key, which go before all that is configured."""
        super().__init__(
            "linewise", linewise.__version__, protocol_cls=LinewiseProtocol, converter_factory=get_converter
        )
        self.messages = Messages(self)
        self.loading = Loading(engine)
        self.documents = OpenDocuments(self.loading.forget)
        self.generation = Generation()
        self.writing = Writing(self, self.documents, self.loading, self.generation)
        self.inline = Inline(self.documents, self.loading, self.generation, self.writing, self.messages)
        self._options = options
        self._editor_options: object = None
        self._problems: tuple[Problem, ...] = ()
        self._watching = Watching(self._read_settings, self._apply, self.loading, self.messages)
        self._register()

    async def close(self) -> None:
        """End what runs, and free the model."""
        for document in self.documents:
            document.close()
        self.writing.abandon()
        await self._watching.close()
        # The thread that generates may be waiting for this one.
        await asyncio.to_thread(self.generation.close)
        await asyncio.to_thread(self.loading.close)

    def _register(self) -> None:
        self._on(types.INITIALIZE, self._initialize)
        self._on(types.INITIALIZED, self._initialized)
        self._on(types.SHUTDOWN, self._shutdown)
        self._on(types.TEXT_DOCUMENT_DID_OPEN, self._did_open)
        self._on(types.TEXT_DOCUMENT_DID_CHANGE, self._did_change)
        self._on(types.TEXT_DOCUMENT_DID_SAVE, self._did_save, types.SaveOptions(include_text=False))
        self._on(types.TEXT_DOCUMENT_DID_CLOSE, self._did_close)
        self._on(types.TEXT_DOCUMENT_INLINE_COMPLETION, self._inline, types.InlineCompletionOptions())
        self.command(WRITE_COMMAND)(partial(self._write))

    def _on(self, method: str, handler: Callable[[Any], Any], options: object = None) -> None:
        # pygls leaves notes on what it registers, which a bound method does not allow.
        self.feature(method, options)(partial(handler))

    def _initialize(self, params: types.InitializeParams) -> None:
        self.documents.encoding = PositionEncoding(self.workspace.position_encoding)
        self._editor_options = params.initialization_options
        configuration = self._read_settings()
        self._problems = configuration.problems
        self.loading.settings = configuration.settings
        self._apply(configuration.settings)

    def _read_settings(self) -> Configuration:
        return load_configuration(self._root(), editor=self._editor_options, command_line=self._options)

    def _apply(self, settings: Settings) -> None:
        self.writing.settings = self.inline.settings = settings

    def _root(self) -> Path | None:
        root = self.workspace.root_path
        return Path(root) if root else None

    def _initialized(self, _params: types.InitializedParams) -> None:
        self.messages.errors_once([problem.message for problem in self._problems])

        def tell(loaded: asyncio.Future[LoadedModel]) -> None:
            if loaded.cancelled():
                return
            if (error := loaded.exception()) is not None:
                self.messages.error_once(str(error))
            elif (notice := loaded.result().notice) is not None:
                self.messages.info_once(notice)

        self.loading.start().add_done_callback(tell)
        self._watching.start(self._root())

    def _shutdown(self, _params: None) -> None:
        for document in self.documents:
            document.close()

    def _did_open(self, params: types.DidOpenTextDocumentParams) -> None:
        self.documents.open(params.text_document)

    def _did_change(self, params: types.DidChangeTextDocumentParams) -> None:
        identifier = params.text_document
        try:
            self.documents.get(identifier.uri).change(params.content_changes, identifier.version)
        except UnknownDocumentError as error:
            logger.warning("A change of a document that is not open: %s", error)
        except EditError as error:
            # To go on with a text that the editor does not have would damage the user's file.
            self.documents.close(identifier.uri)
            self.messages.error_once(f"{identifier.uri} is no longer followed: {error}.")

    def _did_save(self, params: types.DidSaveTextDocumentParams) -> None:
        try:
            self.documents.get(params.text_document.uri).document.close_pending()
        except UnknownDocumentError:
            logger.info("A document that is not open was saved")

    def _did_close(self, params: types.DidCloseTextDocumentParams) -> None:
        self.documents.close(params.text_document.uri)

    async def _inline(self, params: types.InlineCompletionParams) -> types.InlineCompletionList | None:
        return await self.inline.answer(params)

    async def _write(self, params: types.ExecuteCommandParams) -> WriteResult:
        if not self.inline.runs_beside_writes:
            self.inline.end_stale()
        return await self.writing.execute(params)


def serve(
    options: Mapping[str, object] | None = None,
    tcp: tuple[str, int] | None = None,
    engine: Engine | None = None,
) -> None:
    """Serve one editor, on standard input and output or on a TCP address, until it leaves.

    `options` are settings by dotted key (None says nothing), which go before all that is configured;
    `engine`, when given, is served instead of a model file. A model that cannot be loaded, and settings that
    are wrong, are told to the user in the editor, and the server goes on. Raises LinewiseError when `tcp`
    cannot be listened on, and SystemExit when the editor sends `exit`: status 1 if it did not send `shutdown`
    before, as the protocol asks.
    """
    if not logging.getLogger().handlers:
        logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    if not logging.getLogger().isEnabledFor(logging.DEBUG):
        # It logs whole messages, and with them the user's code, and every refused request as a crash.
        logging.getLogger("pygls").setLevel(logging.CRITICAL)
    try:
        asyncio.run(_serve(options, tcp, engine))
    except KeyboardInterrupt:
        # A thread may be blocked in a read of standard input that nothing can end.
        os._exit(130)


async def _serve(
    options: Mapping[str, object] | None, tcp: tuple[str, int] | None, engine: Engine | None
) -> None:
    server = LinewiseServer(options, engine)
    protocol = server.protocol
    assert isinstance(protocol, LinewiseProtocol)
    try:
        if tcp is None:
            reader, writer = claim_standard_streams()
            await serve_streams(protocol, reader, writer)
        else:
            await serve_tcp(protocol, *tcp)
    finally:
        await server.close()
