"""The edit core: diff text, streaming parser, apply, invert, rebase, the edit log, positions.

Pure functions and values, without dependencies; everything public is imported from here.
"""

from linewise.edits.apply import apply_edit, apply_hunk, invert, invert_hunk, resolve, sequential
from linewise.edits.diff import diff, trim
from linewise.edits.events import (
    BeginsHunks,
    EditCompleted,
    Event,
    HunkCompleted,
    HunkStarted,
    LineAdded,
    Malformed,
    StreamingParser,
)
from linewise.edits.header import DIFF_TOKEN, END_TOKEN
from linewise.edits.hunk import Edit, EditSequence, Hunk, Lines, join_lines, split_lines
from linewise.edits.log import EditLog
from linewise.edits.positions import (
    LinePositions,
    Place,
    Position,
    PositionEncoding,
    PositionMap,
    TextChange,
    change_to_hunk,
    hunk_to_range,
    replacement,
)
from linewise.edits.rebase import rebase, rebase_edit
from linewise.edits.stream import DiffParser
from linewise.edits.text import format_edit, format_sequence, parse_sequence

__all__ = [
    "DIFF_TOKEN",
    "END_TOKEN",
    "BeginsHunks",
    "DiffParser",
    "Edit",
    "EditCompleted",
    "EditLog",
    "EditSequence",
    "Event",
    "Hunk",
    "HunkCompleted",
    "HunkStarted",
    "LineAdded",
    "LinePositions",
    "Lines",
    "Malformed",
    "Place",
    "Position",
    "PositionEncoding",
    "PositionMap",
    "StreamingParser",
    "TextChange",
    "apply_edit",
    "apply_hunk",
    "change_to_hunk",
    "diff",
    "format_edit",
    "format_sequence",
    "hunk_to_range",
    "invert",
    "invert_hunk",
    "join_lines",
    "parse_sequence",
    "rebase",
    "rebase_edit",
    "replacement",
    "resolve",
    "sequential",
    "split_lines",
    "trim",
]
