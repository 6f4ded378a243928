"""The mean of the weights that a stage has at the ends of its learning rate's last cycles.

Each cycle ends in a minimum of its own; between them, in the same valley, lies a flatter and lower one
(Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", 2018, section 3;
Huang et al., "Snapshot Ensembles", 2017, for the cycles).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel, TrainerCallback

from linewise_training.schedule import Schedule

FOLDER = "cycles"  # of a stage, with a model for each cycle whose end counts


class CycleEnds(TrainerCallback):  # type: ignore[misc]
    """Saves the weights at the end of each cycle that counts, but for the last, which ends the stage."""

    def __init__(self, schedule: Schedule, stage: Path) -> None:
        self._places = {step: place for step, place in ends(schedule, stage) if step < schedule.steps}

    def on_step_end(self, args: Any, state: Any, control: Any, **event: Any) -> None:  # noqa: ARG002
        """Save the model's weights where a cycle ends; before the checkpoint of this step is made."""
        place = self._places.get(state.global_step)
        if place is not None:
            unfinished = place.with_suffix(".tmp")  # what is half there would be taken for weights
            shutil.rmtree(unfinished, ignore_errors=True)
            event["model"].save_pretrained(unfinished, max_shard_size="1000GB")
            shutil.rmtree(place, ignore_errors=True)
            unfinished.rename(place)


def ends(schedule: Schedule, stage: Path) -> list[tuple[int, Path]]:
    """The steps at which the cycles end that count, and the folder for the weights of each."""
    first = schedule.cycles - schedule.averaged + 1
    return [
        (cycle * schedule.cycle_steps, stage / FOLDER / str(cycle))
        for cycle in range(first, schedule.cycles + 1)
    ]


def average(model: PreTrainedModel, folders: Sequence[Path]) -> None:
    """Set `model`'s weights to the mean of its own and those in `folders`, each with equal weight."""
    parameters = dict(model.named_parameters())  # shared ones once, as they are saved
    with torch.no_grad():
        for folder in folders:
            saved = load_file(folder / "model.safetensors")
            for name, parameter in parameters.items():
                parameter.add_(saved[name].to(parameter.device))
        for parameter in parameters.values():
            parameter.div_(len(folders) + 1)
