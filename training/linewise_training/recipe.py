"""A recipe: one file that makes a model from nothing. Stages run in order, once, and resume where cut.

Every stage writes into its own folder of the run folder and leaves `done.json` behind when it is complete; a
stage whose settings changed since is done again, and so is everything after it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from linewise.errors import LinewiseError
from linewise_training.mix import Mix
from linewise_training.report.run import write_run_report
from linewise_training.schedule import ModelShape, Schedule

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TABLES = ("corpus", "lintseq", "tokenizer", "model", "pretrain", "sft", "export")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a recipe file says."""

    name: str
    seed: int
    corpus: tuple[str, ...]
    lintseq: tuple[str, ...]
    vocabulary: int
    tokenizer_characters: int
    model: ModelShape
    pretrain: tuple[Mix, Schedule]
    sft: tuple[Mix, Schedule]
    quantization: str


def read_recipe(name_or_path: str) -> Recipe:
    """Read a recipe that comes with Linewise (by name) or a file. Raises LinewiseError naming the fault."""
    path = Path(name_or_path)
    shipped = files("linewise_training") / "recipes" / f"{name_or_path}.toml"
    if path.suffix == ".toml" and path.is_file():
        text = path.read_text(encoding="utf-8")
    elif shipped.is_file():
        text = shipped.read_text(encoding="utf-8")
    else:
        names = sorted(
            p.name[:-5]
            for p in (files("linewise_training") / "recipes").iterdir()
            if p.name.endswith(".toml")
        )
        raise LinewiseError(f"no recipe {name_or_path!r}; give a .toml file or one of: {', '.join(names)}")
    try:
        table = tomllib.loads(text)
        unknown = set(table) - {*_TABLES, "name", "seed"}
        if unknown:
            raise LinewiseError(
                f"recipe {name_or_path}: unknown {', '.join(sorted(unknown))}; it has {', '.join(_TABLES)}"
            )
        return Recipe(
            name=table["name"],
            seed=table["seed"],
            corpus=tuple(table["corpus"]["options"]),
            lintseq=tuple(table["lintseq"]["options"]),
            vocabulary=table["tokenizer"]["vocabulary"],
            tokenizer_characters=table["tokenizer"]["characters"],
            model=ModelShape(**table["model"]),
            pretrain=_stage(table["pretrain"]),
            sft=_stage(table["sft"]),
            quantization=table["export"]["quantization"],
        )
    except KeyError as error:
        raise LinewiseError(f"recipe {name_or_path}: {error} is missing") from error
    except (TypeError, ValueError) as error:  # TOML's own errors are ValueErrors
        raise LinewiseError(f"recipe {name_or_path}: {error}") from error


def _stage(table: Mapping[str, Any]) -> tuple[Mix, Schedule]:
    return Mix(**table["mix"]), Schedule(**table["schedule"])


class Run:
    """A run folder and the stages done in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._settings = hashlib.sha256()

    def stage(self, name: str, settings: object, work: Callable[[Path], Mapping[str, Any] | None]) -> Path:
        """Do `work` in the stage's folder unless it is done with these settings; returns the folder."""
        self._settings.update(repr((name, settings)).encode())
        digest = self._settings.hexdigest()
        folder = self.directory / name
        marker, begun = folder / "done.json", folder / "begun.json"
        if marker.is_file() and json.loads(marker.read_text(encoding="utf-8"))["settings"] == digest:
            click.echo(f"{name}: done before")
            return folder
        if begun.is_file() and begun.read_text(encoding="utf-8") != digest:
            shutil.rmtree(folder)  # half-done work for other settings cannot be gone on with
        folder.mkdir(parents=True, exist_ok=True)
        marker.unlink(missing_ok=True)
        begun.write_text(digest, encoding="utf-8")
        click.echo(f"{name}: …")
        result = dict(work(folder) or {})
        marker.write_text(json.dumps({"settings": digest, **result}, indent=2) + "\n", encoding="utf-8")
        click.echo(
            f"{name}: {', '.join(f'{key} {_short(value)}' for key, value in result.items()) or 'done'}"
        )
        return folder


def run_recipe(
    recipe: Recipe, directory: Path, sources: Sequence[str] = (), minutes: float | None = None
) -> Path:
    """Run or resume every stage; returns the GGUF file. `sources` are further options of the corpus stage.

    Leaves `report.html` in `directory`. Training that is not done `minutes` after the call is cut after a
    step, with a checkpoint, and StageCutError raised.
    """
    until = None if minutes is None else time.monotonic() + 60 * minutes
    # Imported here so that reading a recipe, or `--help`, does not load torch.
    from linewise_training import steps  # noqa: PLC0415

    run = Run(directory)
    options = (*recipe.corpus, *sources)
    corpus = run.stage("corpus", options, lambda out: steps.make_corpus(out, options))
    tokenizer = run.stage(
        "tokenizer",
        (recipe.vocabulary, recipe.tokenizer_characters),
        lambda out: steps.make_tokenizer(
            corpus / "files.jsonl", out, recipe.vocabulary, recipe.tokenizer_characters, recipe.model.context
        ),
    )
    pretrained = run.stage(
        "pretrain",
        (recipe.model, recipe.pretrain, recipe.seed),
        lambda out: steps.pretrain(
            corpus, tokenizer, out, recipe.model, *recipe.pretrain, recipe.seed, _left(until)
        ),
    )
    sequences = run.stage(
        "lintseq", recipe.lintseq, lambda out: steps.make_sequences(corpus, tokenizer, out, recipe.lintseq)
    )
    tuned = run.stage(
        "sft",
        recipe.sft,
        lambda out: steps.finetune(
            corpus,
            sequences / "sequences.jsonl",
            tokenizer,
            pretrained / "model",
            out,
            *recipe.sft,
            recipe.seed,
            _left(until),
        ),
    )
    exported = run.stage(
        "export",
        recipe.quantization,
        lambda out: steps.make_gguf(tuned / "model", out / f"{recipe.name}.gguf", recipe),
    )
    click.echo(f"report: {write_run_report(directory)}")
    return exported / f"{recipe.name}.gguf"


def _left(until: float | None) -> float | None:
    """Seconds until the monotonic time `until`, for a stage that begins now."""
    return None if until is None else until - time.monotonic()


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
