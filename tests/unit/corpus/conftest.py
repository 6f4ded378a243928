import json
from pathlib import Path

import pytest

MIT = (
    "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy of this\n"
    "software, subject to the following conditions: The above copyright notice and\n"
    "this permission notice shall be included in all copies.\n"
)
GPL = "GNU GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007\n"


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
