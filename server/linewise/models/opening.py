"""Opens the model that is configured, with the engine that is configured for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from linewise import engines
from linewise.configuration import KEY_VARIABLE, Settings
from linewise.engines.protocol import Engine, HttpOptions
from linewise.errors import ConfigurationError, ModelError
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
    if settings.engine.kind == "http":
        return engines.connect_engine(_http_options(settings, environment))
    return engines.load_engine(
        configured_model_path(settings, environment),
        context_length=settings.context_length,
        threads=settings.threads,
        kind=settings.engine.kind,
        compute_type=settings.engine.compute_type,
    )


def open_shared_engine(settings: Settings, environment: Mapping[str, str] = os.environ) -> Engine:
    """The same for several documents at once: where llama.cpp runs the model, with a scheduler.

    Raises what `open_engine` does.
    """
    if settings.engine.kind not in {"auto", "llama_cpp"}:
        return open_engine(settings, environment)
    model = configured_model_path(settings, environment)
    if engines.kind_of(model) != "llama_cpp":
        return open_engine(settings, environment)
    engines.require_llama_cpp()
    from linewise.serving.scheduler import Scheduler  # noqa: PLC0415  # it takes a third of a second

    lanes, slots = settings.engine.lanes, settings.engine.slots
    return Scheduler(
        model,
        context_length=settings.context_length,
        threads=settings.threads,
        lanes=lanes,
        slots=None if slots is None else max(slots, lanes),
        speculation=settings.engine.speculation,
    )


def _http_options(settings: Settings, environment: Mapping[str, str]) -> HttpOptions:
    http = settings.http
    if not http.addresses:
        raise ConfigurationError(
            'engine.kind is "http", and no server is named: set http.addresses in your own linewise.toml'
        )
    return HttpOptions(
        addresses=http.addresses,
        model=http.model,
        format=http.format,
        tokenizer=http.tokenizer,
        context_length=http.context_length or settings.context_length,
        key=_key(http.key_file, environment),
        timeout=http.timeout,
        connect_timeout=http.connect_timeout,
        retries=http.retries,
        lanes=settings.engine.lanes,
    )


def _key(path: Path | None, environment: Mapping[str, str]) -> str | None:
    """The key of the environment, or the one in `path`."""
    if key := environment.get(KEY_VARIABLE, "").strip():
        return key
    if path is None:
        return None
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"http.key_file cannot be read: {error}") from None
    if not key or not key.isascii() or any(character.isspace() for character in key):
        raise ConfigurationError(f"http.key_file, {path}, holds no key: write the key alone into it")
    return key
