"""Bench: what quantization costs and saves, each model measured in a process of its own."""

from __future__ import annotations

from linewise_training.bench.measurement import Measurement, Plan
from linewise_training.bench.table import Row, compared, markdown

__all__ = ["Measurement", "Plan", "Row", "compared", "markdown"]
