import json
import os
import subprocess
from pathlib import Path

import pytest

MIT = (
    "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy of this\n"
    "software, subject to the following conditions: The above copyright notice and\n"
    "this permission notice shall be included in all copies.\n"
)
GPL = "GNU GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007\n"

CALM = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
       for what, value in (("NAME", "A. Person"), ("EMAIL", "a@example.org"), ("DATE", "1700000000 +0000"))},
}  # fmt: skip


class Project:
    """A repository in `root`; `commit` writes files (None removes one), `git` runs any command in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.root, env=CALM, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, message: str, files=None) -> str:
        for name, content in (files or {}).items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def tree(tmp_path: Path):
    """Write files below a fresh folder, by a mapping of relative path to text (str) or bytes."""

    def write(files):
        root = tmp_path / "project"
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return root

    return write


@pytest.fixture
def jsonl(tmp_path: Path):
    """Write rows as a JSONL file; return its path."""

    def write(name, rows):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


@pytest.fixture
def mit():
    return MIT


@pytest.fixture
def gpl():
    return GPL


@pytest.fixture
def project(tmp_path: Path):
    """An empty git repository."""
    return Project(tmp_path / "repository")
