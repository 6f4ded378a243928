"""The commands `show` and `report`: look at the edit sequences that `lintseq` wrote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import click
from rich.console import Console

from linewise.errors import FileError, LinewiseError
from linewise_training.report.figures import Figures, gather, read_skips
from linewise_training.report.page import page
from linewise_training.report.replay import replay
from linewise_training.report.sequences import read_sequence, read_sequences

Unit: TypeAlias = tuple[str, Callable[[str], int]]
"""What a text's size is counted in, and what counts it."""

_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command("show")
@click.argument("file", type=_FILE)
@click.argument("number", metavar="N", type=click.IntRange(min=1))
@click.option("--plain", is_flag=True, help="No colour, for a file or a pipe as for a terminal.")
@click.option("--step", is_flag=True, help="Wait for a key after each edit, in a terminal.")
def show_command(file: Path, number: int, *, plain: bool, step: bool) -> None:
    """Replay sequence N (the line, from 1) of FILE, edit by edit."""
    console = Console(color_system=None if plain else "auto")
    try:
        written = read_sequence(file, number)
        for at in replay(written, console):
            if step and at < len(written.edits):
                click.pause("")
    except LinewiseError as error:
        raise click.ClickException(str(error)) from error


@click.command("report")
@click.argument("file", type=_FILE)
@click.option("--out", type=_FILE, required=True, help="HTML file to write; it needs no other file.")
@click.option("--tokenizer", type=_FOLDER, help="Folder that `tokenizer` wrote: count tokens, too.")
def report_command(file: Path, out: Path, tokenizer: Path | None) -> None:
    """Write a page of figures on FILE: lengths before and after, edits, cost, what was skipped."""
    if out.resolve() in (file.resolve(), _skips_of(file).resolve()):
        raise click.UsageError(f"--out {out} is what the report is made from; name another file")
    try:
        figures = write_report(file, out, units(tokenizer), empty=False)
    except LinewiseError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(
            f"{out} cannot be written: {error.strerror or error}; name a file in a folder that can be written"
        ) from error
    click.echo(
        f"{out}: {figures.sequences} sequences of {figures.programs} programs; {figures.skips} skipped"
    )


def write_report(file: Path, out: Path, counters: Sequence[Unit], *, empty: bool = True) -> Figures:
    """Write the page `out`, whole or not at all, on the sequences in `file`, one in memory at a time.

    Raises FileError for a file that cannot be read, and unless `empty` for one without sequences, and OSError
    where the page cannot be written.
    """
    skipped = read_skips(_skips_of(file))
    figures = gather(read_sequences(file), skipped, counters)
    if not (figures.sequences or empty):
        raise FileError(f"{file} holds no edit sequence; name a file that `linewise train lintseq` wrote")
    unfinished = out.with_name(out.name + ".tmp")
    try:
        unfinished.write_text(page(figures, str(file)), encoding="utf-8")
        unfinished.replace(out)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return figures


def _skips_of(file: Path) -> Path:
    return file.with_name(file.name + ".skipped.jsonl")


def units(tokenizer: Path | None) -> tuple[Unit, ...]:
    """In what the cost of edits is counted: characters, and with the folder of a `tokenizer` tokens.

    Raises FileError for a folder without a tokenizer.
    """
    characters: Unit = ("characters", len)
    return (characters,) if tokenizer is None else (characters, ("tokens", _token_counter(tokenizer)))


def _token_counter(folder: Path) -> Callable[[str], int]:
    """What counts the tokens of a text, a diff token as one. Raises FileError for no tokenizer."""
    from linewise_training.tokenizer import load_tokenizer  # noqa: PLC0415 -- the other commands do without

    try:
        tokenizer = load_tokenizer(folder)
    except OSError as error:
        raise FileError(str(error)) from error
    tokenizer.encode_special_tokens = False
    return lambda text: len(tokenizer.encode(text).ids)
