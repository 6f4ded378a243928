"""What makes a stage fast on a CPU: attention that reads each example alone, a loss without all logits.

A GPU has fused kernels for both (flex attention, and what torch.compile makes of the loss). On a CPU the mask
that parts the examples of a block would be multiplied out, and a float32 row of the whole vocabulary kept
for every token: on two cores these take a sixth of a small model's step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface

BY_EXAMPLE = "by_example"
"""The name by which transformers' models are told to use `attend_by_example`."""

_ROWS = 1024  # of logits at once: 16 MiB with a vocabulary of 4,096


def attend_by_example(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001 -- there is none: see `register`
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    position_ids: torch.Tensor,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each example of packed blocks; an example begins where its position is 0.

    `query` has shape (batch, heads, context, head size), `key` and `value` the same with as many or fewer
    heads, `position_ids` (batch, context). Returns shape (batch, context, heads, head size), and no weights.
    """
    batch, _, context, _ = query.shape
    starts = (position_ids.expand(batch, -1).reshape(-1) == 0).nonzero().reshape(-1)
    ends = functional.pad(starts[1:], (0, 1), value=batch * context)
    lengths = (ends - starts).tolist()
    groups: int = getattr(module, "num_key_value_groups", 1)
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    # Split, not sliced: the gradient of a slice is a tensor of zeros as large as all blocks together.
    pieces = [x.transpose(1, 2).flatten(0, 1).split(lengths) for x in (query, key, value)]
    attended = [
        functional.scaled_dot_product_attention(
            _by_head(one), _by_head(keys), _by_head(values), dropout_p=dropout, is_causal=True, scale=scaling
        )
        .squeeze(0)
        .transpose(0, 1)
        for one, keys, values in zip(*pieces, strict=True)
    ]
    return torch.cat(attended).view(batch, context, query.shape[1], -1), None


def _by_head(piece: torch.Tensor) -> torch.Tensor:
    """(tokens, heads, head size) as attention wants it: (1, heads, tokens, head size)."""
    return piece.transpose(0, 1).unsqueeze(0)


def register() -> None:
    """Make `BY_EXAMPLE` known to transformers, with no mask: `position_ids` says it all."""
    AttentionInterface.register(BY_EXAMPLE, attend_by_example)
    AttentionMaskInterface.register(BY_EXAMPLE, lambda *_, **__: None)


class _HeadLoss(torch.autograd.Function):  # type: ignore[misc]
    """Summed cross entropy of an output layer; its gradients are made in the forward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        narrow = weight.to(hidden.dtype)
        total = torch.zeros((), dtype=torch.float32)
        to_hidden = torch.empty_like(hidden)
        to_weight = torch.zeros_like(weight, dtype=torch.float32)
        for start in range(0, len(hidden), _ROWS):
            rows, wanted = hidden[start : start + _ROWS], labels[start : start + _ROWS, None]
            logits = (rows @ narrow.T).float()
            log_total = logits.logsumexp(-1, keepdim=True)
            total += (log_total - logits.gather(1, wanted)).sum()
            slope = logits.sub_(log_total).exp_()
            slope.scatter_add_(1, wanted, torch.full_like(log_total, -1.0))
            narrow_slope = slope.to(hidden.dtype)
            to_hidden[start : start + _ROWS] = narrow_slope @ narrow
            to_weight += narrow_slope.T @ rows
        ctx.save_for_backward(to_hidden, to_weight)
        return total

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        to_hidden, to_weight = ctx.saved_tensors
        return to_hidden * slope.to(to_hidden.dtype), to_weight * slope, None


def language_model_loss(
    model: nn.Module, input_ids: torch.Tensor, position_ids: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed cross entropy (nats) of a causal language model over its learned tokens, and their number.

    All inputs have shape (batch, context); a label of -100 is not learned, and its logits are never made.
    Inside `torch.autocast` the output layer is multiplied in its type, as the others are.
    """
    hidden = model.model(input_ids=input_ids, position_ids=position_ids, use_cache=False).last_hidden_state
    wanted = labels[:, 1:].reshape(-1)
    learned = (wanted != -100).nonzero().reshape(-1)
    rows = hidden[:, :-1].flatten(0, 1).index_select(0, learned)
    if torch.is_autocast_enabled("cpu"):
        rows = rows.to(torch.get_autocast_dtype("cpu"))
    return _HeadLoss.apply(rows, model.lm_head.weight, wanted[learned]), torch.tensor(len(learned))
