"""What is known of a hunk of Python before it is whole, and what is not."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import random
import tempfile
import tokenize
from types import ModuleType

import pytest

from linewise.verify import FastVerifier, NoVerifier, PylintVerifier, SyntaxVerifier
from linewise.verify.lexical import NOTHING, scan
from linewise.verify.protocol import EarlyProblem, ForeseesProblems

DOCUMENT = '''\
"""A module."""

from __future__ import annotations

import os

class Shape:
    def area(self, width):
        """The area.

        Of nothing.
        """
        height = os.cpu_count()
        return (
            width
            * height
        )

    def name(self):
        try:
            return self._name
        except AttributeError:
            return ""

LAST = 3
'''
LINES = tuple(DOCUMENT.split("\n"))


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(LINES) if line.strip() == text)


def told(start: int, removed: int, added: str, *, lines=LINES, ended: bool = False):
    """The first problem that is told of a hunk, and after how many of its lines."""
    watch = FastVerifier().watch(lines, start, removed)
    body = added.split("\n")
    for count in range(1, len(body) + 1):
        problem = watch.problem_so_far(body[:count])
        if problem is not None:
            return problem, count
    return watch.problem_so_far(body, ended=ended) if ended else None, len(body)


def after(text: str, added: str, *, ended: bool = False):
    """The same for a hunk after the line `text`, its run-up."""
    place = line_of(text)
    return told(place, 1, "\n".join((LINES[place], added)), ended=ended)


def at(problem: EarlyProblem | None, added: str) -> str:
    """What of the hunk's text stands where a problem is."""
    assert problem is not None and problem.where == "line", problem
    return added.split("\n")[problem.line - 1][problem.column :]


@pytest.mark.parametrize(
    ("added", "count", "where", "reason"),
    [
        ("def f():\n    return (1 + ]\n", 3, "]", "closing parenthesis"),
        ("def greatest common(a):\n    pass", 2, "common(a):", "expected '('"),
        ("x = f(\n    a b,\n)", 3, "b,", "invalid syntax"),
        ("if LAST\n    pass", 2, "", "expected ':'"),
        ("if LAST:\nx = 1", 3, "x = 1", "expected an indented block"),
        ("x = 1\n    y = 2", 3, "    y = 2", "unexpected indent"),
        ("if LAST:\n    x = 1\n  y = 2", 4, "  y = 2", "unindent"),
        ("else:\n    pass", 2, "else:", "invalid syntax"),
        ("x = 'abc", 2, "", "unterminated string"),
        ("x = …", 2, "…", "invalid character"),
        ("return 1", 2, "return 1", "'return' outside function"),
        ("def f(a, b, a):\n    pass", 2, "a):", "duplicate argument"),
        ("def f(\n    *,\n) -> int:\n    pass", 4, ") -> int:\n"[:-1], "named arguments"),
        ("def f(x):\n    return 'é' + y", 3, "y", "undefined name 'y'"),
        ("def f():\n    x = x + 1", 3, "x + 1", "undefined name 'x'"),
        ("x = undefined.attribute", 2, "undefined.attribute", "undefined name"),
        ("x = '%s %s' % (1,)", 2, "'%s %s' % (1,)", "'...' % ..."),
    ],
)
def test_what_nothing_can_mend_is_told_at_its_line_with_its_place(added, count, where, reason):
    problem, seen = after("LAST = 3", added)
    assert seen == count
    assert at(problem, added) == where
    assert reason in problem.reason


@pytest.mark.parametrize(
    "added",
    [
        "x = [\n    1,\n    2,\n]",
        "if LAST:\n    pass\nelse:\n    pass",
        "try:\n    unicode\nexcept NameError:\n    unicode = str",
        "def f():\n    def g():\n        return later\n    later = 1\n    return g",
        "def f():\n    g = lambda: later\n    later = 1\n    return g",
        "def f(n):\n    return f(n - 1) + LAST + os.cpu_count() + Shape().area(1)",
        "class Circle(Shape):\n    def area(self, r):\n        return Circle, __class__, r",
        '@property\ndef f(self):\n    """Text\n    in lines: (not [code\n    """\n    return self',
        "x = 1 + \\\n    2",
        "for n in range(3):\n    print(n)\nelse:\n    print(n)",
        "match LAST:\n    case 3:\n        pass",
        "async def f(x):\n    async with x as y:\n        await y",
        "# a comment (\n\nx = 'é' # ]",
        "from os import *\nx = sep",
        "def f():\n\tif LAST:\n\t\treturn 1\n\treturn 2",
        "with open(LAST) as f, \\\n        open(LAST) as g:\n    pass",
        "x = (a if a else\n     a for a in [LAST])",
        "x = {\n    'a'\n    'b': 1,\n}",
    ],
)
def test_what_may_become_clean_is_not_told_of(added):
    assert after("LAST = 3", added, ended=True)[0] is None
    ast.parse(DOCUMENT + added)


def test_a_hunk_that_only_repeats_its_run_up_has_no_problem():
    place = line_of("return (")
    assert told(place, 3, "\n".join(LINES[place : place + 3]), ended=True)[0] is None


def test_a_place_in_a_string_or_bracket_is_no_place_for_what_ends_it():
    problem, count = after("Of nothing.", '        More.\n        """\n        return 1')
    assert (problem.where, count) == ("place", 3)
    assert LINES[problem.line] == "        )"  # where the function ends
    problem, count = after("width", "            )\n        return 1")
    assert (problem.where, count, LINES[problem.line]) == ("place", 2, "        )")
    assert after("Of nothing.", "        More, and (more.", ended=True)[0] is None
    assert after("width", "            * (\n                2\n            )", ended=True)[0] is None


def test_code_before_an_import_from_future_is_out_of_place():
    problem, _ = told(0, 0, "import sys")
    assert (problem.where, LINES[problem.line]) == ("place", "from __future__ import annotations")
    assert told(0, 0, "# a comment")[0] is None
    assert after('"""A module."""', "from __future__ import division", ended=True)[0] is None


def test_a_function_may_not_take_lines_that_need_what_stood_around_them():
    added = "    def perimeter(self):\n        pass"
    problem, count = after("height = os.cpu_count()", added)
    assert (at(problem, added), count) == ("    def perimeter(self):", 2)
    assert "undefined name 'height'" in problem.reason
    assert at(after("height = os.cpu_count()", "    @property")[0], "    @property") == "    @property"
    given = "    def perimeter(self, width, height):\n        width += 1"
    assert after("height = os.cpu_count()", given, ended=True)[0] is None


def test_a_clause_below_stays_with_what_it_belongs_to():
    problem, count = after("return self._name", "        return None")
    assert (problem.column, count) == (0, 2)
    assert after("return self._name", "            return None", ended=True)[0] is None
    assert after("return self._name", "        except KeyError:\n            pass", ended=True)[0] is None


@pytest.mark.parametrize(
    ("added", "closing"),
    [
        ("if LAST:", ""),
        ("@property", ""),
        ("try:\n    x = 1", ""),
        ('def f():\n    """Text.', '    """\n'),
        ("def f():\n    return [\n        g(", "        )\n    ]\n"),
    ],
)
def test_a_hunk_cannot_end_with_something_open(added, closing):
    problem, _ = after("LAST = 3", added, ended=True)
    assert (problem.where, problem.closing) == ("end", closing)
    assert after("LAST = 3", added)[0] is None


def test_a_hunk_cannot_end_where_the_lines_below_stand_deeper():
    problem, _ = after("height = os.cpu_count()", "    x = 1", ended=True)
    assert (problem.where, problem.line, problem.column) == ("line", 1, 0)


def test_a_hunk_cannot_end_before_its_block_where_a_string_of_several_lines_follows():
    lines = ('"""One', 'two."""', "x = 1", "")
    problem, _ = told(0, 0, "if True:", lines=lines, ended=True)
    assert (problem.where, problem.line) == ("end", 0)


def test_a_docstring_in_progress_can_be_closed():
    watch = FastVerifier().watch(LINES, len(LINES) - 1, 0)
    assert watch.closing(["def f():", '    """Text', "    more"]) == '    """\n'
    assert watch.closing(["def f():", '    """Text."""']) == watch.closing(["x = ("]) == ""


@pytest.mark.parametrize("broken", ["def f(:", "x = (1", '"""never closed'])
def test_nothing_is_told_below_what_was_broken_before(broken):
    lines = (broken, "x = 1", "")
    added = "x = 1\nfor in:\n  y"
    problem, _ = told(1, 1, added, lines=lines, ended=True)
    # What is open above may be closed below; all else is an error that was there.
    assert problem is None or (broken == "x = (1" and problem.where == "line")


@pytest.mark.parametrize(
    ("lines", "start", "removed", "added"),
    [
        (
            ("def f():", "    return [", "", "def g():", "    pass", ""),
            1,
            1,
            "    return [\n        1,\n    ]",
        ),
        (("def f():", '    """Text', "    return 1", ""), 1, 1, '    """Text\n    """'),
        (("def f():", "    more", '    """', "    return 1", ""), 0, 1, 'def f():\n    """Text'),
        (("x = 1", "    2,", "]", ""), 0, 1, "x = 1\ny = ["),
        (
            ("def f():", '    """Text', "class Late:", "    pass", ""),
            1,
            1,
            '    """Text"""\n    return Late()',
        ),
    ],
)
def test_a_hunk_may_mend_what_is_broken_around_it(lines, start, removed, added):
    ast.parse("\n".join((*lines[:start], added, *lines[start + removed :])))
    assert told(start, removed, added, lines=lines, ended=True)[0] is None


def test_what_is_broken_below_is_no_fault_of_the_hunk():
    lines = ("import os", "        return os", "")
    assert told(0, 1, "import os\nimport sys", lines=lines, ended=True)[0] is None
    problem, _ = told(0, 1, "import os\nimport sys sys", lines=lines)
    assert problem is not None


def test_lines_that_end_in_carriage_returns_and_tabs_are_read_as_lines():
    lines = ("def f():\r", "\tx = 1\r", "\treturn x\r", "")
    assert told(1, 1, "\tx = 1\n\ty = \\\n\t\tx", lines=lines, ended=True)[0] is None
    assert told(1, 1, "\tx = 1\n\ty = z", lines=lines)[0].column == 5


def test_which_verifiers_foresee_problems():
    assert isinstance(FastVerifier(), ForeseesProblems) and isinstance(PylintVerifier(), ForeseesProblems)
    assert not isinstance(NoVerifier(), ForeseesProblems)
    assert not isinstance(SyntaxVerifier("c"), ForeseesProblems)


def test_names_may_come_from_a_star_import_or_a_global():
    assert told(1, 0, "x = anything", lines=("from os import *", ""))[0] is None
    lines = ("def f():", "    global counter", "    counter = 1", "")
    assert told(3, 0, "print(counter)", lines=lines)[0] is None


def test_a_long_file_costs_no_more_than_what_is_around_the_place():
    methods = [line for n in range(500) for line in (f"    def f{n}(self):", f"        return {n}", "")]
    lines = ("class Long:", *methods)
    watch = FastVerifier().watch(lines, len(lines), 0)
    assert watch.problem_so_far(["    g = f1, f499, f500"]).reason.startswith("undefined name 'f500'")
    assert len(watch._around[1].lines) == 4  # the class, the names of its methods, and the last of them


def functions_of(module: ModuleType):
    """A module's functions as (lines without it, place, its lines), where it still compiles without."""
    source = inspect.getsource(module)
    lines = source.split("\n")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)]) - 1
            without = (*lines[:first], *lines[node.end_lineno :])
            try:
                compile("\n".join(without), "x", "exec")
            except SyntaxError:
                continue
            yield without, first, lines[first : node.end_lineno]


def test_no_function_of_real_modules_raises_a_false_alarm():
    verifier, alarms, seen = FastVerifier(), [], 0
    for module in (dataclasses, tempfile, tokenize):
        found = list(functions_of(module))
        for lines, place, added in random.Random(0).sample(found, min(9, len(found))):
            run_up = [lines[place - 1]] if place else []
            body = [*run_up, *added]
            watch = verifier.watch(lines, place - len(run_up), len(run_up))
            told_of = [watch.problem_so_far(body[:count]) for count in range(1, len(body) + 1)]
            alarms += [p for p in (*told_of, watch.problem_so_far(body, ended=True)) if p is not None]
            seen += 1
    assert seen >= 20
    assert alarms == []


def test_a_scan_knows_what_is_open():
    text = 'a = (1,\n  "(")\nb = """x\n(\'\n"""\nc = \\\n  "a\\\nb"\nd = f(r"\\"[",  # ( \n)'
    opened = [(len(state.brackets), state.quotes, state.continued) for state in scan(text.split("\n"))]
    assert opened == [
        (0, "", False),
        (1, "", False),
        (0, "", False),
        (0, '"""', False),
        (0, '"""', False),
        (0, "", False),
        (0, "", True),
        (0, '"', False),
        (0, "", False),
        (1, "", False),
        (0, "", False),
    ]  # fmt: skip
    assert scan([])[-1] is NOTHING
