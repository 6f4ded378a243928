"""What is left out of a source before it is linted, and that pylint says the same of what is left."""

import ast
import base64
import bisect
import configparser
import inspect
import random
import textwrap

import pytest

from linewise.verify import PylintVerifier, pylint_verifier
from linewise.verify.reduced import reduced
from linewise_training.lintseq.sampler import indented_blocks


def kept(source):
    source = textwrap.dedent(source)
    short = reduced(source, ast.parse(source))
    return None if short is None else short.text


def test_blank_lines_comments_and_the_inside_of_docstrings_go():
    source = '''\
        # A shebang or a licence.

        def f(a):
            """First.

            # Not a comment.
            Last."""
            # A comment.

            return a  # Behind code.
        '''
    assert kept(source) == textwrap.dedent('''\
        def f(a):
            """First.
            Last."""
            return a  # Behind code.''')


def test_lines_map_to_those_that_they_were():
    source = "\n# a\nx = 1\n\ny = 2\n"
    assert reduced(source, ast.parse(source)).lines == (2, 4)


@pytest.mark.parametrize(
    "source",
    [
        'x = """a\n\n# b\n"""',  # a string that is no docstring
        "x = 'a\\\n\\\n# b'",  # a string over lines by backslashes
        "x = 1 + \\\n    2\ny = 1 \\\n\nz = 3",  # the empty line ends the one before it
        "def f():\n    # né\n    return 1",  # pylint looks for characters in comments, too
        'def f():\n    """a\n    b""" """c\n    d"""',  # two strings
        'def f():\n    f"""a\n\n    {1}"""',  # no docstring
    ],
)
def test_what_may_matter_stays(source):
    assert kept(source) == source


@pytest.mark.parametrize(
    "source",
    [
        "x = 1  # pylint: disable=all\n",
        "# -*- coding: latin-1 -*-\n",
        "def f(a):\n    # type: (int) -> int\n    return a\n",
        "print(__doc__)\n",
        "x = 1\r\n",
        "\ufeffx = 1\n",
        'if """a\n# b\n""":\n    x = 1\n',
    ],
)
def test_what_comments_or_odd_texts_decide_is_not_reduced(source):
    assert reduced(source, ast.parse(source.replace("\ufeff", ""))) is None


@pytest.fixture(scope="module")
def whole():
    """Pylint on every whole source, with every visit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pylint_verifier, "leave_out_idle_visits", lambda *_: None)
        linter = pylint_verifier._Linter(load_extensions=False)
        linter._check = linter._set_up()
    return linter._lint


def states(source, draw):
    """Texts on a way from a source to few lines, most of them such that something is missing."""
    lines = source.split("\n")
    blocks = indented_blocks(lines)
    left = list(range(len(lines)))
    while len(left) > 2:
        first = draw.choice(left)
        rest = [line for line in left if line != first and line not in blocks[first]]
        text = "\n".join(lines[line] for line in rest)
        yield text
        try:
            ast.parse(text)
        except SyntaxError:
            continue
        left = rest


@pytest.mark.parametrize("module", [bisect, base64, configparser], ids=lambda module: module.__name__)
def test_the_verdict_is_that_of_the_whole(module, whole):
    found = set()
    verifier = PylintVerifier()
    source = inspect.getsource(module)[:9000].rpartition("\n\n\n")[0]
    for number, text in enumerate(states(source, random.Random(1))):
        if number == 60:
            break
        (problems,) = verifier.problems([text])
        assert problems == whole(text)
        found.update(problem.code for problem in problems)
    assert "E0001" in found
    assert len(found) > 1


SAME = "def f(a):\n    return a + missing\n"


def test_sources_that_differ_in_comments_are_linted_once(monkeypatch):
    verifier = PylintVerifier()
    verifier.problems(["x = 1\n"])
    asked = []
    lint = verifier._linter._lint

    def recorded(source, **options):
        asked.append(source)
        return lint(source, **options)

    monkeypatch.setattr(verifier._linter, "_lint", recorded)
    commented = "# a comment\n\n" + SAME.replace("    return", "    # another\n    return")
    first, second, third = verifier.problems([SAME, commented, "\n" + SAME])
    assert len(asked) == 1
    assert [p.line for p in (*first, *second, *third)] == [1, 4, 2]
    assert {p.code for p in (*first, *second, *third)} == {"E0602"}


def test_a_message_that_names_a_line_names_the_sources_own(whole):
    source = "# a\ndef f():\n    return 1\n\n\ndef f():\n    return 2\n"
    (problems,) = PylintVerifier().problems([source])
    assert [p.message for p in problems] == ["function already defined line 2"]
    assert problems == whole(source)
