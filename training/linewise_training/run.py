"""A run of a recipe: its stages in order, each once, resumed where they were cut.

Every stage writes into its own folder of the run folder and leaves `done.json` behind when it is complete. A
stage that was done or begun with other settings may hold hours of training: it is done again, and so is
everything after it, only where that was asked for.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from linewise.errors import FileError
from linewise_training.recipe import Recipe
from linewise_training.report.run import write_run_report


class Run:
    """A run folder and the stages done in it."""

    def __init__(self, directory: Path, *, redo: bool = False) -> None:
        self.directory = directory
        self.redo = redo
        self._settings = hashlib.sha256()

    def stage(
        self,
        name: str,
        settings: object,
        work: Callable[[Path], Mapping[str, Any] | None],
        *,
        complete: bool = True,
    ) -> Path:
        """Do `work` in the stage's folder unless it is done with these settings; returns the folder.

        Where `work` is not all that the stage takes, `complete` is false, and the rest is done another time.
        Raises FileError, unless `redo` is set, where the folder holds work for other settings of the stage or
        of those before it.
        """
        self._settings.update(repr((name, settings)).encode())
        digest = self._settings.hexdigest()
        folder = self.directory / name
        marker, begun = folder / "done.json", folder / "begun.json"
        if marker.is_file() and json.loads(marker.read_text(encoding="utf-8"))["settings"] == digest:
            click.echo(f"{name}: done before")
            return folder
        if begun.is_file() and begun.read_text(encoding="utf-8") != digest:
            if not self.redo and any(path != begun for path in folder.iterdir()):
                raise FileError(
                    f"{folder} was made with other settings; go on with the same recipe and options, "
                    "name another --out, or give --redo to make it and what comes after it from scratch"
                )
            shutil.rmtree(folder)  # work for other settings cannot be gone on with
        folder.mkdir(parents=True, exist_ok=True)
        marker.unlink(missing_ok=True)
        begun.write_text(digest, encoding="utf-8")
        click.echo(f"{name}: …")
        result = dict(work(folder) or {})
        if not complete:
            click.echo(f"{name}: prepared")
            return folder
        marker.write_text(json.dumps({"settings": digest, **result}, indent=2) + "\n", encoding="utf-8")
        click.echo(
            f"{name}: {', '.join(f'{key} {_short(value)}' for key, value in result.items()) or 'done'}"
        )
        return folder


def run_recipe(
    recipe: Recipe,
    directory: Path,
    sources: Sequence[str] = (),
    *,
    minutes: float | None = None,
    prepare: bool = False,
    redo: bool = False,
) -> Path:
    """Run or resume every stage; returns the GGUF file. `sources` are further options of the corpus stage.

    Leaves `report.html` in `directory`. Training that is not done `minutes` after the call is cut after a
    step, with a checkpoint, and StageCutError raised. With `prepare` nothing is trained: the stages' plans
    and token files are made, and `directory` returned. Raises FileError where a stage was made with other
    settings, which `redo` makes again.
    """
    # Imported here so that `--help` does not load torch.
    from linewise_training import stage, steps  # noqa: PLC0415

    until = None if minutes is None else time.monotonic() + 60 * minutes
    run = Run(directory, redo=redo)
    options = (*recipe.corpus, *sources)
    corpus = run.stage("corpus", options, lambda out: steps.make_corpus(out, options))
    tokenizer = run.stage(
        "tokenizer",
        (recipe.vocabulary, recipe.tokenizer_characters),
        lambda out: steps.make_tokenizer(
            corpus / "files.jsonl", out, recipe.vocabulary, recipe.tokenizer_characters, recipe.model.context
        ),
    )

    def trained(out: Path) -> Mapping[str, Any] | None:
        return None if prepare else stage.train_stage(out, until and until - time.monotonic())

    def pretrain(out: Path) -> Mapping[str, Any] | None:
        steps.plan_pretraining(corpus, tokenizer, out, recipe.model, *recipe.pretrain, recipe.seed)
        return trained(out)

    pretrained = run.stage(
        "pretrain", (recipe.model, recipe.pretrain, recipe.seed), pretrain, complete=not prepare
    )
    sequences = run.stage(
        "lintseq", recipe.lintseq, lambda out: steps.make_sequences(corpus, tokenizer, out, recipe.lintseq)
    )

    def tune(out: Path) -> Mapping[str, Any] | None:
        steps.plan_tuning(
            corpus,
            sequences / "sequences.jsonl",
            tokenizer,
            pretrained / "model",
            out,
            recipe.model.context,
            *recipe.sft,
            recipe.seed,
        )
        return trained(out)

    tuned = run.stage("sft", recipe.sft, tune, complete=not prepare)
    if prepare:
        return directory
    exported = run.stage(
        "export",
        (recipe.quantization, recipe.licence),
        lambda out: steps.make_gguf(tuned / "model", out / f"{recipe.name}.gguf", recipe),
    )
    click.echo(f"report: {write_run_report(directory)}")
    return exported / f"{recipe.name}.gguf"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
