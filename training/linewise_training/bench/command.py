"""`linewise models bench`: one table of models, each measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from linewise.engines.gguf_file import read_gguf
from linewise.errors import LinewiseError, ModelError
from linewise.models import named_model_path
from linewise_training.bench.measurement import Measurement, Plan, median_of
from linewise_training.bench.table import Row, compared, markdown
from linewise_training.export.ctranslate_folder import stored_type
from linewise_training.export.gguf_model import QUANTIZATIONS

_DEFAULT = Plan()


@click.command("bench")
@click.argument("paths", nargs=-1, required=True, metavar="MODEL...", type=click.Path(path_type=Path))
@click.option("--text", type=click.Path(path_type=Path), help="UTF-8 text to compute perplexity on.")
@click.option("--data", type=click.Path(path_type=Path), help="HumanEval.jsonl.gz, for pass@1 (GGUF only).")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first problems of --data.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to keep pass@1's reports in."
)
@click.option(
    "--prompt", type=click.IntRange(min=8), default=_DEFAULT.prompt, show_default=True, help="Tokens."
)
@click.option(
    "--generate", type=click.IntRange(min=8), default=_DEFAULT.generated, show_default=True, help="Tokens."
)
@click.option(
    "--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Turns of each model."
)
@click.option(
    "--window", type=click.IntRange(min=16), default=_DEFAULT.window, show_default=True, help="Perplexity's."
)
@click.option(
    "--tokens", type=click.IntRange(min=16), default=_DEFAULT.tokens, show_default=True, help="Perplexity's."
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def bench_command(
    *,
    paths: tuple[Path, ...],
    text: Path | None,
    data: Path | None,
    limit: int | None,
    out: Path | None,
    prompt: int,
    generate: int,
    rounds: int,
    window: int,
    tokens: int,
    as_json: bool,
) -> None:
    """Compare models: size, memory, speed, perplexity and pass@1, each against float32.

    MODEL is a GGUF file, a name of `linewise models list`, or a CTranslate2 folder. What is compared with is
    the first one in float32, or else the first.
    """
    plan = Plan(prompt, generate, window=window, tokens=tokens)
    for path in (text, data):
        if path is not None and not path.is_file():
            raise ModelError(f"There is no file {path}: check --text and --data.")
    found = [named_model_path(path) for path in paths]
    if data is not None and out is not None and len({path.stem for path in found}) < len(found):
        raise ModelError("Two of the models have one name, and so would their reports: leave out --out.")
    types = [_type(path) for path in found]  # says what cannot be measured before anything is
    rows = []
    turns = _take_turns(found, plan, text, rounds)
    for path, kind, measured in zip(found, types, turns, strict=True):
        share = None
        if data is not None and path.is_file():
            share = _pass_at_1(path, data, limit, out)
        rows.append(Row(path.stem if path.is_file() else path.name, kind, measured, share))
    if as_json:
        told = [asdict(row) for row in rows]
        click.echo(json.dumps({"plan": asdict(plan), "base": compared(rows).name, "models": told}, indent=2))
    else:
        click.echo(markdown(rows))


def _type(path: Path) -> str:
    """How the weights at `path` are stored. Raises ModelError where there is no model."""
    if path.is_dir():
        return stored_type(path)
    number = read_gguf(path).metadata.get("general.file_type")
    return next((name for name, kind in QUANTIZATIONS.items() if kind == number), "unknown")


def _take_turns(paths: Sequence[Path], plan: Plan, text: Path | None, rounds: int) -> list[Measurement]:
    """The medians of each model's `rounds` turns: what else keeps the machine busy meets all models alike.

    Perplexity does not change, so only the first turn computes it.
    """
    turns: list[list[Measurement]] = [[] for _ in paths]
    with click.progressbar(length=rounds * len(paths), label="measuring", file=sys.stderr) as bar:
        for number in range(rounds):
            for path, taken in zip(paths, turns, strict=True):
                taken.append(_measure(path, plan, text if number == 0 else None))
                bar.update(1)
    return [median_of(taken) for taken in turns]


def _measure(path: Path, plan: Plan, text: Path | None) -> Measurement:
    """The figures of one model, from a process of its own. Raises ModelError with what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "linewise_training.bench.worker", path, json.dumps(asdict(plan)), text or ""],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"]
        raise ModelError(f"{path} could not be measured: {said[-1]}")
    return Measurement(**json.loads(done.stdout))


def _pass_at_1(path: Path, data: Path, limit: int | None, out: Path | None) -> float:
    """The share of problems whose first, greedy program passes, with the better kind of prompt."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = (out or Path(scratch)) / path.stem
        command: list[Any] = [sys.executable, "-m", "linewise", "eval", "humaneval", "--model", path]
        command += ["--data", data, "--out", folder, "--temperature", "0", "--k", "1", "--json"]
        done = subprocess.run(
            [*command, *(["--limit", str(limit)] if limit else [])],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise LinewiseError(f"pass@1 of {path} could not be measured: see above.")
        shapes = json.loads(done.stdout)["shapes"]
    return max(float(shape["scores"]["pass@1"]["value"]) for shape in shapes.values())
