"""Verifiers find static errors in source text; `new_problems` tells which of them an edit brought in."""

from linewise.errors import LinewiseError
from linewise.verify.compare import SYNTAX_CODES, blamed_line, new_problems
from linewise.verify.fast import FastVerifier
from linewise.verify.none import NoVerifier
from linewise.verify.protocol import Problem, Verifier
from linewise.verify.pylint_verifier import CRASH, PylintVerifier
from linewise.verify.ruff_verifier import RuffVerifier
from linewise.verify.syntax import SyntaxVerifier

__all__ = [
    "CRASH",
    "SYNTAX_CODES",
    "VERIFIERS",
    "FastVerifier",
    "NoVerifier",
    "Problem",
    "PylintVerifier",
    "RuffVerifier",
    "SyntaxVerifier",
    "Verifier",
    "blamed_line",
    "get_verifier",
    "new_problems",
]


VERIFIERS = ("pylint", "fast", "ruff", "none")
"""The names of the verifiers of Python that `get_verifier` knows."""


def get_verifier(name: str) -> Verifier:
    """The verifier called `name`, one of VERIFIERS. Raises LinewiseError for another or a missing one."""
    if name == "pylint":
        return PylintVerifier()
    if name == "fast":
        return FastVerifier()
    if name == "ruff":
        return RuffVerifier()
    if name == "none":
        return NoVerifier()
    if name.startswith("syntax:"):
        return SyntaxVerifier(name.removeprefix("syntax:"))
    raise LinewiseError(
        f"there is no verifier {name!r}; choose {', '.join(VERIFIERS[:-1])} or {VERIFIERS[-1]}"
    )
