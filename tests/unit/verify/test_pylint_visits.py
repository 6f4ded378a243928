"""That what is left out of pylint's walk finds nothing that counts, in the pylint that is installed."""

import inspect
import re

import pytest
from pylint.lint import PyLinter

from linewise.verify import PylintVerifier
from linewise.verify.pylint_visits import PARTS


def methods(name, method):
    linter = PyLinter()
    linter.load_default_plugins()
    return [getattr(checker, method) for checker in linter.get_checkers() if type(checker).__name__ == name]


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_a_part_that_is_left_out_says_nothing_else(name, part):
    for method in methods(name, part):
        source = inspect.getsource(method)
        said = set(re.findall(r'add_message\(\s*f?"([\w-]+)"', source))
        assert said <= set(PARTS[name, part])
        assert source.count("add_message") == len(re.findall(r'add_message\(\s*"', source))
        # It calls no other part of its checker.
        assert set(re.findall(r"self\.(_\w+)\(", source)) <= set()


GATED = {
    "print('{}').format(1)\n": ["E0119"],
    "print(reversed(3))\n": ["E0111"],
    "class A:\n    def __len__(self):\n        return -1\n": ["E0303"],
    "class A:\n    def __iter__(self, other):\n        return iter(other)\n": ["E0302"],
    "x = 'a\b'\n": ["E2510"],
    "x = 'a\u202e'\n": ["E2502"],
}


@pytest.mark.parametrize("source", GATED)
def test_what_is_looked_at_only_where_it_can_be_is_found_there(source):
    (problems,) = PylintVerifier().problems([source])
    assert [problem.code for problem in problems] == GATED[source]
