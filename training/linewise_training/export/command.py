"""The command that exports a trained model: `export_command` is put into `linewise train` as `export`."""

from __future__ import annotations

from pathlib import Path

import click

from linewise.errors import LinewiseError, told
from linewise_training.export.gguf_model import QUANTIZATIONS, export
from linewise_training.export.licence import LICENCE_KEY, licence_option, stated_licence


@click.command("export")
@click.option(
    "--model",
    "model",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Hugging Face model folder: config.json, model.safetensors, tokenizer.json.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE", help="GGUF file."
)
@click.option(
    "--quantize",
    "quantization",
    type=click.Choice(list(QUANTIZATIONS)),
    default="q8_0",
    show_default=True,
    metavar="TYPE",
    help=f"How weights are stored: {', '.join(QUANTIZATIONS)}.",
)
@click.option(
    "--format",
    "format_name",
    metavar="NAME",
    help="Format that the model was trained on, such as edit-log/1.",
)
@click.option("--name", metavar="NAME", help="Name of the model (default: the file's).")
@licence_option
@click.option(
    "--note", "notes", metavar="KEY=VALUE", multiple=True, help="Further metadata, kept as linewise.KEY."
)
def export_command(
    *,
    model: Path,
    out: Path,
    quantization: str,
    format_name: str | None,
    name: str | None,
    licence: str | None,
    notes: tuple[str, ...],
) -> None:
    """Write a trained model as one GGUF file that Linewise serves."""
    metadata: dict[str, str] = {}
    for note in notes:
        key, found, value = note.partition("=")
        if not (key and found):
            raise click.BadParameter(f"{note!r} is not KEY=VALUE", param_hint="--note")
        metadata[f"linewise.{key}"] = value
    if format_name:
        metadata["linewise.format"] = format_name
    if name:
        metadata["general.name"] = name
    try:
        if licence := licence or stated_licence(model):
            metadata[LICENCE_KEY] = licence
        written = export(model, out, quantization=quantization, metadata=metadata)
    except (LinewiseError, OSError) as error:
        raise click.ClickException(told(error)) from error
    types = ", ".join(f"{count} {kind}" for kind, count in sorted(written.tensor_types.items()))
    click.echo(
        f"{written.path}: {written.size_bytes:,} bytes ({written.size_bytes / 2**20:.1f} MiB), "
        f"{written.parameters:,} parameters; tensors: {types}; licence {licence or 'not named'}"
    )
