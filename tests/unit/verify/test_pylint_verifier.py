"""The reference is pylint itself, run as a program, one file a time."""

import gc
import os
import subprocess
import sys
import threading

import pytest
from astroid import nodes

from linewise.verify import PylintVerifier
from linewise.verify import pylint_verifier as module

SOURCES = {
    "clean": "import os\n\n\ndef size(path):\n    return os.stat(path).st_size\n",
    "no-member": "import os\nprint(os.no_such_thing)\n",
    "undefined": "def f(x):\n    return x + y\n",
    "used-before": "def f():\n    print(a)\n    a = 1\n",
    "indentation": "class A:\n   def f(self):\n      return 1\n",
    "super-init": "class A:\n    def __init__(self):\n        self.a = 1\n\n\nclass B(A):\n"
    "    def __init__(self):\n        self.b = 2\n",
    "syntax": "def f(:\n    return 1\n",
    "no-block": "def f():\nx = 1\n",
    "bad-import": "import no_such_module_anywhere\nfrom . import sibling\n",
    "redefined": "def f():\n    return 1\n\n\ndef f():\n    return 2\n",
    "arguments": "def f(a):\n    return a\n\n\nf()\nf(1, 2)\n",
    "pragma": "import os\nprint(os.nothing)  # pylint: disable=no-member\n",
    "skipped": "# pylint: skip-file\nprint(nothing)\n",
    "cookie": "# coding: no-such-codec\nx = 1\n",
    "assigns": "import json\njson.linewise_mark = 1\njson.JSONEncoder.linewise_mark = 2\n",
    "reads": "import json\nprint(json.linewise_mark)\nprint(json.JSONEncoder().linewise_mark)\n",
    "typing": "from typing import NamedTuple\n\n\nclass P(NamedTuple):\n    x: int\n\n\nprint(P(1).y)\n",
    "crlf": "def f():\r\n    return g\r\n",
    "empty": "",
}


# Imports pylint once, then runs its command in a fresh fork for each file, in the file's own folder.
OUTSIDE = """
import os, sys
from pylint.lint import Run
for path in sys.argv[1:]:
    print("file", path, flush=True)
    if not os.fork():
        os.chdir(os.path.dirname(path))
        try:
            Run(["--rcfile=", "--disable=C,R,I", "--reports=n", "--score=n", "--generated-members=cv2.*",
                 "--msg-template={C}|{msg_id}|{line}|{column}", os.path.basename(path)], exit=False)
            sys.stdout.flush()
        finally:
            os._exit(0)
    os.wait()
"""


def outside(paths):
    """For each path (line, column, code) of what counts, as the pylint command prints it."""
    run = subprocess.run(
        [sys.executable, "-c", OUTSIDE, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        env={**os.environ, "PYLINTHOME": str(paths[0].parent / "home")},
    )
    found = {path: [] for path in paths}
    current = None
    for row in run.stdout.splitlines():
        if row.startswith("file "):
            current = type(paths[0])(row[5:])
        elif row.count("|") == 3:
            category, code, line, column = row.split("|")
            if category in "EF" or code in ("W0311", "W0231"):
                found[current].append((max(0, int(line) - 1), int(column), code))
    return {path: sorted(rows) for path, rows in found.items()}


def places(problems):
    return sorted((p.line, p.column, p.code) for p in problems)


@pytest.fixture(scope="module")
def verifier():
    return PylintVerifier()


def test_a_batch_says_of_each_source_what_pylint_says_of_it_alone(verifier, tmp_path):
    paths = []
    for name, source in SOURCES.items():
        # One folder each: a neighbour could be imported.
        paths.append(tmp_path / name / "alone.py")
        paths[-1].parent.mkdir()
        paths[-1].write_bytes(source.encode())
    expected = outside(paths)
    assert any(expected.values())
    verdicts = verifier.problems(list(SOURCES.values()))
    assert dict(zip(paths, map(places, verdicts), strict=True)) == expected


def test_a_verdict_depends_neither_on_the_batch_nor_on_what_came_before(verifier):
    names = list(SOURCES)
    forward = dict(zip(names, verifier.problems([SOURCES[n] for n in names]), strict=True))
    backward = dict(zip(names[::-1], verifier.problems([SOURCES[n] for n in names[::-1]]), strict=True))
    alone = {name: verifier.problems([SOURCES[name]])[0] for name in names}
    assert forward == backward == alone


def test_a_source_cannot_be_imported_by_another(verifier):
    verdicts = verifier.problems(["SECRET = 1\n", "from linewise_source import SECRET\n"])
    assert [p.code for p in verdicts[1]] == ["E0401"]


def test_an_emptied_cache_of_trees_changes_no_verdict(verifier, monkeypatch):
    sources = [SOURCES["assigns"], SOURCES["reads"]]
    before = verifier.problems(sources)
    monkeypatch.setattr(module, "_MAX_TREES", 0)
    assert verifier.problems(sources) == before


def test_a_source_that_overwhelms_pylint_is_one_fatal_problem(verifier):
    (problem,) = verifier.problems(["a" + ".b" * 3000])[0]
    assert problem.code.startswith("F")
    assert verifier.problems(["x = 1\n"]) == [()]


@pytest.mark.parametrize(("source", "line"), [("x = '\0'\n", None), ("a = 1\nb = '\ud800'\n", 1)])
def test_text_that_no_file_can_hold_is_a_syntax_error(verifier, source, line):
    (problem,) = verifier.problems([source])[0]
    assert problem.code == "E0001"
    if line is not None:
        assert problem.line == line


def test_the_caller_keeps_its_folder_its_path_and_its_output(verifier, capfd):
    before = (os.getcwd(), list(sys.path), set(os.listdir()))  # noqa: PTH109, PTH208
    verifier.problems(["x = '\\d'\nimport nothing_there\n", "x = (", "a" + ".b" * 3000])
    assert (os.getcwd(), list(sys.path), set(os.listdir())) == before  # noqa: PTH109, PTH208
    assert capfd.readouterr() == ("", "")


def test_a_configuration_in_the_folder_is_not_read(verifier, tmp_path, monkeypatch):
    (tmp_path / ".pylintrc").write_text("[MESSAGES CONTROL]\ndisable=all\n")
    monkeypatch.chdir(tmp_path)
    assert [p.code for p in PylintVerifier().problems(["print(nothing)\n"])[0]] == ["E0602"]


def test_threads_get_the_verdicts_of_their_own_sources(verifier):
    seen = {}

    def work(name):
        seen[name] = verifier.problems([f"print({name})\n"] * 5)

    threads = [threading.Thread(target=work, args=(f"name{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: {p.message for v in verdicts for p in v} for name, verdicts in seen.items()} == {
        f"name{n}": {f"Undefined variable 'name{n}'"} for n in range(4)
    }


def test_the_trees_of_sources_that_were_linted_are_let_go(verifier):
    def linted(count, first):
        verifier.problems(
            [f"class A{at}:\n    def f(self):\n        return self.x\n" for at in range(first, first + count)]
        )
        gc.collect()
        return sum(type(thing) is nodes.ClassDef and thing.name[1:].isdigit() for thing in gc.get_objects())

    # Pylint's own caches would keep each.
    assert linted(120, 0) < 10
    assert linted(120, 1000) < 10
