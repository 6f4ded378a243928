"""`linewise eval`: how good a model is. Each benchmark is a command of this group."""

from __future__ import annotations

import click


@click.group("eval")
def evaluate() -> None:
    """Measure a model on a benchmark, or compare two measurements."""
