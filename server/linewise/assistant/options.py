"""What may be set of one write, and how what it writes becomes true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from linewise.assistant.document import Landing
from linewise.edits import Hunk

Land: TypeAlias = Callable[[Landing], Hunk]
"""Makes a landing true and returns the hunk that landed; raises StaleError or ConflictError."""


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Bounds and sampling of one write.

    `max_tokens` counts every generated token, dropped ones too. `max_tries` samples are made of one hunk;
    `max_failures` hunks may be dropped in a row for any reason, conflicts with the user among them.
    `line` (0-based) is the place of interest in a document too long for the model. `check_early` looks at
    hunks while they are written, where the verifier can, and leads them away from what it would reject.
    """

    temperature: float = 0.0
    top_p: float = 0.95
    seed: int = 0
    max_edits: int = 64
    max_tokens: int = 4096
    max_tries: int = 5
    max_failures: int = 12
    line: int | None = None
    check_early: bool = True
