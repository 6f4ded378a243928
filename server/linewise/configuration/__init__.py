"""Settings: from the user's file, the workspace's, the environment and the editor, each with its origin."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from linewise.configuration.settings import (
    SETTINGS,
    EngineSettings,
    HttpSettings,
    InlineSettings,
    ServeSettings,
    Setting,
    Settings,
    WriteSettings,
    settings_of,
    value_of,
)
from linewise.configuration.sources import (
    CONFIG_VARIABLE,
    KEY_VARIABLE,
    Origin,
    Problem,
    Source,
    from_environment,
    from_file,
    from_options,
)
from linewise.configuration.trust import TrustedWorkspaces
from linewise.errors import ConfigurationError

__all__ = [
    "CONFIG_VARIABLE",
    "FILE_NAMES",
    "KEY_VARIABLE",
    "SETTINGS",
    "Configuration",
    "EngineSettings",
    "HttpSettings",
    "InlineSettings",
    "Origin",
    "Problem",
    "ServeSettings",
    "Setting",
    "Settings",
    "TrustedWorkspaces",
    "WriteSettings",
    "find_workspace",
    "load_configuration",
    "trusted_workspaces",
    "user_file",
    "value_of",
    "workspace_file",
]

FILE_NAMES = ("linewise.toml", ".linewise.toml")
"""Names of a workspace's file, at its root; of two, the first is read."""

_DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings that hold; `origins` of those that are not defaults; `problems`: what was left out."""

    settings: Settings
    origins: Mapping[str, Origin]
    problems: tuple[Problem, ...] = ()

    def origin(self, key: str) -> Origin:
        """Where the value of `key` came from."""
        return self.origins.get(key, _DEFAULT)

    def require_sound(self) -> None:
        """Raise ConfigurationError for the first problem that is more than a workspace that asks too much."""
        for problem in self.problems:
            if not problem.refused:
                raise ConfigurationError(problem.message)


def load_configuration(
    workspace: Path | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    editor: object = None,
    command_line: Mapping[str, object] | None = None,
) -> Configuration:
    """Read every source. The later wins: user's file, workspace's, environment, editor, command line.

    `workspace` is the folder whose file is read, `editor` an editor's initialization options,
    `command_line` values by dotted key that are of their kinds already (None says nothing). Nothing raises:
    what is wrong stands in `problems`.
    """
    user = user_file(environment)
    sources = [from_file(user, "user file")]
    if workspace is not None:
        sources.append(_workspace_source(workspace, user, environment))
    sources.append(from_environment(environment, _current_folder()))
    sources.append(from_options(editor, "editor", "the editor's settings", workspace or _current_folder()))
    given = {key: value for key, value in (command_line or {}).items() if value is not None}
    sources.append(Source({key: (value, Origin("command line")) for key, value in given.items()}))
    merged: dict[str, tuple[object, Origin]] = {}
    for source in sources:
        merged.update(source.values)
    return Configuration(
        settings_of({key: value for key, (value, _) in merged.items()}),
        {key: origin for key, (_, origin) in merged.items()},
        tuple(problem for source in sources for problem in source.problems),
    )


def user_file(environment: Mapping[str, str] = os.environ) -> Path:
    """The user's file, which need not exist: what LINEWISE_CONFIG names, or in the user's config folder."""
    named = environment.get(CONFIG_VARIABLE)
    if named:
        return Path(os.path.abspath(Path(named).expanduser()))  # noqa: PTH100 -- a link stays a link
    return platformdirs.user_config_path("linewise", appauthor=False) / "linewise.toml"


def workspace_file(workspace: Path) -> Path | None:
    """The file with the settings of this workspace; None where it has none."""
    return next((path for name in FILE_NAMES if (path := workspace / name).exists()), None)


def find_workspace(start: Path, home: Path | None = None) -> Path | None:
    """The workspace that `start` lies in: the nearest folder with a file of settings or a repository.

    The user's home folder and what is above it are none, whatever lies there.
    """
    stop = home if home is not None else Path(os.path.expanduser("~"))  # noqa: PTH111 -- may fail there
    folder = Path(os.path.abspath(start))  # noqa: PTH100
    for candidate in (folder, *folder.parents):
        if candidate == stop or candidate in stop.parents:
            return None
        if workspace_file(candidate) is not None or (candidate / ".git").exists():
            return candidate
    return None


def trusted_workspaces(environment: Mapping[str, str] = os.environ) -> TrustedWorkspaces:
    """The list of workspaces that the user trusts."""
    return TrustedWorkspaces(user_file(environment).with_name("trusted.json"))


def _workspace_source(workspace: Path, user: Path, environment: Mapping[str, str]) -> Source:
    path = workspace_file(workspace)
    if path is None or path == user:
        return Source({})
    problems: tuple[Problem, ...] = ()
    try:
        trusted = trusted_workspaces(environment).trusts(workspace)
    except ConfigurationError as error:
        trusted, problems = False, (Problem(str(error)),)
    if all((workspace / name).exists() for name in FILE_NAMES):
        problems += (Problem(f"{workspace} has {' and '.join(FILE_NAMES)}: keep one; the first is read"),)
    source = from_file(path, "workspace file", workspace, trusted)
    return Source(source.values, (*problems, *source.problems))


def _current_folder() -> Path:
    try:
        return Path.cwd()
    except OSError:  # it was deleted under this process
        return Path(os.path.expanduser("~"))  # noqa: PTH111
