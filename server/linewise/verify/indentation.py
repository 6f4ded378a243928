"""Whether every line of code is indented by four spaces a block: what pylint's W0311 asks for.

That is all that pylint looks for in the tokens of a source that says nothing to it in comments. Told here by
the syntax tree: a line that begins with a statement shall be indented by as many times four spaces as there
are blocks around it. Lines that begin with `else`, `except`, `@` and the like stand where their statement
does: Python sees to that.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence


def is_indented_by_fours(tree: ast.Module, lines: Sequence[str]) -> bool:
    """Whether all is indented so; False also where that cannot be told (tabs, form feeds, `match`).

    `tree` is the syntax tree of the text that has `lines`.
    """
    if any("\t" in line or ("\f" in line and line.strip()) for line in lines):
        return False
    todo: list[tuple[ast.stmt | ast.ExceptHandler, int]] = [(statement, 0) for statement in tree.body]
    while todo:
        node, depth = todo.pop()
        before = lines[node.lineno - 1][: node.col_offset]
        if before != " " * (4 * depth) and not before.strip():
            return False
        if isinstance(node, ast.Match):
            return False
        for name in ("body", "orelse", "finalbody"):
            for child in getattr(node, name, ()):
                # `elif` is an `if` in the tree, which stands where the other one does.
                is_elif = (
                    name == "orelse" and isinstance(child, ast.If) and child.col_offset == node.col_offset
                )
                todo.append((child, depth if is_elif else depth + 1))
        todo += [(handler, depth) for handler in getattr(node, "handlers", ())]
    return True
