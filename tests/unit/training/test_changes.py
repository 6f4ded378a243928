"""Changes of real code: what is asked for is done, and each hunk leaves a file as clean as it was."""

from __future__ import annotations

import ast
import random
import re
from pathlib import Path

import pytest

import linewise
from linewise.edits import Hunk, apply_hunk, join_lines, sequential
from linewise.verify import FastVerifier, new_problems
from linewise_training.changes import KINDS, read_code
from linewise_training.examples import EDIT_LOG, changing_example, changing_task

FILES = sorted(Path(linewise.__file__).parent.rglob("*.py"))[:60]

SOURCE = '''\
import os
import re
from typing import Any

LIMIT = 100


def read(path: str, limit: int = 10, **rest: Any) -> str:
    """Read a file.

    Args:
        path: Where it is.
    """
    # all of it
    with open(path) as file:
        text = file.read(limit)
    return re.sub("a", text, os.fspath(path))


def unused(first, second=None):
    return f"{first}" + str(second)
'''


def made(kind, times=200, source=SOURCE):
    """All changes of a kind that are drawn in `source`."""
    code = read_code(source)
    found = [KINDS[kind].make(code, random.Random(seed)) for seed in range(times)]
    return [one for one in found if one is not None]


def done(change):
    return join_lines(change.after)


def words(text):
    return set(re.findall(r"\w+", text))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_changes_what_parses_into_what_parses(kind):
    changes = made(kind)
    assert changes
    for change in changes:
        ast.parse(join_lines(change.before))
        ast.parse(done(change))
        assert SOURCE in (join_lines(change.before), done(change)) or kind == "imports"


def test_a_renaming_reaches_every_place_of_the_name_and_nothing_else():
    changes = [one for one in made("renaming") if re.search(r"\bpath\b", one.instruction)]
    assert len(changes) > 20
    for change in changes:
        (new,) = words(done(change)) - words(SOURCE)
        assert new in change.instruction
        # Five places: the parameter, its line in the docstring, and three uses; the call's keyword stays.
        assert done(change) == re.sub(r"\bpath\b", new, SOURCE)
        assert change.at_once


def test_a_name_in_an_f_string_is_not_renamed():
    assert not any(re.search(r"\bfirst\b", one.instruction) for one in made("renaming"))


def test_a_name_that_is_taken_is_not_given():
    for change in made("renaming"):
        assert len(words(done(change)) - words(SOURCE)) == 1


def test_type_hints_go_and_come_with_their_spaces():
    bare = {join_lines(one.before) for one in made("type hints") if "emove" not in one.instruction}
    (text,) = (text for text in bare if "def read(path, limit=10, **rest):" in text)
    assert (
        text.replace("path, limit=10, **rest)", "path: str, limit: int = 10, **rest: Any) -> str") == SOURCE
    )


def test_what_an_instruction_says_is_what_comes():
    for change in made("a value"):
        assert re.search(r"LIMIT\b", change.instruction)
        value = re.search(r"^LIMIT = (\d+)$", done(change), re.MULTILINE)
        assert value
        assert value[1] in change.instruction
    for change in made("a parameter"):
        new = re.search(r"def unused\(first, second=None, (\w+)=(.+)\):", done(change))
        assert new
        assert new[1] in change.instruction
        assert new[2] in change.instruction
    for change in made("a deletion"):
        assert "unused" in change.instruction
        assert "unused" not in done(change)
        assert "def read" in done(change)


def test_an_import_is_asked_for_where_its_use_is_seen():
    code = read_code(SOURCE + "\n" * 30 + "late = re.compile('')\n")
    for seed in range(200):
        change = KINDS["imports"].make(code, random.Random(seed))
        if change and change.reason is not None:
            missing = set(done(change).split("\n")) - set(join_lines(change.before).split("\n"))
            (line,) = missing
            assert re.search(rf"\b{line.split()[-1]}\b", change.before[change.reason])


def test_every_hunk_of_a_change_leaves_a_whole_file_as_clean_as_it_was():
    verifier, kinds, unclean = FastVerifier(), set(), []
    for number, path in enumerate(FILES):
        task = changing_task(path.name, read_code(path.read_text()), 10**6, random.Random(number))
        if task is None:
            continue
        kinds.add(task.kind)
        first, state = task.task.log.first_line, task.before
        for hunk in (hunk for edit in task.task.edits for hunk in sequential(edit)):
            after = apply_hunk(state, Hunk(hunk.start + first, hunk.removed, hunk.added))
            before, now = verifier.problems([join_lines(state), join_lines(after)])
            unclean += [(path.name, task.kind, one) for one in new_problems(state, after, before, now)]
            state = after
        ast.parse(join_lines(state))
    assert len(kinds) > 6
    assert not unclean


def test_an_example_fits_its_window_and_learns_only_what_is_written():
    rng, longest, seen = random.Random(5), 1500, 0
    for path in FILES:
        code = read_code(path.read_text())
        example = changing_example(path.name, code, longest, rng, EDIT_LOG)
        if example is None:
            continue
        seen += 1
        learned = [piece.text for piece in example if piece.learned_from == 0]
        assert learned[0] == "<|diff|>"
        assert learned[-1] == "<|endoftext|>"
        assert sum(len(piece.text) for piece in example) < longest * 1.4
    assert seen > 40


def test_code_that_does_not_parse_is_none():
    assert read_code("def f(:\n") is None


def test_code_whose_lines_the_tree_counts_in_another_way_is_none():
    assert read_code(SOURCE.replace("\n", "\r")) is None
    assert read_code(SOURCE.replace("\n", "\r\n")) is not None


def test_a_parameter_that_others_go_by_is_not_renamed():
    sources = (
        "def area(width, height):\n    return width * height\n\n\nprint(area(width=1, height=2))\n",
        "@option('--width')\ndef area(width):\n    return width * 2\n",
        "def test_area(width):\n    assert width > width - 1\n",
        "def area(width):\n    width += 1\n    return eval('width')\n",
        "def area(width=width):\n    return width + width\n",
        "def area(width):\n    return max(width, key=lambda width: width)\n",
    )
    for source in sources:
        assert not [one for one in made("renaming", 40, source) if "width" in one.instruction], source


def test_a_function_is_renamed_only_where_all_that_has_its_name_is_the_function():
    renamed = "class File:\n    def close(self):\n        pass\n\n    def end(self):\n        self.close()\n"
    changes = made("renaming of a function", 60, renamed)
    assert changes
    assert not any(
        re.search(r"\bclose\b", done(change)) for change in changes if "close" in change.instruction
    )
    for other in ("self._file.close()", "shut(close=1)", "shut('close')", "shut()  # close it"):
        source = renamed.replace("self.close()", f"self.close()\n        {other}")
        changes = made("renaming of a function", 60, source)
        assert not [one for one in changes if "close" in one.instruction], other


def test_an_instruction_names_the_function_where_others_have_the_same_name():
    source = "def one(path=1):\n    return path\n\n\ndef two(path=1):\n    return path\n"
    for kind in ("renaming", "a default", "a check"):
        changes = made(kind, 60, source)
        assert changes
        for change in changes:
            name = "one" if change.before[:2] != change.after[:2] else "two"
            assert re.search(rf"\b{name}\b", change.instruction), change.instruction


def test_what_calls_a_function_goes_on_to_when_it_takes_another_parameter():
    changes = made("a parameter", 60, "def one(first):\n    return first\n\n\none(1)\n")
    assert changes
    assert all(re.search(r"def one\(first, \w+=", done(change)) for change in changes)


def test_what_stands_in_parentheses_of_its_own_is_left():
    assert not made("a parameter", 60, "def one(first=(1)):\n    return first\n")
    assert not made("type hints", 60, "def one(first: (int)):\n    return first\n")


def test_comments_are_all_of_a_functions_comments_and_nothing_else():
    source = 'def one():\n    """Say.\n\n    # no comment\n    """\n    # a comment\n    return 1\n'
    for change in made("comments", 20, source):
        assert {join_lines(change.before), done(change)} == {source, source.replace("    # a comment\n", "")}
    assert made("comments", 20, source)
    assert not made("comments", 20, source.replace("return 1", "return 1  # too"))


def test_no_check_returns_a_value_where_none_can_be():
    for body in ("        self.first = first\n", "        yield first\n"):
        name = "each" if "yield" in body else "__init__"
        source = f"class One:\n    def {name}(self, first):\n{body}"
        changes = made("a check", 100, source)
        assert changes
        assert not [change for change in changes if re.search(r"\breturn \w", done(change))]


def test_an_import_that_shares_its_line_is_left():
    assert made("imports", 40, "import os\n\nos.sep\n")
    assert not made("imports", 40, "import os; import re\n\nos.sep\n")
