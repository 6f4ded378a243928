"""One training stage: a token file, a model, the Trainer; resumes from its last checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from linewise_training.optimizer import MuonAdamW
from linewise_training.schedule import ModelShape, Schedule, learning_rate_factor
from linewise_training.token_file import TokenFile


def new_model(shape: ModelShape, vocabulary_size: int, seed: int) -> LlamaForCausalLM:
    """A model with random weights."""
    set_seed(seed)
    config = LlamaConfig(
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
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config)


class LossLog(TrainerCallback):  # type: ignore[misc]
    """Appends each logged loss to `losses.jsonl`, for the model card and reports."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_log(self, args: Any, state: Any, control: Any, **event: Any) -> None:  # noqa: ARG002
        """One line: the step and what the Trainer logs."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": state.global_step, **event.get("logs", {})}) + "\n")


class StageTrainer(Trainer):  # type: ignore[misc]
    """The Trainer with our optimizer and schedule."""

    optimizer: torch.optim.Optimizer | None
    lr_scheduler: Any

    def __init__(self, *args: Any, schedule: Schedule, **kwargs: Any) -> None:
        self.schedule = schedule
        super().__init__(*args, **kwargs)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Muon with AdamW over the model's parameters."""
        if self.optimizer is None:
            self.optimizer = MuonAdamW(
                model or self.model, self.schedule.learning_rate, self.schedule.weight_decay
            )
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:  # noqa: ARG002
        """Warm-up, stable, decay."""
        if self.lr_scheduler is None:
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer, lambda step: learning_rate_factor(step, self.schedule)
            )
        return self.lr_scheduler


def train_stage(
    model: LlamaForCausalLM,
    data: Path,
    out: Path,
    schedule: Schedule,
    *,
    validation: Path | None = None,
    seed: int = 0,
    extra_files: Sequence[Path] = (),
) -> dict[str, float]:
    """Train `model` on the token file `data` and save it in `out`/model.

    A stage that was cut goes on from its last checkpoint. Returns the last training loss, the validation loss
    (nats per learned token) where there is a validation set, tokens read and seconds.
    """
    cuda = torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=str(out),
        per_device_train_batch_size=schedule.batch,
        per_device_eval_batch_size=schedule.batch,
        gradient_accumulation_steps=schedule.gradient_accumulation,
        max_steps=schedule.steps,
        bf16=True,
        use_cpu=not cuda,
        max_grad_norm=1.0,
        logging_steps=10,
        save_steps=schedule.save_steps,
        save_total_limit=1,
        dataloader_num_workers=0,
        dataloader_pin_memory=cuda,
        report_to=[],
        disable_tqdm=False,
        seed=seed,
        data_seed=seed,
        remove_unused_columns=False,
        label_names=["labels"],
    )
    trainer = StageTrainer(
        model=model,
        args=arguments,
        train_dataset=TokenFile(data),
        eval_dataset=TokenFile(validation) if validation else None,
        data_collator=collate,
        callbacks=[LossLog(out / "losses.jsonl")],
        schedule=schedule,
    )
    out.mkdir(parents=True, exist_ok=True)
    result = trainer.train(resume_from_checkpoint=get_last_checkpoint(str(out)))
    figures = {
        "train_loss": float(result.training_loss),
        "seconds": float(result.metrics["train_runtime"]),
        "tokens": float(
            schedule.steps * schedule.batch * schedule.gradient_accumulation * TokenFile(data).meta.context
        ),
        "parameters": float(model.num_parameters()),
    }
    if validation:
        figures["validation_loss"] = float(trainer.evaluate()["eval_loss"])
    model.save_pretrained(out / "model")
    for file in extra_files:
        (out / "model" / file.name).write_bytes(file.read_bytes())
    (out / "result.json").write_text(
        json.dumps({"schedule": asdict(schedule), "seed": seed, **figures}, indent=2) + "\n", encoding="utf-8"
    )
    return figures


def collate(items: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    """Stack blocks into a batch: `input_ids` and `labels`, both of shape (batch, context)."""
    return {
        key: torch.stack([torch.from_numpy(item[key]) for item in items]) for key in ("input_ids", "labels")
    }
