"""`linewise models` as a user gives it, with real files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import linewise.commands.joining
from linewise.models import MODELS_VARIABLE


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "registry"))
    return tmp_path / "registry"


def listed(linewise_command) -> dict[str, dict[str, object]]:
    rows = json.loads(linewise_command("models", "list", "--json").out)["models"]
    return {row["name"]: row for row in rows}


def test_a_model_is_added_and_used_in_one_command(linewise_command, tiny_gguf: Path, folder: Path) -> None:
    assert listed(linewise_command)["embedded"]["in_use"]
    outcome = linewise_command("models", "add", tiny_gguf, "--name", "mine", "--use")
    assert outcome.status == 0 and "edit-log/1" in outcome.out
    rows = listed(linewise_command)
    assert rows["mine"]["in_use"] and not rows["embedded"]["in_use"]
    assert "* mine" in linewise_command("models", "list").out
    path = folder.parent / "a.py"
    path.write_text("import o\n")
    arguments = ("complete", "--file", path, "--line", 0, "--column", 8)
    assert linewise_command(*arguments).out == linewise_command(*arguments, "--model", tiny_gguf).out
    assert linewise_command(*arguments, "--model", "embedded").status == 0


def test_info_tells_what_the_file_says_and_whether_it_is_whole(
    linewise_command, tiny_gguf: Path, folder: Path
) -> None:
    linewise_command("models", "add", tiny_gguf, "--name", "mine")
    outcome = linewise_command("models", "info", "mine", "--json")
    facts = json.loads(outcome.out)
    assert (facts["state"], facts["format"], facts["context_length"]) == ("intact", "edit-log/1", 512)
    assert facts["metadata"]["tokenizer.ggml.pre"] == "qwen2"
    assert "tokenizer.ggml.pre = qwen2" in linewise_command("models", "info", "mine").out
    copy = folder / "mine.gguf"
    copy.write_bytes(copy.read_bytes()[:-4096])
    outcome = linewise_command("models", "info", "mine")
    assert outcome.status == 1 and "cut short" in outcome.out and "'mine' is changed" in outcome.err
    assert listed(linewise_command)["mine"]["state"] == "changed"
    assert json.loads(linewise_command("models", "info", "--json").out)["name"] == "embedded"


def test_a_model_that_no_editor_can_use_is_added_but_not_used(
    linewise_command, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    from linewise_training.export import export

    plain = tmp_path / "plain.gguf"
    export(tiny_checkpoint, plain, quantization="q8_0", metadata={"general.license": "mit"})
    outcome = linewise_command("models", "add", plain, "--use")
    assert outcome.status == 1 and "was not added" in outcome.err
    assert set(listed(linewise_command)) == {"embedded"}
    outcome = linewise_command("models", "add", plain)
    assert outcome.status == 0 and "cannot be served" in outcome.out and "licence mit" in outcome.out
    assert listed(linewise_command)["plain"]["format"] is None
    outcome = linewise_command("models", "use", "plain")
    assert outcome.status == 1 and outcome.err.count("\n") == 1


def test_each_mistake_is_one_line(linewise_command, tiny_gguf: Path, tmp_path: Path, folder: Path) -> None:
    text = tmp_path / "a.gguf"
    text.write_text("no model")
    linewise_command("models", "add", tiny_gguf, "--name", "mine", "--use")
    for arguments in (
        ("add", text),
        ("add", tmp_path / "gone.gguf"),
        ("add", tiny_gguf, "--name", "mine"),
        ("remove", "mine"),
        ("remove", "gone"),
        ("use", "gone"),
        ("info", "gone"),
    ):
        outcome = linewise_command("models", *arguments)
        assert (outcome.status, outcome.out, outcome.err.count("\n")) == (1, "", 1), arguments
    assert linewise_command("models", "remove", "--force", "mine").status == 0
    shutil.rmtree(folder)
    folder.write_text("a file in the folder's place")
    assert "cannot be changed" in linewise_command("models", "add", tiny_gguf).err


def test_a_checkpoint_is_converted_and_says_where_it_is_from(
    linewise_command, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.gguf"
    arguments = (
        "models",
        "convert",
        tiny_checkpoint,
        "--out",
        out,
        "--format",
        "lintseq",
        "--licence",
        "mit",
    )
    outcome = linewise_command(*arguments, "--quantize", "Q6_K")
    assert outcome.status == 0 and "Q6_K" in outcome.out
    checksum = outcome.out.split()[-1]
    linewise_command("models", "add", out)
    facts = json.loads(linewise_command("models", "info", "out", "--json").out)
    assert (facts["format"], facts["licence"]) == ("lintseq", "mit")
    assert facts["metadata"]["linewise.source_sha256"] == checksum
    out.unlink()
    assert linewise_command(*arguments, "--sha256", checksum).status == 0
    out.unlink()
    refused = linewise_command("models", "convert", tiny_checkpoint, "--out", out, "--format", "edit-log")
    assert refused.status == 1 and "edit-log/1" in refused.err
    for extra, status in (
        (("--sha256", "0" * 64), 1),
        (("--quantize", "q9"), 2),
        (("--to", "ctranslate2"), 2),
    ):
        refused = linewise_command(*arguments, *extra)
        assert refused.status == status and "Traceback" not in refused.err
    assert not out.exists()


def test_a_users_own_model_with_fim_tokens_is_served_with_them(linewise_command, tmp_path: Path) -> None:
    from linewise.formats.fim import MIDDLE, PREFIX, SUFFIX
    from linewise_training.export import export
    from tiny_model import END, write_checkpoint

    folder = write_checkpoint(tmp_path / "theirs", special_tokens=(END, PREFIX, SUFFIX, MIDDLE))
    export(folder, tmp_path / "theirs.gguf", quantization="q8_0", metadata={})
    assert linewise_command("models", "add", tmp_path / "theirs.gguf", "--use").status == 0
    assert listed(linewise_command)["theirs"]["format"] == "fim"
    path = tmp_path / "a.py"
    path.write_text("import o\n")
    assert linewise_command("complete", "--file", path, "--line", 0, "--column", 8).status == 0
    refused = linewise_command("write", "a function", "--file", path)
    assert refused.status == 1 and refused.err.count("\n") == 1


def test_what_needs_the_training_extra_says_so_where_it_is_missing(
    linewise_command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linewise.commands.joining, "entry_points", lambda **kwargs: [])
    assert "convert" in linewise_command("models", "--help").out
    outcome = linewise_command("models", "convert", "folder")
    assert outcome.status == 1 and outcome.err.count("\n") == 1
    assert "pip install" in outcome.err and "[training]'" in outcome.err
    assert linewise_command("models", "list").status == 0
