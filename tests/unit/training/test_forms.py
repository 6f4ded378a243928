"""The same tasks in every format: each form says what its Format will say in the editor, and nothing less."""

from __future__ import annotations

import inspect
import json
import random
import textwrap

import pytest

from linewise.edits import (
    DiffParser,
    Edit,
    EditLog,
    Hunk,
    HunkCompleted,
    Malformed,
    apply_hunk,
    join_lines,
    split_lines,
)
from linewise.errors import LinewiseError
from linewise.formats import Cursor, FimFormat, LintSeqFormat
from linewise_training.examples import (
    FORMS,
    TaskCursor,
    editing_task,
    encode,
    form_called,
    function_example,
    plain_examples,
    writing_example,
)
from linewise_training.examples.form import EditingTask
from linewise_training.examples.in_fim import TOKENS
from linewise_training.mix import Mix, examples
from linewise_training.tokenizer import train_tokenizer

SOURCES = [inspect.getsource(module) for module in (json, json.decoder, textwrap, random)]
FIM = FimFormat(TOKENS, shows_name=True)


def tasks(count=300):
    for seed in range(count):
        rng = random.Random(seed)
        lines = split_lines(rng.choice(SOURCES).rstrip("\n"))
        task = editing_task("f.py", lines, 1500, rng)
        if task is not None:
            yield task


def final_state(task):
    state = task.log.lines
    for hunk in task.hunks:
        state = apply_hunk(state, hunk)
    return join_lines(state)


def document_at_cursor(task):
    """(lines, cursor) as they are when the task's completion is asked for."""
    state = task.log.lines
    for hunk in task.hunks[:-1]:
        state = apply_hunk(state, hunk)
    hunk = task.hunks[-1]
    cursor = task.cursor or TaskCursor(0, 0, None)
    typed = hunk.added[cursor.row][: cursor.column]
    tail = "" if cursor.there is None else cursor.there[cursor.column :]
    below = hunk.added[1:] if tail else ()
    lines = (*state[: hunk.start], *hunk.added[: cursor.row], typed + tail, *below, *state[hunk.end :])
    return lines, Cursor(hunk.start + cursor.row, cursor.column)


def texts(example):
    return [piece.text for piece in example]


def test_a_hole_is_asked_for_as_the_format_asks_and_filling_it_gives_the_file():
    seen_tails = 0
    for task in tasks():
        example = FORMS["fim"].editing(task)
        *prompt, middle, end = example
        lines, cursor = document_at_cursor(task)
        expected = FIM.inline_prompt(EditLog.open(lines), task.path, cursor)
        assert texts(prompt) == [segment.text for segment in expected.segments]
        assert all(piece.learned_from == -1 for piece in prompt)
        assert (middle.learned_from, end.text) == (0, "<|endoftext|>")
        assert middle.text.startswith(expected.healed)
        parser = FIM.parser(lines)
        events = [*parser.feed(expected.given + middle.text), *parser.finish()]
        (hunk,) = [event.hunk for event in events if isinstance(event, HunkCompleted)]
        assert join_lines(apply_hunk(lines, hunk)) == final_state(task)
        seen_tails += bool(lines[cursor.line][cursor.column :])
    assert seen_tails > 5


def test_lintseq_edits_write_the_file_and_a_hunk_in_progress_begins_as_its_format_begins_it():
    seen = 0
    for task in tasks():
        example = FORMS["lintseq"].editing(task)
        assert example[0].text == "\n"
        text = "".join(texts(example[1:-1]))
        parser = DiffParser(())
        state = ()
        for event in [*parser.feed(text), *parser.finish()]:
            assert not isinstance(event, Malformed)
            if isinstance(event, HunkCompleted):
                state = apply_hunk(state, event.hunk)
        assert join_lines(state) == final_state(task)
        if task.cursor is None or task.cursor.there is not None or task.cursor.row:
            continue
        seen += 1
        hunk = task.hunks[-1]
        log = EditLog.open(task.log.lines)
        for earlier in task.hunks[:-1]:
            log = log.record(earlier)
        log = log.typed(Hunk(hunk.start, (), (hunk.added[0][: task.cursor.column],)))
        if log.pending is None or hunk.added[0][: task.cursor.column] in log.closed_lines:
            continue  # an empty line among empty lines has more than one place
        prompt = LintSeqFormat().inline_prompt(log, task.path, Cursor(hunk.start, task.cursor.column))
        assert text.startswith("".join(segment.text for segment in prompt.segments[1:]) + prompt.healed)
    assert seen > 10


def test_what_stood_before_the_cursor_is_not_learned():
    log = EditLog.open("a = 1\nb = 2\n")
    task = EditingTask("f.py", log, (Hunk(1, (), ("x = 3", "y = 4")),), TaskCursor(1, 4, None))
    read = {name: "".join(p.text[: p.learned_from] for p in form.editing(task) if p.learned_from > 0)
            for name, form in FORMS.items()}  # fmt: skip
    assert read["edit-log/1"].endswith("\nx = 3\ny = ")
    assert read["lintseq"] == "@@ -1,0 +2,2 @@\n+x = 3\n+y = "
    *_, middle, _ = FORMS["fim"].editing(task)
    assert middle.text == " 4"


def test_instructions_are_shown_by_formats_that_have_them():
    edits = [Edit((Hunk(0, (), ("def f():", "    return 1")),)), Edit((Hunk(1, (), ("    # one",)),))]
    program = "def f():\n    # one\n    return 1"

    def of(name):
        return "".join(
            texts(writing_example("return one", program, edits, random.Random(3), form_called(name)))
        )

    assert of("lintseq") == (
        "return one\n<|diff|>@@ -0,0 +1,2 @@\n+def f():\n+    return 1\n<|diff|>@@ -1,0 +2 @@\n+    # one"
        "<|endoftext|>"
    )
    assert "return one" in of("edit-log/1")
    assert "return one" not in of("fim")
    assert of("fim").split("<|fim_prefix|>")[1].count("# one") <= 1


@pytest.mark.parametrize("name", FORMS)
def test_every_kind_is_written_in_every_format_with_tokens_of_one_tokenizer(name):
    tokenizer = train_tokenizer(SOURCES, 600)
    form = form_called(name)
    function = next(
        e
        for seed in range(50)
        if (e := function_example("f.py", SOURCES[2], 4000, random.Random(seed), form))
    )
    for example in (*plain_examples(SOURCES[2], "f.py", 3000, form), function):
        ids, learned = encode(example, tokenizer)
        assert len(ids) and learned.any()


def test_the_same_seed_draws_the_same_tasks_for_every_format(tmp_path):
    files = tmp_path / "files.jsonl"
    rows = [{"text": text, "path": f"p/m{n}.py", "origin": f"o{n}"} for n, text in enumerate(SOURCES)]
    files.write_text("".join(json.dumps(row) + "\n" for row in rows))
    counts = {}
    for name in FORMS:
        mix = Mix(plain_characters=10**6, editing=3.5, function=2, window_characters=1500, format=name)
        written = list(examples(files, None, mix, 5, validation=False))
        counts[name] = [sum("def " in piece.text for piece in e) > 0 for e in written]
    assert len(set(map(len, counts.values()))) == 1
    assert len(counts["fim"]) > 20


def test_a_format_that_cannot_be_learned_is_named():
    with pytest.raises(LinewiseError, match=r"'chatml'; choose edit-log/1, lintseq, fim"):
        form_called("chatml")
