"""What licence a model file names: what the user says, else what the checkpoint's model card says."""

from __future__ import annotations

from pathlib import Path

import click

from linewise.errors import ModelError

LICENCE_KEY = "general.license"
"""Where a GGUF file keeps it, as an SPDX expression where there is one."""

_LONGEST = 200


def licence_id(text: object) -> str:
    """`text` as a licence's name. Raises ValueError for what is none: empty, not one line, no text at all."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError("a licence is named by its SPDX identifier, such as Apache-2.0")
    if len(text) > _LONGEST or not text.isprintable():
        raise ValueError(
            "a licence is named by its SPDX identifier, such as Apache-2.0, not told by its whole text"
        )
    return text.strip()


def stated_licence(checkpoint_dir: Path) -> str | None:
    """The licence in the front matter of the folder's README.md (its model card), None where none is named.

    Hugging Face's own cards say `license: other` and the licence's name apart, in `license_name`.
    Raises ModelError for a card that cannot be read.
    """
    card = checkpoint_dir / "README.md"
    if not card.is_file():
        return None
    # Imported here because it takes half a second.
    from huggingface_hub import metadata_load  # noqa: PLC0415
    from yaml import YAMLError  # noqa: PLC0415

    try:
        facts = metadata_load(card) or {}
        stated = facts.get("license")
        stated = facts.get("license_name", stated) if stated == "other" else stated
        if isinstance(stated, list):
            stated = " AND ".join(map(str, stated))
        return None if stated is None else licence_id(stated)
    except (OSError, ValueError, YAMLError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"{card} tells no licence that can be read ({reason}): name it with --license."
        ) from error


def _read(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else licence_id(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


licence_option = click.option(
    "--license",
    "--licence",
    "licence",
    metavar="ID",
    callback=_read,
    help="Licence of the model, as an SPDX identifier such as Apache-2.0 (default: its model card's).",
)
"""The option of every command that writes a GGUF file."""
