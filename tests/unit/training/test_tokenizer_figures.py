"""`linewise train tokenizer` learns from what is trained on and is judged by what is held out."""

import json

import pytest
from click.testing import CliRunner

from linewise_training.cli import train
from linewise_training.mix import held_out
from linewise_training.tokenizer import load_tokenizer

# Words that only held-out files have, and others that only the files to learn from have.
TEXTS = [f"def common_{n}():\n    return '{n} widespread'\n" for n in range(400)]
LEARNED = [text * 3 for text in TEXTS if not held_out(text * 3)]
HELD_OUT = [text + "zyxw = zyxw + zyxw\n" * 40 for text in TEXTS]
HELD_OUT = [text for text in HELD_OUT if held_out(text)][:3]


def learn(tmp_path, texts):
    files = tmp_path / "files.jsonl"
    files.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    out = tmp_path / "tokenizer"
    done = CliRunner().invoke(
        train, ["tokenizer", "--in", str(files), "--vocabulary", "400", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    return json.loads(done.output), load_tokenizer(out)


def test_held_out_files_are_measured_and_not_learned_from(tmp_path):
    assert HELD_OUT
    figures, tokenizer = learn(tmp_path, LEARNED + HELD_OUT)
    assert figures["held_out_files"] == len(HELD_OUT)
    assert len(tokenizer.encode("zyxw", add_special_tokens=False).ids) == 4
    assert len(tokenizer.encode(" widespread", add_special_tokens=False).ids) == 1
    counted = sum(len(tokenizer.encode(text, add_special_tokens=False).ids) for text in HELD_OUT)
    assert figures["bytes_per_token"] == pytest.approx(sum(map(len, HELD_OUT)) / counted)


def test_a_corpus_without_held_out_files_has_no_such_figure(tmp_path):
    figures, _ = learn(tmp_path, LEARNED)
    assert figures["held_out_files"] == 0
    assert "bytes_per_token" not in figures
