r"""Edits as text, in the form of the LintSeq paper: zero-context unified diffs joined by "\n<|diff|>".

The text of a sequence begins with the diff token and has neither file header lines nor a newline at its
end. A line may hold anything but "\n", even the tokens: in the text it follows its sign.
"""

from __future__ import annotations

from linewise.edits.events import EditCompleted, Event, Malformed
from linewise.edits.header import DIFF_TOKEN, Header, write_header
from linewise.edits.hunk import Edit, EditSequence
from linewise.edits.lenient import END_CHARACTERS, LenientReader
from linewise.edits.strict import StrictReader
from linewise.errors import EditError


def format_edit(edit: Edit) -> str:
    """The text of `edit`, as `difflib.unified_diff` writes it with `n=0`, without file header lines."""
    out: list[str] = []
    growth = 0
    for hunk in edit.hunks:
        out.append(write_header(Header(hunk.start, len(hunk.removed), hunk.start + growth, len(hunk.added))))
        out += ["-" + line for line in hunk.removed]
        out += ["+" + line for line in hunk.added]
        growth += hunk.growth
    return "\n".join(out)


def format_sequence(sequence: EditSequence) -> str:
    """The text of `sequence`: each edit after its diff token. The end of sequence is left to the engine."""
    return "\n".join(DIFF_TOKEN + format_edit(edit) for edit in sequence.edits)


def parse_sequence(text: str, lenient: bool = False) -> EditSequence:
    """The edits that `text` spells; the first diff token may be missing, and a newline may end it.

    Strict, it raises EditError that names the line of `text` and the fault (header syntax, a body line
    without sign, wrong counts, hunks that overlap or are out of order); whether removed lines exist is
    for `resolve` to say. Lenient, it reads as the LintSeq paper's resolver does: from the empty text,
    insertions only, whatever cannot be read left out.
    """
    if lenient:
        text = text.rstrip(END_CHARACTERS)
    reader = LenientReader(0) if lenient else StrictReader(None)
    events: list[Event] = []
    *lines, last = text.split("\n")
    for line in lines:
        events += reader.read(line)
    events += reader.finish(last)
    if not lenient:
        for event in events:
            if isinstance(event, Malformed):
                raise EditError(f"{event.reason}; correct the text or read it leniently")
    return EditSequence(tuple(event.edit for event in events if isinstance(event, EditCompleted)))
