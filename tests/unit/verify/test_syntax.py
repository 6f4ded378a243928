"""What the tree-sitter verifier calls a fault, where, and what it says when a grammar is missing."""

from __future__ import annotations

import sys

import pytest

from linewise.errors import LinewiseError
from linewise.verify import get_verifier
from linewise.verify.syntax import LANGUAGES, Span, SyntaxVerifier

CLEAN = {
    "javascript": "function f(a) {\n  if (a) {\n    return `x\n${a} {`;\n  } else {\n    b(/[{]/);\n  }\n}\n",
    "typescript": "interface A<T> { x: T[] }\nexport function f<T>(a: A<T>): T {\n  return a.x[0];\n}\n",
    "java": 'class A {\n  String s = """\n    {\n    """;\n  <T> void f() { /* { */ }\n}\n',
    "go": "package main\n\nfunc main() {\n\tfor i := range []int{\n\t\t1,\n\t} {\n\t\tprint(i)\n\t}\n}\n",
    "c": '#include <a.h>\n#ifdef A\n#define B(x) (x)\n#else\nint y;\n#endif\nint main(void) { puts("{"); }\n',
    "cpp": 'template <class T>\nstruct A : B<T> {\n  [[nodiscard]] int f() { return x[R"({)"]; }\n};\n',
}


def found(language, source):
    """Line (from 1), column and message of each problem."""
    problems = SyntaxVerifier(language).problems([source])[0]
    assert all(problem.code == "syntax-error" for problem in problems)
    return [(problem.line + 1, problem.column, problem.message) for problem in problems]


@pytest.mark.parametrize("language", LANGUAGES)
def test_clean_code_has_no_problems_and_cut_in_two_it_has(language):
    assert found(language, CLEAN[language]) == []
    assert found(language, "") == []
    header = CLEAN[language].index("\n", CLEAN[language].index("{\n" if language != "c" else "#ifdef"))
    assert found(language, CLEAN[language][:header])


@pytest.mark.parametrize(
    ("language", "source", "problems"),
    [
        ("javascript", "f(() => {\n  g();\n", [(1, 1, "'(' is never closed"), (1, 8, "'{' is never closed")]),
        ("javascript", "f();\n}\n", [(2, 0, "'}' closes nothing")]),
        ("javascript", "a = [1,\n 2);\n", [(1, 4, "'[' is never closed"), (2, 2, "')' closes nothing")]),
        ("javascript", "/* é */ else {\n}\n", [(1, 8, "this does not belong here")]),
        ("java", "class A {\n  int x = 1\n}\n", [(2, 11, "';' is missing")]),
        ("go", "func f() {\n\tif x {\n\t}\n\telse {\n\t}\n}\n", [(4, 1, "this does not belong here")]),
        ("c", "int x;\n#endif\n", [(2, 0, "'#endif' without '#if'")]),
        ("c", "#ifdef A\nint x;\n", [(1, 0, "'#ifdef' is never closed")]),
        ("c", "int x;\nint \0y;\n", [(2, 4, "a NUL character is not text")]),
        ("cpp", "int x;\n// \ud800", [(2, 3, "a lone surrogate is not text")]),
    ],
)
def test_a_fault_is_named_where_it_is(language, source, problems):
    assert found(language, source) == problems


@pytest.mark.parametrize("source", ["(" * 20_000, "[" * 20_000 + "]" * 20_000, "{" * 20_000, "'" * 20_001])
def test_no_nesting_is_too_deep(source):
    SyntaxVerifier("javascript").problems([source])


def test_sources_are_judged_each_by_itself():
    verdicts = SyntaxVerifier("go").problems(["package a\n", "package {", "package b\n"])
    assert [bool(problems) for problems in verdicts] == [False, True, False]


def test_spans_are_brackets_and_tokens_of_several_lines():
    spans = SyntaxVerifier("javascript").spans("if (a) {\n  /* x\n   { */\n} else {\n}\n)")
    assert [span for span in spans if span.first < span.last] == [
        Span(1, 2, "comment"),
        Span(0, 3, "}"),
        Span(3, 4, "}"),
    ]


def test_a_language_without_grammar_says_which_there_are():
    with pytest.raises(LinewiseError, match="no grammar for 'cobol'; choose from c, cpp, go, java"):
        get_verifier("syntax:cobol")


@pytest.mark.parametrize("missing", ["tree_sitter", "tree_sitter_go"])
def test_a_missing_grammar_says_how_to_install_it(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(LinewiseError, match=rf"checking go needs {missing},.*\[languages\]"):
        get_verifier("syntax:go")


def test_a_verifier_is_named_as_it_is_asked_for():
    assert get_verifier("syntax:cpp").name == "syntax:cpp"
