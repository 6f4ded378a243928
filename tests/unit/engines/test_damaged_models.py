"""A file that is not a whole model gives one clear error and never takes the process down."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from linewise.engines import load_engine
from linewise.engines.gguf_file import read_gguf
from linewise.errors import ModelError

# Loads every file that it is told of, as a server would: whatever is raised must be a ModelError.
LOAD_ALL = """
import sys
from pathlib import Path
from linewise.engines import load_engine
from linewise.errors import ModelError
for path in map(Path, sys.argv[1:]):
    try:
        load_engine(path, threads=1).close()
        print("loaded", flush=True)
    except ModelError as error:
        print(error, flush=True)
"""


def load_in_a_process(paths: list[Path]) -> list[str]:
    """One line for each file: "loaded" or the error's message; the process must live to the end."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD_ALL, *map(str, paths)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_file_cut_anywhere_is_refused_before_llama_cpp_sees_it(tiny_gguf: Path, tmp_path: Path) -> None:
    whole = tiny_gguf.read_bytes()
    chance = random.Random(1)
    header = whole.index(b"blk.0.attn_norm.weight")
    lengths = [*range(1, 64), *(chance.randrange(64, header) for _ in range(100))]
    lengths += [chance.randrange(header, len(whole)) for _ in range(40)] + [len(whole) - 1]
    cut = tmp_path / "cut.gguf"
    for length in lengths:
        cut.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"cut\.gguf"):
            read_gguf(cut)


def test_cut_and_scrambled_files_leave_the_process_alive(tiny_gguf: Path, tmp_path: Path) -> None:
    whole = tiny_gguf.read_bytes()
    chance = random.Random(2)
    paths = []
    for number in range(12):
        damaged = bytearray(whole)
        if number % 3 == 0:
            del damaged[chance.randrange(len(whole)) :]
        else:
            for _ in range(4):  # in the header, where everything has a meaning
                damaged[chance.randrange(0, 9000)] = chance.randrange(256)
        paths.append(tmp_path / f"damaged{number}.gguf")
        paths[-1].write_bytes(damaged)
    lines = load_in_a_process([tiny_gguf, *paths])
    assert lines[0] == "loaded"
    assert len(lines) == 13
    assert all("damaged" in line or line == "loaded" for line in lines)
    assert sum(line != "loaded" for line in lines) >= 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04 and so on", "not a GGUF file but a zip archive"),
        (b"<!doctype html><html></html>", "not a GGUF file but a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"import math\n", "not a GGUF file but another kind of file"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(40), "version"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1), "more entries than the file can hold"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "not a language model"),
    ],
)
def test_foreign_files_are_refused_by_what_they_are(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "foreign.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load_engine(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model file at .*nothing\.gguf"):
        load_engine(tmp_path / "nothing.gguf")
    with pytest.raises(ModelError, match=r"has no config\.json"):
        load_engine(tmp_path)


def test_a_token_that_stands_twice_is_refused(tiny_gguf: Path, tmp_path: Path) -> None:
    path = tmp_path / "twice.gguf"
    path.write_bytes(tiny_gguf.read_bytes().replace(b"<|file|>", b"<|diff|>", 1))
    with pytest.raises(ModelError, match="same token twice"):
        load_engine(path)


def test_weights_that_are_not_numbers_are_refused(tiny_gguf: Path, tmp_path: Path) -> None:
    damaged = bytearray(tiny_gguf.read_bytes())
    damaged[-4:] = struct.pack("<f", float("nan"))
    path = tmp_path / "nan.gguf"
    path.write_bytes(damaged)
    with pytest.raises(ModelError, match=r"llama\.cpp cannot load .*nan\.gguf"):
        load_engine(path)
