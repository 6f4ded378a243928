"""What to sample from programs: how many sequences, by which method, from which lines."""

from __future__ import annotations

import ast
import functools
import io
import random
import tokenize
from dataclasses import dataclass

from linewise.edits import Lines
from linewise_training.lintseq.braces import bracketed_blocks
from linewise_training.lintseq.errors import UnusableProgramError
from linewise_training.lintseq.sampler import Blocks, Walk, indented_blocks, random_walk, walk, whole_walk

PYTHON = "python"
# What `Plan.blank_lines` may be.
BLANK_LINES = ("alone", "with-next")


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings that sequences depend on.

    `method` is "lintseq", or "randseq" for the paper's ablation (section 3.4), which asks no verifier, or
    "whole" for one edit that writes all, which asks none either and draws nothing. Lines that are ignored
    are not drawn: they go with a block or a fault, or all together at the end of a walk. Blank lines count as
    comments. In another `language` than Python blocks are told by brackets, and no lines can be ignored.
    `blank_lines` is "alone" where a blank line is drawn like another, "with-next" where it
    goes with the line that it leads to; a line of a single character then counts as indented as it is.
    """

    samples: int
    seed: int
    method: str = "lintseq"
    drop_repeats: bool = False
    ignore_imports: bool = False
    ignore_comments: bool = False
    ignore_globals: bool = False
    language: str = PYTHON
    blank_lines: str = "alone"

    def begin(self, lines: Lines, index: int, sample: int) -> Walk:
        """The walk for the `sample`-th sequence of program `index`.

        Raises UnusableProgramError where lines shall be ignored and the program does not parse.
        """
        # A string seeds by its hash in SHA-512: the same on every machine, and near seeds are unrelated.
        rng = random.Random(f"{self.seed}/{index}/{sample}")
        ignored = self.ignored(lines)
        blanks_lead = self.blank_lines == "with-next"
        if self.method == "whole":
            return whole_walk(lines)
        if self.method == "randseq":
            return random_walk(lines, rng, ignored, blanks_lead=blanks_lead)
        blocks_of: Blocks = functools.partial(indented_blocks, shortest=1 if blanks_lead else 2)
        if self.language != PYTHON:
            blocks_of = functools.partial(bracketed_blocks, language=self.language)
        return walk(lines, rng, ignored, blocks_of=blocks_of, blanks_lead=blanks_lead)

    def ignored(self, lines: Lines) -> frozenset[int]:
        """The 0-based numbers of the lines that are not drawn."""
        if not (self.ignore_imports or self.ignore_comments or self.ignore_globals):
            return frozenset()
        source = "\n".join(lines)
        found: set[int] = set()
        try:
            tree = ast.parse(source)
            if self.ignore_imports:
                found.update(_import_lines(tree))
            if self.ignore_globals:
                found.update(_global_lines(tree))
            if self.ignore_comments:
                found.update(_comment_lines(source))
                found.update(at for at, line in enumerate(lines) if not line.strip())
        except (SyntaxError, ValueError, RecursionError, tokenize.TokenError) as error:
            raise UnusableProgramError(f"what lines to ignore cannot be told: {error}") from error
        return frozenset(found)


def _import_lines(tree: ast.Module) -> set[int]:
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for line in range(node.lineno - 1, node.end_lineno or node.lineno)
    }


def _global_lines(tree: ast.Module) -> set[int]:
    """The lines inside the values of a module's constants; the line that names the constant may be drawn."""
    return {
        line
        for node in tree.body
        if isinstance(node, ast.Assign)
        and all(isinstance(target, ast.Name) and target.id.isupper() for target in node.targets)
        for line in range(node.lineno, node.end_lineno or node.lineno)
    }


def _comment_lines(source: str) -> set[int]:
    return {
        token.start[0] - 1
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip()
    }
