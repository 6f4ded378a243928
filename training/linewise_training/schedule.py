"""What a training stage is told: the shape of the model, how long to learn, and how fast. Needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

Architecture: TypeAlias = Literal["llama", "olmo"]
Optimizer: TypeAlias = Literal["muon", "adamw"]
Decay: TypeAlias = Literal["linear", "cosine"]


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The shape of a decoder; the embedding and the output layer share their weights.

    `olmo` is Llama's architecture with layer norms that have no parameters (OLMo, Groeneveld et al., 2024,
    section 2.1), which TinyCodeLM is built on.
    """

    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int
    context: int
    key_value_heads: int | None = None
    rope_theta: float = 10_000.0
    architecture: Architecture = "llama"

    def __post_init__(self) -> None:
        if self.architecture not in ("llama", "olmo"):
            raise ValueError(f"architecture {self.architecture!r} is none of llama, olmo")
        if self.hidden_size % self.heads or self.heads % (self.key_value_heads or self.heads):
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of heads {self.heads}, "
                f"and heads one of key_value_heads {self.key_value_heads}"
            )

    def flops_per_token(self, parameters: int) -> float:
        """Floating-point operations of a training step per token (PaLM, Chowdhery et al., 2022, appendix B).

        6 for each of `parameters` (two forward, four backward; tied weights work once, as the output layer),
        and 12 · layers · hidden size · context for attention, as if no token were masked.
        """
        return 6.0 * parameters + 12.0 * self.layers * self.hidden_size * self.context


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast a stage learns: warm-up, then constant, then a decay over its last part.

    `warmup` and `decay` are shares of the stage's steps, `final` is the learning rate's share at the end;
    `batch` counts blocks that are read at once, and a step reads `gradient_accumulation` of them.
    A cosine schedule is one with `decay_shape` cosine that decays from the end of its warm-up.

    With `cycles` all of this is done so many times, each time over an equal part of the steps, and the model
    is the mean of the weights at the ends of the last `averaged` cycles (`linewise_training.averaging`).
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
    optimizer: Optimizer = "muon"
    decay_shape: Decay = "linear"
    cycles: int = 1
    averaged: int = 1

    def __post_init__(self) -> None:
        if self.optimizer not in ("muon", "adamw"):
            raise ValueError(f"optimizer {self.optimizer!r} is none of muon, adamw")
        if self.decay_shape not in ("linear", "cosine"):
            raise ValueError(f"decay_shape {self.decay_shape!r} is none of linear, cosine")
        if min(self.steps, self.batch, self.gradient_accumulation, self.save_steps) < 1:
            raise ValueError("steps, batch, gradient_accumulation and save_steps must be at least 1")
        if not 1 <= self.averaged <= self.cycles:
            raise ValueError(f"averaged = {self.averaged} is not from 1 to cycles = {self.cycles}")
        if self.steps % self.cycles:
            raise ValueError(f"steps = {self.steps} do not make {self.cycles} equal cycles")

    @property
    def cycle_steps(self) -> int:
        """Steps of one cycle."""
        return self.steps // self.cycles


def learning_rate_factor(step: int, schedule: Schedule) -> float:
    """Warm-up, stable, decay (WSD): the share of the full learning rate at `step`."""
    steps = schedule.cycle_steps
    warmup = max(1, math.ceil(steps * schedule.warmup))
    decay = max(1, math.ceil(steps * schedule.decay))
    if step < schedule.steps:
        step %= steps
    if step < warmup:
        return (step + 1) / warmup
    if step < steps - decay:
        return 1.0
    left = max(0.0, (steps - step) / decay)
    if schedule.decay_shape == "cosine":
        left = (1 - math.cos(math.pi * left)) / 2
    return schedule.final + (1 - schedule.final) * left
