"""Settings read from files of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from linewise.configuration import Configuration, load_configuration, trusted_workspaces


class Sources:
    """The user's file, a workspace's, and an environment that names the first."""

    def __init__(self, folder: Path) -> None:
        self.user = folder / "user" / "linewise.toml"
        self.workspace = folder / "workspace"
        self.user.parent.mkdir()
        self.workspace.mkdir()
        self.environment = {"LINEWISE_CONFIG": str(self.user)}

    def write(self, user: str = "", workspace: str = "") -> None:
        self.user.write_text(user, encoding="utf-8")
        (self.workspace / "linewise.toml").write_text(workspace, encoding="utf-8")

    def trust(self) -> None:
        trusted_workspaces(self.environment).trust(self.workspace)

    def load(self, editor: object = None, **command_line: object) -> Configuration:
        return load_configuration(
            self.workspace, environment=self.environment, editor=editor, command_line=command_line
        )


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path)


@pytest.fixture
def problems(sources: Sources) -> Callable[..., list[str]]:
    """What is wrong with the given texts."""

    def find(user: str = "", workspace: str = "", editor: object = None) -> list[str]:
        sources.write(user, workspace)
        return [str(problem) for problem in sources.load(editor).problems]

    return find
