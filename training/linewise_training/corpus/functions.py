"""Cut functions and classes out of source text: docstrings off, indentation in fours, imports it needs on."""

from __future__ import annotations

import ast
import builtins
import io
import symtable
import textwrap
import tokenize

from linewise_training.corpus.harvest import parsed

_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}


def without_docstring(source: str) -> str | None:
    """`source` without the docstrings of its functions and classes, or None when it does not parse.

    A body that was only a docstring becomes `pass`. Every other line is kept as it is written.
    """
    source = textwrap.dedent(source.expandtabs(4))
    tree = parsed(source)
    if tree is None:
        return None
    lines = source.split("\n")
    cuts: list[tuple[int, int, str | None]] = []
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        first = node.body[0]
        if ast.get_docstring(node, clean=False) is None or first.end_lineno is None:
            continue
        alone = (
            not lines[first.lineno - 1].encode()[: first.col_offset].strip()
            and not lines[first.end_lineno - 1].encode()[first.end_col_offset :].strip()
        )
        if not alone:
            continue  # on one line with other code
        instead = " " * first.col_offset + "pass" if len(node.body) == 1 else None
        cuts.append((first.lineno - 1, first.end_lineno, instead))
    for start, end, instead in sorted(cuts, reverse=True):
        if instead is None:
            while end < len(lines) and not lines[end].strip():
                end += 1
        lines[start:end] = [instead] if instead is not None else []
    return "\n".join(lines)


def indented_by_four(source: str) -> str | None:
    """`source` with every block indented by four more spaces than the one around it, or None if unreadable.

    Continuation lines move with the line that they continue; lines inside strings stay as they are.
    """
    source = source.expandtabs(4)
    lines = source.split("\n")
    result = list(lines)
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return None
    depth, shift, fresh = 0, 0, True
    inside_string: set[int] = set()
    strings_open = 0
    moves: dict[int, int] = {}
    for token in tokens:
        kind = tokenize.tok_name[token.type]
        row = token.start[0] - 1
        if kind == "FSTRING_START":
            strings_open += 1
        elif kind == "FSTRING_END":
            strings_open -= 1
        if kind in ("STRING", "FSTRING_MIDDLE") or strings_open:
            inside_string.update(range(row + 1, token.end[0]))
        if kind == "INDENT":
            depth += 1
        elif kind == "DEDENT":
            depth -= 1
        elif kind == "NEWLINE":
            fresh = True
        elif kind == "COMMENT" and fresh:
            moves.setdefault(row, shift)
        elif kind not in ("NL", "ENDMARKER"):
            if fresh:
                shift = 4 * depth - token.start[1]
                fresh = False
            moves.setdefault(row, shift)
    for row, move in moves.items():
        if row in inside_string:
            continue
        line = lines[row]
        width = len(line) - len(line.lstrip(" "))
        result[row] = " " * max(0, width + move) + line[width:]
    return "\n".join(line if i in inside_string else line.rstrip() for i, line in enumerate(result))


def free_names(source: str) -> frozenset[str] | None:
    """Names that `source` uses, does not define, and that are not builtins; None when it does not compile."""
    try:
        top = symtable.symtable(source, "<program>", "exec")
    except (SyntaxError, ValueError, RecursionError):
        return None
    defined = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported()}
    used: set[str] = set()
    scopes = [top]
    while scopes:
        scope = scopes.pop()
        scopes.extend(scope.get_children())
        for symbol in scope.get_symbols():
            if symbol.is_referenced() and (scope is top or symbol.is_global()):
                used.add(symbol.get_name())
    return frozenset(used - defined - _BUILTINS)


def module_imports(tree: ast.Module, allowed: frozenset[str]) -> dict[str, str]:
    """Import statement for each name that a module imports at its top from one of the `allowed` packages."""
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in allowed:
                    bound = alias.asname or alias.name.split(".")[0]
                    found[bound] = ast.unparse(ast.Import([alias]))
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            if node.module.split(".")[0] not in allowed or node.module == "__future__":
                continue
            for alias in node.names:
                if alias.name != "*":
                    found[alias.asname or alias.name] = ast.unparse(ast.ImportFrom(node.module, [alias], 0))
    return found


def with_imports(program: str, names: frozenset[str], imports: dict[str, str]) -> str | None:
    """`program` below the imports of `names`, those of one module on one line; None if a name has none."""
    if not names <= imports.keys():
        return None
    modules: dict[str, list[str]] = {}
    for statement in sorted({imports[name] for name in names}):
        head, joint, name = statement.partition(" import ")
        modules.setdefault(head, []).append(name) if joint else modules.setdefault(statement, [])
    lines = [f"{head} import {', '.join(names)}" if names else head for head, names in modules.items()]
    lines.sort(key=lambda line: (line.startswith("from "), line))
    return "\n".join([*lines, "", "", program] if lines else [program])
