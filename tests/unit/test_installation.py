"""What to say to someone who lacks a part: the command that works for the way Linewise was installed."""

import json
import shlex
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from linewise import installation

INSTALL = [sys.executable, "-m", "pip", "install"]
FOLDER = {"url": "file:///home/a%20user/linewise", "dir_info": {}}
EDITABLE = {"url": "file:///home/a%20user/linewise", "dir_info": {"editable": True}}
COMMIT = {"url": "https://git.example/l.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
WHEEL = {"url": "file:///w/linewise-1-py3-none-any.whl", "archive_info": {}}


@pytest.mark.parametrize(
    ("origin", "asked"),
    [
        (None, ["linewise[training]"]),
        (EDITABLE, ["-e", "/home/a user/linewise[training]"]),
        (FOLDER, ["/home/a user/linewise[training]"]),
        (COMMIT, ["linewise[training] @ git+https://git.example/l.git@abc"]),
        (WHEEL, ["linewise[training] @ file:///w/linewise-1-py3-none-any.whl"]),
    ],
)
def test_an_extra_is_installed_from_where_linewise_came_from(monkeypatch, origin, asked):
    class Installed:
        def read_text(self, name):
            return json.dumps(origin) if name == "direct_url.json" and origin else None

    monkeypatch.setattr(installation, "distribution", lambda _: Installed())
    assert shlex.split(installation.install_extra("training")) == [*INSTALL, *asked]


def test_from_a_source_folder_the_folder_is_installed(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(installation, "distribution", missing)
    root = Path(__file__).resolve().parents[2]
    asked = shlex.split(installation.install_extra("ray"))
    assert asked == [*INSTALL, "-e", f"{root}[ray]"]
