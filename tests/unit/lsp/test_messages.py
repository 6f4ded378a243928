"""What the user is told outside of answers."""

from __future__ import annotations

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from linewise.lsp.messages import Messages


class Editor(LanguageServer):
    """A server whose messages are only noted."""

    def __init__(self) -> None:
        super().__init__("test", "1")
        self.shown: list[str] = []

    def window_show_message(self, params: types.ShowMessageParams) -> None:
        self.shown.append(params.message)


def test_errors_that_were_found_together_are_one_message_and_none_is_told_twice():
    editor = Editor()
    messages = Messages(editor)
    messages.errors_once([])
    messages.errors_once(["one", "two", "one"])
    messages.errors_once(["two", "three"])
    messages.error_once("three")
    messages.errors_once(["one", "two"])
    assert editor.shown == ["Linewise: one\ntwo", "Linewise: three"]


def test_what_answers_the_user_is_told_each_time():
    editor = Editor()
    messages = Messages(editor)
    messages.error("one")
    messages.error("one")
    messages.error_once("one")
    assert editor.shown == ["Linewise: one"] * 3
