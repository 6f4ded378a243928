"""LintSeq in languages whose blocks are told by brackets."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from linewise.edits import EditSequence, apply_edit, join_lines, parse_sequence, resolve, split_lines
from linewise.verify.syntax import SyntaxVerifier
from linewise_training.lintseq import lintseq_command
from linewise_training.lintseq.braces import bracketed_blocks

JAVASCRIPT = """/* Counts
 * words. */
import { log } from "./log.js";

export function count(words, options = {
  lower: true,
}) {
  const found = new Map();
  words.forEach((word) => {
    if (options.lower) {
      word = word.toLowerCase();
    } else if (!word) {
      return;
    } else {
      log(`a
        ${word}
      `);
    }
    found.set(word, (found.get(word) ?? 0) + 1);
  });
  return found;
}
"""
PROGRAMS = {
    "javascript": JAVASCRIPT,
    "typescript": """interface Point {
  x: number;
  y: number;
}

export const norm = (p: Point): number => {
  const { x, y } = p;
  return Math.hypot(
    x,
    y,
  );
};
""",
    "java": """package a;

class Stack<T> {
  private T top;

  T pop() {
    try {
      return top;
    } finally {
      top = null;
    }
  }
}
""",
    "go": """package main

import (
  "fmt"
)

func main() {
  for i := 0; i < 3; i++ {
    if i > 1 {
      fmt.Println(`a
`)
    }
  }
}
""",
    "c": """#include <stdio.h>

#ifdef LOUD
#define N 2
#else
#define N 1
#endif

int main(void) {
  int i = 0;
  do {
    puts("a");
  } while (++i < N);
  return 0;
}
""",
    "cpp": """#include <vector>

namespace a {
template <class T>
class Box {
 public:
  T get() const {
    return value_;
  }

 private:
  T value_{};
};
}  // namespace a
""",
}


def going(language, source, text):
    """The numbers, from 1, of the lines that go with the first line that holds `text`."""
    lines = split_lines(source)
    at = next(number for number, line in enumerate(lines) if text in line)
    return [line + 1 for line in bracketed_blocks(lines, language)[at] if line != at]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("Counts", [2]),
        ("words. */", [1]),
        ("import", []),
        ("words.forEach", [*range(10, 21)]),
        ("if (options", [*range(11, 19)]),
        ("else if", [13]),
        ("} else {", [15, 16, 17]),
        ("log(`", [16, 17]),
        ("return;", []),
        ("  });", [*range(9, 20)]),
        ("return found", []),
        ("export function", [*range(6, 23)]),
        ("}) {", [5, 6, *range(8, 23)]),
    ],
)
def test_a_block_goes_with_the_line_that_opens_it(text, lines):
    assert going("javascript", JAVASCRIPT, text) == lines


@pytest.mark.parametrize("language", PROGRAMS)
def test_no_line_leaves_a_bracket_without_partner_when_it_goes_with_its_block(language):
    lines = split_lines(PROGRAMS[language])
    for at, block in enumerate(bracketed_blocks(lines, language)):
        rest = join_lines([line for n, line in enumerate(lines) if n != at and n not in block])
        for problem in SyntaxVerifier(language).problems([rest])[0]:
            assert "closed" not in problem.message, (lines[at], problem)
            assert "closes nothing" not in problem.message, (lines[at], problem)


def run(tmp_path, language, *programs, options=()):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps({"instruction": "", "program": text}) + "\n" for text in programs))
    arguments = ["--in", str(source), "--out", str(out), "--samples", "4", "--language", language, *options]
    return CliRunner().invoke(lintseq_command, arguments), out


@pytest.mark.parametrize("language", PROGRAMS)
def test_every_state_parses_and_the_edits_insert_the_program(tmp_path, language):
    verifier = SyntaxVerifier(language)
    broken = PROGRAMS[language] + "}\n"
    result, out = run(tmp_path, language, PROGRAMS[language], broken)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["source"], row["sample"]) for row in rows] == [(0, sample) for sample in range(4)]
    assert len({tuple(row["edits"]) for row in rows}) > 1
    for row in rows:
        edits = [parse_sequence(text).edits[0] for text in row["edits"]]
        assert join_lines(resolve(EditSequence(tuple(edits)))) == row["program"]
        lines = ()
        for edit in edits:
            assert not any(hunk.removed for hunk in edit.hunks)
            lines = apply_edit(lines, edit)
            assert verifier.problems([join_lines(lines)]) == [()]
    skipped = out.with_name(out.name + ".skipped.jsonl").read_text()
    assert "the program has a syntax error: line " in skipped


def test_what_is_for_python_alone_is_wrong_usage(tmp_path):
    for option in (["--linter", "pylint"], ["--ignore-imports"]):
        result, out = run(tmp_path, "go", "package a\n", options=option)
        assert result.exit_code == 2
        assert "with --language go" in result.output
        assert not out.exists()
