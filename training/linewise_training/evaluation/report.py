"""From graded items to figures: pass@k with intervals, what samples cost, how they ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from linewise_training.evaluation.scores import mean_estimate
from linewise_training.execution import Status
from linewise_training.sampling import Sample


def flops_per_sample(parameters: int, tokens: float) -> float:
    """Floating-point operations that generating `tokens` tokens takes: 2 N each, N being the parameters.

    A multiplication and an addition for every weight (Kaplan et al., "Scaling Laws for Neural Language
    Models", 2020, section 2.1, without the attention over the context, which is small beside it).
    """
    return 2.0 * parameters * tokens


def figures(
    rows: Sequence[Mapping[str, Any]], samples: Sequence[Sample], parameters: int, ks: Sequence[int]
) -> dict[str, Any]:
    """What report.json says of the results: figures by shape of prompt, and which shape is the better one.

    `samples` are those that `rows` grade. Where there are two shapes, `better` names the one with the higher
    pass@k for the least k, as the LintSeq paper reports it; it is chosen by the benchmark itself. None where
    there is one shape, or both score the same.
    """
    shapes = list(dict.fromkeys(str(row["shape"]) for row in rows))
    by_shape = {
        shape: _shape_figures(
            [row for row in rows if row["shape"] == shape],
            [sample for sample in samples if sample.shape == shape],
            parameters,
            ks,
        )
        for shape in shapes
    }
    first = f"pass@{min(ks)}"
    values = {shape: by_shape[shape]["scores"][first]["value"] for shape in shapes}
    best = [shape for shape in shapes if values[shape] == max(values.values())]
    return {"shapes": by_shape, "better": best[0] if len(best) < len(shapes) else None}


def _shape_figures(
    rows: Sequence[Mapping[str, Any]], samples: Sequence[Sample], parameters: int, ks: Sequence[int]
) -> dict[str, Any]:
    graded = [sample for row in rows for sample in row["samples"]]
    count = len(samples)
    tokens = sum(sample.tokens for sample in samples) / count
    prompts = {sample.task: sample.prompt_tokens for sample in samples}
    hunks = sum(sample.get("hunks", 0) for sample in graded)
    malformed = sum(sample.get("malformed", 0) for sample in graded)
    return {
        "problems": len(rows),
        "samples": count,
        "scores": {
            f"pass@{k}": asdict(mean_estimate([row["scores"][f"pass@{k}"] for row in rows])) for k in ks
        },
        "solved": sum(
            any(sample["status"] == Status.PASS.value for sample in row["samples"]) for row in rows
        ),
        "statuses": dict(Counter(sample["status"] for sample in graded).most_common()),
        "endings": dict(Counter(sample.ended for sample in samples).most_common()),
        "tokens_per_sample": tokens,
        "prompt_tokens_per_problem": sum(prompts.values()) / len(prompts),
        "flops_per_sample": flops_per_sample(parameters, tokens),
        "logprob_per_token": _ratio(sum(sample.logprob for sample in samples), tokens * count),
        "hunks_per_sample": hunks / count if hunks or malformed else None,
        "well_formed_hunks": _ratio(hunks, hunks + malformed),
    }


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
