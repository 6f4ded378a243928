"""What a plan draws from: ignored lines, repeats, RandSeq, and programs that a verifier fails on."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linewise.edits import EditSequence, resolve, split_lines
from linewise.verify import CRASH, NoVerifier, Problem
from linewise_training.lintseq import Failed, Plan, Program, sample_sequences

SOURCE = '''# About.
import math
from os import (
    path,
    sep,
)

SIZES = [
    1,
    # two
    2,
]


def f(a):
    """Not # a comment.
    # nor this, but text
    """
    # a comment
    b = a  # and one behind code
    return b
'''


def ignored(**options):
    return set(Plan(1, 0, **options).ignored(split_lines(SOURCE)))


def sampled(source, plan, verifier=None):
    return list(sample_sequences([Program(0, source)], verifier or NoVerifier(), plan))


def test_imports_comments_and_constants_are_told_by_their_syntax():
    assert ignored() == set()
    assert ignored(ignore_imports=True) == {1, 2, 3, 4, 5}
    # Blank lines count as comments, as in the paper's code.
    assert ignored(ignore_comments=True) == {0, 6, 9, 12, 13, 18, 21}
    assert ignored(ignore_globals=True) == {8, 9, 10, 11}


@pytest.mark.parametrize("method", ["lintseq", "randseq"])
def test_ignored_lines_are_written_first_unless_they_go_with_a_block(method):
    plan = Plan(20, 0, method, ignore_comments=True, ignore_imports=True)
    for result in sampled("# a\nimport b\nc = 1\nd = 2", plan):
        first = result.edits[0].hunks[0].added
        assert first[:2] == ("# a", "import b")
        assert resolve(EditSequence(result.edits)) == ("# a", "import b", "c = 1", "d = 2")


def test_ignoring_lines_of_what_does_not_parse_fails_with_the_reason():
    (failed,) = sampled("def f(:", Plan(3, 0, ignore_imports=True))
    assert isinstance(failed, Failed)
    assert "cannot be told" in failed.reason


def test_repeats_are_kept_or_dropped():
    kept = sampled("a\nb", Plan(20, 0))
    dropped = sampled("a\nb", Plan(20, 0, drop_repeats=True))
    assert len(kept) == 20
    assert len({result.edits for result in kept}) == len(dropped) == 2
    assert [result for result in kept if result in dropped] == dropped


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["a", "  b", "", "# c"]), min_size=1, max_size=12), st.integers(0, 99))
def test_randseq_resolves_to_any_text_by_insertions_only(lines, seed):
    source = "\n".join(lines)
    for result in sampled(source, Plan(2, seed, "randseq")):
        if isinstance(result, Failed):
            assert not source.strip()
            continue
        assert resolve(EditSequence(result.edits)) == tuple(lines)
        assert all(hunk.added and not hunk.removed for edit in result.edits for hunk in edit.hunks)


def written(source, plan):
    """The ways in which a source comes about, each a tuple of what its edits add."""
    return {
        tuple(tuple(line for hunk in edit.hunks for line in hunk.added) for edit in result.edits)
        for result in sampled(source, plan)
    }


@pytest.mark.parametrize("method", ["lintseq", "randseq"])
def test_blank_lines_are_drawn_alone_or_go_with_the_next_line(method):
    source = "aa\n\nbb"
    together = written(source, Plan(100, 0, method, blank_lines="with-next"))
    assert together == {(("aa",), ("", "bb")), (("", "bb"), ("aa",))}
    alone = written(source, Plan(100, 0, method))
    assert (("aa",), ("bb",), ("",)) in alone
    # Nothing is written by an edit that adds blank lines at an end alone: they come with the edit before.
    assert (("aa", ""), ("bb",)) in alone
    assert not any(edit == ("",) for way in alone for edit in (way[0], way[-1]) if way[-1] != ("",))


@pytest.mark.parametrize("blank_lines", ["alone", "with-next"])
def test_blank_lines_at_the_ends_are_no_edits(blank_lines):
    ways = written("\naa\n\n", Plan(100, 0, blank_lines=blank_lines))
    assert ways == {(("", "aa", "", ""),)}


def test_randseq_draws_the_size_of_each_set_evenly():
    # Three lines: the first deletion takes one or two, and what is left of two goes one by one.
    counts = [len(result.edits) for result in sampled("a\nb\nc", Plan(2000, 0, "randseq"))]
    assert set(counts) == {2, 3}
    # Six standard deviations of a binomial with p = 1/2.
    assert abs(counts.count(2) - 1000) < 6 * 23


class Crashing:
    """A verifier that fails on every source with fewer lines than `size`."""

    name = "crashing"

    def __init__(self, size):
        self.size = size

    def problems(self, sources):
        return [
            (Problem(0, 0, CRASH, "it fell over"),) if source.count("\n") + 1 < self.size else ()
            for source in sources
        ]


@pytest.mark.parametrize("size", [2, 4])
def test_a_program_on_which_the_linter_fails_is_skipped_with_the_reason(size):
    (failed,) = sampled("a\nb\nc", Plan(5, 0), Crashing(size))
    assert failed == Failed(0, "the linter failed: it fell over")


def test_a_whole_program_is_one_edit_and_asks_no_verifier():
    source = "import os\n\n\ndef f(:\n"
    (result,) = sampled(source, Plan(1, 0, "whole"))
    assert [[hunk.added for hunk in edit.hunks] for edit in result.edits] == [[tuple(source.split("\n"))]]
