import json
import random
import re

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from linewise.edits import (
    EditSequence,
    apply_edit,
    format_edit,
    join_lines,
    parse_sequence,
    resolve,
    split_lines,
)
from linewise.verify import FastVerifier, Problem
from linewise_training.lintseq import Failed, Plan, Program, Sampled, lintseq_command, sample_sequences
from linewise_training.lintseq.sampler import indented_blocks, leading_blanks

GEOMETRY = '''import math


def area(radius):
    """Area of a circle."""
    if radius < 0:
        raise ValueError("negative")
    return math.pi * radius**2


class Circle:
    def __init__(self, radius):
        self.radius = radius

    def area(self):
        return area(self.radius)


print(
    Circle(1).area(),
    area(2),
)
'''
COUNTING = """def count(words):
    found = {}
    for word in words:
        if word not in found:
            found[word] = 0
        found[word] += 1
    return found"""
# It uses a name that nothing defines: its own problem, which no state can be without.
FAULTY = """def f(a):
    b = a + missing
    try:
        b = b / a
    except ZeroDivisionError:
        b = 0
    return b"""
PROGRAMS = [GEOMETRY, COUNTING, FAULTY]


def sampled(programs, verifier=None, samples=2, seed=0, batch=256):
    numbered = [Program(at, source) for at, source in enumerate(programs)]
    return list(sample_sequences(numbered, verifier or FastVerifier(), Plan(samples, seed), batch=batch))


def states(sequence):
    lines = ()
    for edit in sequence.edits:
        lines = apply_edit(lines, edit)
        yield lines


def kind(problem):
    return (problem.code, re.sub(r"line \d+", "line", problem.message))


# Small programs: nested blocks of lines that use and define a few names.
@st.composite
def programs(draw, depth=0):
    lines = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(
            st.sampled_from(
                ["assign", "use", "blank", "comment", "if", "def"] if depth < 2 else ["assign", "use"]
            )
        )
        name = draw(st.sampled_from("abc"))
        if kind in ("if", "def"):
            lines.append("if True:" if kind == "if" else f"def {name}():")
            lines += ["    " + line if line else "" for line in draw(programs(depth + 1))]
        else:
            lines.append(
                {"assign": f"{name} = 1", "use": f"print({name})", "blank": "", "comment": "# note"}[kind]
            )
    if not any(line.strip() and not line.strip().startswith("#") for line in lines):
        lines.append("pass")
    return lines


@settings(max_examples=60, deadline=None)
@given(programs(), st.integers(0, 1000))
def test_a_sequence_resolves_to_its_program_by_insertions_only(lines, seed):
    source = "\n".join(lines)
    for result in sampled([source], seed=seed):
        if isinstance(result, Failed):
            assert FastVerifier().problems([source])[0][0].code == "syntax-error"
            continue
        assert resolve(EditSequence(result.edits)) == split_lines(source)
        assert all(not hunk.removed and hunk.added for edit in result.edits for hunk in edit.hunks)
        assert all(edit.hunks for edit in result.edits)


@settings(max_examples=60, deadline=None)
@given(programs(), st.integers(0, 1000))
def test_no_state_has_a_problem_that_the_program_has_not(lines, seed):
    verifier = FastVerifier()
    source = "\n".join(lines)
    own = [kind(problem) for problem in verifier.problems([source])[0]]
    for result in sampled([source], seed=seed):
        if isinstance(result, Sampled):
            for problems in verifier.problems([join_lines(state) for state in states(result)]):
                rest = list(own)
                for problem in problems:
                    assert kind(problem) in rest
                    rest.remove(kind(problem))


def test_results_depend_on_seed_program_and_sample_alone():
    together = sampled(PROGRAMS, samples=3, seed=7)
    assert [(r.index, r.sample) for r in together] == [(i, s) for i in range(3) for s in range(3)]
    assert sampled(PROGRAMS, samples=3, seed=7, batch=1) == together
    assert sampled(PROGRAMS, samples=1, seed=7) == [r for r in together if r.sample == 0]
    assert sampled(PROGRAMS, samples=3, seed=8) != together


def test_samples_of_one_program_differ():
    assert len({result.edits for result in sampled([GEOMETRY], samples=5)}) > 1


class Recording:
    """A verifier that finds nothing and remembers what it was asked."""

    name = "recording"

    def __init__(self):
        self.batches = []

    def problems(self, sources):
        self.batches.append(list(sources))
        return [()] * len(sources)


def test_a_state_of_a_program_is_linted_once_and_programs_share_calls():
    verifier = Recording()
    sampled(["a\nb", "c\nd"], verifier, samples=20)
    asked = [text for batch in verifier.batches for text in batch]
    assert sorted(asked) == ["a", "a\nb", "b", "c", "c\nd", "d"]
    assert verifier.batches[0] == ["a\nb", "c\nd"]


def test_each_line_is_as_likely_as_another_to_go_first():
    verifier = Recording()
    first = {"a": 0, "b": 0, "c": 0}
    for result in sampled(["a\nb\nc"], verifier, samples=3000):
        # The line that is written last is the one that was deleted first.
        first[result.edits[-1].hunks[0].added[0]] += 1
    # Six standard deviations of a binomial with p = 1/3.
    assert all(abs(count - 1000) < 6 * 26 for count in first.values())


class Blaming:
    """A verifier that finds `needs-X` wherever a line says that it needs a line X that is not there."""

    name = "blaming"

    def problems(self, sources):
        return [
            tuple(
                Problem(at, 0, "needs", line)
                for at, line in enumerate(source.split("\n"))
                if line.startswith("needs ") and line[6:] not in source.split("\n")
            )
            for source in sources
        ]


def test_every_line_that_an_error_names_goes_until_the_state_is_clean():
    source = "a\nneeds a\nneeds needs a\nfree"
    for result in sampled([source], Blaming(), samples=30):
        for state in states(result):
            assert Blaming().problems([join_lines(state)]) == [()]
        # The chain can come in one edit or in its order, never a dependent before what it needs.
        order = [line for edit in result.edits for hunk in edit.hunks for line in hunk.added]
        assert order.index("a") < order.index("needs a") < order.index("needs needs a")


def test_a_block_goes_with_its_header():
    lines = ["if a:", "    bb", "", "    if c:", "        dd", "", "ee"]
    assert [list(block) for block in indented_blocks(lines)] == [[1, 2, 3, 4, 5], [], [], [4, 5], [], [], []]


def test_short_lines_count_as_indented_like_the_line_above():
    # As in the paper's code: `)` is one character, and what follows a blank line may be deeper than it.
    lines = ["def f():", "", "    g(", "        1,", "    )", "    return"]
    blocks = [list(block) for block in indented_blocks(lines)]
    assert blocks == [[], [2, 3, 4, 5], [3, 4], [], [], []]
    assert [list(block) for block in indented_blocks(lines, shortest=1)][2] == [3]


def test_blank_lines_go_with_the_line_they_lead_to():
    assert leading_blanks(["", "a", "", "", "b", ""]) == ((), (0,), (), (), (2, 3, 5), ())


@pytest.mark.parametrize(
    ("source", "reason"), [("", "empty"), ("\n \n", "empty"), ("def f(:\n", "syntax error")]
)
def test_a_program_without_sequences_says_why_and_the_others_go_on(source, reason):
    failed, done = sampled([source, COUNTING], samples=1)
    assert isinstance(failed, Failed)
    assert reason in failed.reason
    assert isinstance(done, Sampled)


def test_the_command_writes_sequences_and_counts_bad_lines(tmp_path):
    rows = [
        json.dumps({"instruction": "Count the words.", "program": COUNTING, "more": 1}),
        "not json",
        json.dumps({"instruction": "No program."}),
        json.dumps(["a list"]),
        json.dumps({"instruction": "Broken.", "program": "def f(:"}),
        json.dumps({"instruction": "Circle.", "program": GEOMETRY}),
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(rows) + "\n")
    arguments = ["--in", str(tmp_path / "in.jsonl"), "--out", str(tmp_path / "out.jsonl"), "--samples", "2"]
    run = CliRunner().invoke(lintseq_command, [*arguments, "--linter", "fast", "--seed", "3", "--json"])
    assert run.exit_code == 0, run.output
    counts = json.loads(run.output.splitlines()[-1])
    assert counts.pop("seconds") >= 0
    assert counts == {"programs": 2, "sequences": 4, "skipped": 4}
    skipped = [json.loads(line) for line in (tmp_path / "out.jsonl.skipped.jsonl").read_text().splitlines()]
    assert sorted(row["line"] for row in skipped) == [2, 3, 4, 5]
    out = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(row["source"], row["sample"], row["instruction"]) for row in out] == [
        (0, 0, "Count the words."), (0, 1, "Count the words."), (5, 0, "Circle."), (5, 1, "Circle."),
    ]  # fmt: skip
    for row in out:
        edits = tuple(edit for text in row["edits"] for edit in parse_sequence(text).edits)
        assert join_lines(resolve(EditSequence(edits))) == row["program"]
        assert [format_edit(edit) for edit in edits] == row["edits"]


def test_a_missing_input_is_one_clear_line(tmp_path):
    run = CliRunner().invoke(
        lintseq_command, ["--in", str(tmp_path / "no.jsonl"), "--out", str(tmp_path / "o")]
    )
    assert run.exit_code == 1
    assert "no.jsonl" in run.output
    assert "Traceback" not in run.output


def test_walks_do_not_touch_the_shared_random_state():
    random.seed(1)
    before = random.getstate()
    sampled([COUNTING])
    assert random.getstate() == before
