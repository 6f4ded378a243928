"""What goes on beside a stage's training steps: the log of losses, a progress bar, and a time limit."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback

_FIGURES = {"loss": "loss {:.3f}", "tokens_per_second": "{:,.0f} tokens/s", "mfu": "{:.0%} of peak"}


class LossLog(TrainerCallback):  # type: ignore[misc]
    """Appends each logged loss to `losses.jsonl`, for the model card and reports."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_log(self, args: Any, state: Any, control: Any, **event: Any) -> None:  # noqa: ARG002
        """One line: the step and what the Trainer logs."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": state.global_step, **event.get("logs", {})}) + "\n")


class StepProgress(TrainerCallback):  # type: ignore[misc]
    """A bar on standard error with loss, speed and time left; with no terminal, a line in a hundred steps."""

    def __init__(self, name: str, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn(name),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._name = name
        self._task: TaskID | None = None
        self._told = ""

    def on_train_begin(self, args: Any, state: Any, control: Any, **event: Any) -> None:  # noqa: ARG002
        """Show the bar from the step that training goes on from."""
        self._task = self._bar.add_task("", total=state.max_steps, completed=state.global_step)
        self._bar.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **event: Any) -> None:  # noqa: ARG002
        """Move the bar."""
        if self._task is not None:
            self._bar.update(self._task, completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, **event: Any) -> None:  # noqa: ARG002
        """Tell the figures."""
        logs = event.get("logs", {})
        told = ", ".join(text.format(float(logs[key])) for key, text in _FIGURES.items() if key in logs)
        if told and self._task is not None:
            self._bar.update(self._task, description=told)
            if not self._console.is_terminal and state.global_step % 100 == 0:
                print(f"{self._name}: step {state.global_step} of {state.max_steps}, {told}", file=sys.stderr)  # noqa: T201

    def on_train_end(self, args: Any, state: Any, control: Any, **event: Any) -> None:  # noqa: ARG002
        """Take the bar away."""
        self._bar.stop()


class TensorBoardLog(TrainerCallback):  # type: ignore[misc]
    """Logs for TensorBoard into one folder, also of a stage that was cut and goes on."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  (its package may be missing)

        self._writer = SummaryWriter(log_dir=str(folder))

    def on_log(self, args: Any, state: Any, control: Any, **event: Any) -> None:  # noqa: ARG002
        """One point for each figure."""
        for name, value in event.get("logs", {}).items():
            self._writer.add_scalar(name, value, state.global_step)
        self._writer.flush()


def tensorboard(folder: Path) -> list[TrainerCallback]:
    """The callback that logs for TensorBoard; none where that is not installed."""
    return [TensorBoardLog(folder)] if importlib.util.find_spec("tensorboard") else []


class TimeLimit(TrainerCallback):  # type: ignore[misc]
    """Saves a checkpoint and ends the training when the time is up. `reached` tells that it did."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self.reached = False

    def on_step_end(self, args: Any, state: Any, control: Any, **event: Any) -> None:  # noqa: ARG002
        """End after this step if the time is up; the last step of all needs no limit."""
        if time.monotonic() >= self._until and state.global_step < state.max_steps:
            self.reached = True
            control.should_save = True
            control.should_training_stop = True
