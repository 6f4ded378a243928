"""What a training stage is told: the shape of the model, how long to learn, and how fast. Needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The shape of a Llama-architecture model; the embedding and the output layer share their weights."""

    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int
    context: int
    key_value_heads: int | None = None
    rope_theta: float = 10_000.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast a stage learns: warm-up, then constant, then a linear decay over its last part.

    `warmup` and `decay` are shares of the stage's steps, `final` is the learning rate's share at the end;
    `batch` counts blocks.
    """

    steps: int
    batch: int
    learning_rate: float
    warmup: float = 0.02
    decay: float = 0.3
    weight_decay: float = 0.1
    final: float = 0.05
    save_steps: int = 200
    gradient_accumulation: int = 1


def learning_rate_factor(step: int, schedule: Schedule) -> float:
    """Warm-up, stable, decay (WSD): the share of the full learning rate at `step`."""
    warmup = max(1, math.ceil(schedule.steps * schedule.warmup))
    decay = max(1, math.ceil(schedule.steps * schedule.decay))
    if step < warmup:
        return (step + 1) / warmup
    if step < schedule.steps - decay:
        return 1.0
    left = (schedule.steps - step) / decay
    return schedule.final + (1 - schedule.final) * max(0.0, left)
