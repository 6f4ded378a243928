"""Instruction data as pairs: the code blocks of each response, without the reasoning and the Markdown.

As in the LintSeq paper's preparation of its instruction data, the Python blocks of a response are joined in
their order and everything around them is dropped; a response without blocks is code as it stands.
Beyond that, a block that says `py` counts as Python, and so does one that names no language where none says
Python; a block that is never closed goes to the end; what stands between the tags of reasoning models
(<think>, [THINK], <|begin_of_thought|>) is reasoning, with its blocks, and so is all before a closing tag
whose opening one stood in the prompt; and a program that does not parse, or only tells a value ("Yes", 42),
is left out. Not covered: reasoning without tags; whether the program does what is asked.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from linewise.errors import LinewiseError
from linewise_training.corpus.harvest import parsed, permits
from linewise_training.corpus.pairs import Pair
from linewise_training.jsonl import read_rows

MAX_INSTRUCTION = 1000
MAX_PROGRAM = 20_000

_TAGS = "think|thinking|thoughts?|reasoning|scratchpad|analysis"
_CLOSING = rf"</(?:{_TAGS})>|\[/THINK\]|<\|end_of_thought\|>"
_THOUGHT = re.compile(
    rf"(?:<(?:{_TAGS})>|\[THINK\]|<\|begin_of_thought\|>).*?(?:{_CLOSING}|\Z)", re.DOTALL | re.IGNORECASE
)
_UNOPENED = re.compile(rf"\A.*(?:{_CLOSING})", re.DOTALL | re.IGNORECASE)
_ANSWER = re.compile(
    r"^[ \t]*(?:</?(?:answer|solution)>|<\|(?:begin|end)_of_solution\|>)[ \t]*$", re.MULTILINE | re.IGNORECASE
)
_OPENING = re.compile(r"[ \t]*(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[\w+#.-]*)[^`]*")
_PYTHON = frozenset(["python", "python3", "py"])
_HEADING = re.compile(r"^#{1,6}(?=\s|$)", re.MULTILINE)
_EMPHASIS = re.compile(r"(?<!\w)\*\*(?=\S)(.+?)(?<=\S)\*\*(?!\w)")


def code_of(response: str) -> str:
    """The program in a response: its Python blocks, one below the other, or all of it where it has no block.

    The empty text where the response has blocks, but none of Python.
    """
    response = _UNOPENED.sub("", _THOUGHT.sub("", response.replace("\r\n", "\n")))
    response = _ANSWER.sub("", response)
    blocks = list(_blocks(response))
    if not blocks:
        return _trimmed(response)
    python = [text for language, text in blocks if language in _PYTHON]
    unnamed = [text for language, text in blocks if not language]
    return _trimmed("\n".join(python or unnamed))


def instruction_of(text: str) -> str:
    """An instruction on one line, without headings, emphasis and fences; code in it stays."""
    lines = [line for line in text.split("\n") if not _fence(line)]
    plain = _EMPHASIS.sub(r"\1", _HEADING.sub("", "\n".join(lines)))
    return " ".join(plain.split())


def instruction_pairs(path: Path, licence: str | None = None) -> Iterator[Pair | str]:
    """Pairs of a JSONL file (gzipped if its name ends in .gz) with `instruction` and `response` in each row.

    For a row that cannot be used, the reason. A row's own `licence` (or `license`) goes before `licence`, the
    one named for the file. Raises LinewiseError for a file of another form.
    """
    for number, row in read_rows(path):
        instruction, response = row.get("instruction"), row.get("response")
        if not isinstance(instruction, str) or not isinstance(response, str):
            raise LinewiseError(
                f"{str(path)!r}, line {number}, has no text under 'instruction' and 'response'; "
                "name its columns so"
            )
        own = row.get("licence") or row.get("license") or licence
        if own is None:
            raise LinewiseError(
                f"{str(path)!r}, line {number}, does not say its licence; name it with --licence SPDX"
            )
        pair = _pair(instruction_of(instruction), code_of(response), str(own))
        if isinstance(pair, str):
            yield pair
        else:
            yield Pair(*pair, f"{path.name}:{number}", path.name.split(".")[0], str(own))


def _pair(instruction: str, program: str, licence: str) -> tuple[str, str] | str:  # noqa: PLR0911
    """Instruction and program, or the reason to leave them out: one return a reason."""
    if not permits(licence):
        return "licence"
    if not instruction:
        return "no instruction"
    if not _is_unicode(instruction) or not _is_unicode(program):
        return "not UTF-8"
    if len(instruction) > MAX_INSTRUCTION:
        return "very long instruction"
    if not program:
        return "no code"
    if len(program) > MAX_PROGRAM:
        return "very large"
    tree = parsed(program)
    if tree is None or not tree.body:
        return "does not parse"
    return (instruction, program) if _does_something(tree) else "no code"


def _does_something(tree: ast.Module) -> bool:
    """Whether a program is more than values: prose of a word or two parses, too."""
    doing = (ast.Call, ast.Await, ast.NamedExpr, ast.Lambda, ast.comprehension)
    return not all(
        isinstance(node, ast.Expr) and not any(isinstance(part, doing) for part in ast.walk(node))
        for node in tree.body
    )


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Language (lower case) and text of each fenced block."""
    lines = iter(text.split("\n"))
    for line in lines:
        opening = _fence(line)
        if opening is None:
            continue
        fence, block = opening["fence"], []
        for inner in lines:
            closing = inner.strip()
            if len(closing) >= len(fence) and not closing.strip(fence[0]):
                break
            block.append(inner)
        margin = len(line) - len(line.lstrip(" "))  # of a block in a list
        body = "\n".join(entry[min(margin, len(entry) - len(entry.lstrip(" "))) :] for entry in block)
        yield opening["language"].lower(), body


def _fence(line: str) -> re.Match[str] | None:
    return _OPENING.fullmatch(line)


def _trimmed(program: str) -> str:
    program = program.strip("\n").rstrip()
    return textwrap.dedent(program) if program[:1] in (" ", "\t") else program


def _is_unicode(text: str) -> bool:
    """Whether `text` has no half of a surrogate pair, which JSON can spell and UTF-8 cannot."""
    return not re.search("[\ud800-\udfff]", text)
