"""Fixtures that every test may use: a tiny model, made once a run."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # `import tiny_model` works under any import mode

# No test, nor a process that it starts, sees the models that the developer registered, or their settings.
FOLDERS = [tempfile.mkdtemp(prefix=f"linewise-test-{part}-") for part in ("models", "config", "run")]
os.environ["LINEWISE_MODELS"] = FOLDERS[0]
os.environ["LINEWISE_CONFIG"] = str(Path(FOLDERS[1]) / "linewise.toml")

# No language server under test starts or uses a model server, unless the test is about that.
os.environ["LINEWISE_SERVE_ENABLED"] = "false"
os.environ["LINEWISE_RUNTIME_DIR"] = FOLDERS[2]


def pytest_unconfigure() -> None:
    """Leave nothing of these folders behind."""
    for folder in FOLDERS:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder with a tiny random Llama and its tokenizer."""
    from tiny_model import write_checkpoint

    return write_checkpoint(tmp_path_factory.mktemp("tiny") / "checkpoint")


@pytest.fixture(scope="session")
def tiny_gguf(tiny_checkpoint: Path) -> Path:
    """The tiny model as a GGUF file in float32, marked as trained on `edit-log/1`."""
    from linewise_training.export import export

    out = tiny_checkpoint.parent / "tiny.gguf"
    export(tiny_checkpoint, out, quantization="f32", metadata={"linewise.format": "edit-log/1"})
    return out


@pytest.fixture(scope="session")
def fim_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with fill-in-the-middle tokens that names no format, as other people's models come."""
    from linewise.formats import fim
    from linewise_training.export import export
    from tiny_model import SPECIAL_TOKENS, write_checkpoint

    folder = tmp_path_factory.mktemp("fim")
    tokens = (*SPECIAL_TOKENS, *fim.SPECIAL_TOKENS, "<|file_sep|>")
    write_checkpoint(folder / "checkpoint", special_tokens=tokens)
    export(folder / "checkpoint", folder / "fim.gguf", quantization="f32", metadata={})
    return folder / "fim.gguf"
