"""Work-done progress of one command: told to the editor if it wants to know, and a way for it to stop."""

from __future__ import annotations

import uuid
from concurrent.futures import Future

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from linewise.lsp.generation import Cancel


class WriteProgress:
    """Begin, report and end; a no-op for an editor that gave no token and shows no progress."""

    def __init__(self, server: LanguageServer, token: types.ProgressToken | None, cancel: Cancel) -> None:
        self._server, self._token, self._cancel = server, token, cancel

    async def begin(self, title: str) -> None:
        """Show the progress, under the editor's token or one made for it."""
        if self._token is None:
            window = self._server.client_capabilities.window
            if window is None or not window.work_done_progress:
                return
            token = str(uuid.uuid4())
            try:
                await self._server.work_done_progress.create_async(token)
            except JsonRpcException:
                return  # The editor will not show it; the write goes on all the same.
            self._token = token
        progress = self._server.work_done_progress
        progress.begin(self._token, types.WorkDoneProgressBegin(title=title, cancellable=True))
        stopped: Future[object] = progress.tokens[self._token]
        stopped.add_done_callback(self._on_stopped)

    def report(self, message: str) -> None:
        """Say how far the write is."""
        if self._token is not None:
            self._server.work_done_progress.report(
                self._token, types.WorkDoneProgressReport(message=message, cancellable=True)
            )

    def end(self, message: str) -> None:
        """Take the progress away; the token is free again."""
        if self._token is None:
            return
        self._server.work_done_progress.end(self._token, types.WorkDoneProgressEnd(message=message))
        self._server.work_done_progress.tokens.pop(self._token, None)

    def _on_stopped(self, stopped: Future[object]) -> None:
        if stopped.cancelled():
            self._cancel.set()
