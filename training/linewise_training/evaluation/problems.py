"""Programming problems with tests: HumanEval, MBPP, LeetCodeDataset and HumanEval in other languages.

Files are read as their authors publish them, JSON lines, plain or gzipped. Of MBPP (in the function form of
amazon-science/mxeval) the problems 11 to 510 are the benchmark, as its authors say.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linewise.errors import LinewiseError
from linewise_training.evaluation.assertions import split_check
from linewise_training.jsonl import read_rows

MBPP_TEST = range(11, 511)
LANGUAGES: Mapping[str, str] = {
    "python": "Python",
    "java": "Java",
    "javascript": "JavaScript",
    "typescript": "TypeScript",
    "go": "Go",
}
"""Names that the files use, and as people write them."""

_CODE_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem, in the two shapes of the LintSeq paper (appendix B.1) and with its tests.

    `prompt` is code to be continued: `preamble` (imports, other functions), signature and docstring.
    `instruction` says the same in plain language. Each of `tests` is a snippet that fails by an exception
    when run after the program. `reference` is a whole program that passes, where the file has one.
    """

    task: str
    language: str
    entry_point: str
    preamble: str
    prompt: str
    instruction: str
    tests: tuple[str, ...]
    reference: str | None


def read_problems(benchmark: str, path: Path, limit: int | None = None) -> list[Problem]:
    """The first `limit` problems (None: all) of the file at `path`, of the benchmark so named in BENCHMARKS.

    Raises LinewiseError, naming the line, for a file that cannot be read whole or is of another benchmark.
    """
    read = BENCHMARKS[benchmark]
    problems: list[Problem] = []
    tasks: set[str] = set()
    for number, row in read_rows(path):
        try:
            problem = read(row)
        except KeyError as error:
            raise LinewiseError(
                f"{path}, line {number}: no {error} in it, so it is not a problem of {benchmark}; "
                "give the file as its authors publish it"
            ) from None
        except (TypeError, ValueError, AttributeError, SyntaxError) as error:
            raise LinewiseError(
                f"{path}, line {number}: not a problem of {benchmark} ({error}); "
                "give the file as its authors publish it"
            ) from None
        if problem is None:
            continue
        if problem.task in tasks:
            raise LinewiseError(f"{path}, line {number}: {problem.task} stands there twice; remove one")
        tasks.add(problem.task)
        problems.append(problem)
        if len(problems) == limit:
            break
    if not problems:
        raise LinewiseError(f"{path} has no problem of {benchmark}; give the file that its authors publish")
    return problems


def _humaneval(row: Mapping[str, Any]) -> Problem:
    task = _task(row, "HumanEval/")
    prompt, entry = _text(row, "prompt"), _text(row, "entry_point")
    preamble, signature, description = _parts(prompt, entry)
    return Problem(
        task=task,
        language="python",
        entry_point=entry,
        preamble=preamble,
        prompt=prompt,
        instruction=f"Write a Python function `{signature}` to solve the following problem:\n{description}",
        tests=split_check(_text(row, "test"), entry),
        reference=prompt + row["canonical_solution"] if row.get("canonical_solution") else None,
    )


def _mbpp(row: Mapping[str, Any]) -> Problem | None:
    task = _task(row, "MBPP/")
    if int(task.removeprefix("MBPP/")) not in MBPP_TEST:
        return None
    prompt, entry = _text(row, "prompt"), _text(row, "entry_point")
    preamble, signature, _ = _parts(prompt, entry)
    description = " ".join(_text(row, "description").split())
    return Problem(
        task=task,
        language="python",
        entry_point=entry,
        preamble=preamble,
        prompt=prompt.lstrip("\n"),
        instruction=description.replace("function", f"function `{signature}`", 1),
        tests=split_check(_text(row, "test"), entry),
        reference=prompt + row["canonical_solution"] if row.get("canonical_solution") else None,
    )


def _leetcode(row: Mapping[str, Any]) -> Problem:
    preamble, query, entry = _text(row, "prompt"), _text(row, "query"), _text(row, "entry_point")
    block = _CODE_BLOCK.search(query)
    if block is None:
        raise ValueError("its query has no code block with the signature")
    starter = block[1].strip("\n")
    statement = query[: block.start()].replace("\xa0", " ").split("Please complete the following")[0].strip()
    last = starter.rsplit("\n", 1)[-1]
    margin = " " * (len(last) - len(last.lstrip()) + 4)
    quoted = statement.replace("\\", "\\\\").replace('"""', "'''")
    docstring = "\n".join(f"{margin}{line}".rstrip() for line in f'"""\n{quoted}\n"""'.split("\n"))
    signature = " ".join(starter.split()).rstrip(":")
    return Problem(
        task=_text(row, "task_id"),
        language="python",
        entry_point=entry,
        preamble=preamble.rstrip("\n") + "\n",
        prompt=f"{preamble.rstrip()}\n\n\n{starter}\n{docstring}\n",
        instruction=f"Write Python code that completes `{signature}`.\n{statement}",
        tests=split_check(_text(row, "test"), entry),
        reference=f"{preamble.rstrip()}\n\n\n{row['completion']}" if row.get("completion") else None,
    )


def _humaneval_x(row: Mapping[str, Any]) -> Problem:
    language = _text(row, "language")
    if language not in LANGUAGES:
        raise ValueError(f"its language is {language!r}, not one of {', '.join(LANGUAGES)}")
    prompt = _text(row, "prompt")
    signature = prompt.rstrip().rsplit("\n", 1)[-1].strip().rstrip("{").rstrip()
    description = "\n".join(line.strip() for line in _text(row, "description").split("\n")).strip()
    return Problem(
        task=_task(row, "HumanEval_"),
        language=language,
        entry_point=_text(row, "entry_point"),
        preamble=_imports(prompt),
        prompt=prompt,
        instruction=(
            f"Write a {LANGUAGES[language]} function `{signature}` to solve the following problem:\n"
            f"{description}"
        ),
        tests=(_text(row, "test"),),
        reference=prompt + row["canonical_solution"] if row.get("canonical_solution") else None,
    )


def _task(row: Mapping[str, Any], beginning: str) -> str:
    task = _text(row, "task_id")
    if not task.startswith(beginning):
        raise ValueError(f"its task_id is {task!r}, which does not begin with {beginning}")
    return task


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row[key]
    if not isinstance(value, str):
        raise TypeError(f"its {key} is not a text")
    return value


def _parts(prompt: str, entry: str) -> tuple[str, str, str]:
    """What stands before the function `entry` in `prompt`, its signature without "def", its docstring.

    By the text, not the syntax tree: some published prompts are no whole programs.
    """
    found = list(
        re.finditer(rf"^def ({re.escape(entry)}\s*\(.*?)\s*:[ \t]*$", prompt, re.MULTILINE | re.DOTALL)
    )
    if not found:
        raise ValueError(f"its prompt does not define {entry}")
    last = found[-1]
    preamble = prompt[: last.start()].strip("\n")
    quoted = re.search(r"(\"{3}|'{3})(.*?)\1", prompt[last.end() :], re.DOTALL)
    docstring = inspect.cleandoc(quoted[2]) if quoted else ""
    return (f"{preamble}\n\n\n" if preamble else ""), " ".join(last[1].split()), docstring


def _imports(prompt: str) -> str:
    """The lines of a prompt before its first comment or definition: package and imports."""
    kept: list[str] = []
    for line in prompt.split("\n"):
        if re.match(r"\s*(//|/\*|func |class |function |const |public )", line):
            break
        kept.append(line)
    head = "\n".join(kept).strip("\n")
    return f"{head}\n\n" if head else ""


BENCHMARKS: Mapping[str, Callable[[Mapping[str, Any]], Problem | None]] = {
    "humaneval": _humaneval,
    "mbpp": _mbpp,
    "leetcode": _leetcode,
    "humaneval-x": _humaneval_x,
}
"""How each benchmark's rows are read; None for a row that is no part of the benchmark."""
