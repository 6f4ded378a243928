"""Formats: how documents and edits are written for a model, and how its text becomes hunks."""

from __future__ import annotations

from linewise.engines.protocol import FimTokens, ModelInfo
from linewise.errors import ModelError
from linewise.formats.edit_log import EditLogFormat
from linewise.formats.fim import FimFormat
from linewise.formats.lintseq import LintSeqFormat
from linewise.formats.protocol import Cursor, Format, Prompt

__all__ = [
    "Cursor",
    "EditLogFormat",
    "FimFormat",
    "Format",
    "LintSeqFormat",
    "Prompt",
    "format_of",
    "get_format",
]

_FORMATS: dict[str, Format] = {"edit-log/1": EditLogFormat(), "lintseq": LintSeqFormat()}
_NAMES = (*_FORMATS, FimFormat.name)


def format_of(model: ModelInfo) -> Format:
    """The Format of a model: the one that its metadata names, or `fim` where it only has tokens for that.

    Raises ModelError for a model that is of no Format that Linewise has.
    """
    return get_format(model.format, model.fim)


def get_format(name: str | None, fim: FimTokens | None = None) -> Format:
    """The Format called `name`; `fim` are the model's fill-in-the-middle tokens, if it has any.

    Raises ModelError for a name that Linewise does not have, and for a model that needs tokens it lacks.
    """
    if name in (None, FimFormat.name) and fim is not None:
        # A model that names the format was trained here, with the file's name before its text.
        return FimFormat(fim, shows_name=name is not None)
    if name == FimFormat.name:
        raise ModelError(
            "the model file names the format fim, but its vocabulary has no fill-in-the-middle tokens; "
            "export it again together with its tokenizer"
        )
    if name is None:
        raise ModelError(
            "the model file does not say which edit format it was trained on (metadata key linewise.format), "
            f"and has no fill-in-the-middle tokens; use a model of one of these formats: {', '.join(_NAMES)}"
        )
    if name not in _FORMATS:
        raise ModelError(f"the model was trained on the format {name!r}; Linewise has {', '.join(_NAMES)}")
    return _FORMATS[name]
