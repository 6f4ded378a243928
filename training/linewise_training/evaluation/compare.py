"""Two evaluations side by side, item by item, so that nobody reads noise as progress."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from linewise.errors import LinewiseError
from linewise_training.evaluation.folder import Evaluation, differences
from linewise_training.evaluation.scores import CONFIDENCE, bootstrap_interval

NO_DIFFERENCE = "no difference that the data show"
BETTER_SHAPES = "the better shape of each"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One score in one shape of task, of two evaluations A and B.

    `difference` is the mean of B - A over `items`, `low` and `high` its paired bootstrap interval, `changed`
    how many items differ, `p` the two-sided p-value of Wilcoxon's signed-rank test (1 where none differs).
    """

    shape: str
    score: str
    items: int
    changed: int
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float

    @property
    def verdict(self) -> str:
        """Which is higher, if both the interval and the test say so, else NO_DIFFERENCE."""
        if self.p >= 1 - CONFIDENCE or self.low <= 0 <= self.high:
            return NO_DIFFERENCE
        return "B is higher" if self.difference > 0 else "A is higher"


def compare(a: Evaluation, b: Evaluation, seed: int = 0) -> list[Comparison]:
    """Every score that both have, by shape of task.

    Raises LinewiseError, naming what differs, where the two did not measure the same.
    """
    _require_same(a, b)
    rows_a, rows_b = _by_item(a), _by_item(b)
    missing = rows_a.keys() ^ rows_b.keys()
    if missing:
        task, shape = min(missing)
        where = b.folder if (task, shape) in rows_a else a.folder
        raise LinewiseError(
            f"{where} has no result for {task} {shape}".rstrip() + "; compare runs on the same tasks"
        )
    found: list[Comparison] = []
    for group in dict.fromkeys(name for _, shape in rows_a for name in _groups(shape)):
        pairs = [(rows_a[item], rows_b[item]) for item in rows_a if group in _groups(item[1])]
        found += _compared(group, pairs, seed)
    better_a, better_b = a.report.get("better"), b.report.get("better")
    if better_a and better_b and better_a != better_b:
        tasks = [task for task, shape in rows_a if shape == better_a]
        pairs = [(rows_a[task, better_a], rows_b[task, better_b]) for task in tasks]
        found += _compared(BETTER_SHAPES, pairs, seed)
    return found


def _groups(shape: str) -> tuple[str, ...]:
    """What an item of a shape such as "gap, line end" is compared among: all of "gap", and its own shape."""
    return tuple(dict.fromkeys((shape.partition(", ")[0], shape)))


def paired(shape: str, score: str, pairs: list[tuple[float, float]], seed: int = 0) -> Comparison:
    """The comparison of one score from its values in A and B, a pair an item."""
    a, b = np.array(pairs, dtype=np.float64).T
    change = b - a
    changed = int(np.count_nonzero(change))
    low, high = bootstrap_interval(change, seed)
    return Comparison(
        shape=shape,
        score=score,
        items=len(pairs),
        changed=changed,
        a=float(a.mean()),
        b=float(b.mean()),
        difference=float(change.mean()),
        low=low,
        high=high,
        p=float(wilcoxon(change, zero_method="wilcox").pvalue) if changed else 1.0,
    )


def _compared(
    shape: str, pairs: list[tuple[Mapping[str, Any], Mapping[str, Any]]], seed: int
) -> Iterator[Comparison]:
    for score in dict.fromkeys(name for one, other in pairs for name in (*one, *other)):
        values = [(one.get(score), other.get(score)) for one, other in pairs]
        whole = [(x, y) for x, y in values if x is not None and y is not None]
        if whole:
            yield paired(shape, score, whole, seed)


def _by_item(evaluation: Evaluation) -> dict[tuple[str, str], Mapping[str, Any]]:
    return {(str(row["task"]), str(row.get("shape", ""))): row["scores"] for row in evaluation.rows}


def _require_same(a: Evaluation, b: Evaluation) -> None:
    settings_a, settings_b = dict(a.report["settings"]), dict(b.report["settings"])
    if "samples" in settings_a:
        # There the seed says which samples were drawn, not which tasks were asked.
        settings_a.pop("seed", None)
        settings_b.pop("seed", None)
    # The same model with and without it is what one wants to compare.
    settings_a.pop("check_early", None)
    settings_b.pop("check_early", None)
    other = differences({"benchmark": a.report["benchmark"]}, {"benchmark": b.report["benchmark"]})
    other = other or differences(settings_a, settings_b)
    if other:
        raise LinewiseError(
            f"{a.folder} and {b.folder} did not measure the same ({'; '.join(other)}); "
            "evaluate both models with the same settings"
        )
