"""The model a command works with: its engine and the format it was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from linewise.commands.configured import command_settings

if TYPE_CHECKING:
    from linewise.configuration import Settings
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
    help="Model file (GGUF), or name of a registered one. Default: the one that is set, or in use.",
)


@contextmanager
def loaded_model(path: Path | None, settings: Settings | None = None) -> Iterator[tuple[Engine, Format]]:
    """Engine and format of the model at `path` (None: the one that is set), closed at the end.

    `settings` None means those of where the command runs. Raises ConfigurationError for settings that are
    wrong, ModelError for a model that is missing, damaged or of no known format.
    """
    from linewise.formats import format_of  # noqa: PLC0415
    from linewise.models.opening import open_engine  # noqa: PLC0415

    if settings is None:
        settings = command_settings()
    if path is not None:  # whatever the models that are otherwise used run in
        engine_settings = replace(settings.engine, kind="auto")
        settings = replace(settings, model=str(path.absolute()), engine=engine_settings)
    engine = open_engine(settings)
    try:
        yield engine, format_of(engine.info)
    finally:
        engine.close()
