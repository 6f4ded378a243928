"""What the user is told outside of answers, in one sentence; the trouble of requests only once."""

from __future__ import annotations

from collections.abc import Sequence

from lsprotocol import types
from pygls.lsp.server import LanguageServer


class Messages:
    """Shows messages in the editor; of those that each request could repeat, none twice."""

    def __init__(self, server: LanguageServer) -> None:
        self._server = server
        self._shown: set[str] = set()

    def error(self, message: str) -> None:
        """Show an error, also one that was shown before: it answers something that the user did."""
        self._show(types.MessageType.Error, message)

    def info(self, message: str) -> None:
        """Show what came of something that the user did."""
        self._show(types.MessageType.Info, message)

    def error_once(self, message: str) -> None:
        """Show an error, unless it was shown before."""
        self._once(types.MessageType.Error, message)

    def errors_once(self, messages: Sequence[str]) -> None:
        """Show errors that were found together in one message, those that were not shown before."""
        new = [message for message in dict.fromkeys(messages) if message not in self._shown]
        self._shown.update(new)
        if new:
            self._show(types.MessageType.Error, "\n".join(new))

    def info_once(self, message: str) -> None:
        """Show what is worth knowing, unless it was shown before."""
        self._once(types.MessageType.Info, message)

    def _once(self, kind: types.MessageType, message: str) -> None:
        if message not in self._shown:
            self._shown.add(message)
            self._show(kind, message)

    def _show(self, kind: types.MessageType, message: str) -> None:
        self._server.window_show_message(types.ShowMessageParams(type=kind, message=f"Linewise: {message}"))
