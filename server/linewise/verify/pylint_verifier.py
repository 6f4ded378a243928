"""The pylint verifier: pylint in this process, its errors and fatals and the warnings W0311 and W0231.

These are the messages that count in the LintSeq paper (bad indentation and a base class's `__init__` that is
not called are warnings by name only). The user's own pylint configuration is not read; comments such as
`# pylint: disable=E1101` in the source are obeyed, as pylint itself does.

A source's verdict does not depend on what else is verified: every source is a module of its own that no
import can reach, and what it may leave behind in astroid's shared tree of other modules (attributes that it
assigns to their classes, inferences) is taken back. The trees of imported modules are kept, as building them
is most of the cost of a first run, until there are too many.

What only costs time is left out: sources that differ in comments, blank lines and docstrings alone are
linted once (reduced.py), a syntax error is told by the parser, tokens are looked at where the indentation is
uneven only (indentation.py), and visits that can only find disabled messages are not made (pylint_visits.py).
`tests/benchmarks/verdicts.py` compares with plain pylint.

What it does not do: look at the folder of the document. An import that this Python cannot find is E0401.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import io
import re
import threading
import tokenize
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from astroid import bases, nodes
from astroid.builder import AstroidBuilder
from astroid.context import _invalidate_cache as forget_inferences
from astroid.exceptions import AstroidBuildingError, AstroidError, AstroidSyntaxError
from astroid.inference_tip import clear_inference_tip_cache
from astroid.manager import AstroidManager
from pylint.checkers import BaseRawFileChecker, BaseTokenChecker
from pylint.checkers.clear_lru_cache import clear_lru_caches
from pylint.interfaces import HIGH
from pylint.lint import PyLinter
from pylint.reporters import CollectingReporter
from pylint.typing import FileItem
from pylint.utils import ASTWalker

from linewise.verify.early import WatchesPython
from linewise.verify.indentation import is_indented_by_fours
from linewise.verify.protocol import Problem
from linewise.verify.pylint_visits import leave_out_idle_visits
from linewise.verify.quiet import no_warnings
from linewise.verify.reduced import SPECIAL, reduced

CRASH = "F0002"
WARNINGS_THAT_COUNT = ("W0311", "W0231")

# Not an identifier, so no import statement can name it.
_MODULE = "linewise-source"
# A tree takes some 1 to 5 MB; a typical source imports fewer than ten modules, which import others.
_MAX_TREES = 400

# Checkers may keep something of what they have seen, so they are set up anew after so many sources.
_SET_UP_AGAIN = 100
# Verdicts of so many sources are remembered: some 20 MB where all have ten problems.
_MAX_KNOWN = 10_000
_OF_THE_TEXT = frozenset([CRASH, "E0001", "F0010", "F0001"])
_NAMES_A_LINE = re.compile(r"\bline \d")

# Pylint and astroid keep their state in globals.
_LOCK = threading.Lock()


class PylintVerifier(WatchesPython):
    """Runs pylint on sources. Safe to use from any thread; one thread at a time works.

    `load_extensions` lets pylint import compiled modules outside the standard library that a source names,
    to learn what is in them. That runs their code, so it is for sources that are trusted.
    """

    def __init__(self, *, load_extensions: bool = False) -> None:
        self._load_extensions = load_extensions
        self._linter: _Linter | None = None

    @property
    def name(self) -> str:
        """The name that configuration and reports use."""
        return "pylint"

    def problems(self, sources: Sequence[str]) -> list[tuple[Problem, ...]]:
        """The problems of each source, in order of place. Never raises for bad source text."""
        with _LOCK:
            if self._linter is None:
                self._linter = _Linter(self._load_extensions)
            return [self._linter.verdict(source) for source in sources]


class _Linter(PyLinter):  # type: ignore[misc]
    """Pylint with the messages that count, which takes back what a module did to others."""

    def __init__(self, load_extensions: bool) -> None:
        super().__init__(reporter=CollectingReporter())
        self.load_default_plugins()
        self.disable("all")
        for category in ("E", "F"):
            self.enable(category)
        for code in WARNINGS_THAT_COUNT:
            self.enable(code)
        self.config.generated_members = ["cv2.*"]
        self.config.unsafe_load_any_extension = load_extensions
        self._check: functools.partial[bool | None] | None = None
        self._checked = 0
        self._known: dict[bytes, tuple[Problem, ...]] = {}
        self._source = ""
        self._tokens = True
        self._assigned: list[tuple[dict[str, list[Any]], str, Any]] = []
        self.initialize()
        self._remembering = [checker for checker in self.get_checkers() if hasattr(checker, "_accessed")]

    def verdict(self, source: str) -> tuple[Problem, ...]:
        """Lint a source as a module by itself, unless what is left of it without comments is known."""
        if "\0" not in source and not SPECIAL.search(source):
            try:
                with no_warnings():
                    # As astroid does it, whose message names the module.
                    tree = ast.parse(source + "\n", _MODULE, type_comments=True)
            except SyntaxError as error:
                return (_syntax_problem(error),)
            except (ValueError, RecursionError, MemoryError):
                return self._lint(source)
            found = self._known_or_new(source, tree)
            if found is not None:
                return found
        return self._lint(source)

    def _known_or_new(self, source: str, tree: ast.Module) -> tuple[Problem, ...] | None:
        short = reduced(source, tree)
        if short is None:
            return None
        key = hashlib.blake2b(short.text.encode(), digest_size=16).digest()
        if key not in self._known:
            if len(self._known) >= _MAX_KNOWN:
                del self._known[next(iter(self._known))]  # the oldest
            lines = source.split("\n")
            self._known[key] = self._lint(short.text, tokens=not is_indented_by_fours(tree, lines))
        return _at_lines(self._known[key], short.lines)

    def _set_up(self) -> functools.partial[bool | None]:
        """Prepare the checkers, which takes longer than checking a small source."""
        # Pylint's counterpart ends with a report on all files together, which is not wanted here.
        check: functools.partial[bool | None] = self._astroid_module_checker().__enter__()
        leave_out_idle_visits(self, check.keywords["walker"], check.keywords["rawcheckers"])
        self._checked = 0
        return check

    def _lint(self, source: str, *, tokens: bool = True) -> tuple[Problem, ...]:
        """Lint it; without looking at its `tokens` where there is nothing to be found in them."""
        if self._check is None or self._checked >= _SET_UP_AGAIN:
            self._check = self._set_up()
        self._checked += 1
        self._source = source
        self._tokens = tokens
        self.reporter.messages = []
        try:
            self._check_file(self.get_ast, self._check, FileItem(_MODULE, f"{_MODULE}.py", _MODULE))
        except Exception as error:  # whatever a checker may raise, and RecursionError for deep nesting
            self._check = None  # A checker that was interrupted may not be as it was.
            cause = error.__cause__ or error
            return (Problem(0, 0, CRASH, f"pylint failed on this source: {type(cause).__name__}: {cause}"),)
        finally:
            self._take_back()
        return tuple(
            sorted(
                Problem(
                    max(0, message.line - 1),
                    max(0, message.column),
                    message.msg_id,
                    message.msg.replace(f"({_MODULE}, line", "(line").replace("(<unknown>, line", "(line"),
                )
                for message in self.reporter.messages
            )
        )

    def get_ast(self, filepath: str, modname: str, data: str | None = None) -> nodes.Module | None:  # noqa: ARG002
        """Build the tree of the source at hand; pylint's own method would read a file, and print."""
        builder = _Builder(AstroidManager())
        self._assigned = builder.assigned
        try:
            with no_warnings():
                return builder.build(self._source, modname, filepath)
        except (AstroidSyntaxError, SyntaxError, UnicodeEncodeError) as error:
            fault = getattr(error, "error", error)
            line = getattr(fault, "lineno", None) or 0
            if isinstance(fault, UnicodeEncodeError):
                line = self._source.count("\n", 0, fault.start) + 1
            self.add_message(
                "syntax-error",
                line=line,
                col_offset=getattr(fault, "offset", None),
                args=f"Parsing failed: '{fault}'",
                confidence=HIGH,
            )
        except (AstroidBuildingError, UnicodeDecodeError) as error:
            self.add_message("parse-error", args=error)
        return None

    def _check_astroid_module(
        self,
        node: nodes.Module,
        walker: ASTWalker,
        rawcheckers: list[BaseRawFileChecker],
        tokencheckers: list[BaseTokenChecker],
    ) -> bool | None:
        """Check a tree, without tokens where they say nothing."""
        if self._tokens:
            done: bool | None = super()._check_astroid_module(node, walker, rawcheckers, tokencheckers)
            return done
        for checker in rawcheckers:
            checker.process_module(node)
        walker.walk(node)
        return True

    def _take_back(self) -> None:
        for table, name, node in self._assigned:
            rest = [other for other in table.get(name, ()) if other is not node]
            if rest:
                table[name] = rest
            else:
                table.pop(name, None)
        self._assigned = []
        manager = AstroidManager()
        manager.astroid_cache.pop(_MODULE, None)
        forget_inferences()
        clear_inference_tip_cache()
        # Each of these keeps the trees of a thousand sources, and the first one those of all.
        for checker in self._remembering:
            checker._accessed = type(checker._accessed)()
        clear_lru_caches()
        nodes.Name.lookup.cache_clear()
        nodes.ClassDef._metaclass_lookup_attribute.cache_clear()
        if len(manager.astroid_cache) > _MAX_TREES:
            manager.clear_cache()


def _syntax_problem(error: SyntaxError) -> Problem:
    message = f"Parsing failed: '{error}'".replace(f"({_MODULE}, line", "(line")
    return Problem(max(0, (error.lineno or 0) - 1), max(0, error.offset or 0), "E0001", message)


def _at_lines(problems: Sequence[Problem], lines: Sequence[int]) -> tuple[Problem, ...] | None:
    """The problems of a reduced source on the `lines` of the whole; None where they are not the whole's."""
    for problem in problems:
        # A problem of no line is on the first; some messages name other lines.
        on_first = problem.line == 0 and lines[:1] != (0,)
        if problem.code in _OF_THE_TEXT or on_first or _NAMES_A_LINE.search(problem.message):
            return None
    return tuple(replace(problem, line=lines[problem.line]) for problem in problems)


class _Builder(AstroidBuilder):  # type: ignore[misc]
    """Builds a module's tree and remembers which attributes it put on classes of other modules."""

    def __init__(self, manager: AstroidManager) -> None:
        super().__init__(manager)
        self.assigned: list[tuple[dict[str, list[Any]], str, Any]] = []

    def build(self, source: str, name: str, path: str) -> nodes.Module:
        """Tree of `source` as if it had been read from a file in UTF-8: its encoding declaration counts."""
        content = source.encode("utf-8")
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        text = io.TextIOWrapper(io.BytesIO(content), encoding, newline=None).read()
        module = self.string_build(text, name, path)
        module.file_bytes = content
        module.file_encoding = encoding
        return module

    def delayed_assattr(self, node: nodes.AssignAttr) -> None:
        """Let astroid note the attribute on what the expression is; remember where that was."""
        super().delayed_assattr(node)
        root = node.root()
        try:
            for inferred in node.expr.infer():
                owner = inferred._proxied if isinstance(inferred, bases.Proxy) else inferred
                if not isinstance(owner, nodes.NodeNG) or owner.root() is root:
                    continue
                for table in (getattr(owner, "instance_attrs", {}), getattr(owner, "locals", {})):
                    if any(other is node for other in table.get(node.attrname, ())):
                        self.assigned.append((table, node.attrname, node))
        except AstroidError:
            pass  # What cannot be inferred was not noted anywhere.
