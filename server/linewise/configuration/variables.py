"""Settings as environment variables, for a process that is to run a model alike."""

from __future__ import annotations

from collections.abc import Mapping

from linewise.configuration.settings import SETTINGS, Settings, value_of


def engine_variables(settings: Settings) -> Mapping[str, str]:
    """How `settings` have a model run; what says nothing is left out."""
    keys = [key for key in SETTINGS if key.startswith("engine.") or key in {"context_length", "threads"}]
    values = {SETTINGS[key].variable: value_of(settings, key) for key in keys}
    return {variable: str(value) for variable, value in values.items() if value is not None}
