"""`linewise complete`: what goes in at a place of a file."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from linewise.commands.configured import command_settings
from linewise.commands.model import loaded_model, model_option
from linewise.commands.text_file import TextFile


@click.command("complete")
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="File to complete in; it is not changed.",
)
@click.option("--line", type=int, required=True, help="0-based line of the cursor.")
@click.option("--column", type=int, required=True, help="0-based column of the cursor, in characters.")
@click.option("--json", "as_json", is_flag=True, help="Print text and times as JSON.")
@model_option
def complete_command(path: Path, line: int, column: int, as_json: bool, model_path: Path | None) -> None:
    """Print what the model would insert at a cursor; nothing where it has nothing to add."""
    from linewise.assistant import Document, InlineOptions, complete  # noqa: PLC0415
    from linewise.formats.protocol import Cursor  # noqa: PLC0415

    document = Document(path.name, TextFile(path).text)
    settings = command_settings()
    options = InlineOptions(**asdict(settings.inline))
    with loaded_model(model_path, settings) as (engine, form):
        answer = complete(document, Cursor(line, column), engine=engine, format=form, options=options)
    if not as_json:
        click.echo(answer.text if answer else "", nl=bool(answer))
        return
    fields = {
        "text": answer.text if answer else "",
        "first_token_ms": round(answer.first_token_seconds * 1000, 3) if answer else None,
        "total_ms": round(answer.total_seconds * 1000, 3) if answer else None,
    }
    click.echo(json.dumps(fields))
