"""What the stages say of files that are not what they ask for: one sentence, and nothing is left behind."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from linewise.errors import LinewiseError
from linewise_training.cli import train
from linewise_training.recipe import read_recipe
from linewise_training.steps import make_tokenizer, plan_pretraining
from linewise_training.token_file import read_jsonl

NANO = read_recipe("nano")
FILE = {"origin": "x", "path": "x.py", "text": "def f():\n    return 1\n" * 9}


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "files.jsonl").write_text(json.dumps(FILE) + "\n")
    return folder


@pytest.fixture
def tokenizer(corpus, tmp_path):
    make_tokenizer(corpus / "files.jsonl", tmp_path / "tokenizer", 300, 1000, 512)
    return tmp_path / "tokenizer"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot read"),
        (b'{"text": 1}\n\x85\n', "line 2: not JSON"),
        (b'{"text": 1}\n{"text"', "line 2: not JSON"),
        (b"\x1f\x8b\x08", "line 1: not JSON"),
        (b'{"text": 1}\n["text"]\n', "line 2: not an object with text"),
        (b'{"program": 1}\n', "line 1: not an object with text"),
    ],
)
def test_a_line_that_is_not_what_is_asked_for_is_named_by_its_number(tmp_path, content, said):
    path = tmp_path / "files.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LinewiseError, match=said) as refused:
        list(read_jsonl(path, "text"))
    assert str(path) in str(refused.value)


def test_a_corpus_without_text_teaches_no_tokenizer(tmp_path):
    (tmp_path / "files.jsonl").touch()
    with pytest.raises(LinewiseError, match="holds no text"):
        make_tokenizer(tmp_path / "files.jsonl", tmp_path / "out", 300, 1000, 512)
    assert not (tmp_path / "out").exists()


def test_a_damaged_tokenizer_is_named(corpus, tokenizer, tmp_path):
    (tokenizer / "tokenizer.json").write_text("{")
    with pytest.raises(LinewiseError, match=r"tokenizer\.json cannot be read"):
        plan_pretraining(corpus, tokenizer, tmp_path / "out", NANO.model, *NANO.pretrain, seed=1)


def test_tuning_refuses_what_is_no_model_before_it_does_anything(corpus, tokenizer, tmp_path):
    sequences, out = corpus / "files.jsonl", tmp_path / "out"
    options = {"corpus": corpus, "tokenizer": tokenizer, "sequences": sequences, "model": corpus, "out": out}
    arguments = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    result = CliRunner().invoke(train, ["sft", "--recipe", "nano", *arguments])
    assert result.exit_code == 1
    assert result.output == (
        f"Error: {corpus} has no config.json; name the folder `model` that `linewise train pretrain` wrote\n"
    )
    assert not out.exists()


@pytest.mark.parametrize(
    "command",
    [
        ["tokenizer", "--in", "corpus/files.jsonl", "--out", "out", "--vocabulary", "400"],
        ["corpus", "--folder", "code", "--licence", "MIT", "--out", "out"],
        ["run", "nano", "--out", "out", "--", "--folder", "code", "--licence", "MIT"],
    ],
    ids=lambda command: command[0],
)
def test_a_full_disk_is_called_so(corpus, tmp_path, command):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "long.py").write_text(
        "".join(f"def f{n}():\n    return {n}\n\n" for n in range(500))
    )
    # A limit on the size of files stands in for the disk: the kernel's error is of the same kind.
    begin = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)); "
    done = subprocess.run(
        [sys.executable, "-c", begin + "from linewise.cli import main; main()", "train", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "there is no room left on the disk" in done.stderr
    assert len(done.stderr.splitlines()) == 1
