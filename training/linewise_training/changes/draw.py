"""One change of a file, of a kind drawn at random."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from linewise_training.changes import names, signatures, statements, values
from linewise_training.changes.code import Change, Code

_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Kind:
    """How changes of a kind are made, and how often beside the others."""

    make: Callable[[Code, random.Random], Change | None]
    share: float


KINDS = {
    "renaming": Kind(names.renaming, 0.26),
    "renaming of a function": Kind(names.renaming_of_function, 0.06),
    "docstrings": Kind(statements.docstrings, 0.13),
    "type hints": Kind(signatures.type_hints, 0.15),
    "a parameter": Kind(signatures.parameter, 0.08),
    "a default": Kind(signatures.default_value, 0.06),
    "a value": Kind(values.constant, 0.07),
    "imports": Kind(statements.imports, 0.08),
    "comments": Kind(statements.comments, 0.03),
    "a check": Kind(statements.check, 0.05),
    "a deletion": Kind(statements.deletion, 0.03),
}


def draw(code: Code, rng: random.Random) -> tuple[str, Change] | None:
    """A change of `code` and its kind; None where a few kinds that were drawn found nothing to change."""
    for _ in range(_ATTEMPTS):
        (kind,) = rng.choices(list(KINDS), [one.share for one in KINDS.values()])
        change = KINDS[kind].make(code, rng)
        if change is not None and change.before != change.after:
            return kind, change
    return None
