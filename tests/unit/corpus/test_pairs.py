import ast
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewise_training.corpus import SourceFile, function_pairs
from linewise_training.corpus.functions import free_names, indented_by_four, without_docstring
from linewise_training.corpus.pairs import first_sentence, module_pair


def pairs(source):
    text = textwrap.dedent(source)
    file = SourceFile(text, "m.py", "o", "1", "MIT", "")
    return [(pair.instruction, pair.program) for pair in function_pairs(file, ast.parse(text))]


def test_the_first_sentence_asks_for_the_function_without_its_docstring():
    assert pairs('''
        def area(r):
            """Return the area of a circle. More about it.

            :param r: radius
            """

            # exact
            return 3 * r * r
    ''') == [("Return the area of a circle.", "def area(r):\n    # exact\n    return 3 * r * r")]


def test_a_program_brings_the_imports_and_definitions_that_it_needs_and_no_more():
    ((_, program),) = pairs('''
        import os, sys
        import numpy as np
        from math import pi, sin
        UNUSED = 1
        SCALE = 2


        def scaled(r):
            return SCALE * r


        def area(r):
            """Return the area of a circle."""
            return np.array(pi) * scaled(r)
    ''')
    assert program == (
        "import numpy as np\nfrom math import pi\n\n\nSCALE = 2\n\n\n"
        "def scaled(r):\n    return SCALE * r\n\n\ndef area(r):\n    return np.array(pi) * scaled(r)"
    )
    assert free_names(program) == frozenset()


@pytest.mark.parametrize(
    "source",
    [
        'def f(a):\n    """Return a thing from elsewhere."""\n    return elsewhere(a)\n',
        'import requests\n\n\ndef f(a):\n    """Return a thing from there."""\n    return requests.get(a)\n',
        'def f(self):\n    """Return a thing of mine."""\n    return self.a\n',
        'def f(a):\n    """Return a thing in the future."""\n    raise NotImplementedError\n',
        'def f(a):\n    """Return a thing in the future."""\n',
        'import numpy._core as c\n\n\ndef f(a):\n    """Return a private thing."""\n    return c.b(a)\n',
        'from os import _exit\n\n\ndef f(a):\n    """Leave at once and for all."""\n    _exit(a)\n',
        'def f(a):\n    """Return a thing from beside."""\n    from . import b\n    return b(a)\n',
        'def f(a):\n    """Return a thing from there."""\n    import requests\n    return requests.get(a)\n',
        "def f(a):\n    return a\n",
        'def f(a):\n    """Short."""\n    return a\n',
        'def f(a):\n    """Return very much."""\n' + "    a += 1\n" * 70 + "    return a\n",
    ],
)
def test_what_does_not_stand_alone_is_no_pair(source):
    assert pairs(source) == []


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("Return :func:`~os.path.join` of ``a`` and `b`.", "Return os.path.join of a and b."),
        ("Return **exactly** 2**n of them.", "Return exactly 2**n of them."),
        ("Return e.g. the first.  Then more.", "Return e.g. the first."),
        ("Return the\nfirst\n\nSecond paragraph.", "Return the first"),
        ("Return the first:\n:param a: b", "Return the first"),
        (">>> f(1)\n2", None),
        ("Deprecated since long ago.", None),
        ("Overrides the parent's way of doing it.", None),
        ("Equation (10.42) of the book.", None),
        ("Partition entries into two, like::\n\n    partition(a)", None),
        ("Return one of the following:\n\n- a\n- b", None),
        ("Latest of all test results.", None),
        ("Return the latest, as it stands.", "Return the latest, as it stands."),
        ("Gibt die Größe zurück.", None),
        ("word " * 80, None),
    ],
)
def test_docstring_markup_and_noise_are_taken_off(docstring, sentence):
    assert first_sentence(docstring) == sentence


MODULE = '''#!/usr/bin/env python
# Copyright 2020 Somebody
"""Count the words of files. It is small.

More about it.
"""

import sys

import requests


def words(text):
    """Return how many words there are."""
    return len(text.split())


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(words(requests.get(name).text))
'''


def whole(text):
    found = module_pair(SourceFile(text, "m.py", "o", "1", "MIT", ""), ast.parse(text))
    return found and (found.instruction, found.program)


def test_a_small_file_is_a_program_whose_docstring_says_what_it_is_for():
    instruction, program = whole(MODULE)
    assert instruction == "Count the words of files."
    assert program.startswith("import sys\n\nimport requests\n\n\ndef words(text):\n    return len(")
    assert program.endswith("print(words(requests.get(name).text))")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Count the words of files.", "Deprecated."),
        ("import sys", "from . import sys"),
        ("import requests", "from requests import *"),
        ("    return len", "    x = 1\n" * 100 + "    return len"),
        ("    return len", f"    x = '{'long' * 800}'\n    return len"),
        ("import sys\n", "import sys\n\n" + "".join(f"CODE_{n} = {n}\n" for n in range(30))),
        ("def words(text):\n", "words = lambda text: 1\nif 1:\n"),
    ],
)
def test_a_file_that_says_nothing_needs_its_package_or_is_long_is_no_pair(old, new):
    assert old in MODULE
    assert whole(MODULE.replace(old, new)) is None


def test_a_body_that_was_only_a_docstring_becomes_pass():
    assert without_docstring('class A:\n    """Doc."""\n') == "class A:\n    pass\n"


def test_strings_that_are_no_docstrings_stay():
    source = 'def f():\n    x = 1\n    """not first"""\n    return """a\n  b"""'
    assert without_docstring(source) == source


BODY = st.recursive(
    st.sampled_from([["x = 1"], ["y = '''a", "   b'''"], ["z = (1,", "  2)"], ["# note", "w = 2"]]),
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(
        lambda parts: ["if x:", *(" " + line for part in parts for line in part)]
    ),
    max_leaves=6,
)


@given(BODY, st.sampled_from([1, 2, 3, 8]))
def test_indentation_in_fours_changes_neither_meaning_nor_strings(lines, width):
    lines = [" " * ((len(line) - len(line.lstrip())) * width) + line.lstrip() for line in lines]
    source = "\n".join(["x = 0", *lines])
    result = indented_by_four(source)
    assert ast.dump(ast.parse(result)) == ast.dump(ast.parse(source))
    for node in ast.walk(ast.parse(result)):
        if isinstance(node, ast.If):
            assert node.body[0].col_offset == node.col_offset + 4
