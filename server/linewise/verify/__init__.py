"""Verifiers find static errors in source text; `new_problems` tells which of them an edit brought in."""

from linewise.errors import LinewiseError
from linewise.verify.compare import SYNTAX_CODES, blamed_line, new_problems
from linewise.verify.fast import FastVerifier
from linewise.verify.protocol import Problem, Verifier
from linewise.verify.pylint_verifier import PylintVerifier

__all__ = [
    "SYNTAX_CODES",
    "FastVerifier",
    "Problem",
    "PylintVerifier",
    "Verifier",
    "blamed_line",
    "get_verifier",
    "new_problems",
]


def get_verifier(name: str) -> Verifier:
    """The verifier called `name`: "pylint" or "fast". Raises LinewiseError for another name."""
    if name == "pylint":
        return PylintVerifier()
    if name == "fast":
        return FastVerifier()
    raise LinewiseError(f"there is no verifier {name!r}; choose pylint or fast")
