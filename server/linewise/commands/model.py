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

model_option = click.option(
    "--model",
    "model_path",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Model file (GGUF). Default: $LINEWISE_MODEL, or the embedded model.",
)


@contextmanager
def loaded_model(path: Path | None) -> Iterator[tuple[Engine, Format]]:
    """Engine and format of the model at `path` (None: the default one), closed at the end.

    Raises ModelError for a model that is missing, damaged or of no known format.
    """
    from linewise.engines import load_engine  # noqa: PLC0415
    from linewise.formats import get_format  # noqa: PLC0415
    from linewise.models import default_model_path  # noqa: PLC0415

    engine = load_engine(path or default_model_path())
    try:
        yield engine, get_format(engine.info.format)
    finally:
        engine.close()
