"""What counts as indented by fours, with pylint's W0311 as the judge."""

import ast

import pytest

from linewise.verify.indentation import is_indented_by_fours
from linewise.verify.pylint_verifier import _Linter

REGULAR = """\
@staticmethod
def f(a):
    '''Text
  of any indentation.
    '''
    if a: return 1
    elif a == 2:
        b = [
          3,
        ]
    else:
        if a:
            b = 4; c = 5
    try:
        for b in c:
            pass
        else:
            pass
    except ValueError:
        return b
    finally:
        print(a)
  # a comment
    return c
class A: x = 1
"""
IRREGULAR = [
    "if x:\n  y = 1\n",
    "if x:\n    y = 1\nelse:\n     y = 2\n",
    "if x:\n    y = 1\nelif z:\n  y = 2\n",
    "try:\n    x = 1\nexcept ValueError:\n  x = 2\n",
    "class A:\n    def f(self):\n      return 1\n",
    "if x:\n\ty = 1\n",
]


@pytest.fixture(scope="module")
def linter():
    return _Linter(load_extensions=False)


def judged(source):
    return is_indented_by_fours(ast.parse(source), source.split("\n"))


def test_code_by_fours_is_regular_whatever_strings_brackets_and_comments_do(linter):
    assert judged(REGULAR)
    assert "W0311" not in {problem.code for problem in linter._lint(REGULAR)}


@pytest.mark.parametrize("source", IRREGULAR)
def test_what_pylint_finds_fault_with_is_not_regular(linter, source):
    assert "W0311" in {problem.code for problem in linter._lint(source)}
    assert not judged(source)


@pytest.mark.parametrize(
    "source", ["match x:\n    case 1:\n        pass\n", "if x:\n    y = 1\n\felse:\n    y = 2\n"]
)
def test_what_cannot_be_told_is_not_regular(source):
    assert not judged(source)
