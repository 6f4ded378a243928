"""What pyflakes finds in a syntax tree, as problems: the messages that are errors at run time."""

from __future__ import annotations

import ast
from collections.abc import Collection
from typing import Any

from pyflakes import checker, messages

from linewise.verify.protocol import Problem
from linewise.verify.quiet import no_warnings

SYNTAX_ERROR = "syntax-error"

# The pyflakes messages that count, by class, with the code that each one gets here. A message that this
# version of pyflakes does not have is simply never seen.
_SERIOUS = {
    "UndefinedName": "undefined-name",
    "UndefinedLocal": "undefined-local",
    "UndefinedExport": "undefined-export",
    "DuplicateArgument": "duplicate-argument",
    "ImportStarNotPermitted": "star-import-in-function",
    "LateFutureImport": "late-future-import",
    "FutureFeatureNotDefined": "unknown-future-feature",
    "ReturnOutsideFunction": "return-outside-function",
    "YieldOutsideFunction": "yield-outside-function",
    "ContinueOutsideLoop": "continue-outside-loop",
    "BreakOutsideLoop": "break-outside-loop",
    "DefaultExceptNotLast": "default-except-not-last",
    "TwoStarredExpressions": "two-starred-expressions",
    "TooManyExpressionsInStarredAssignment": "too-many-starred-targets",
    "ForwardAnnotationSyntaxError": "annotation-syntax-error",
    "RaiseNotImplemented": "raise-not-implemented",
    "InvalidPrintSyntax": "print-with-shift",
    "StringDotFormatMissingArgument": "format-missing-argument",
    "StringDotFormatMixingAutomatic": "format-mixed-numbering",
    "StringDotFormatInvalidFormat": "format-invalid",
    "PercentFormatInvalidFormat": "percent-format-invalid",
    "PercentFormatMixedPositionalAndNamed": "percent-format-mixed",
    "PercentFormatUnsupportedFormatCharacter": "percent-format-unsupported",
    "PercentFormatPositionalCountMismatch": "percent-format-count",
    "PercentFormatMissingArgument": "percent-format-missing-argument",
    "PercentFormatExpectedMapping": "percent-format-expected-mapping",
    "PercentFormatExpectedSequence": "percent-format-expected-sequence",
    "PercentFormatStarRequiresSequence": "percent-format-star",
}
_CODES = {cls: _SERIOUS[name] for name, cls in vars(messages).items() if name in _SERIOUS}


def problems_where(tree: ast.Module, names: Collection[str]) -> tuple[Problem, ...]:
    """The problems of a part of a module that has been parsed, in the rest of which `names` are defined.

    Those that the compiler finds after parsing, or else those that pyflakes finds.
    """
    try:
        with no_warnings():
            compile(tree, "<source>", "exec", dont_inherit=True)
    except SyntaxError as error:
        place = (max(0, (error.lineno or 1) - 1), max(0, (error.offset or 1) - 1))
        return (Problem(*place, SYNTAX_ERROR, error.msg or "invalid syntax"),)
    except (ValueError, RecursionError, MemoryError):
        return ()
    return pyflakes_problems(tree, names)


def pyflakes_problems(tree: ast.Module, names: Collection[str] = ()) -> tuple[Problem, ...]:
    """What pyflakes finds in `tree` that counts here, where `names` are defined elsewhere."""
    try:
        found: list[Any] = checker.Checker(tree, filename="<source>", builtins=names).messages
    except RecursionError:
        return (Problem(0, 0, "nested-too-deeply", "the code is nested too deeply to check"),)
    return tuple(
        sorted(
            Problem(max(0, m.lineno - 1), m.col, _CODES[type(m)], str(m.message % m.message_args))
            for m in found
            if type(m) in _CODES
        )
    )
