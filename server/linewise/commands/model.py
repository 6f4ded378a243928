"""The model a command works with: its engine and the format it was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from linewise.engines.protocol import Engine
    from linewise.formats.protocol import Format


def _find(context: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:  # noqa: ARG001 -- click's signature
    """The file of a registered model that was named."""
    from linewise.models import named_model_path  # noqa: PLC0415

    return None if value is None else named_model_path(value)


model_option = click.option(
    "--model",
    "model_path",
    type=click.Path(path_type=Path),
    metavar="PATH",
    callback=_find,
    help="Model file (GGUF), or name of a registered one. Default: $LINEWISE_MODEL, or the one in use.",
)


@contextmanager
def loaded_model(path: Path | None) -> Iterator[tuple[Engine, Format]]:
    """Engine and format of the model at `path` (None: the default one), closed at the end.

    Raises ModelError for a model that is missing, damaged or of no known format.
    """
    from linewise.engines import load_engine  # noqa: PLC0415
    from linewise.formats import format_of  # noqa: PLC0415
    from linewise.models import default_model_path  # noqa: PLC0415

    engine = load_engine(path or default_model_path())
    try:
        yield engine, format_of(engine.info)
    finally:
        engine.close()
