"""Examples from histories, function bodies and half-written programs: what they show and what they ask."""

from __future__ import annotations

import inspect
import itertools
import json
import random
import textwrap

import pytest

from linewise.edits import EditLog, Hunk, apply_edit, apply_hunk, diff, split_lines
from linewise.formats import EditLogFormat
from linewise.formats.edit_log import DIFF, INLINE_RUN_UP, INSTRUCTION, shown
from linewise.formats.protocol import Cursor
from linewise_training.examples import (
    FORMS,
    EditingTask,
    WritingTask,
    body_example,
    continuing_example,
    history_example,
    history_task,
)
from linewise_training.examples.example import NO_LOSS

FORMAT = EditLogFormat()
SOURCE = inspect.getsource(json.decoder)
START = "".join(f"def function_{n}(value):\n    return value + {n}\n\n" for n in range(40))


def history():
    """Texts of a file, commit by commit: lines rewritten, inserted, deleted, far apart and close by."""
    lines = list(split_lines(START))
    texts = [START]
    for change in (
        lambda: lines.__setitem__(10, lines[10].replace("value", "10 * value")),
        lambda: lines.insert(40, "INSERTED = 1"),
        lambda: lines.__delitem__(slice(60, 63)),
        lambda: lines.__setitem__(slice(41, 43), ["ONE = 2", "TWO = total(3)", "THREE = 4"]),
        lambda: (lines.insert(30, "# above"), lines.insert(100, "# below")),
        lambda: lines.__setitem__(43, lines[43].replace("total(3)", "total(2) + 1")),
    ):
        change()
        texts.append("\n".join(lines))
    edits = [diff(split_lines(one), split_lines(other)) for one, other in itertools.pairwise(texts)]
    return edits, texts


EDITS, TEXTS = history()
MESSAGES = [f"Change the file number {'abcdef'[n]} again" for n in range(len(EDITS))]


def tasks(count=400, characters=1500):
    for seed in range(count):
        task = history_task("f.py", START, EDITS, MESSAGES, characters, random.Random(seed))
        if task is not None:
            yield task


def hunks_of(task):
    return task.hunks if isinstance(task, EditingTask) else [h for edit in task.edits for h in edit.hunks]


def test_a_history_task_is_a_window_of_a_state_that_was_and_its_edits_lead_to_the_next():
    states = [split_lines(START)]
    for edit in EDITS:
        states.append(apply_edit(states[-1], edit))
    seen = set()
    for task in tasks():
        first, lines = task.log.first_line, task.log.snapshot
        if isinstance(task, WritingTask) or task.cursor is None:
            after = task.log.lines
            for hunk in hunks_of(task):
                after = apply_hunk(after, hunk)
            shown = after[:-1] if after[-1] == "" else after
            # A commit's hunks come one by one, so the window may be between two commits above its first line.
            assert any(
                shown == state[at : at + len(shown)]
                for state in states[1:]
                for at in range(first - 2, first + 3)
            )
        assert sum(len(line) + 1 for line in lines) <= 1500
        seen.add((type(task), len(task.log.edits) > 0, any(not h.added for h in hunks_of(task))))
    # Both kinds of task, with and without earlier edits in the log, and deletions.
    assert {(kind, earlier) for kind, earlier, _ in seen} == {
        (kind, earlier) for kind in (EditingTask, WritingTask) for earlier in (True, False)
    }
    assert any(deletes for *_, deletes in seen)


def test_earlier_commits_are_read_and_the_last_one_is_learned():
    found = 0
    for seed in range(200):
        rng = random.Random(seed)
        task = history_task("f.py", START, EDITS, MESSAGES, 1500, rng)
        if task is None or not task.log.edits:
            continue
        example = (
            FORMS["edit-log/1"].writing(task)
            if isinstance(task, WritingTask)
            else FORMS["edit-log/1"].editing(task)
        )
        learned = [piece.learned_from != NO_LOSS for piece in example]
        assert learned == sorted(learned)
        diffs = [piece for piece in example if piece.text == DIFF]
        assert sum(piece.learned_from == NO_LOSS for piece in diffs) >= 1 + len(task.log.edits)
        found += 1
    assert found > 20


def test_a_commit_whose_message_asks_for_something_is_asked_for():
    asked = [task for task in tasks() if isinstance(task, WritingTask)]
    # The fifth changes two places that no window shows together.
    assert {task.instruction for task in asked} == set(MESSAGES) - {MESSAGES[4]}
    for message in ("fixup", "Fix #12 in the parser", "Merge branch main into other", "Bump version to two"):
        rng = random.Random(1)
        drawn = [history_task("f.py", START, EDITS, [message] * len(EDITS), 1500, rng) for _ in range(100)]
        assert not any(isinstance(task, WritingTask) for task in drawn)


def test_a_cursor_in_a_rewritten_line_keeps_what_stood_there_and_the_editor_asks_the_same():
    stays = goes = 0
    for task in tasks(1500):
        if not isinstance(task, EditingTask) or task.cursor is None or len(task.hunks) != 1:
            continue
        hunk, cursor = task.hunks[0], task.cursor
        typed, rest = hunk.added[cursor.row][: cursor.column], hunk.added[cursor.row][cursor.column :]
        if cursor.there is None or cursor.there != hunk.removed[0]:
            continue
        assert cursor.there.startswith(typed)
        tail = cursor.there[cursor.column :]
        stays += bool(tail) and rest.endswith(tail)
        goes += bool(tail) and not rest.endswith(tail)
        example = FORMS["edit-log/1"].editing(task)
        prompt = FORMAT.inline_prompt(task.log, "f.py", Cursor(hunk.start, cursor.column))
        if task.run_up >= min(INLINE_RUN_UP, hunk.start):
            given = (
                "".join(piece.text for piece in example[:-2]) + example[-2].text[: example[-2].learned_from]
            )
            assert given == "".join(segment.text for segment in prompt.segments) + prompt.healed
    assert stays > 5
    assert goes > 5


def test_every_form_can_write_every_history_task():
    for name, form in FORMS.items():
        written = [
            history_example("f.py", START, EDITS, MESSAGES, 1500, random.Random(seed), form)
            for seed in range(100)
        ]
        assert sum(example is not None for example in written) > 50, name


def test_a_history_without_edits_or_with_one_too_long_for_the_window_gives_nothing():
    rng = random.Random(0)
    assert history_task("f.py", START, [], [], 1500, rng) is None
    long = diff(split_lines(START), (*split_lines(START)[:3], *["x = 1"] * 500, *split_lines(START)[3:]))
    assert history_task("f.py", START, [long], ["Add many lines to it"], 1500, rng) is None


def replay(hunk_texts, lines, first_line):
    log = EditLog.open((*lines, ""), first_line=first_line)
    parser = FORMAT.parser(log.lines, first_line)
    for event in [*parser.feed(DIFF.join(hunk_texts)), *parser.finish()]:
        if hasattr(event, "hunk") and isinstance(event.hunk, Hunk):
            log = log.record(event.hunk)
    return log.lines


ENDS = ["", "a = 1\nb = 2", "a = 1\nb = 2\n", "a = 1\nb = 2\n\n\nc = 3\n", "a = 1\n", "", "d = 4\n\n"]


def test_what_is_written_of_a_history_leads_to_the_state_that_the_task_leads_to_at_the_end_of_a_file_too():
    ends = [diff(split_lines(one), split_lines(other)) for one, other in itertools.pairwise(ENDS)]
    for start, edits in ((START, EDITS), (ENDS[0], ends)):
        for seed in range(150):
            task = history_task("f.py", start, edits, ["Do what is asked"] * 6, 1500, random.Random(seed))
            if task is None:
                continue
            form = FORMS["edit-log/1"]
            example = form.editing(task) if isinstance(task, EditingTask) else form.writing(task)
            # Without a snapshot, the file was empty, and the first diff is an edit already.
            given = len(task.log.edits) + (task.log.snapshot != ("",))
            wanted = task.log.lines
            for hunk in hunks_of(task):
                wanted = apply_hunk(wanted, hunk)
            diffs = [b.text for a, b in itertools.pairwise(example) if a.special and a.text == DIFF]
            reached = replay(diffs[given:], task.log.lines[:-1], task.log.first_line)
            assert shown(reached) == shown(wanted), "".join(piece.text for piece in example)


def parts(example):
    """(instruction or None, snapshot's first line and lines, edit texts)."""
    instruction, diffs = None, []
    for before, piece in itertools.pairwise(example):
        if before.special and before.text == INSTRUCTION:
            instruction = piece.text.strip()
        elif before.special and before.text == DIFF:
            diffs.append(piece.text)
    header, *lines = diffs[0].split("\n")[:-1]
    return instruction, int(header[1:].split(",")[0]) - 1, lines, diffs[1:]


def test_a_body_example_shows_signature_and_docstring_and_asks_for_the_rest():
    in_progress = asked = 0
    for seed in range(80):
        example = body_example("d.py", SOURCE, 6000, random.Random(seed))
        if example is None:
            continue
        instruction, first, lines, edits = parts(example)
        assert "\n".join(replay(edits, lines, first)).strip() in SOURCE
        before_cursor = example[-2].text[: example[-2].learned_from]
        if instruction is None:
            assert '"""' in before_cursor
            in_progress += 1
        else:
            name = instruction.split()[-1]
            assert f"def {name}(" in "\n".join(lines)
            asked += 1
    assert in_progress > 10
    assert asked > 3


PROGRAM = textwrap.dedent("""\
    def total(numbers):
        result = 0
        for number in numbers:
            result += number
        return result""")
STATES = [
    ["def total(numbers):", "    return result"],
    ["def total(numbers):", "    result = 0", "    return result"],
    [
        "def total(numbers):",
        "    result = 0",
        "    for number in numbers:",
        "        pass",
        "    return result",
    ],
    PROGRAM.split("\n"),
]


def test_a_half_written_program_goes_on_from_a_state_that_lintseq_went_through():
    edits = [diff(one, other) for one, other in zip([[], *STATES], STATES, strict=False)]
    ends = set()
    for seed in range(100):
        example = continuing_example(PROGRAM, edits, 2000, random.Random(seed))
        _, first, lines, written = parts(example)
        assert first == 0
        after = list(replay(written, lines, 0))
        assert [line for line in after if line] in STATES
        ends.add(len(after))
    assert len(ends) > 1


@pytest.mark.parametrize("edits", [[], [diff([], PROGRAM.split("\n"))]])
def test_what_lintseq_wrote_at_once_has_no_half(edits):
    assert continuing_example(PROGRAM, edits, 2000, random.Random(0)) is None
