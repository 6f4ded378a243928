"""Muon for the matrices, AdamW for the rest: more learned from each token than AdamW alone, at small scale.

Muon (Jordan et al., 2024, "Muon: An optimizer for hidden layers in neural networks") orthogonalises the
momentum of each hidden weight matrix; its update is scaled to the root mean square of AdamW's (Liu et al.,
2025, "Muon is scalable for LLM training", section 2.2), so both halves share one learning rate and schedule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from linewise_training.schedule import Schedule


class MuonAdamW(torch.optim.Optimizer):  # type: ignore[misc]
    """One optimizer of two halves, as the Trainer and its schedulers and checkpoints expect it.

    Hidden matrices (two dimensions, not the embedding) go to Muon, everything else to AdamW.
    """

    def __init__(self, model: nn.Module, learning_rate: float, weight_decay: float) -> None:
        hidden = [
            p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n and "lm_head" not in n
        ]
        ids = {id(p) for p in hidden}
        rest = [p for p in model.parameters() if id(p) not in ids]
        self._muon = torch.optim.Muon(
            hidden, lr=learning_rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
        )
        self._adamw = torch.optim.AdamW(rest, lr=learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
        super().__init__([*self._muon.param_groups, *self._adamw.param_groups], {})
        # The halves step over these very groups, so that a scheduler's new learning rate reaches them.
        muon_groups = len(self._muon.param_groups)
        self._muon.param_groups = self.param_groups[:muon_groups]
        self._adamw.param_groups = self.param_groups[muon_groups:]

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Step both halves."""
        loss = closure() if closure is not None else None
        self._muon.step()
        self._adamw.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The states of both halves."""
        return {"muon": self._muon.state_dict(), "adamw": self._adamw.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the states of both halves."""
        self._muon.load_state_dict(state_dict["muon"])
        self._adamw.load_state_dict(state_dict["adamw"])
        self.param_groups = [*self._muon.param_groups, *self._adamw.param_groups]


def new_optimizer(model: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    """The optimizer that a schedule names, over all parameters of `model`.

    AdamW is set as TinyCodeLM's pretraining has it: betas 0.9 and 0.95, epsilon 1e-5.
    """
    if schedule.optimizer == "muon":
        return MuonAdamW(model, schedule.learning_rate, schedule.weight_decay)
    return torch.optim.AdamW(
        model.parameters(),
        lr=schedule.learning_rate,
        betas=(0.9, 0.95),
        eps=1e-5,
        weight_decay=schedule.weight_decay,
    )
