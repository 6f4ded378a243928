"""The JSON-RPC layer: pygls' protocol, held to "every request is answered" and to our own document store.

What differs from pygls' own `LanguageServerProtocol`, and why:

- A request that cannot be read, comes before `initialize` or after `shutdown` is answered with an error.
- `workspace/executeCommand` is one task, so that `$/cancelRequest` reaches the command, and the command
  sees the whole request with its `workDoneToken`.
- Document text is kept by `documents.py` alone. pygls' copy splits lines at form feeds and other
  characters that are no line ends in LSP, so its positions would drift from the editor's.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeAlias

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams
from pygls.protocol import LanguageServerProtocol
from pygls.protocol.json_rpc import RPCRequest
from pygls.protocol.language_server import lsp_method

logger = logging.getLogger(__name__)

DocumentHandler: TypeAlias = Callable[[Any], None]
CommandHandler: TypeAlias = Callable[[types.ExecuteCommandParams], Awaitable[Any]]

_ANSWERED = object()
"""Stands for a message that was answered while it was read."""


class LinewiseProtocol(LanguageServerProtocol):
    """One connection to one editor."""

    def structure_message(self, data: Any) -> Any:
        """Turn one decoded JSON object into a message; answer a request that cannot be one."""
        try:
            return super().structure_message(data)
        except JsonRpcException as error:
            if "method" not in data:
                raise
            logger.warning("Message %r has parameters that the protocol does not allow", data["method"])
            if "id" in data:
                self._send_response(data["id"], error=error.to_response_error())
            return _ANSWERED

    def handle_message(self, message: Any) -> None:
        """Dispatch `message`, or answer it with an error when it comes too early or too late."""
        if message is _ANSWERED:
            return
        if not hasattr(message, "jsonrpc"):
            # Batches left the protocol long ago; anything else that is no object was never in it.
            logger.warning("Ignored a message that is no JSON-RPC object")
            return
        if isinstance(message, RPCRequest) and (refusal := self._refusal(message.method)) is not None:
            self._send_response(message.id, error=refusal)
            return
        super().handle_message(message)

    def _refusal(self, method: str) -> types.ResponseError | None:
        if self._shutdown:
            return types.ResponseError(
                code=types.ErrorCodes.InvalidRequest,
                message=f"{method} came after shutdown; start a new server.",
            )
        if self._workspace is None and method != types.INITIALIZE:
            return types.ResponseError(
                code=types.ErrorCodes.ServerNotInitialized,
                message=f"{method} came before initialize; send initialize first.",
            )
        return None

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(self, params: types.InitializeParams) -> Generator[Any, Any, types.InitializeResult]:
        """Negotiate as pygls does, and say that commands report progress."""
        result = yield from super().lsp_initialize(params)
        if result.capabilities.execute_command_provider is not None:
            result.capabilities.execute_command_provider.work_done_progress = True
        return result

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> None:
        """Hand the notification on."""
        self._hand_on(types.TEXT_DOCUMENT_DID_OPEN, params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> None:
        """Hand the notification on."""
        self._hand_on(types.TEXT_DOCUMENT_DID_CHANGE, params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> None:
        """Hand the notification on."""
        self._hand_on(types.TEXT_DOCUMENT_DID_CLOSE, params)

    def _hand_on(self, method: str, params: Any) -> None:
        handler: DocumentHandler = self.fm.features[method]
        handler(params)

    @lsp_method(types.WORKSPACE_EXECUTE_COMMAND)
    async def lsp_workspace__execute_command(  # type: ignore[override]  # pygls runs either kind
        self, params: types.ExecuteCommandParams
    ) -> Any:
        """Run a command as this request's own task. Raises JsonRpcInvalidParams for an unknown command."""
        handler: CommandHandler | None = self.fm.commands.get(params.command)
        if handler is None:
            raise JsonRpcInvalidParams(
                f"Command {params.command!r} is not one of {sorted(self.fm.commands)}."
            )
        return await handler(params)
