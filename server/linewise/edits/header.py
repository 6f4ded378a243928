"""The fixed pieces of `<|diff|>` text: its tokens, and hunk headers `@@ -START,COUNT +START,COUNT @@`.

A range with no lines names the line before it (0 for the top), one with a single line leaves out its
count: the rules of the unified diff.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

DIFF_TOKEN = "<|diff|>"
END_TOKEN = "<|endoftext|>"
HEADER_MARK = "@@"

# Nine digits hold every real document and stay clear of Python's limit on the digits of an integer.
_HEADER = re.compile(r"@@ -([0-9]{1,9})(?:,([0-9]{1,9}))? \+([0-9]{1,9})(?:,([0-9]{1,9}))? @@")


@dataclass(frozen=True, slots=True)
class Header:
    """What a hunk's header says: 0-based starts before and after, and how many lines go and come."""

    start: int
    removed: int
    start_after: int
    added: int


def read_header(line: str) -> Header | None:
    """The header that is exactly `line`, or None where `line` is no header."""
    match = _HEADER.fullmatch(line)
    if match is None:
        return None
    start, removed = _read_range(match[1], match[2])
    start_after, added = _read_range(match[3], match[4])
    if start < 0 or start_after < 0:
        return None
    return Header(start, removed, start_after, added)


def write_header(header: Header) -> str:
    """The text of `header`, as difflib writes it."""
    before = _write_range(header.start, header.removed)
    after = _write_range(header.start_after, header.added)
    return f"{HEADER_MARK} -{before} +{after} {HEADER_MARK}"


def _read_range(start: str, count: str | None) -> tuple[int, int]:
    lines = 1 if count is None else int(count)
    return (int(start) - 1 if lines else int(start)), lines


def _write_range(start: int, count: int) -> str:
    if count == 1:
        return str(start + 1)
    return f"{start + 1 if count else start},{count}"
