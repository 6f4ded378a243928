"""From the `check(candidate)` function of a published problem to tests that each tell one result."""

from __future__ import annotations

import ast
import re

_NAME = "_check_candidate"  # some problems ask for a function called check


def split_check(source: str, entry_point: str) -> tuple[str, ...]:
    """Test snippets for the function `entry_point`, one for each assertion of `check` in `source`.

    Where `check` does more than assert, its statements depend on each other, and the one snippet is the
    whole of it. Raises SyntaxError where `source` is not Python, ValueError where it has no `check`.
    """
    tree = ast.parse(source)
    checks = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "check"]
    if len(checks) != 1 or len(checks[0].args.args) != 1:
        raise ValueError("its test has no function check(candidate)")
    check = checks[0]
    lines = source.split("\n")
    context = "".join(
        _source(lines, node) + "\n" for node in tree.body if node is not check and not _is_metadata(node)
    )
    head = f"{context}def {_NAME}({check.args.args[0].arg}):\n"
    call = f"{_NAME}({entry_point})\n"
    assertions = [node for node in check.body if not _says_nothing(node)]
    alone = all(isinstance(node, ast.Assert) for node in assertions)
    starts = [node.lineno for node in assertions]
    if not alone or not assertions or len(set(starts)) < len(starts) or starts[0] == check.lineno:
        whole = re.sub(r"def\s+check\b", f"def {_NAME}", _source(lines, check), count=1)
        return (f"{context}{whole}\n{call}",)
    return tuple(f"{head}{_source(lines, node)}\n{call}" for node in assertions)


def _source(lines: list[str], node: ast.stmt) -> str:
    return "\n".join(lines[node.lineno - 1 : node.end_lineno])


def _is_metadata(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and [ast.unparse(name) for name in node.targets] == ["METADATA"]


def _says_nothing(node: ast.stmt) -> bool:
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
