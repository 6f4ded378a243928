"""Plain files as snapshots: what a model learns Python from before it learns to edit."""

from __future__ import annotations

from collections.abc import Iterator

from linewise.edits import split_lines
from linewise.formats.edit_log import shown
from linewise_training.examples.example import Example
from linewise_training.examples.form import Form
from linewise_training.examples.in_edit_log import EDIT_LOG


def plain_examples(text: str, path: str, max_characters: int, form: Form = EDIT_LOG) -> Iterator[Example]:
    """Cut a file into windows of at most `max_characters`, each a snapshot that tells its true first line.

    A window ends before a line without indentation where there is one in its second half, so that most
    windows begin with a whole definition. The end-of-sequence token stands only where the file ends.
    """
    lines = shown(split_lines(text.replace("\r\n", "\n")))
    start = 0
    while start < len(lines):
        end, size = start, 0
        while end < len(lines) and (size + len(lines[end]) + 1 <= max_characters or end == start):
            size += len(lines[end]) + 1
            end += 1
        if end < len(lines):
            top = (
                i
                for i in range(end, start + (end - start) // 2, -1)
                if lines[i][:1].isalpha() or lines[i][:1] == "@"
            )
            end = next(top, end)
        yield form.window(path, lines[start:end], start, whole=end == len(lines))
        start = end
