"""Leaves out of pylint's walk what can only find what is disabled.

Pylint does so itself for methods that say what they find (`only_required_for_messages`). Here are those that
it does not ask, by class and name; where another pylint calls something differently, it is walked as before.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

from astroid import nodes
from pylint.checkers import BaseRawFileChecker
from pylint.lint import PyLinter
from pylint.utils import ASTWalker

_Visit = Callable[[nodes.NodeNG], None]

# Parts of visits, and all that each one finds.
PARTS = {
    ("VariablesChecker", "_loopvar_name"): ("undefined-loop-variable",),
    ("MethodArgsChecker", "_check_missing_timeout"): ("missing-timeout",),
    ("ImportsChecker", "_add_imported_module"): ("import-self", "cyclic-import"),
}
# Bytes that no check of characters has anything to say of.
_PLAIN = re.compile(rb"[ -~\t\n\f]*")


def leave_out_idle_visits(
    linter: PyLinter, walker: ASTWalker, raw_checkers: list[BaseRawFileChecker]
) -> None:
    """Take what only disabled messages need from `walker`, to which the checkers of `linter` were added.

    Checks of characters are left out of `raw_checkers` for sources that have plain ones only.
    """
    for (name, part), messages in PARTS.items():
        if not any(linter.is_message_enabled(message) for message in messages):
            for checker in linter.get_checkers():
                if type(checker).__name__ == name and hasattr(checker, part):
                    setattr(checker, part, _nothing)
    for visits in walker.visit_events.values():
        # Pylint asks this of every visit but `visit_default`.
        visits[:] = [_gated(visit, linter) for visit in visits if walker._is_method_enabled(visit)]

    raw_checkers[:] = [
        _UnlessPlain(checker) if type(checker).__name__ == "UnicodeChecker" else checker
        for checker in raw_checkers
    ]


class _UnlessPlain:
    """A checker of characters, for sources with others than printable ASCII or with a declared encoding."""

    def __init__(self, checker: BaseRawFileChecker) -> None:
        self._checker = checker

    def process_module(self, node: nodes.Module) -> None:
        """Check the text of a module."""
        if b"coding" in node.file_bytes or not _PLAIN.fullmatch(node.file_bytes):
            self._checker.process_module(node)


def _nothing(*_: object) -> None:
    pass


def _gated(visit: _Visit, linter: PyLinter) -> _Visit:
    """`visit`, called only for nodes of which it can find something."""
    owner = type(getattr(visit, "__self__", None)).__name__
    gate = _GATES.get((owner, getattr(visit, "__name__", "")))
    if gate is None or any(linter.is_message_enabled(message) for message in gate[1]):
        return visit
    return functools.partial(_if, gate[0], visit)


def _if(condition: Callable[[Any], bool], visit: _Visit, node: nodes.NodeNG) -> None:
    if condition(node):
        visit(node)


def _is_dunder(node: nodes.FunctionDef) -> bool:
    return bool(node.name.startswith("__"))


def _formats_or_reverses(node: nodes.Call) -> bool:
    if isinstance(node.func, nodes.Attribute):
        return bool(node.func.attrname == "format")
    return isinstance(node.func, nodes.Name) and bool(node.func.name == "reversed")


# When a visit can find something; and what it finds elsewhere, too, so that it is gated only without these.
_GATES: dict[tuple[str, str], tuple[Callable[[Any], bool], tuple[str, ...]]] = {
    ("SpecialMethodsChecker", "visit_functiondef"): (_is_dunder, ()),
    ("BasicChecker", "visit_call"): (_formats_or_reverses, ("unreachable", "eval-used", "exec-used")),
}
