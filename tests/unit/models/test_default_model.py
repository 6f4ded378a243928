"""Which model is served when nobody names one."""

from __future__ import annotations

from pathlib import Path

import pytest

from linewise.errors import ModelError
from linewise.models import MODEL_VARIABLE, default_model_path, embedded_model_path


def test_the_environment_variable_names_the_model(tmp_path: Path) -> None:
    model = tmp_path / "mine.gguf"
    model.write_bytes(b"GGUF")
    assert default_model_path({MODEL_VARIABLE: str(model)}) == model


def test_a_variable_that_names_no_file_is_an_error_and_not_a_fallback(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"LINEWISE_MODEL names .*gone\.gguf"):
        default_model_path({MODEL_VARIABLE: str(tmp_path / "gone.gguf")})


def test_without_the_variable_the_only_model_in_the_package_is_served(tmp_path: Path) -> None:
    (tmp_path / "card.md").write_text("about")
    with pytest.raises(ModelError, match="LINEWISE_MODEL"):
        embedded_model_path(tmp_path)
    (tmp_path / "one.gguf").write_bytes(b"GGUF")
    assert embedded_model_path(tmp_path) == tmp_path / "one.gguf"
    (tmp_path / "two.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match=r"one\.gguf, two\.gguf"):
        embedded_model_path(tmp_path)
