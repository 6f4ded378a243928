"""What an evaluation of edits asks, and by what it judges."""

from __future__ import annotations

from dataclasses import dataclass

SETTINGS = ("gap", "editing", "commit", "write", "change")
"""What is asked for; `write` and `change` each in a window and in a whole file, see `instructions`."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is asked of a model: `limit` tasks of each setting, from `data` (SHA-256 of each source).

    `only` these of all settings. With `check_early`, writes are led away from what their verifier would
    reject, as they are in an editor.
    """

    data: tuple[str, ...]
    limit: int
    seed: int
    verifier: str
    check_early: bool = True
    only: tuple[str, ...] = SETTINGS
