"""The command `examples`: look at what a stage of a recipe will read, example by example, in the terminal.

What the model learns to write is bright, what it only reads is dim, and special tokens stand out; without
colour, a bar (`▌`) stands where learning begins within a text.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.text import Text

from linewise.errors import LinewiseError
from linewise_training.report.printable import printable

if TYPE_CHECKING:
    from linewise_training.examples import Example
    from linewise_training.mix import Mix

KINDS = ("plain", "writing", "continuing", "editing", "function", "body", "history", "changing")
SAMPLE = 40  # files, sequences and histories for each example that is asked for
PLAIN_CHARACTERS = 1_000_000

_READ, _LEARNED, _TOKEN = "dim", "bold green", "cyan"


@click.command("examples")
@click.argument("recipe")
@click.option(
    "--corpus", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True,
    help="Folder that `corpus` wrote.",
)  # fmt: skip
@click.option(
    "--sequences", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Edit sequences that `lintseq` wrote.",
)  # fmt: skip
@click.option("--stage", type=click.Choice(["pretrain", "sft"]), default="sft", show_default=True)
@click.option("--kind", type=click.Choice(KINDS), help="This kind of example only, whatever its share.")
@click.option("--count", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--validation", is_flag=True, help="Of what is held out, not of what is trained on.")
@click.option("--plain", is_flag=True, help="No colour, for a file or a pipe as for a terminal.")
def examples_command(
    recipe: str,
    corpus: Path,
    sequences: Path | None,
    stage: str,
    kind: str | None,
    count: int,
    seed: int,
    validation: bool,
    plain: bool,
) -> None:
    """Print COUNT random examples of what a stage of RECIPE (a name or a .toml file) reads."""
    from linewise_training.mix import examples  # noqa: PLC0415 -- the other commands do without
    from linewise_training.recipe import read_recipe  # noqa: PLC0415

    console = Console(color_system=None if plain else "auto", soft_wrap=True, highlight=False)
    try:
        read = read_recipe(recipe)
        mix = read.pretrain[0] if stage == "pretrain" else read.sft[0]
        if kind in ("writing", "continuing") and sequences is None:
            raise LinewiseError(
                f"{kind} examples are made of edit sequences; name them with --sequences FILE"
            )
        mix = only(mix, kind) if kind else mix
        drawn = examples(
            corpus / "files.jsonl", sequences, mix, seed, validation=validation, limit=SAMPLE * count
        )
        shown = 0
        for shown, example in zip(range(1, count + 1), drawn, strict=False):
            console.print(Text(f"example {shown}", style="bold cyan"))
            console.print(rendered(example, learn_all=stage == "pretrain", marked=plain))
    except (LinewiseError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if not shown:
        raise click.ClickException(
            f"{corpus} gave no such example; take another --seed, or a larger corpus or window"
        )


def only(mix: Mix, kind: str) -> Mix:
    """`mix` with no kind of example but `kind`, one for each source, or its own share where that is more."""
    nothing: dict[str, Any] = dict.fromkeys(KINDS[1:], 0)
    none = replace(mix, plain_characters=0, **nothing)
    if kind == "plain":
        return replace(none, plain_characters=max(mix.plain_characters, PLAIN_CHARACTERS))
    if kind == "writing":
        return replace(none, writing=1)
    return replace(none, **{kind: max(1.0, getattr(mix, kind))})


def rendered(example: Example, *, learn_all: bool = False, marked: bool = False) -> Text:
    """An example as text; with `marked`, a bar where learning begins."""
    text = Text()
    for piece in example:
        cut = 0 if learn_all else piece.learned_from
        cut = len(piece.text) if cut < 0 else cut
        style = _TOKEN if piece.special else _READ
        text.append(_lines(piece.text[:cut]), style=style)
        if marked and 0 < cut < len(piece.text):
            text.append("▌")
        text.append(_lines(piece.text[cut:]), style=f"bold {_TOKEN}" if piece.special else _LEARNED)
    return text


def _lines(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))
