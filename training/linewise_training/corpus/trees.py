"""Read files by relative path, wherever they lie: in a folder, or (in `git`) in a commit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class Tree(Protocol):
    """Files by path, relative to the tree's root and with "/"; the root itself is "."."""

    def names(self, folder: str) -> list[str]:
        """Names of the files directly in `folder`, in order; none where there is no such folder."""

    def read(self, path: str) -> bytes:
        """What a file holds. Raises OSError."""


class FolderTree:
    """The files under a folder on disk."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self, folder: str) -> list[str]:
        """Names of the files directly in `folder`, in order."""
        try:
            return sorted(entry.name for entry in os.scandir(self._root / folder) if entry.is_file())
        except OSError:
            return []

    def read(self, path: str) -> bytes:
        """What a file holds. Raises OSError."""
        return (self._root / path).read_bytes()
