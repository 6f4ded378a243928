"""What the tests of writes share: one write and its events, and what became of the document."""

from __future__ import annotations

from linewise.assistant import NoVerifier, WriteDone, WriteOptions, write
from linewise.edits import join_lines
from linewise.formats import EditLogFormat


def run(document, engine, *, instruction="do it", verifier=None, format=None, options=None, **keywords):
    """All events of a write, and the last one."""
    events = list(
        write(
            document,
            instruction,
            engine=engine,
            format=format or EditLogFormat(),
            verifier=verifier or NoVerifier(),
            options=WriteOptions(**(options or {})),
            **keywords,
        )
    )
    assert [type(event) for event in events].count(WriteDone) == 1
    return events, events[-1]


def text_of(document):
    return join_lines(document.snapshot().lines)


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]
