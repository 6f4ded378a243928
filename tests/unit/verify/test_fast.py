import warnings

import pytest

from linewise.errors import LinewiseError
from linewise.verify import FastVerifier, get_verifier


def codes(source):
    return [problem.code for problem in FastVerifier().problems([source])[0]]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("x = (\n", 0),
        ("a = 1\nif a\n    b = 2\n", 1),
        ("def f():\n    x = 1\n  y = 2\n", 2),
        ("x = 1\ny = '\0'\n", None),
        ("# one\n# coding: no-such-codec\nx = 1\n", 1),
        ("# no encoding: at all\nx = 1\n", 0),
        ("# coding: ascii\nx = 'é'\n", 0),
        ("a = 1\nb = '\ud800'\n", 1),
        ("a = 1\nreturn a\n", 1),
        ("-" * 200_000 + "1", None),
        ("(" * 500 + ")" * 500, None),
    ],
)
def test_what_python_refuses_is_one_syntax_problem_on_its_line(source, line):
    (problem,) = FastVerifier().problems([source])[0]
    assert problem.code == "syntax-error"
    assert problem.message
    if line is not None:
        assert problem.line == line


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("def f():\n    return missing\n", "undefined-name"),
        ("x = 1\ndef f():\n    print(x)\n    x = 2\n", "undefined-local"),
        ("__all__ = ['nothing']\n", "undefined-export"),
        ("'%s %s' % (1,)\n", "percent-format-count"),
        ("'{} {}'.format(1)\n", "format-missing-argument"),
        ("def f():\n    raise NotImplemented\n", "raise-not-implemented"),
    ],
)
def test_errors_at_run_time_are_found(source, code):
    assert codes(source) == [code]


@pytest.mark.parametrize(
    "source",
    [
        "",
        "import os\n",
        "def f():\n    unused = 1\n",
        "print(f'no placeholder')\n",
        "x = 1\nprint(x is 1)\n",
        "# coding: latin-1\nx = 1\n",
        "# a comment on encoding\nx = 1\n",
    ],
)
def test_style_is_not_a_problem(source):
    assert codes(source) == []


def test_a_batch_gives_each_source_its_own_verdict_in_order():
    clean, broken = "x = 1\n", "x = (\n"
    verdicts = FastVerifier().problems([broken, clean, broken])
    assert [bool(verdict) for verdict in verdicts] == [True, False, True]


def test_warnings_about_the_source_reach_nobody(capfd):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        FastVerifier().problems(["x = '\\d'\nassert (x, 'always true')\n"])
    assert not seen
    assert capfd.readouterr() == ("", "")


def test_an_unknown_verifier_is_refused_by_name():
    with pytest.raises(LinewiseError, match="no-such"):
        get_verifier("no-such")
