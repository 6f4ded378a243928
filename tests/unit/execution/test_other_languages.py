"""What programs in other languages than Python score."""

from __future__ import annotations

import os
import shutil

import pytest

from linewise_training.execution import Job, Runner, Status
from linewise_training.execution.languages import OTHERS, java_main_class, one_java_file

SECONDS = 60  # enough on any machine; a test that hangs has its own
ADD = {
    "c": "int f(int x) { return x + 1; }",
    "cpp": "#include <vector>\nint f(int x) { return std::vector<int>(x + 1).size(); }",
    "java": "import java.util.*;\npublic class Adder { static int f(int x) { return x + 1; } }",
    "javascript": "const f = (x) => x + 1;",
    "typescript": "const f = (x: number): number => x + 1;",
    "go": 'package main\n\nimport "fmt"\n\nfunc f(x int) int {\n\tfmt.Println(x)\n\treturn x + 1\n}',
}
TEST = {
    "c": "#include <assert.h>\nint main(void) { assert(f(1) == EXPECTED); }",
    "cpp": "#include <cassert>\nint main() { assert(f(1) == EXPECTED); }",
    "java": "import java.io.*;\npublic class Main {\n  public static void main(String[] args) {\n"
    "    if (Adder.f(1) != EXPECTED) throw new AssertionError();\n  }\n}",
    "javascript": "require('assert').strictEqual(f(1), EXPECTED)",
    "typescript": "import * as assert from 'assert'\nassert.strictEqual(f(1), EXPECTED)",
    "go": 'func main() {\n\tif f(1) != EXPECTED {\n\t\tpanic("test case 1 failed to pass")\n\t}\n}',
}
NO_CODE = dict.fromkeys(ADD, "this is no program (")
FAULT = {
    "c": "#include <stdlib.h>\nint f(int x) { abort(); }",
    "cpp": '#include <stdexcept>\nint f(int x) { throw std::runtime_error("no"); }',
    "java": "class Adder { static int f(int x) { int[] none = { }; return none[x]; } }",
    "javascript": "const f = (x) => x.no.more",
    "typescript": "const f = (x: any): number => x.no.more",
    "go": "package main\n\nfunc f(x int) int { return make([]int, 0)[x] }",
}
LEAVES = {
    "c": "#include <stdlib.h>\nint f(int x) { exit(0); }",
    "cpp": "#include <cstdlib>\nint f(int x) { std::_Exit(0); }",
    "java": "class Adder { static int f(int x) { System.exit(0); return 0; } }",
    "javascript": "const f = (x) => process.exit(0)",
    "typescript": "const f = (x: number): number => process.exit(0)",
    "go": 'package main\n\nimport "os"\n\nfunc f(x int) int {\n\tos.Exit(0)\n\treturn 0\n}',
}
ENDLESS = {
    "c": "int f(int x) { for (volatile int i = 0;; i++) {} }",
    "cpp": "int f(int x) { for (volatile int i = 0;; i++) {} }",
    "java": "class Adder { static int f(int x) { while (true) {} } }",
    "javascript": "const f = (x) => { for (;;) {} }",
    "typescript": "const f = (x: number): number => { for (;;) {} }",
    "go": "package main\n\nfunc f(x int) int {\n\tfor {\n\t}\n}",
}
MISSING = {
    "c": "#include <no_such_header.h>",
    "cpp": "#include <no_such_header.h>",
    "java": "import org.nosuch.Thing;\nclass Adder { static int f(int x) { return 2; } }",
    "javascript": "const f = require('no-such-module')",
    "typescript": "import f from 'no-such-module'",
    "go": 'package main\n\nimport "example.com/nosuch"\n\nfunc f(x int) int { return nosuch.F(x) }',
}


@pytest.fixture(scope="module")
def runner():
    with Runner(1) as opened:
        yield opened


@pytest.fixture(params=sorted(OTHERS))
def language(request):
    if reason := OTHERS[request.param].missing():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    return request.param


def run(runner, language, code, *expected, timeout=SECONDS):
    tests = tuple(TEST[language].replace("EXPECTED", str(value)) for value in expected)
    (verdict,) = runner.run([Job(code, tests, language, timeout)])
    return verdict


def test_each_test_has_its_own_result(runner, language):
    verdict = run(runner, language, ADD[language], 2, 3)
    assert verdict.status is Status.PARTIAL, verdict
    assert [test.passed for test in verdict.tests] == [True, False]
    assert "ssert" in verdict.message or "failed to pass" in verdict.message


@pytest.mark.parametrize(
    ("programs", "status"),
    [(ADD, Status.PASS), (NO_CODE, Status.COMPILE_ERROR), (FAULT, Status.RUNTIME_ERROR),
     (LEAVES, Status.RUNTIME_ERROR), (MISSING, Status.ENVIRONMENT)],
    ids=["right", "no code", "fault", "exits with 0", "missing module"],
)  # fmt: skip
def test_a_program_scores(runner, language, programs, status):
    verdict = run(runner, language, programs[language], 2)
    assert verdict.status is status, verdict
    assert verdict.tests[0].passed == (status is Status.PASS)
    assert bool(verdict.message) == (status is not Status.PASS)


def test_an_endless_program_times_out(runner, language):
    run(runner, language, ADD[language], 2)  # what is started once is started
    verdict = run(runner, language, ENDLESS[language], 2, timeout=2)
    assert verdict.status is Status.TIMEOUT
    assert verdict.message == "not done in 2 seconds"


def test_no_language_needs_namespaces(language):
    with Runner(1, namespaces=False) as opened:
        verdict = run(opened, language, ADD[language], 2)
    assert verdict.status is Status.PASS, verdict


def test_types_are_checked(runner):
    if reason := OTHERS["typescript"].missing():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    verdict = run(runner, "typescript", "const f = (x: number): string => x + 1;", 2)
    assert verdict.status is Status.COMPILE_ERROR
    assert "TS2322" in verdict.message


def test_a_failed_console_assertion_is_a_failure(runner):
    if reason := OTHERS["javascript"].missing():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    (verdict,) = runner.run([Job(ADD["javascript"], ("console.assert(f(1) === 3)",), "javascript", SECONDS)])
    assert verdict.status is Status.PARTIAL
    assert verdict.message == "Error: Assertion failed"


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_a_missing_compiler_is_said_in_words(name, monkeypatch, tmp_path):
    (tmp_path / "true").symlink_to(shutil.which("true"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with Runner(1) as bare:
        verdict = run(bare, name, ADD[name], 2)
    assert verdict.status is Status.ENVIRONMENT
    assert "not found; install with: " in verdict.message


def test_parts_of_java_files_become_one():
    code = "package a.b;\nimport java.util.List;\npublic final class A { }"
    test = "import java.util.List;\nimport static java.lang.Math.*;\npublic class B {\n  int f;\n}"
    whole = "import java.util.List; import static java.lang.Math.*; final class A { } class B { int f; }"
    assert " ".join(one_java_file(f"{code}\n{test}").split()) == whole


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("class A { }\nclass Main {\n  public static void main(String[] args) { }\n}", "Main"),
        ("public class Tests {\n  static public void main(String... args) { }\n}\nclass Z { }", "Tests"),
        ("class A { }", "A"),
        ("", "Main"),
    ],
)
def test_the_class_that_is_run_has_the_last_main(source, name):
    assert java_main_class(source) == name
