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
        if message not in self._shown:
            self._shown.add(message)
            self._server.window_show_message(
                types.ShowMessageParams(type=types.MessageType.Error, message=f"Linewise: {message}")
            )
