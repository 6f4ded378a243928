"""Parcels: what goes to another machine and comes back, whole or not at all."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tarfile
import time

import pytest

from linewise.errors import LinewiseError
from linewise_training.parcel import pack, unpack

NOISE = random.Random(0).randbytes(50_000)
MANIFEST = "parcel.json"


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"

    def write(name, data=b"x"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    for stage in ("pretrain", "sft"):
        write(f"{stage}/plan.json", b"{}")
        write(f"{stage}/begun.json", b"digest")
        write(f"{stage}/tokens/ids.npy", NOISE)
    write("tokenizer/tokenizer.json")
    write("corpus/files.jsonl", NOISE)
    write("pretrain/checkpoint-3/optimizer.pt")
    os.utime(folder / "pretrain/checkpoint-3", (1, 1))
    write("pretrain/checkpoint-12/optimizer.pt")
    write("pretrain/cycles/1/model.safetensors")
    os.utime(folder / "pretrain/checkpoint-12", (time.time(), time.time()))
    return folder


def names(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_what_training_needs_arrives_as_it_was_and_the_corpus_stays(run, tmp_path):
    parts = pack(run, tmp_path / "parts", part_bytes=20_000)
    assert [part.stat().st_size for part in parts[:-1]] == [20_000] * (len(parts) - 1)
    assert len(parts) > 2
    unpack(tmp_path / "parts", tmp_path / "there")
    expected = names(run)
    del expected["corpus/files.jsonl"], expected["pretrain/checkpoint-3/optimizer.pt"]
    assert names(tmp_path / "there") == expected


def test_what_training_gave_comes_back_without_tokens_and_a_finished_stages_checkpoint(run, tmp_path):
    for name in ("model/model.safetensors", "result.json", "losses.jsonl"):
        (run / "pretrain" / name).parent.mkdir(exist_ok=True)
        (run / "pretrain" / name).write_text(name)
    pack(run, tmp_path / "back", trained=True)
    home = tmp_path / "home"
    (home / "pretrain").mkdir(parents=True)
    (home / "pretrain" / "losses.jsonl").write_text("older")
    unpack(tmp_path / "back", home)
    assert set(names(home)) == {
        "pretrain/begun.json", "pretrain/plan.json", "pretrain/model/model.safetensors",
        "pretrain/result.json", "pretrain/losses.jsonl", "sft/begun.json", "sft/plan.json",
    }  # fmt: skip
    assert (home / "pretrain" / "losses.jsonl").read_text() == "losses.jsonl"


def test_it_needs_python_alone(run, tmp_path):
    isolated = [sys.executable, "-S", "-m", "linewise_training.parcel"]
    paths = os.pathsep.join(path for path in sys.path if path.endswith(("server", "training")))
    paths = paths or os.pathsep.join(("server", "training"))
    for arguments in (["pack", run, "--out", tmp_path / "p"], ["unpack", tmp_path / "p", tmp_path / "there"]):
        done = subprocess.run(
            [*isolated, *arguments], env={"PYTHONPATH": paths}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "there" / "sft" / "tokens" / "ids.npy").read_bytes() == NOISE


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda parcel: (parcel / "part-001").write_bytes(b"other"), "part-001 is missing or damaged"),
        (lambda parcel: (parcel / "part-001").unlink(), "part-001 is missing or damaged"),
        (lambda parcel: (parcel / MANIFEST).unlink(), "is no parcel"),
        (lambda parcel: (parcel / MANIFEST).write_text('{"parts": [1]}'), "is no parcel"),
    ],
)
def test_a_damaged_parcel_writes_nothing(run, tmp_path, harm, said):
    pack(run, tmp_path / "parts", part_bytes=20_000)
    harm(tmp_path / "parts")
    with pytest.raises(LinewiseError, match=said):
        unpack(tmp_path / "parts", tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_a_parcel_of_another_run_does_not_overwrite_a_stage(run, tmp_path):
    pack(run, tmp_path / "parts")
    (run / "pretrain" / "begun.json").write_bytes(b"other settings")
    (run / "pretrain" / "tokens" / "ids.npy").write_bytes(b"mine")
    with pytest.raises(LinewiseError, match="other settings"):
        unpack(tmp_path / "parts", run)
    assert (run / "pretrain" / "tokens" / "ids.npy").read_bytes() == b"mine"


def test_a_parcel_cannot_write_outside_the_run_folder(run, tmp_path):
    pack(run, tmp_path / "parts")
    evil = tmp_path / "parts" / "part-000"
    (tmp_path / "file").write_text("x")
    with tarfile.open(evil, "w:xz") as tar:
        tar.add(tmp_path / "file", arcname="../outside")
    import hashlib

    told = {"parts": [{"name": evil.name, "sha256": hashlib.sha256(evil.read_bytes()).hexdigest()}]}
    (tmp_path / "parts" / MANIFEST).write_text(json.dumps(told))
    with pytest.raises(LinewiseError, match="no run folder has"):
        unpack(tmp_path / "parts", tmp_path / "there")
    assert not (tmp_path / "outside").exists()


def test_what_cannot_be_packed_is_said(run, tmp_path):
    with pytest.raises(LinewiseError, match="--prepare"):
        pack(tmp_path, tmp_path / "parts")
    pack(run, tmp_path / "parts")
    with pytest.raises(LinewiseError, match="holds a parcel already"):
        pack(run, tmp_path / "parts")
