import re

from hypothesis import given
from hypothesis import strategies as st

from linewise.verify import FastVerifier, Problem, new_problems


def found(before, after):
    """New problems between two texts, by the fast verifier: (line, code) of each."""
    first, second = FastVerifier().problems([before, after])
    new = new_problems(before.split("\n"), after.split("\n"), first, second)
    return [(problem.line, problem.code) for problem in new]


UNDEFINED = Problem(0, 0, "undefined-name", "undefined name 'x'")

# Lines that make problems of their own kind on their line, whatever is around them.
LINES = st.lists(st.sampled_from(["a = 1", "print(x)", "print(y)", "# note", ""]), max_size=8)


def problems_of(lines):
    return tuple(
        Problem(at, 6, "undefined-name", f"undefined name {match[1]!r}")
        for at, line in enumerate(lines)
        if (match := re.match(r"print\((\w)\)", line))
    )


@given(LINES)
def test_an_edit_that_changes_nothing_brings_nothing(lines):
    assert new_problems(lines, lines, problems_of(lines), problems_of(lines)) == ()


@given(LINES, LINES, LINES)
def test_problems_that_an_insertion_shifts_stay_old_and_its_own_are_new(head, inserted, tail):
    before, after = [*head, *tail], [*head, *inserted, *tail]
    new = new_problems(before, after, problems_of(before), problems_of(after))
    # Where equal lines make it unclear which of them is the new one, their number still is not.
    assert sorted(p.message for p in new) == sorted(p.message for p in problems_of(inserted))


@given(LINES, LINES)
def test_a_document_without_problems_makes_every_problem_new(before, after):
    clean = [line.replace("print", "# print") for line in before]
    assert new_problems(clean, after, (), problems_of(after)) == problems_of(after)


@given(LINES, LINES)
def test_new_problems_are_at_least_the_growth_of_each_kind(before, after):
    first, second = problems_of(before), problems_of(after)
    new = new_problems(before, after, first, second)
    for name in ("'x'", "'y'"):
        growth = sum(name in p.message for p in second) - sum(name in p.message for p in first)
        assert sum(name in p.message for p in new) >= growth
    assert set(new) <= set(second)


def test_duplicates_are_counted():
    twice = [UNDEFINED, UNDEFINED]
    assert new_problems(["x + x"], ["x + x"], [UNDEFINED], twice) == (UNDEFINED,)


def test_a_line_number_in_a_message_does_not_make_it_new():
    before = [Problem(3, 0, "E0102", "function already defined line 1")]
    after = [Problem(4, 0, "E0102", "function already defined line 2")]
    lines = ["def f():", "    return 1", "", "def f():", "    return 2"]
    assert new_problems(lines, ["import os", *lines], before, after) == ()


def test_a_line_rewritten_with_its_fault_brings_nothing_new():
    assert found("a = missing\n", "ab = missing + 1\n") == []


def test_the_same_fault_at_another_place_is_new():
    assert found("print(gone)\na = 1\n", "print(gone)\na = 1\nprint(gone)\n") == [(2, "undefined-name")]


def test_a_definition_taken_away_makes_the_use_of_it_a_new_problem():
    assert found("a = 1\nprint(a)\n", "print(a)\n") == [(0, "undefined-name")]


UNFINISHED = "def f():\n    return 1\n\n\nx = call(\n"


def test_a_syntax_error_is_new_where_there_was_none():
    assert found("x = 1\n", "x = (\n") == [(0, "syntax-error")]


def test_an_unfinished_line_elsewhere_does_not_condemn_an_edit():
    assert found(UNFINISHED, UNFINISHED.replace("return 1", "return 2")) == []


def test_a_syntax_error_before_the_unfinished_line_is_new():
    assert found(UNFINISHED, UNFINISHED.replace("return 1", "return 1 +")) == [(1, "syntax-error")]


def test_the_parser_may_give_another_reason_on_the_same_unfinished_line():
    before = [Problem(0, 4, "syntax-error", "invalid syntax")]
    after = [Problem(0, 2, "syntax-error", "'(' was never closed")]
    assert new_problems(["x = (", "y"], ["x = (", "z"], before, after) == ()


def test_finishing_the_line_uncovers_old_problems_but_brings_only_its_own():
    before = "print(hidden)\nx = call(\n"
    after = "print(hidden)\nx = call(1)\n"
    assert found(before, after) == [(1, "undefined-name")]


def test_another_syntax_error_that_had_been_hidden_further_down_is_old():
    before = "x = = 1\na = 2\nb = 3\ny = = 4\n"
    assert found(before, before.replace("x = =", "x =")) == []


def test_a_header_that_robs_the_next_line_of_its_place_is_new():
    before = "x = = 1\ny = 2\nz = 3\n"
    after = "if 1:\ny = 2\nz = 3\n"
    assert found(before, after) == [(1, "syntax-error")]


def test_a_different_syntax_error_in_the_rewritten_line_is_new():
    assert found("x = (\n", "x = 'a\n") == [(0, "syntax-error")]


def test_the_same_syntax_error_in_the_rewritten_line_is_old():
    assert found("x = (\n", "x = (1,\n") == []
