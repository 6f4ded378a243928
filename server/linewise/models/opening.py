"""Opens the model that is configured, with the engine that is configured for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from linewise import engines
from linewise.configuration import Settings
from linewise.engines.protocol import Engine
from linewise.errors import ModelError
from linewise.models import default_model_path, registered_model_path


def configured_model_path(settings: Settings, environment: Mapping[str, str] = os.environ) -> Path:
    """Path of the model that `settings` name, else of the one in use.

    A bare name is a registered model's, never a file's of the folder that one happens to be in. Raises
    ModelError, saying what to do, when there is none.
    """
    if settings.model is None:
        return default_model_path(environment)
    named = Path(settings.model)
    if named.is_absolute():
        return named
    path = registered_model_path(settings.model, environment)
    if path is None:
        raise ModelError(
            f"{settings.model!r} is set as the model, and is no model of `linewise models list`: "
            "correct it (`linewise config show` tells where it is set), or leave it out."
        )
    return path


def open_engine(settings: Settings, environment: Mapping[str, str] = os.environ) -> Engine:
    """The engine that `settings` ask for, with its model loaded or its server found.

    Raises ModelError for a model that is not there or of no use, EngineError for an engine that is not.
    """
    return engines.load_engine(
        configured_model_path(settings, environment),
        context_length=settings.context_length,
        threads=settings.threads,
    )
