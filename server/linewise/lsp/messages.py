"""What the user is told outside of answers: each trouble once, in one sentence."""

from __future__ import annotations

from lsprotocol import types
from pygls.lsp.server import LanguageServer


class Messages:
    """Shows messages in the editor, never the same one twice in a row of requests."""

    def __init__(self, server: LanguageServer) -> None:
        self._server = server
        self._shown: set[str] = set()

    def error_once(self, message: str) -> None:
        """Show an error, unless it was shown before."""
        self._once(types.MessageType.Error, message)

    def info_once(self, message: str) -> None:
        """Show what is worth knowing, unless it was shown before."""
        self._once(types.MessageType.Info, message)

    def _once(self, kind: types.MessageType, message: str) -> None:
        if message not in self._shown:
            self._shown.add(message)
            self._server.window_show_message(
                types.ShowMessageParams(type=kind, message=f"Linewise: {message}")
            )
