"""Read published problem sets: MBPP and LeetCode as instruction pairs, and any benchmark as text to keep out.

Of MBPP only problems 601 to 974 are ever training material: 11 to 510 are the benchmark, 511 to 600 are for
validation, 1 to 10 are few-shot prompts.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from linewise.errors import LinewiseError
from linewise_training.corpus.functions import free_names
from linewise_training.corpus.harvest import parsed
from linewise_training.corpus.pairs import Pair, tidy
from linewise_training.corpus.solutions import as_function
from linewise_training.jsonl import read_rows

MBPP_TRAINING = range(601, 975)
MBPP_BENCHMARK = range(11, 511)
MAX_QUERY = 400

_STAR = re.compile(r"^from (\w+) import \*", re.MULTILINE)
# What LeetCode solutions may star-import; a module is imported here only to list its names.
_STAR_MODULES = frozenset(
    ["typing", "functools", "collections", "itertools", "heapq", "bisect", "string", "operator", "math"]
)


def mbpp_pairs(path: Path) -> Iterator[Pair | None]:
    """Pairs of MBPP's training problems (ids 601 to 974); None for one whose program cannot be used.

    Raises LinewiseError for a file that has none of them.
    """
    found = False
    for _, row in read_rows(path):
        if _mbpp_number(row) not in MBPP_TRAINING:
            continue
        found = True
        prompt, description = _texts(path, row, "prompt", "description")
        program = tidy(f"{prompt}{row.get('canonical_solution') or ''}".strip("\n"), {})
        instruction = " ".join(description.split())
        yield Pair(instruction, program, row["task_id"], "mbpp", "CC-BY-4.0") if program else None
    if not found:
        raise LinewiseError(
            f"{str(path)!r} has none of MBPP's problems 601 to 974; give amazon-science/mxeval's "
            "mbpp_release_v1.jsonl"
        )


def leetcode_pairs(path: Path) -> Iterator[Pair | None]:
    """Pairs of LeetCode problems with the imports each solution needs; None for one that cannot be used.

    Raises LinewiseError for a file of another form.
    """
    for _, row in read_rows(path):
        completion, prompt, query, task = _texts(path, row, "completion", "prompt", "query", "task_id")
        completion = completion.strip("\n")
        completion = as_function(completion) or completion
        names = free_names(completion)
        if names is None:
            yield None
            continue
        classes = _helper_classes(prompt, names)
        program = tidy("\n\n\n".join([*classes, completion]), _prompt_imports(prompt))
        instruction = _query_head(query)
        if program is None or not instruction:
            yield None
        else:
            yield Pair(instruction, program, task, "leetcode", "MIT")


def _texts(path: Path, row: dict[str, Any], *keys: str) -> list[str]:
    """The texts under `keys`. Raises LinewiseError where one of them is none."""
    for key in keys:
        if not isinstance(row.get(key), str):
            raise LinewiseError(
                f"{str(path)!r}: the problem {row.get('task_id', '')!r} has no text under {key!r}; "
                "give the file as its authors publish it"
            )
    return [row[key] for key in keys]


def benchmark_problems(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Each evaluation problem of a benchmark file as it stands there, and its prompt with the solution.

    Of MBPP, ids 11 to 510. Raises LinewiseError for a file that is no benchmark.
    """
    for _, row in read_rows(path):
        number = _mbpp_number(row)
        if number is not None and number not in MBPP_BENCHMARK:
            continue
        if not isinstance(row.get("prompt"), str):
            raise LinewiseError(f"{str(path)!r} has a row without a prompt; give a benchmark in JSONL form")
        yield row, row["prompt"] + (row.get("canonical_solution") or "")


def wording(row: dict[str, Any]) -> str:
    """What a problem asks in words: its description, or its prompt's docstring; empty where it has none."""
    if isinstance(row.get("description"), str):
        return str(row["description"])
    tree = parsed(f"{row['prompt']}\n    pass\n") or parsed(str(row["prompt"]))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)] if tree else []
    return (ast.get_docstring(functions[-1]) or "") if functions else ""


def _mbpp_number(row: dict[str, Any]) -> int | None:
    match = re.fullmatch(r"MBPP/(\d+)", str(row.get("task_id", "")))
    return int(match.group(1)) if match else None


def _prompt_imports(prompt: str) -> dict[str, str]:
    """Import statement of each name that the prompt of a LeetCode problem brings; the last one wins."""
    found: dict[str, str] = {"inf": "from math import inf"}
    for module in _STAR.findall(prompt):
        if module in _STAR_MODULES:
            contents = importlib.import_module(module)
            public = getattr(contents, "__all__", [n for n in vars(contents) if not n.startswith("_")])
            for name in public:
                if not hasattr(builtins, name):
                    found[name] = f"from {module} import {name}"
    found.update({"math": "import math", "datetime": "import datetime"})
    return found


def _helper_classes(prompt: str, names: frozenset[str]) -> list[str]:
    """Source of the classes and functions of `prompt` that a solution uses by name."""
    tree = parsed(prompt)
    lines = prompt.split("\n")
    return [
        "\n".join(lines[node.lineno - 1 : node.end_lineno])
        for node in (tree.body if tree else ())
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name in names
    ]


def _query_head(query: str) -> str:
    """The first paragraphs of a problem text, up to 400 characters and always whole sentences."""
    text = query.replace("\xa0", " ").split("Please complete the following")[0]
    text = re.split(r"\n\s*(?:Example|Constraints|Note|Follow[- ]up)\b", text)[0]
    sentences = re.split(r"(?<=[.!?:])\s+|\n+", text.strip())
    head = ""
    for sentence in sentences:
        longer = " ".join(f"{head} {sentence}".split())
        if len(longer) > MAX_QUERY:
            break
        head = longer
    return head
