"""Training examples say what the editor will say: the format's own parser reads them back."""

from __future__ import annotations

import inspect
import json
import random
import textwrap

import pytest

from linewise.edits import (
    EditSequence,
    HunkCompleted,
    Malformed,
    apply_hunk,
    diff,
    format_sequence,
    join_lines,
    parse_sequence,
    split_lines,
)
from linewise.formats import Cursor, EditLogFormat
from linewise.formats.edit_log import DIFF, END, FILE, INSTRUCTION, SPECIAL_TOKENS
from linewise_training.examples import editing_example, encode, function_example, plain_examples, rephrase
from linewise_training.examples import writing_example as make_writing_example
from linewise_training.examples.example import NO_LOSS, Piece
from linewise_training.examples.writing import file_name
from linewise_training.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer

FORMAT = EditLogFormat()
SOURCES = [inspect.getsource(module) for module in (json, json.decoder, textwrap, random)]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(SOURCES, 600)


def document_of(example):
    """(file name, instruction or None, hunk texts): what the special tokens part."""
    parts, current = {FILE: "", INSTRUCTION: None, DIFF: []}, None
    for piece in example:
        if piece.special:
            current = piece.text
        elif current == DIFF:
            parts[DIFF].append(piece.text)
        else:
            parts[current] = piece.text
    return parts[FILE], parts[INSTRUCTION], parts[DIFF]


def replay(hunk_texts, lines=(), first_line=0):
    parser = FORMAT.parser(lines, first_line)
    events = [*parser.feed(DIFF.join(hunk_texts)), *parser.finish()]
    assert not [e for e in events if isinstance(e, Malformed)]
    for event in events:
        if isinstance(event, HunkCompleted):
            lines = apply_hunk(lines, event.hunk)
    return lines


def first_line_of(snapshot):
    return int(snapshot[1 : snapshot.index(",")]) - 1


def editing_examples():
    """Examples of windows of the sources, with the lines of their file."""
    for seed in range(60):
        rng = random.Random(seed)
        lines = split_lines(rng.choice(SOURCES).rstrip("\n"))
        example = editing_example("f.py", lines, 1500, rng)
        if example is not None:  # None: the window at this seed is shorter than four lines
            yield lines, example


def test_the_edits_of_an_editing_example_restore_a_window_of_the_file():
    count = 0
    for lines, example in editing_examples():
        path, _, (snapshot, *edits) = document_of(example)
        first = first_line_of(snapshot)
        restored = replay(edits, tuple(snapshot.split("\n")[1:]), first)[:-1]
        assert path == "f.py\n"
        assert restored == lines[first : first + len(restored)]
        count += 1
    assert count > 40


def test_a_hunk_in_progress_is_learned_from_the_cursor_on():
    in_progress = [example for _, example in editing_examples() if example[-2].learned_from]
    for example in in_progress:
        text, cursor = example[-2].text, example[-2].learned_from
        assert text.index("\n") < cursor < len(text)
        assert example[-3].learned_from == NO_LOSS
    assert len(in_progress) > 20


def test_an_inline_prompt_is_the_beginning_of_an_editing_example():
    lines = split_lines(SOURCES[0].rstrip("\n"))
    for seed in range(200):
        example = editing_example("f.py", lines, 1200, random.Random(seed))
        if example is None or example[-2].learned_from <= 0:
            continue
        _, _, (snapshot, *edits) = document_of(example)
        given = edits[-1][: example[-2].learned_from]
        if len(edits) == 1 and given.count("\n") == 17:  # one hunk, a full run-up, its first line in progress
            break
    header, *run_up, typed = given.split("\n")
    from linewise.edits import EditLog, Hunk

    log = EditLog.open("\n".join(snapshot.split("\n")[1:]), first_line=first_line_of(snapshot))
    start = int(header[1:].split(",")[0]) - 1 - log.first_line + len(run_up)
    replaced = int(header.split(",")[1]) - len(run_up)
    if replaced:
        cursor = Cursor(start, len(typed))
    else:
        log, cursor = log.typed(Hunk(start, (), (typed,))), Cursor(start, len(typed))
    prompt = FORMAT.inline_prompt(log, "f.py", cursor)
    assert "".join(s.text for s in prompt.segments) + prompt.healed == (
        f"{FILE}f.py\n{DIFF}{snapshot}{DIFF}{given}"
    )


def test_what_a_new_file_is_called_seldom_tells_what_is_in_it():
    rng = random.Random(0)
    names = [file_name("class Gadget:\n    pass\n", rng) for _ in range(2000)]
    assert 0.07 < names.count("gadget.py") / len(names) < 0.13
    assert max(map(names.count, set(names) - {"gadget.py"})) < 0.1 * len(names)
    assert file_name("print(1)\n", rng) not in ("print.py", ".py")


def test_a_writing_example_asks_first_and_then_writes_the_program():
    program = "def f(x):\n    y = x\n    return y"
    states = [(), ("def f(x):", "    return y"), tuple(program.split("\n"))]
    text = format_sequence(EditSequence((diff(states[0], states[1]), diff(states[1], states[2]))))
    example = make_writing_example("do it", program, parse_sequence(text).edits, random.Random(0))
    _, instruction, edits = document_of(example)
    assert instruction == "do it\n"
    assert edits == ["@1,0\ndef f(x):\n    return y\n", "@1,1\ndef f(x):\n    y = x\n"]
    assert [p.learned_from for p in example if p.text in (FILE, INSTRUCTION)] == [NO_LOSS, NO_LOSS]
    assert example[-1].text == END
    assert join_lines(replay(edits)) == program + "\n"


def test_a_function_example_puts_a_documented_function_back():
    found = [
        e for seed in range(20) if (e := function_example("d.py", SOURCES[1], 6000, random.Random(seed)))
    ]
    for example in found:
        _, instruction, (snapshot, edit) = document_of(example)
        restored = replay([edit], tuple(snapshot.split("\n")[1:]), first_line_of(snapshot))
        assert instruction.split()[-3:] == [word for word in instruction.split()[-3:] if word in edit]
        assert join_lines(restored).rstrip("\n") in SOURCES[1]
    assert len(found) > 5


def test_windows_of_a_plain_file_put_together_are_the_file():
    source = SOURCES[1]
    windows = [document_of(example)[2][0] for example in plain_examples(source, "f.py", 1500)]
    assert "".join(window.split("\n", 1)[1] for window in windows) == source.rstrip("\n") + "\n"
    assert [first_line_of(w) for w in windows][:2] == [0, windows[0].count("\n") - 1]


def test_a_piece_is_tokenized_as_an_engine_tokenizes_a_segment(tokenizer):
    example = editing_example("f.py", split_lines(SOURCES[1]), 1500, random.Random(3))
    ids, learned = encode(example, tokenizer)
    whole = tokenizer.encode("".join(p.text for p in example), add_special_tokens=False).ids
    assert ids.tolist() == whole
    assert len(learned) == len(ids)
    assert 0 < learned.sum() < len(ids)


def test_no_token_crosses_a_line_end_and_digits_stand_alone(tokenizer):
    newline = tokenizer.encode("\n").ids
    text = "if (x):\n\n\treturn [1, 23]\r\n    pass  \n"
    ids = [i for line in text.split("\n")[:-1] for i in (*tokenizer.encode(line).ids, *newline)]
    assert tokenizer.encode(text).ids == ids
    assert len(tokenizer.encode("1234567").ids) == 7


def test_the_special_tokens_are_single_and_the_end_token_is_the_first(tokenizer):
    assert [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2, 3]


def test_the_text_of_a_special_token_in_a_document_is_not_the_token(tokenizer, tmp_path):
    save_tokenizer(tokenizer, tmp_path, 64)
    loaded = load_tokenizer(tmp_path)
    ids, _ = encode((Piece("x = '<|diff|>'\n"), Piece(DIFF, special=True)), loaded)
    assert ids.tolist().count(loaded.token_to_id(DIFF)) == 1
    assert loaded.decode(ids.tolist(), skip_special_tokens=False) == "x = '<|diff|>'\n<|diff|>"


def test_an_instruction_is_asked_in_several_ways_that_keep_what_it_asks():
    asked = {rephrase("Returns the sum of two numbers.", random.Random(seed)) for seed in range(60)}
    assert "a function that returns the sum of two numbers" in asked
    assert "write a function to return the sum of two numbers" in asked
    assert all(text.endswith("the sum of two numbers") for text in asked)


def test_an_instruction_without_a_known_verb_is_kept():
    asked = {rephrase("Like `foo`, but faster", random.Random(seed)) for seed in range(30)}
    assert {text.lower() for text in asked} == {"like `foo`, but faster"}
