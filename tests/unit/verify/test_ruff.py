import shutil
import sys

import pytest

from linewise.errors import LinewiseError
from linewise.verify import SYNTAX_CODES, VERIFIERS, RuffVerifier, get_verifier


def test_each_source_gets_its_own_problems_where_they_are():
    fine, undefined, broken, styled, empty = RuffVerifier().problems(
        ["a = 1\n", "a = 1\nprint(a, b)\n", "def f(:\n    pass\n", "import os\nx = l == None\n", ""]
    )
    assert fine == empty == ()
    assert [(problem.line, problem.column, problem.code) for problem in undefined] == [(1, 9, "F821")]
    assert broken
    assert {problem.code for problem in broken} <= SYNTAX_CODES
    assert [problem.code for problem in styled] == ["F821"]


def test_sources_that_cannot_be_saved_or_read_get_a_problem_and_no_exception():
    for problems in RuffVerifier().problems(["x = '\ud800'\n", "a\0b\n"]):
        assert problems


def test_without_ruff_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "ruff", None)
    with pytest.raises(LinewiseError, match="-m pip install ruff"):
        get_verifier("ruff")


def test_every_name_is_a_verifier():
    assert [get_verifier(name).name for name in VERIFIERS] == list(VERIFIERS)


def test_none_finds_nothing():
    assert get_verifier("none").problems(["def f(:", ""]) == [(), ()]
