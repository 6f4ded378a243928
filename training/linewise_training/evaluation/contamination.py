"""Whether a model has seen the benchmark's problems, as far as its data are known."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from linewise_training.corpus.decontaminate import shared_items

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Contamination:
    """`tasks` are the evaluated problems that the model's data hold; `known` is false where nobody knows."""

    known: bool
    tasks: tuple[str, ...]

    @property
    def warning(self) -> str | None:
        """What a reader of the score must know, None where there is nothing."""
        if not self.tasks:
            return None
        named = ", ".join(self.tasks[:_NAMED]) + (" and others" if len(self.tasks) > _NAMED else "")
        return (
            f"the model's data hold {len(self.tasks)} of these problems ({named}), so its score says little; "
            "`linewise train decontaminate` takes them out of data"
        )


def contamination(model: Path, data: Path, tasks: Collection[str]) -> Contamination:
    """What is known of `tasks`, problems of the file `data`, and what the model at `model` was trained on.

    Reads the corpus where that lies beside the model, about a minute for 100 MB. Raises LinewiseError for a
    manifest or corpus that cannot be read.
    """
    found = shared_items(model, data)
    return Contamination(found.known, tuple(task for task in found.tasks if task in tasks))
