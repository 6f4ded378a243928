"""Shared fixtures: sources of arbitrary lines, texts, edits and sequences for property tests."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from linewise.edits import Edit, EditSequence, Hunk, apply_edit, diff

# Few different lines, so that they repeat; all that could be mistaken for something else.
LINE = st.sampled_from(
    [
        "",
        "a",
        "b",
        "c",
        "    x",
        "\ty",
        "z\r",
        "\r",
        "+",
        "-",
        "-- a",
        "@@ -1 +1 @@",
        "<|diff|>",
        "@1,0",
        "é😀",
    ]
) | st.text(st.characters(exclude_characters="\n", exclude_categories=()), max_size=4)
LINES = st.lists(LINE, max_size=8).map(tuple)
SOME_LINES = st.lists(LINE, min_size=1, max_size=4).map(tuple)
TEXT = st.lists(
    st.sampled_from(
        ["a", "bc", "\n", "\r\n", "\r", "\t", "é", "€", "😀", "\ud83d", "\udc00", "\u2028", "\x0c"]
    ),
    max_size=16,
).map("".join)


@st.composite
def edits_of(draw: st.DrawFn, lines: tuple[str, ...], run_up: bool = True) -> Edit:
    """An edit that fits `lines`: any hunks in order, some with a run-up, some without any change."""
    cuts = sorted(draw(st.lists(st.integers(0, len(lines)), max_size=8)))
    hunks = []
    for start, end in zip(cuts[::2], cuts[1::2], strict=False):
        added = draw(LINES)
        if run_up and draw(st.booleans()):
            head = draw(st.integers(start, end))
            added = lines[start:head] + added + lines[head : draw(st.integers(head, end))]
        hunks.append(Hunk(start, lines[start:end], added))
    return Edit(tuple(hunks))


@st.composite
def states_and_edits(draw: st.DrawFn, count: int = 1) -> tuple[tuple[str, ...], ...]:
    """Lines, and `count` edits which all fit them."""
    lines = draw(LINES)
    return (lines, *(draw(edits_of(lines)) for _ in range(count)))


@st.composite
def sequences(draw: st.DrawFn) -> EditSequence:
    """A sequence that resolves from the empty text: some edits of difflib's making, some not."""
    state: tuple[str, ...] = ()
    edits = []
    for _ in range(draw(st.integers(0, 4))):
        edit = diff(state, draw(LINES)) if draw(st.booleans()) else draw(edits_of(state))
        edits.append(edit)
        state = apply_edit(state, edit)
    return EditSequence(tuple(edits))


SOURCES = SimpleNamespace(
    line=LINE,
    lines=LINES,
    some_lines=SOME_LINES,
    text=TEXT,
    edits_of=edits_of,
    states_and_edits=states_and_edits,
    sequences=sequences,
)


@pytest.fixture(scope="session")
def sources() -> SimpleNamespace:
    """Hypothesis strategies; draw from them with `st.data()`."""
    return SOURCES


settings.register_profile(
    "edits", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
