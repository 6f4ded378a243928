"""`linewise train`: the stages of making a model, one command each, and `run` for all of them by a recipe."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from linewise.errors import LinewiseError, told
from linewise_training.corpus import corpus_command
from linewise_training.corpus.decontaminate_command import decontaminate_command
from linewise_training.export.command import export_command
from linewise_training.lintseq import lintseq_command
from linewise_training.parcel import MEBIBYTE, pack, unpack
from linewise_training.recipe import Recipe, read_recipe
from linewise_training.report import report_command, show_command
from linewise_training.report.mixture import examples_command
from linewise_training.run import run_recipe

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
_OUT = click.Path(path_type=Path, file_okay=False)


def _read(ctx: click.Context, param: click.Parameter, value: str) -> Recipe:
    """Read a recipe by name or file; a fault becomes a usage error."""
    try:
        return read_recipe(value)
    except LinewiseError as error:
        raise click.BadParameter(str(error), ctx, param) from error


_recipe = click.option(
    "--recipe", callback=_read, required=True, help="Shipped recipe's name, or a .toml file."
)
_out = click.option("--out", type=_OUT, required=True, help="Folder to write to; a cut run goes on there.")
_corpus = click.option("--corpus", type=_FOLDER, required=True, help="Folder that `corpus` wrote.")
_tokenizer = click.option("--tokenizer", type=_FOLDER, required=True, help="Folder that `tokenizer` wrote.")


@click.group("train")
def train() -> None:
    """Make a model: corpus, lintseq, tokenizer, pretrain, sft, export; or all of them with run."""


@train.command("tokenizer")
@click.option("--in", "files", type=_FILE, required=True, help="files.jsonl of a corpus.")
@click.option("--vocabulary", type=click.IntRange(min=300, max=65536), default=4096, show_default=True)
@click.option("--characters", type=click.IntRange(min=1), default=20_000_000, show_default=True)
@click.option("--context", type=click.IntRange(min=64), default=1024, show_default=True)
@_out
def tokenizer_command(files: Path, vocabulary: int, characters: int, context: int, out: Path) -> None:
    """Learn a byte-level BPE tokenizer with the edit tokens."""
    from linewise_training import steps  # noqa: PLC0415

    _report(steps.make_tokenizer(files, out, vocabulary, characters, context))


@train.command("pretrain")
@_recipe
@_corpus
@_tokenizer
@_out
def pretrain_command(recipe: Recipe, corpus: Path, tokenizer: Path, out: Path) -> None:
    """Train a new model on code, every token learned."""
    from linewise_training import stage, steps  # noqa: PLC0415

    try:
        steps.plan_pretraining(corpus, tokenizer, out, recipe.model, *recipe.pretrain, recipe.seed)
        _report(stage.train_stage(out))
    except LinewiseError as error:
        raise click.ClickException(str(error)) from error


@train.command("sft")
@_recipe
@_corpus
@click.option("--sequences", type=_FILE, required=True, help="Edit sequences that `lintseq` wrote.")
@_tokenizer
@click.option("--model", type=_FOLDER, required=True, help="Folder of the pretrained model.")
@_out
def sft_command(
    recipe: Recipe, corpus: Path, sequences: Path, tokenizer: Path, model: Path, out: Path
) -> None:
    """Fine-tune on edits, given documents and instructions."""
    from linewise_training import stage, steps  # noqa: PLC0415

    try:
        if not (model / "config.json").is_file():  # found out now, not after the token files are made
            raise LinewiseError(
                f"{model} has no config.json; name the folder `model` that `linewise train pretrain` wrote"
            )
        steps.plan_tuning(
            corpus, sequences, tokenizer, model, out, recipe.model.context, *recipe.sft, recipe.seed
        )
        _report(stage.train_stage(out))
    except LinewiseError as error:
        raise click.ClickException(str(error)) from error


@train.command(
    "run", epilog="Sources of code of your own: linewise train run RECIPE --out DIR -- --folder DIR …"
)
@click.argument("recipe", callback=_read)
@click.argument("corpus_options", nargs=-1, type=click.UNPROCESSED)
@_out
@click.option("--python", "pythons", multiple=True, help="Python executable whose code is taken, too.")
@click.option("--mbpp", type=_FILE, help="MBPP in JSONL: pairs of problems 601 to 974.")
@click.option("--leetcode", type=_FILE, help="LeetCodeDataset in JSONL: pairs of its solutions.")
@click.option("--benchmark", "benchmarks", type=_FILE, multiple=True, help="Keep its problems out.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="Stop training after this time; exit code 75 says that the same command would go on.",
)
@click.option("--prepare", is_flag=True, help="Make everything that training needs, but do not train.")
@click.option("--redo", is_flag=True, help="Make stages again that were made with other settings.")
def run_command(
    recipe: Recipe,
    corpus_options: tuple[str, ...],
    out: Path,
    pythons: tuple[str, ...],
    mbpp: Path | None,
    leetcode: Path | None,
    benchmarks: tuple[Path, ...],
    minutes: float | None,
    prepare: bool,
    redo: bool,
) -> None:
    """Run or resume every stage of RECIPE; ends with a GGUF file and a page of figures.

    CORPUS_OPTIONS, after `--`, are further options of the stage `corpus` (`linewise train corpus --help`).
    """
    from linewise_training.stage import StageCutError  # noqa: PLC0415  (it loads torch)

    sources = [option for python in pythons for option in ("--python", python)]
    sources += ["--mbpp", str(mbpp)] if mbpp else []
    sources += ["--leetcode", str(leetcode)] if leetcode else []
    sources += [option for path in benchmarks for option in ("--benchmark", str(path))]
    sources += corpus_options
    try:
        made = run_recipe(recipe, out, sources, minutes=minutes, prepare=prepare, redo=redo)
    except StageCutError as cut:
        click.echo(str(cut), err=True)
        raise SystemExit(os.EX_TEMPFAIL) from cut
    except (LinewiseError, OSError) as error:
        raise click.ClickException(told(error)) from error
    click.echo(f"{'prepared' if prepare else 'model'}: {made}")


@train.command("pack")
@click.argument("run", type=_FOLDER)
@_out
@click.option("--trained", is_flag=True, help="What training gave, instead of what it needs.")
@click.option(
    "--part-mib", type=click.IntRange(min=1), default=16, show_default=True, help="Size of a part, in MiB."
)
def pack_command(run: Path, out: Path, part_mib: int, *, trained: bool) -> None:
    """Put the prepared stages of RUN into small files, to be trained on another machine."""
    try:
        parts = pack(run, out, trained=trained, part_bytes=part_mib * MEBIBYTE)
    except (LinewiseError, OSError) as error:
        raise click.ClickException(told(error)) from error
    click.echo(f"{out}: {len(parts)} parts, {sum(part.stat().st_size for part in parts) / MEBIBYTE:.1f} MiB")


@train.command("unpack")
@click.argument("parcel", type=_FOLDER)
@click.argument("run", type=_OUT)
def unpack_command(parcel: Path, run: Path) -> None:
    """Put what `pack` wrote into the folder RUN; then `linewise train run` goes on with it."""
    try:
        click.echo(f"{run}: {len(unpack(parcel, run))} files")
    except (LinewiseError, OSError) as error:
        raise click.ClickException(told(error)) from error


def _report(figures: Mapping[str, Any]) -> None:
    click.echo(json.dumps(dict(figures)))


train.add_command(corpus_command)
train.add_command(decontaminate_command)
train.add_command(lintseq_command)
train.add_command(export_command)
train.add_command(show_command)
train.add_command(report_command)
train.add_command(examples_command)
