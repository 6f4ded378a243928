"""`linewise models convert`: a Hugging Face checkpoint becomes what an engine serves."""

from __future__ import annotations

from pathlib import Path

import click

from linewise.formats import FimFormat, get_format
from linewise_training.export.gguf_model import QUANTIZATIONS, export
from linewise_training.export.licence import LICENCE_KEY, licence_option, stated_licence
from linewise_training.export.source import checkpoint_folder, folder_sha256

GGUF, CTRANSLATE2 = "gguf", "ctranslate2"


@click.command("convert")
@click.argument("model", metavar="DIR|OWNER/MODEL")
@click.option(
    "--to",
    "target",
    type=click.Choice([GGUF, CTRANSLATE2]),
    default=GGUF,
    show_default=True,
    help="Kind of file.",
)
@click.option(
    "--quantize",
    "quantization",
    metavar="TYPE",
    help=f"GGUF: {', '.join(QUANTIZATIONS)} (default q8_0). CTranslate2: int8 (default), int8_float32, "
    "int8_float16, int8_bfloat16, int16, float16, bfloat16, float32.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="PATH", help="Default: NAME-TYPE.gguf or NAME-TYPE."
)
@click.option(
    "--format", "form", metavar="NAME", help="Format that it was trained on: edit-log/1, lintseq or fim."
)
@click.option("--name", metavar="NAME", help="Name of the model (default: the folder's).")
@licence_option
@click.option(
    "--imatrix",
    "calibration",
    type=click.Path(path_type=Path),
    metavar="TEXT",
    help="Text like the model's own (code): what matters for it is rounded more carefully. GGUF only.",
)
@click.option("--revision", metavar="NAME", help="Branch, tag or commit on the hub.")
@click.option("--sha256", metavar="HEX", help="Refuse any other checkpoint; the command prints it.")
def convert_command(
    *,
    model: str,
    target: str,
    quantization: str | None,
    out: Path | None,
    form: str | None,
    name: str | None,
    licence: str | None,
    calibration: Path | None,
    revision: str | None,
    sha256: str | None,
) -> None:
    """Make a GGUF file, or a CTranslate2 folder, from a Hugging Face checkpoint of the Llama family.

    llama.cpp must split 2,000 random texts as the checkpoint's tokenizer does; CTranslate2 must compute
    transformers' logits. What cannot be converted exactly is refused, and nothing is left.
    """
    if target == CTRANSLATE2 and (calibration or licence):
        raise click.UsageError("--imatrix and --license are for --to gguf")
    if form not in (None, FimFormat.name):
        get_format(form)  # a misspelt name would make a file that no editor can use
    known = list(QUANTIZATIONS)
    if target == GGUF and quantization is not None and quantization.lower() not in known:
        raise click.BadParameter(f"{quantization!r} is none of {', '.join(known)}", param_hint="--quantize")
    folder = checkpoint_folder(model, revision=revision, sha256=sha256)
    own_name = folder.resolve().name if Path(model).expanduser().is_dir() else model.split("/")[-1]  # noqa: PLC0207
    title = name or own_name
    if target == CTRANSLATE2:
        _convert_to_ctranslate2(folder, out, quantization or "int8", title, form)
        return
    quantization = (quantization or "q8_0").lower()
    checksum = folder_sha256(folder)
    metadata = {"general.name": title, "linewise.source_sha256": checksum}
    if form:
        metadata["linewise.format"] = form
    if licence := licence or stated_licence(folder):
        metadata[LICENCE_KEY] = licence
    written = export(
        folder,
        out or Path(f"{title}-{quantization}.gguf"),
        quantization=quantization,
        metadata=metadata,
        calibration=calibration,
        check_tokens=True,
    )
    types = ", ".join(f"{count} {kind}" for kind, count in sorted(written.tensor_types.items()))
    click.echo(
        f"{written.path}: {written.size_bytes:,} bytes, {written.parameters:,} parameters; tensors: {types}; "
        f"licence {licence or 'not named'}; checkpoint {checksum}"
    )


def _convert_to_ctranslate2(
    folder: Path, out: Path | None, quantization: str, title: str, form: str | None
) -> None:
    # Imported here: it takes seconds, and torch.
    from linewise_training.export.ctranslate import convert  # noqa: PLC0415

    made = convert(folder, out or Path(f"{title}-{quantization}"), quantization=quantization, form=form)
    click.echo(
        f"{made.path}: {made.size_bytes:,} bytes; logits are off by {made.error:.1e} standard deviations; "
        f"checkpoint {folder_sha256(folder)}"
    )
