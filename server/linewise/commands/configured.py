"""The settings that a command works with: its options first, then what is configured for where it runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from linewise.configuration import Configuration, Settings


def command_configuration(options: Mapping[str, object] | None = None) -> Configuration:
    """What is configured where the command runs; `options` are its own, by dotted key."""
    from linewise.configuration import find_workspace, load_configuration  # noqa: PLC0415

    return load_configuration(find_workspace(Path.cwd()), command_line=options)


def command_settings(options: Mapping[str, object] | None = None) -> Settings:
    """The settings for a command. What a workspace may not say is told on standard error and left out.

    Raises ConfigurationError for anything else that is wrong.
    """
    configuration = command_configuration(options)
    configuration.require_sound()
    for problem in configuration.problems:
        click.echo(f"linewise: {problem}", err=True)
    return configuration.settings
