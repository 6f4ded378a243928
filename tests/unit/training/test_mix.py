"""A mix draws the kinds of examples that it names, from the corpus's own side of the validation split."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from linewise.edits import diff, format_edit, split_lines
from linewise.errors import LinewiseError
from linewise_training.cli import train
from linewise_training.examples.example import Piece
from linewise_training.mix import Mix, examples, held_out
from linewise_training.report.mixture import KINDS, only, rendered

NOTHING = Mix(editing=0, function=0, writing=0)


def module(number, extra=""):
    return (
        f'"""Module {number}."""\n\n\ndef function_{number}(value):\n'
        f'    """Return the value and {number} more."""\n'
        f"    result = value + {number}\n    if result > 100:\n        result = 0\n    return result\n{extra}"
    )


@pytest.fixture
def corpus(tmp_path):
    """A corpus of 300 small modules, every third one a test, each with a history of two commits."""
    files, histories = [], []
    for n in range(300):
        path = f"pkg/{'tests/' if n % 3 == 0 else ''}module_{n}.py"
        text = module(n, "LAST = 1\n")
        files.append({"text": text, "path": path, "origin": f"origin{n % 50}"})
        states = [module(n), module(n).replace("> 100", "> 200"), text]
        edits = [
            format_edit(diff(split_lines(one), split_lines(other)))
            for one, other in itertools.pairwise(states)
        ]
        histories.append(
            {
                "path": path,
                "origin": f"origin{n % 50}",
                "start": states[0],
                "edits": edits,
                "messages": ["Raise the limit to two hundred", "Add the last one"],
            }
        )
    for name, rows in (("files", files), ("histories", histories)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.fixture
def sequences(tmp_path):
    rows = []
    for n in range(60):
        states = [[], ["def f():", f"    return {n}"], ["def f():", "    x = 1", f"    return {n}"]]
        edits = [format_edit(diff(one, other)) for one, other in itertools.pairwise(states)]
        rows.append({"instruction": "Return a number.", "program": "\n".join(states[-1]), "edits": edits})
    path = tmp_path / "sequences.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def drawn(corpus, mix, sequences=None, *, validation=False, seed=1, limit=None):
    return list(examples(corpus / "files.jsonl", sequences, mix, seed, validation=validation, limit=limit))


def text(example):
    return "".join(piece.text for piece in example)


def test_each_kind_comes_when_it_is_asked_for_and_only_then(corpus, sequences):
    assert drawn(corpus, NOTHING, sequences) == []
    for kind in KINDS:
        assert len(drawn(corpus, only(Mix(), kind), sequences)) > 40, kind
    histories = drawn(corpus, only(Mix(), "history"))
    assert any("Raise the limit to two hundred" in text(example) for example in histories)
    assert any("> 200" in text(example) for example in histories)


def test_test_files_are_used_up_to_their_share(corpus):
    plain = only(Mix(), "plain")

    def tests_in(mix):
        return sum("Module " in text(e) and int(text(e).split("Module ")[1].split(".")[0]) % 3 == 0
                   for e in drawn(corpus, mix))  # fmt: skip

    everything, some, none = (tests_in(replace(plain, tests=share)) for share in (1.0, 0.5, 0.0))
    assert none == 0
    assert 20 < some < 80 < everything
    with pytest.raises(ValueError, match="share from 0 to 1"):
        replace(plain, tests=2.0)


def test_a_history_is_held_out_when_its_file_is(corpus):
    held = {
        row["text"].split("Module ")[1].split(".")[0]
        for row in map(json.loads, (corpus / "files.jsonl").read_text().splitlines())
        if held_out(row["text"])
    }
    assert held
    mix = Mix(editing=0, function=0, history=4.0)

    def numbers(*, validation):
        found = drawn(corpus, mix, validation=validation)
        return {text(e).split("Module ")[1].split(".")[0] for e in found if "Module " in text(e)}

    assert numbers(validation=True) <= held
    assert not numbers(validation=False) & held


def test_a_mix_with_histories_needs_a_corpus_with_histories(corpus):
    (corpus / "histories.jsonl").unlink()
    with pytest.raises(LinewiseError, match="--repository"):
        drawn(corpus, Mix(history=1.0))


def test_a_limit_bounds_the_sources_and_a_seed_repeats(corpus, sequences):
    mix = Mix(editing=1, function=0, writing=1, history=1)
    few = drawn(corpus, mix, sequences, limit=5)
    assert 0 < len(few) <= 5 + 5 + 10
    assert few == drawn(corpus, mix, sequences, limit=5)
    assert few != drawn(corpus, mix, sequences, limit=5, seed=2)


def run(*arguments):
    return CliRunner().invoke(train, ["examples", *map(str, arguments)])


def test_the_command_prints_examples_with_a_bar_where_learning_begins(corpus, sequences):
    done = run("embedded", "--corpus", corpus, "--kind", "history", "--count", 8, "--plain")
    assert done.exit_code == 0, done.output
    assert done.output.count("<|file|>") == 8
    assert "▌" in done.output
    again = run("embedded", "--corpus", corpus, "--kind", "history", "--count", 8, "--plain")
    assert again.output == done.output
    done = run("nano", "--corpus", corpus, "--sequences", sequences, "--kind", "writing", "--count", 2)
    assert done.output.count("<|instruction|>") == 2


def test_what_is_read_and_what_is_learned_look_different():
    example = (Piece("a\x1b[2J\n", learned_from=-1), Piece("bc", learned_from=1), Piece("d", learned_from=0))
    assert rendered(example, marked=True).plain == "a\N{REPLACEMENT CHARACTER}[2J\nb▌cd"
    styles = [(span.start, str(span.style)) for span in rendered(example).spans]
    assert [style for _, style in styles] == ["dim", "dim", "bold green", "bold green"]
    assert {str(span.style) for span in rendered(example, learn_all=True).spans} == {"bold green"}


def test_faults_are_said_in_a_sentence(corpus, tmp_path):
    done = run("embedded", "--corpus", corpus, "--kind", "writing")
    assert done.exit_code == 1
    assert "--sequences" in done.output
    done = run("no-such-recipe", "--corpus", corpus)
    assert done.exit_code == 1
    assert "no-such-recipe" in done.output
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "files.jsonl").write_text("")
    done = run("embedded", "--corpus", empty)
    assert done.exit_code == 1
    assert "gave no such example" in done.output
    (empty / "files.jsonl").unlink()
    done = run("embedded", "--corpus", empty)
    assert done.exit_code == 1
    assert "files.jsonl" in done.output
    assert "Traceback" not in done.output
