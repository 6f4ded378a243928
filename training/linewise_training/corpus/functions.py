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
        if instead is not None:
            lines[start:end] = [instead]
            continue
        del lines[start:end]
        while start < len(lines) and not lines[start].strip():
            del lines[start]
    return "\n".join(lines)


def indented_by_four(source: str) -> str | None:
    """`source` with every block indented by four more spaces than the one around it, or None if unreadable.

    Continuation lines move with the line that they continue; lines inside strings stay as they are.
    """
    source = source.expandtabs(4)
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return None
    moves = _moves(tokens)
    fixed = _rows_inside_strings(tokens)
    out = []
    for row, line in enumerate(source.split("\n")):
        if row in fixed:
            out.append(line)
            continue
        width = len(line) - len(line.lstrip(" "))
        out.append((" " * max(0, width + moves.get(row, 0)) + line[width:]).rstrip())
    return "\n".join(out)


def _moves(tokens: list[tokenize.TokenInfo]) -> dict[int, int]:
    """By how many columns each 0-based row moves to the right."""
    depth, shift, fresh = 0, 0, True
    moves: dict[int, int] = {}
    for token in tokens:
        row = token.start[0] - 1
        if token.type == tokenize.INDENT:
            depth += 1
        elif token.type == tokenize.DEDENT:
            depth -= 1
        elif token.type == tokenize.NEWLINE:
            fresh = True
        elif token.type == tokenize.COMMENT:
            moves.setdefault(row, shift)
        elif token.type not in (tokenize.NL, tokenize.ENDMARKER):
            if fresh:
                shift = 4 * depth - token.start[1]
                fresh = False
            moves.setdefault(row, shift)
    return moves


def _rows_inside_strings(tokens: list[tokenize.TokenInfo]) -> frozenset[int]:
    """The 0-based rows that begin within a string. From Python 3.12 on an f-string is several tokens."""
    rows: set[int] = set()
    starts: list[int] = []
    for token in tokens:
        name = tokenize.tok_name[token.type]
        if name.endswith("STRING_START"):
            starts.append(token.start[0])
        elif name.endswith("STRING_END"):
            rows.update(range(starts.pop(), token.end[0]))
        elif name == "STRING":
            rows.update(range(token.start[0], token.end[0]))
    return frozenset(rows)


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
    """Import statement for each name that a module imports at its top from one of the `allowed` packages.

    What is private there (a name that begins with an underscore) is left out: it is gone in other versions.
    """
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in allowed and "._" not in alias.name:
                    bound = alias.asname or alias.name.split(".")[0]
                    found[bound] = ast.unparse(ast.Import([alias]))
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            if node.module.split(".")[0] not in allowed or "._" in node.module:
                continue
            for alias in node.names:
                if alias.name != "*" and not alias.name.startswith("_"):
                    found[alias.asname or alias.name] = ast.unparse(ast.ImportFrom(node.module, [alias], 0))
    return found


def module_definitions(text: str, tree: ast.Module) -> dict[str, tuple[int, str]]:
    """Line number and source of each function, class and variable that a module defines once, at its top."""
    lines = text.split("\n")
    found: dict[str, tuple[int, str]] = {}
    repeated: set[str] = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name, first = node.name, min([node.lineno, *(d.lineno for d in node.decorator_list)])
        elif (
            isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
        ):
            name, first = node.targets[0].id, node.lineno
        else:
            continue
        if name in found:
            repeated.add(name)
        found[name] = (node.lineno, "\n".join(lines[first - 1 : node.end_lineno]))
    return {name: place for name, place in found.items() if name not in repeated}


def with_definitions(
    program: str,
    line: int,
    imports: dict[str, str],
    definitions: dict[str, tuple[int, str]],
    max_lines: int,
) -> str | None:
    """`program`, from `line` of a module, with the definitions of the module that it needs, in their order.

    None when it needs more than `max_lines`, or a name that is neither defined nor in `imports`.
    """
    parts = {line: program}
    names = free_names(program)
    while names is not None:
        missing = names - imports.keys()
        if not missing:
            return "\n\n\n".join(parts[at] for at in sorted(parts))
        for name in missing:
            if name not in definitions:
                return None
            parts[definitions[name][0]] = definitions[name][1]
        if sum(part.count("\n") + 1 for part in parts.values()) > max_lines * 2:
            return None
        names = free_names("\n".join(parts[at] for at in sorted(parts)))
    return None


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
