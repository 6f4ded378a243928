"""What a training stage is to do, in a file beside its tokens: any machine can then do it. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from linewise.errors import LinewiseError
from linewise_training.schedule import ModelShape, Schedule

_NAME = "plan.json"


@dataclass(frozen=True, slots=True)
class StagePlan:
    """A stage: a new model of `shape`, or the one in the folder `initial`, and how it learns.

    `vocabulary` counts the tokens that the model is to have. `initial` and `tokenizer` are folders, named
    from the stage's own. `mix` tells what the tokens were made of.
    """

    vocabulary: int
    tokenizer: str
    schedule: Schedule
    seed: int
    shape: ModelShape | None = None
    initial: str = ""
    mix: Mapping[str, Any] = field(default_factory=dict)


def write_plan(plan: StagePlan, folder: Path) -> None:
    """Write a stage's plan into its folder. Raises LinewiseError where that holds a stage of another plan."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / _NAME).is_file() and read_plan(folder) != plan:
        raise LinewiseError(
            f"{folder} holds a stage with other settings; remove it, or name another folder with --out"
        )
    (folder / _NAME).write_text(json.dumps(asdict(plan), indent=2) + "\n", encoding="utf-8")


def read_plan(folder: Path) -> StagePlan:
    """The plan of a stage. Raises LinewiseError where the folder has none, or it cannot be read."""
    try:
        table = json.loads((folder / _NAME).read_text(encoding="utf-8"))
        table["schedule"] = Schedule(**table["schedule"])
        table["shape"] = ModelShape(**table["shape"]) if table["shape"] else None
        return StagePlan(**table)
    except OSError as error:
        raise LinewiseError(
            f"{folder} is no prepared stage ({_NAME}: {error.strerror}); "
            "`linewise train run --prepare` makes the stages of a recipe"
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise LinewiseError(f"{folder / _NAME} is damaged ({error}); make the stage again") from error
