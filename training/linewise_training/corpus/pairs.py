"""Instruction pairs: what a short, self-contained function or class, or a small file, is for, and its source.

The instruction is the first sentence of the docstring, and the program is the function without its
docstrings, below the imports (standard library and numpy) and the definitions of its module that it needs.
Left out: methods alone, what needs other packages, and what is longer than 60 lines with all that. A file of
up to 100 lines is a program as it stands, whatever it imports, unless from its own package.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from linewise_training.corpus.functions import (
    free_names,
    indented_by_four,
    module_definitions,
    module_imports,
    with_definitions,
    with_imports,
    without_docstring,
)
from linewise_training.corpus.harvest import SourceFile

MIN_LINES, MAX_LINES = 2, 60
MIN_MODULE_LINES, MAX_MODULE_LINES, MAX_MODULE_CHARACTERS = 8, 100, 3000
MIN_WORDS, MAX_INSTRUCTION = 3, 240

_IMPORTABLE = frozenset(name for name in sys.stdlib_module_names if name[0] != "_") | {"numpy"}
_ROLE = re.compile(r":[a-zA-Z:]+:`~?\.?([^`<]+?)(?:\s*<[^`]*>)?`")
_LINK = re.compile(r"`([^`<]+?)\s*<[^`]*>`_+")
_EMPHASIS = re.compile(r"(?<!\w)\*\*(?=\S)(.+?)(?<=\S)\*\*(?!\w)")
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)(?<!etc\.)(?<!cf\.)(?<!vs\.)\s+(?=[A-Z\"'`(\[])")
_SECTION = re.compile(
    r"^\s*([:@>.|+\-=*#\[]|(args|arguments|parameters|params|returns?|raises|yields|usage)\s*:(\s|$))", re.I
)
# What says nothing of the code, or speaks of its place in a project that is not there.
_USELESS = re.compile(
    r"\b(deprecated|internal|private|xxx|todo|fixme|stub|placeholder|dummy|no-?op|(not |un)implemented"
    r"|overrid(e|es|den|ing)|monkey-?patch(es|ed|ing)?|workaround|hack|backport(ed)?|mix-?in|abstract"
    r"|(base|parent|super|sub) ?-?class(es)?|(unit)? ?tests?|testing|fixture|equations? \(?[\d.]+"
    r"|copyright|all rights reserved|vendored"
    r"|this (patch|class|method|module|function|code|file|package|script|is|was))\b|https?://"
    r"|^(see|same as|like|alias|wrapper|helper|override|legacy|trivial|base|raised|example|used"
    r"|i|we|you|it|its|this|that|these|those|there|if|note|but|so|also)\b",
    re.IGNORECASE,
)
# A sentence that ends so is cut short: what it announces was an example or a list.
_UNFINISHED = re.compile(
    r"\b(like|as|following|follows|e\.g|i\.e|the|an?|of|and|or|to|with|by|for|from|in|on|is|are|that|where)\W*$"
    r"|[,(\[]$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Pair:
    """An instruction and a program that answers it, with where the program is from."""

    instruction: str
    program: str
    path: str
    origin: str
    licence: str


def first_sentence(docstring: str) -> str | None:
    """The first sentence of a docstring as an instruction, its markup taken off; None if it is of no use."""
    lines: list[str] = []
    for line in docstring.strip().split("\n"):
        if not line.strip() or _SECTION.match(line):
            break
        lines.append(line.strip())
    text = " ".join(lines)
    text = _LINK.sub(r"\1", _ROLE.sub(r"\1", text))
    text = _EMPHASIS.sub(r"\1", re.sub(r"`+([^`]*)`+", r"\1", text))
    text = _SENTENCE_END.split(" ".join(text.split()), maxsplit=1)[0].strip()
    text = text.rstrip(" :;-")
    if len(text.split()) < MIN_WORDS or len(text) > MAX_INSTRUCTION:
        return None
    if not text.isascii() or not text[0].isalpha() or _USELESS.search(text) or _UNFINISHED.search(text):
        return None
    return text


def function_pairs(file: SourceFile, tree: ast.Module) -> Iterator[Pair]:
    """Pairs from the top-level functions and classes of `file`, whose syntax tree is `tree`."""
    imports = module_imports(tree, _IMPORTABLE)
    definitions = module_definitions(file.text, tree)
    for node in tree.body:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        docstring = ast.get_docstring(node)
        instruction = first_sentence(docstring) if docstring else None
        if instruction is None or not _does_something(node):
            continue
        line, source = definitions.get(node.name, (0, ""))
        whole = with_definitions(source, line, imports, definitions, MAX_LINES) if source else None
        program = tidy(whole, imports) if whole is not None else None
        if program is not None:
            yield Pair(instruction, program, file.path, file.origin, file.licence)


def module_pair(file: SourceFile, tree: ast.Module) -> Pair | None:
    """What a small file is for, and all of it; None where its docstring is silent, or it needs its package.

    The comments at its top, which tell of copyright and tools, are left out, as all docstrings are.
    """
    docstring = ast.get_docstring(tree)
    instruction = first_sentence(docstring) if docstring else None
    if instruction is None or len(file.text) > MAX_MODULE_CHARACTERS * 2:
        return None
    if not _is_a_program(file.text, tree):
        return None
    below = file.text.split("\n")[tree.body[0].end_lineno :]
    program = without_docstring("\n".join(below))
    program = indented_by_four(program.strip("\n")) if program is not None else None
    if program is None or free_names(program) != frozenset():
        return None
    lines = program.count("\n") + 1
    if not MIN_MODULE_LINES <= lines <= MAX_MODULE_LINES or len(program) > MAX_MODULE_CHARACTERS:
        return None
    return Pair(instruction, program, file.path, file.origin, file.licence)


def _is_a_program(text: str, tree: ast.Module) -> bool:
    """Whether a file defines something, is not mostly a table, and takes nothing from its own package."""
    if not any(isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) for node in tree.body):
        return False
    constants = [node for node in tree.body if isinstance(node, (ast.Assign, ast.AnnAssign))]
    if 2 * sum((n.end_lineno or n.lineno) - n.lineno + 1 for n in constants) > text.count("\n"):
        return False
    return not any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree))


def tidy(source: str, imports: dict[str, str]) -> str | None:
    """`source` as the program of a pair, or None when it is not self-contained, too short or too long."""
    bare = without_docstring(source)
    bare = indented_by_four(bare) if bare is not None else None
    names = free_names(bare) if bare is not None else None
    if bare is None or names is None or not _imports_are_at_hand(bare):
        return None
    program = with_imports(bare.strip("\n"), names, imports)
    if program is None or not MIN_LINES <= program.count("\n") + 1 <= MAX_LINES:
        return None
    return program


def _imports_are_at_hand(source: str) -> bool:
    """Whether all that `source` imports, in functions too, is public and of the standard library or numpy."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""] if not node.level else [""]
        else:
            continue
        if any(name.split(".")[0] not in _IMPORTABLE or "._" in name for name in modules):
            return False
    return True


def _does_something(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Whether more follows the docstring than a `pass`, an `...` or a `raise NotImplementedError`."""
    if not isinstance(node, ast.ClassDef):
        arguments = [*node.args.posonlyargs, *node.args.args]
        if arguments and arguments[0].arg in ("self", "cls"):
            return False  # a method put outside its class
    body = node.body[1:]
    if len(body) != 1:
        return bool(body)
    only = body[0]
    return not isinstance(only, (ast.Pass, ast.Raise)) and not (
        isinstance(only, ast.Expr) and isinstance(only.value, ast.Constant)
    )
