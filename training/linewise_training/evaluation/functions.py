"""Where a function ends in text that goes on: what a model without edits wrote, cut to what was asked."""

from __future__ import annotations

import re

_CLOSING = (")", "]", "}")
_TOKEN = re.compile(
    r"//[^\n]*|/\*.*?(?:\*/|\Z)|\"(?:\\.|[^\"\\\n])*\"?|'(?:\\.|[^'\\\n])*'?|`(?:\\.|[^`\\])*`?|[{}]",
    re.DOTALL,
)


def python_body(text: str) -> tuple[str, bool]:
    """The part of `text` that belongs to a function body, and whether the function ended before the text did.

    It ends before the first line that is not indented, unless that closes a bracket. The last line counts
    only as far as it has come.
    """
    at = 0
    for line in text.split("\n"):
        if at and line[:1].strip() and not line.startswith(_CLOSING):
            return text[:at], True
        at += len(line) + 1
    return text, False


def braced_body(text: str, prompt: str) -> tuple[str, bool]:
    """The same for a language with braces, where `prompt` ends inside the function.

    What `prompt` opened around the function (the class, in Java) is closed.
    """
    depth = sum(1 if brace == "{" else -1 for _, brace in _braces(prompt))
    around = max(0, depth - 1)
    for end, brace in _braces(text):
        depth += 1 if brace == "{" else -1
        if depth == around:
            return text[:end] + "\n" + "}\n" * around, True
    return text, False


def fenced(text: str) -> tuple[str, bool]:
    """The part of `text` before the Markdown fence that ends a block of code."""
    code, fence, _ = text.partition("```")
    return code, bool(fence)


def _braces(text: str) -> list[tuple[int, str]]:
    """Where each brace outside strings and comments ends, and which it is."""
    return [(found.end(), found[0]) for found in _TOKEN.finditer(text) if found[0] in "{}"]
