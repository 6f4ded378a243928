"""`linewise config`: what is set, where it was set, and which workspaces may set more."""

from __future__ import annotations

import json
from pathlib import Path

import click

from linewise.commands.configured import command_configuration
from linewise.configuration import (
    SETTINGS,
    Configuration,
    find_workspace,
    trusted_workspaces,
    user_file,
    value_of,
    workspace_file,
)
from linewise.errors import ConfigurationError

_FOLDER = click.argument(
    "folder", type=click.Path(path_type=Path, exists=True, file_okay=False), default=None, required=False
)


@click.group("config")
def config_command() -> None:
    """Show the settings and where each came from; trust a workspace's file."""


@config_command.command("show")
@click.option("--json", "as_json", is_flag=True, help="Print values, origins and problems as JSON.")
def show_command(as_json: bool) -> None:
    """Print every setting, its value here, and where that came from.

    Exit status 1 if a file, a variable or a key is wrong.
    """
    configuration = command_configuration()
    click.echo(_as_json(configuration) if as_json else _as_text(configuration))
    for problem in configuration.problems:
        click.echo(f"linewise: {problem}", err=True)
    raise SystemExit(0 if all(problem.refused for problem in configuration.problems) else 1)


@config_command.command("path")
def path_command() -> None:
    """Print the path of your file and, where there is one, of the workspace's."""
    click.echo(user_file())
    workspace = find_workspace(Path.cwd())
    if workspace is not None and (path := workspace_file(workspace)) is not None:
        click.echo(path)


@config_command.command("trust")
@_FOLDER
def trust_command(folder: Path | None) -> None:
    """Let the file of the workspace FOLDER (default: the one you are in) name addresses and model paths."""
    workspace = _workspace(folder)
    added = trusted_workspaces().trust(workspace)
    click.echo(f"{workspace} is trusted{'' if added else ' already'}.")


@config_command.command("untrust")
@_FOLDER
def untrust_command(folder: Path | None) -> None:
    """Take the trust in the workspace FOLDER (default: the one you are in) back."""
    workspace = _workspace(folder)
    removed = trusted_workspaces().untrust(workspace)
    click.echo(f"{workspace} is {'no longer' if removed else 'not'} trusted.")


def _workspace(folder: Path | None) -> Path:
    if folder is not None:
        return folder.resolve()
    found = find_workspace(Path.cwd())
    if found is None:
        raise ConfigurationError(
            f"{Path.cwd()} lies in no workspace (no linewise.toml and no repository): name its folder"
        )
    return found


def _as_json(configuration: Configuration) -> str:
    settings = {}
    for key in SETTINGS:
        value, origin = value_of(configuration.settings, key), configuration.origin(key)
        plain = str(value) if isinstance(value, Path) else value
        settings[key] = {"value": plain, "origin": origin.level, "place": origin.place}
    problems = [str(problem) for problem in configuration.problems]
    return json.dumps({"settings": settings, "problems": problems}, indent=2)


def _as_text(configuration: Configuration) -> str:
    """As TOML with dotted keys, so that a line can be copied into a file."""
    rows = [(_line(configuration, key), str(configuration.origin(key)), key) for key in SETTINGS]
    width = min(48, max(len(line) for line, _, _ in rows))
    return "\n".join(f"{line:{width}}  # {SETTINGS[key].text} [{origin}]" for line, origin, key in rows)


def _line(configuration: Configuration, key: str) -> str:
    value = value_of(configuration.settings, key)
    if value is None or value == ():
        return f"# {key} is not set"
    plain = list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
    # JSON's texts, numbers, lists and words are TOML's, too.
    return f"{key} = {json.dumps(plain, ensure_ascii=False)}"
