"""The assistant: what Linewise does with a document, for any front end and any engine.

`Document` holds an open file; `write` changes it by instruction, hunk by clean hunk; `complete` goes on at
the cursor. Nothing here knows the language server protocol or a particular engine.
"""

from linewise.assistant.checking import verifier_for
from linewise.assistant.document import Document, DocumentState, Landing, StaleError
from linewise.assistant.events import (
    DoneReason,
    HunkDropped,
    HunkLanded,
    HunkProgress,
    HunkTurned,
    WriteDone,
    WriteEvent,
)
from linewise.assistant.inline import InlineCompletion, InlineOptions, complete
from linewise.assistant.options import Land, WriteOptions
from linewise.assistant.write import write
from linewise.verify import NoVerifier

__all__ = [
    "Document",
    "DocumentState",
    "DoneReason",
    "HunkDropped",
    "HunkLanded",
    "HunkProgress",
    "HunkTurned",
    "InlineCompletion",
    "InlineOptions",
    "Land",
    "Landing",
    "NoVerifier",
    "StaleError",
    "WriteDone",
    "WriteEvent",
    "WriteOptions",
    "complete",
    "verifier_for",
    "write",
]
