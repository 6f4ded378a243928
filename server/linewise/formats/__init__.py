"""Formats: how documents and edits are written for a model, and how its text becomes hunks."""

from __future__ import annotations

from linewise.errors import ModelError
from linewise.formats.edit_log import EditLogFormat
from linewise.formats.lintseq import LintSeqFormat
from linewise.formats.protocol import Cursor, Format, Prompt

__all__ = ["Cursor", "EditLogFormat", "Format", "LintSeqFormat", "Prompt", "get_format"]

_FORMATS: dict[str, Format] = {"edit-log/1": EditLogFormat(), "lintseq": LintSeqFormat()}


def get_format(name: str | None) -> Format:
    """The Format that a model's metadata names. Raises ModelError for a name that Linewise does not have."""
    if name is None:
        raise ModelError(
            "the model file does not say which edit format it was trained on (metadata key linewise.format); "
            f"use a model made for Linewise: {', '.join(_FORMATS)}"
        )
    if name not in _FORMATS:
        raise ModelError(f"the model was trained on the format {name!r}; Linewise has {', '.join(_FORMATS)}")
    return _FORMATS[name]
