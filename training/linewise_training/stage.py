"""One training stage: its plan, its token files, the Trainer; resumes from its last checkpoint.

    python -m linewise_training.stage RUN/pretrain RUN/sft --minutes 9

trains prepared stages, one after the other, on a machine that has nothing else of Linewise's: only torch,
transformers, accelerate, tokenizers, safetensors, numpy and rich are needed here.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    OlmoConfig,
    OlmoForCausalLM,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging as transformers_logging

from linewise.errors import LinewiseError
from linewise_training import on_cpu
from linewise_training.averaging import CycleEnds, average, ends
from linewise_training.callbacks import LossLog, StepProgress, TimeLimit, tensorboard
from linewise_training.optimizer import new_optimizer
from linewise_training.plan import StagePlan, read_plan
from linewise_training.schedule import ModelShape, Schedule, learning_rate_factor
from linewise_training.throughput import Throughput, peak_flops
from linewise_training.token_file import TokenFile

on_cpu.register()

_CLASSES = {"llama": (LlamaConfig, LlamaForCausalLM), "olmo": (OlmoConfig, OlmoForCausalLM)}


class StageCutError(LinewiseError):
    """The time limit ended a stage before its last step; its checkpoint stands, and it can go on."""


def new_model(shape: ModelShape, vocabulary_size: int, seed: int) -> PreTrainedModel:
    """A model with random weights."""
    set_seed(seed)
    config_class, model_class = _CLASSES[shape.architecture]
    config = config_class(
        vocab_size=vocabulary_size,
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads or shape.heads,
        intermediate_size=shape.intermediate_size,
        max_position_embeddings=shape.context,
        rope_theta=shape.rope_theta,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
        attn_implementation=_attention(),
    )
    return model_class(config)


def load_model(checkpoint: Path) -> PreTrainedModel:
    """The model in a checkpoint's folder, to be trained further."""
    model_type = json.loads((checkpoint / "config.json").read_text(encoding="utf-8")).get("model_type")
    if model_type not in _CLASSES:
        raise LinewiseError(
            f"{checkpoint} holds a model of type {model_type!r}; {', '.join(_CLASSES)} can be trained"
        )
    return _CLASSES[model_type][1].from_pretrained(checkpoint, attn_implementation=_attention())


def _attention() -> str:
    # Both keep attention within an example, and skip what a mask would hide.
    return "flex_attention" if torch.cuda.is_available() else on_cpu.BY_EXAMPLE


class StageTrainer(Trainer):  # type: ignore[misc]
    """The Trainer with our optimizer and schedule, which logs how fast it is."""

    optimizer: torch.optim.Optimizer | None
    lr_scheduler: Any

    def __init__(self, *args: Any, schedule: Schedule, throughput: Throughput, **kwargs: Any) -> None:
        self.schedule = schedule
        self.throughput = throughput
        self._began = 0.0
        self._seconds_before: float | None = None
        super().__init__(*args, **kwargs)

    @property
    def seconds(self) -> float:
        """Seconds of training so far, those before a stage was cut included, up to its last logged step."""
        if self._seconds_before is None:
            told = (row["seconds"] for row in reversed(self.state.log_history) if "seconds" in row)
            self._seconds_before = float(next(told, 0.0))
        return self._seconds_before + time.monotonic() - self._began

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, and count the seconds."""
        self._began = time.monotonic()
        return super().train(*args, **kwargs)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Mean cross entropy (nats) of the learned tokens, which number `num_items_in_batch` in a step."""
        if torch.cuda.is_available():
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        total, learned = on_cpu.language_model_loss(model, **inputs)
        loss = total / (learned if num_items_in_batch is None else num_items_in_batch)
        return (loss, {}) if return_outputs else loss

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The schedule's optimizer over the model's parameters."""
        if self.optimizer is None:
            self.optimizer = new_optimizer(model or self.model, self.schedule)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:  # noqa: ARG002
        """Warm-up, stable, decay."""
        if self.lr_scheduler is None:
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer, lambda step: learning_rate_factor(step, self.schedule)
            )
        return self.lr_scheduler

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log, with the seconds so far, tokens a second and the share of peak FLOP/s beside the loss."""
        speed = self.throughput.read(self.state.global_step)
        told = {**logs, **speed, "seconds": self.seconds} if "loss" in logs else logs
        super().log(told, *args, **kwargs)


def train_stage(out: Path, seconds: float | None = None) -> dict[str, float]:
    """Train as the plan in the folder `out` says, on the token files beside it, and save it in `out`/model.

    A stage that was cut goes on from its last checkpoint; one that is done only tells its figures. Returns
    the training loss of the last steps, the validation loss (both nats per learned token) where there is a
    validation set, tokens read, and seconds of training, of all parts of a stage that was cut. Raises
    StageCutError when `seconds` were over before the last step.
    """
    result_file = out / "result.json"
    if result_file.is_file():
        figures: dict[str, float] = json.loads(result_file.read_text(encoding="utf-8"))["figures"]
        return figures
    plan = read_plan(out)
    schedule = plan.schedule
    validation = out / "validation"
    transformers_logging.disable_progress_bar()  # of files that it reads and writes; steps have their own
    cuda = torch.cuda.is_available()
    model = _planned_model(plan, out)
    examples = TokenFile(out / "tokens")
    tokens_per_step = (
        schedule.batch
        * schedule.gradient_accumulation
        * examples.meta.context
        * max(1, torch.cuda.device_count())
    )
    arguments = TrainingArguments(
        output_dir=str(out),
        per_device_train_batch_size=schedule.batch,
        per_device_eval_batch_size=schedule.batch,
        gradient_accumulation_steps=schedule.gradient_accumulation,
        max_steps=schedule.steps,
        bf16=True,
        tf32=cuda or None,
        torch_compile=cuda,
        use_cpu=not cuda,
        max_grad_norm=1.0,
        logging_steps=max(1, min(10, schedule.steps // 20)),
        save_steps=schedule.save_steps,
        save_total_limit=1,
        dataloader_num_workers=4 if cuda else 0,
        dataloader_pin_memory=cuda,
        report_to=[],
        disable_tqdm=True,
        seed=plan.seed,
        data_seed=plan.seed,
        remove_unused_columns=False,
        label_names=["labels"],
    )
    limit = TimeLimit(seconds if seconds is not None else float("inf"))
    trainer = StageTrainer(
        model=model,
        args=arguments,
        train_dataset=examples,
        eval_dataset=TokenFile(validation) if validation.is_dir() else None,
        data_collator=collate,
        callbacks=[
            LossLog(out / "losses.jsonl"),
            StepProgress(out.name),
            limit,
            CycleEnds(schedule, out),
            *tensorboard(out / "tensorboard"),
        ],
        schedule=schedule,
        throughput=_throughput(model, tokens_per_step),
    )
    trainer.remove_callback(PrinterCallback)
    model.config.use_cache = False  # with a cache, transformers would let examples of a block see one another
    out.mkdir(parents=True, exist_ok=True)
    trainer.train(resume_from_checkpoint=last_checkpoint(out))
    if limit.reached:
        raise StageCutError(
            f"{out.name}: the time was up after step {trainer.state.global_step} of {schedule.steps}; "
            "the same command goes on there"
        )
    figures = {
        # Not the Trainer's mean, which is of all steps, or of those since a stage that was cut went on.
        "train_loss": float(
            next(row["loss"] for row in reversed(trainer.state.log_history) if "loss" in row)
        ),
        "seconds": trainer.seconds,
        "tokens": float(schedule.steps * tokens_per_step),
        "parameters": float(model.num_parameters()),
    }
    average(model, [place for step, place in ends(schedule, out) if step < schedule.steps])
    if validation.is_dir():
        figures["validation_loss"] = float(trainer.evaluate()["eval_loss"])
    model.config.use_cache = True
    model.save_pretrained(out / "model")
    for file in sorted((out / plan.tokenizer).glob("tokenizer*.json")):
        (out / "model" / file.name).write_bytes(file.read_bytes())
    result = json.dumps({**asdict(plan), "figures": figures}, indent=2)
    unfinished = result_file.with_suffix(".tmp")  # a result that is half there would not be read as done
    unfinished.write_text(result + "\n", encoding="utf-8")
    unfinished.replace(result_file)
    return figures


def _planned_model(plan: StagePlan, out: Path) -> PreTrainedModel:
    if plan.shape is not None:
        return new_model(plan.shape, plan.vocabulary, plan.seed)
    model = load_model(out / plan.initial)
    if plan.vocabulary > model.get_input_embeddings().num_embeddings:
        set_seed(plan.seed)
        model.resize_token_embeddings(plan.vocabulary, mean_resizing=False)
    return model


def _throughput(model: PreTrainedModel, tokens_per_step: int) -> Throughput:
    config = model.config
    shape = ModelShape(
        config.hidden_size,
        config.num_hidden_layers,
        config.num_attention_heads,
        config.intermediate_size,
        config.max_position_embeddings,
    )
    peaks = [peak_flops(torch.cuda.get_device_name(at)) for at in range(torch.cuda.device_count())]
    known = [peak for peak in peaks if peak]
    return Throughput(
        tokens_per_step,
        shape.flops_per_token(model.num_parameters()),
        sum(known) if known and len(known) == len(peaks) else None,
    )


def last_checkpoint(out: Path) -> str | None:
    """The last whole checkpoint of a stage; those after it, which a kill left half-written, are removed."""
    found = sorted(
        (path for path in out.glob("checkpoint-*") if path.name.split("-")[1].isdigit()),
        key=lambda path: int(path.name.split("-")[1]),
    )
    while found:
        try:
            # The Trainer writes its own state after everything else.
            json.loads((found[-1] / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(found.pop())
        else:
            return str(found[-1])
    return None


def collate(items: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    """Stack blocks into a batch: `input_ids`, `labels` and `position_ids`, each of shape (batch, context)."""
    return {key: torch.stack([torch.from_numpy(item[key]) for item in items]) for key in items[0]}


def main() -> int:
    """Train the stages whose folders are named; 75 says that the time limit cut one, which can go on."""
    parser = argparse.ArgumentParser(prog="python -m linewise_training.stage", description=main.__doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="of a prepared stage")
    parser.add_argument("--minutes", type=float, help="stop after this time, with a checkpoint")
    arguments = parser.parse_args()
    began = time.monotonic()
    try:
        for folder in arguments.folders:
            left = None if arguments.minutes is None else 60 * arguments.minutes - (time.monotonic() - began)
            figures = train_stage(folder, left)
            sys.stdout.write(f"{folder.name}: {', '.join(f'{k} {v:.6g}' for k, v in figures.items())}\n")
    except LinewiseError as error:
        sys.stderr.write(f"{error}\n")
        return os.EX_TEMPFAIL if isinstance(error, StageCutError) else 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
