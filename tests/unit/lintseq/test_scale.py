"""Runs over many programs: workers, kills, bad input, Parquet."""

import json
import multiprocessing
import random
import resource
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from linewise.verify import NoVerifier
from linewise_training.lintseq import Failed, Plan, Program, Written, lintseq_command, sample_in_processes
from linewise_training.lintseq.output import Output

MISBEHAVING = '''
import os, time

class Misbehaving:
    """A verifier that stops where a source tells it to."""
    name = "misbehaving"

    def problems(self, sources):
        for source in sources:
            if "hang" in source:
                time.sleep(1000)
            if "die" in source:
                os._exit(7)
        return [()] * len(sources)
'''


@pytest.fixture
def misbehaving(tmp_path, monkeypatch):
    (tmp_path / "misbehaving.py").write_text(MISBEHAVING)
    monkeypatch.syspath_prepend(tmp_path)
    from misbehaving import Misbehaving

    return Misbehaving


def programs(count):
    return [f"a{at} = {at}\nfor b in range(a{at}):\n    print(b)\n" for at in range(count)]


def write_input(path, sources):
    rows = [{"instruction": f"Nr. {at}", "program": source} for at, source in enumerate(sources)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def run(source, out, *options, linter="fast"):
    arguments = ["--in", str(source), "--out", str(out), "--samples", "2", "--linter", linter, *options]
    return CliRunner().invoke(lintseq_command, arguments)


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


FILES = ["", ".report.html", ".skipped.jsonl"]


def leftovers(out):
    return sorted(path.name.removeprefix(out.name) for path in out.parent.glob(out.name + "*"))


def test_results_do_not_depend_on_the_number_of_workers(tmp_path):
    write_input(tmp_path / "in.jsonl", programs(100))
    for workers in ("1", "3"):
        done = run(tmp_path / "in.jsonl", tmp_path / f"{workers}.jsonl", "--workers", workers)
        assert done.exit_code == 0, done.output
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "3.jsonl").read_bytes()
    assert [row["source"] for row in rows(tmp_path / "1.jsonl")] == [at // 2 for at in range(200)]
    assert leftovers(tmp_path / "1.jsonl") == FILES


def test_a_program_that_stops_the_linter_is_failed_and_those_beside_it_are_not(misbehaving):
    sources = programs(40)
    sources[3], sources[17], sources[30] = "x = 'hang'", "x = 'die'", "y = 'hang'"
    numbered = [Program(at, source) for at, source in enumerate(sources)]
    found = list(sample_in_processes(numbered, misbehaving, Plan(1, 0), workers=2, timeout=5))
    assert [outcome.index for outcome in found] == list(range(40))
    failed = {outcome.index: outcome.reason for outcome in found if isinstance(outcome, Failed)}
    assert set(failed) == {3, 17, 30}
    assert "hung" in failed[3]
    assert "exit code 7" in failed[17]
    assert all(isinstance(outcome, Written) for outcome in found if outcome.index not in failed)


class CutError(Exception):
    pass


@pytest.mark.parametrize("seed", range(4))
def test_a_run_cut_anywhere_goes_on_without_loss_or_repeats(tmp_path, monkeypatch, seed):
    sources = programs(50)
    sources[7] = "def f(:"
    write_input(tmp_path / "in.jsonl", sources)
    (tmp_path / "in.jsonl").write_bytes((tmp_path / "in.jsonl").read_bytes() + b"\xff\n")
    assert run(tmp_path / "in.jsonl", tmp_path / "whole.jsonl").exit_code == 0

    rng = random.Random(seed)
    out, saved = tmp_path / "cut.jsonl", rng.randint(8, 30)
    saves, add, save = [], Output.add, Output._save

    def cutting(self, index, lines):
        add(self, index, lines)
        if index == saved:
            save(self)
        if index == saved + 9:
            raise CutError

    # As after a kill: what was not saved is there in part, ending in a torn line.
    monkeypatch.setattr(Output, "add", cutting)
    monkeypatch.setattr(Output, "_save", lambda self: saves.append(save(self)) if not saves else None)
    assert isinstance(run(tmp_path / "in.jsonl", out).exception, CutError)
    monkeypatch.undo()
    with out.open("r+b") as file:
        file.truncate(out.stat().st_size - rng.randint(1, 100))
    assert "other settings" in run(tmp_path / "in.jsonl", out, "--seed", "9").output

    again = run(tmp_path / "in.jsonl", out, "--json")
    assert again.exit_code == 0, again.output
    assert f"going on after line {saved + 1}" in again.output
    assert json.loads(again.output.splitlines()[-1])["sequences"] == 98
    for name in ("", ".skipped.jsonl"):
        whole, cut = tmp_path / f"whole.jsonl{name}", tmp_path / f"cut.jsonl{name}"
        assert cut.read_bytes() == whole.read_bytes()
    assert leftovers(out) == FILES


def test_a_killed_process_leaves_a_run_that_can_be_gone_on_with(tmp_path):
    write_input(tmp_path / "in.jsonl", programs(4000))
    assert run(tmp_path / "in.jsonl", tmp_path / "whole.jsonl", "--method", "randseq").exit_code == 0
    out = tmp_path / "out.jsonl"
    code = "from linewise_training.lintseq import lintseq_command; lintseq_command()"
    arguments = ["--in", str(tmp_path / "in.jsonl"), "--out", str(out), "--samples", "2"]
    arguments += ["--method", "randseq", "--linter", "fast"]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments])
    while process.poll() is None and not (out.exists() and out.stat().st_size > 10_000):
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert run(tmp_path / "in.jsonl", out, "--method", "randseq").exit_code == 0
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_each_kind_of_bad_input_is_counted_and_named_and_the_rest_is_kept(tmp_path):
    good = json.dumps({"instruction": "Good.", "program": "a = 1\nprint(a)\n"}).encode()
    bad = {
        b"not json": "not a program",
        b"": "not a program",
        b'["program"]': "not a program",
        b'{"program": 5}': "not a program",
        b"[" * 100_000: "not a program",
        '{"program": "é"}'.encode("latin-1"): "not UTF-8",
        b'{"program": "x = \'\\ud800\'"}': "not UTF-8",
        b'{"program": ""}': "the program is empty",
        b'{"program": "def f(:"}': "the program has a syntax error",
        b'{"program": "if a:\\n\\tb = 1\\n        c = 2"}': "the program has a syntax error",
        b'{"program": "a\\u0000b"}': "the program has a syntax error",
        json.dumps({"program": "x = 1\n" * 20_000}).encode(): "the program is too long",
    }
    (tmp_path / "in.jsonl").write_bytes(b"\n".join([good, *bad, good]) + b"\n")
    for linter in ("pylint", "fast", "ruff"):
        done = run(tmp_path / "in.jsonl", tmp_path / "out.jsonl", linter=linter)
        assert done.exit_code == 0, done.output
        skipped = rows(tmp_path / "out.jsonl.skipped.jsonl")
        assert [row["line"] for row in skipped] == list(range(2, len(bad) + 2))
        assert [row["reason"].split(": ")[0] for row in skipped] == list(bad.values())
        assert [row["source"] for row in rows(tmp_path / "out.jsonl")] == [0, 0, len(bad) + 1, len(bad) + 1]
        assert "5 of: not a program" in done.output


def test_a_byte_order_mark_before_the_first_line_is_no_fault(tmp_path):
    write_input(tmp_path / "in.jsonl", programs(2))
    (tmp_path / "in.jsonl").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "in.jsonl").read_bytes())
    assert run(tmp_path / "in.jsonl", tmp_path / "out.jsonl").exit_code == 0
    assert [row["source"] for row in rows(tmp_path / "out.jsonl")] == [0, 0, 1, 1]


def test_a_full_disk_is_one_clear_line_and_the_run_goes_on_when_there_is_room(tmp_path):
    write_input(tmp_path / "in.jsonl", programs(300))
    out = tmp_path / "out.jsonl"
    code = "from linewise_training.lintseq import lintseq_command; lintseq_command()"
    arguments = ["--in", str(tmp_path / "in.jsonl"), "--out", str(out), "--samples", "2", "--linter", "fast"]
    full = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )  # fmt: skip
    assert full.returncode == 1
    assert "too large" in full.stderr
    assert "to go on" in full.stderr
    assert "Traceback" not in full.stderr
    assert run(tmp_path / "in.jsonl", out).exit_code == 0
    assert [row["source"] for row in rows(out)] == [at // 2 for at in range(600)]


def test_parquet_in_and_out_say_what_jsonl_says(tmp_path):
    sources = [*programs(20), "def f(:", None]
    write_input(tmp_path / "in.jsonl", sources)
    table = pa.table({"program": sources, "instruction": [f"Nr. {at}" for at in range(22)]})
    pq.write_table(table, tmp_path / "in.parquet")
    assert run(tmp_path / "in.jsonl", tmp_path / "out.jsonl").exit_code == 0
    done = run(tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert done.exit_code == 0, done.output
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == rows(tmp_path / "out.jsonl")
    assert len(rows(tmp_path / "out.parquet.skipped.jsonl")) == 2
    assert leftovers(tmp_path / "out.parquet") == FILES


def test_a_row_that_is_not_utf8_is_named_and_the_others_are_kept(tmp_path):
    texts = [b"a = 1\nprint(a)\n", b"b = '\xff'\n", "c = 'é'\nprint(c)\n".encode()]
    offsets = pa.array([0, *(sum(map(len, texts[: at + 1])) for at in range(3))], pa.int32())
    strings = pa.StringArray.from_buffers(3, offsets.buffers()[1], pa.py_buffer(b"".join(texts)))
    columns = {
        "string": strings,
        "binary": pa.array(texts, pa.binary()),
        "repeated": strings.dictionary_encode(),
    }
    for name, column in columns.items():
        pq.write_table(pa.table({"program": column}), tmp_path / f"{name}.parquet")
        done = run(tmp_path / f"{name}.parquet", tmp_path / f"{name}.jsonl")
        assert done.exit_code == 0, done.output
        assert [row["program"] for row in rows(tmp_path / f"{name}.jsonl")][::2] == [
            texts[0].decode(),
            texts[2].decode(),
        ]
        (skipped,) = rows(tmp_path / f"{name}.jsonl.skipped.jsonl")
        assert skipped == {"line": 2, "reason": "not UTF-8: invalid start byte at byte 5 of the text"}


@pytest.mark.parametrize("at", [20, -3000])
def test_a_damaged_parquet_file_is_named_and_not_the_output(tmp_path, at):
    table = pa.table({"program": [f"a{n} = {random.Random(n).random()}\n" for n in range(3000)]})
    pq.write_table(table, tmp_path / "in.parquet", use_dictionary=False)
    content = bytearray((tmp_path / "in.parquet").read_bytes())
    content[at : at + 400] = b"\xff" * 400
    (tmp_path / "in.parquet").write_bytes(content)
    done = run(tmp_path / "in.parquet", tmp_path / "out.jsonl", "--method", "randseq")
    assert done.exit_code == 1
    assert f"Error: {tmp_path / 'in.parquet'} is damaged behind row 0: " in done.output
    assert len(done.output.splitlines()) == 1


@pytest.mark.parametrize("content", [b"not parquet", None])
def test_a_file_that_is_not_parquet_is_one_clear_line(tmp_path, content):
    if content is None:
        pq.write_table(pa.table({"code": ["a"]}), tmp_path / "in.parquet")
    else:
        (tmp_path / "in.parquet").write_bytes(content)
    done = run(tmp_path / "in.parquet", tmp_path / "out.jsonl")
    assert done.exit_code == 1
    assert "in.parquet" in done.output
    assert "Traceback" not in done.output


def test_no_worker_outlives_its_run():
    numbered = [Program(at, source) for at, source in enumerate(programs(100))]
    sampling = sample_in_processes(numbered, NoVerifier, Plan(1, 0), workers=2, timeout=60)
    next(sampling)
    assert multiprocessing.active_children()
    sampling.close()
    assert not multiprocessing.active_children()
