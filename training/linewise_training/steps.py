"""The stages of a recipe, each a function of its inputs' paths; `linewise train`'s commands call them too."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from linewise.errors import LinewiseError
from linewise.formats import FimFormat, fim
from linewise_training.corpus import corpus_command
from linewise_training.export import LICENCE_KEY, export
from linewise_training.lintseq import lintseq_command
from linewise_training.mix import Mix, examples, held_out
from linewise_training.packing import write_token_file
from linewise_training.plan import StagePlan, write_plan
from linewise_training.recipe import Recipe
from linewise_training.schedule import ModelShape, Schedule
from linewise_training.tokenizer import load_tokenizer, save_tokenizer, texts_of, train_tokenizer


def make_corpus(out: Path, options: Sequence[str]) -> Mapping[str, Any]:
    """`linewise train corpus` into `out`."""
    _invoke(corpus_command, ["--out", str(out), "--overwrite", *options])
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    return {key: manifest[key] for key in ("files", "characters", "pairs")}


def make_sequences(corpus: Path, tokenizer: Path, out: Path, options: Sequence[str]) -> Mapping[str, Any]:
    """`linewise train lintseq` over a corpus's pairs; its report counts tokens by `tokenizer`."""
    files = ["--in", str(corpus / "pairs.jsonl"), "--out", str(out / "sequences.jsonl")]
    _invoke(lintseq_command, [*files, "--tokenizer", str(tokenizer), *options])
    with (out / "sequences.jsonl").open(encoding="utf-8") as lines:
        return {"sequences": sum(1 for _ in lines)}


def make_tokenizer(
    files: Path, out: Path, vocabulary: int, characters: int, context: int
) -> Mapping[str, Any]:
    """Learn a tokenizer from about `characters` of a corpus, evenly from all of it but what is held out.

    Returns its size and, where the corpus has held-out files, how many bytes of them (UTF-8) make a token.
    """
    total = sum(len(text) for text in texts_of(files))
    if not total:
        raise LinewiseError(f"{files} holds no text to learn a tokenizer from; make a larger corpus")
    every = max(1, total // max(1, characters))
    learned = (text for text in texts_of(files) if not held_out(text))
    tokenizer = train_tokenizer(itertools.islice(learned, 0, None, every), vocabulary)
    save_tokenizer(tokenizer, out, context)
    sample = [text for text in texts_of(files) if held_out(text)]
    tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch(sample, add_special_tokens=False))
    figures: dict[str, Any] = {"vocabulary": tokenizer.get_vocab_size(), "held_out_files": len(sample)}
    if tokens:
        figures["bytes_per_token"] = sum(len(text.encode()) for text in sample) / tokens
    return figures


def plan_pretraining(
    corpus: Path, tokenizer: Path, out: Path, shape: ModelShape, mix: Mix, schedule: Schedule, seed: int
) -> None:
    """Make what a stage needs that trains a new model on a mix, every token of it learned."""
    vocabulary = load_tokenizer(tokenizer).get_vocab_size()
    plan = StagePlan(vocabulary, _from(out, tokenizer), schedule, seed, shape=shape, mix=asdict(mix))
    write_plan(plan, out)
    _token_files(corpus, None, tokenizer, out, shape.context, mix, seed, learn_all=True)


def plan_tuning(
    corpus: Path,
    sequences: Path,
    tokenizer: Path,
    checkpoint: Path,
    out: Path,
    context: int,
    mix: Mix,
    schedule: Schedule,
    seed: int,
) -> None:
    """Make what masked fine-tuning of a checkpoint needs (LintSeq 2.4).

    Only the edits are learned, given document and instruction.
    """
    if mix.format == FimFormat.name:
        tokenizer = _with_fim_tokens(tokenizer, out / "tokenizer", context)
    write_plan(
        StagePlan(
            load_tokenizer(tokenizer).get_vocab_size(),
            _from(out, tokenizer),
            schedule,
            seed,
            initial=_from(out, checkpoint),
            mix=asdict(mix),
        ),
        out,
    )
    _token_files(corpus, sequences, tokenizer, out, context, mix, seed + 1, learn_all=False)


def _from(folder: Path, other: Path) -> str:
    """The way to `other` from `folder`: a run folder can be moved, or packed for another machine."""
    return os.path.relpath(other, folder)


def make_gguf(model: Path, out: Path, recipe: Recipe) -> Mapping[str, Any]:
    """Export with the metadata the server reads, the recipe's name and seed, and the licence it gives."""
    metadata = {
        "linewise.format": recipe.sft[0].format,
        "linewise.recipe": recipe.name,
        "linewise.seed": str(recipe.seed),
        "linewise.sft.schedule": json.dumps(asdict(recipe.sft[1])),
    }
    if recipe.licence is not None:
        metadata[LICENCE_KEY] = recipe.licence
    export(model, out, quantization=recipe.quantization, metadata=metadata)
    return {"bytes": out.stat().st_size, "licence": recipe.licence or "not named"}


def _with_fim_tokens(tokenizer: Path, out: Path, context: int) -> Path:
    """The folder of a tokenizer that has the tokens of `fim`: `tokenizer`, or `out`, where they are added.

    So a model can be tuned for this format whose tokenizer is older.
    """
    known = load_tokenizer(tokenizer)
    missing = [text for text in fim.SPECIAL_TOKENS if known.token_to_id(text) is None]
    if not missing:
        return tokenizer
    known.add_special_tokens(missing)
    save_tokenizer(known, out, context)
    click.echo(f"  tokenizer: added {', '.join(missing)}")
    return out


def _token_files(
    corpus: Path,
    sequences: Path | None,
    tokenizer: Path,
    out: Path,
    context: int,
    mix: Mix,
    seed: int,
    *,
    learn_all: bool,
) -> tuple[Path, Path]:
    """The training and validation token files of a stage, made unless they stand already."""
    encoder = load_tokenizer(tokenizer)
    folders = (out / "tokens", out / "validation")
    for folder in folders:
        if (folder / "meta.json").is_file():
            continue
        validation = folder.name == "validation"
        chosen = examples(corpus / "files.jsonl", sequences, mix, seed, validation=validation)
        meta = write_token_file(chosen, encoder, folder, context=context, learn_all=learn_all)
        click.echo(f"  {folder.name}: {meta.blocks} blocks, {meta.tokens} tokens, {meta.learned} learned")
    return folders


def _invoke(command: click.Command, arguments: Sequence[str]) -> None:
    command.main(args=list(arguments), prog_name=f"linewise train {command.name}", standalone_mode=False)
