"""What a run leaves and what it refuses: its report, its lock, the files that it must not write over."""

import gzip
import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from linewise_training.lintseq import lintseq_command
from linewise_training.lintseq.output import Output
from linewise_training.tokenizer import save_tokenizer, train_tokenizer

GOOD, BROKEN = "a = 1\nprint(a)\n", "def f(:"
LOCK = """
import sys, time
from pathlib import Path
from linewise_training.lock import open_alone

held = open_alone(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def source(tmp_path):
    rows = [{"program": text} for text in (GOOD, BROKEN, GOOD)]
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(source, out, *options):
    arguments = ["--in", source, "--out", out, "--samples", "2", "--linter", "fast", *options]
    return CliRunner().invoke(lintseq_command, [str(argument) for argument in arguments])


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_run_leaves_a_page_of_its_figures(tmp_path, source, suffix):
    out = tmp_path / f"out.{suffix}"
    done = run(source, out)
    assert done.exit_code == 0, done.output
    page = (tmp_path / f"out.{suffix}.report.html").read_text(encoding="utf-8")
    assert "Lines per example, before and after" in page
    assert "Edits per sequence" in page
    assert "Characters added" in page
    assert "1 line of the input gave no sequence, 33.3 % of 3." in page
    assert done.output.splitlines()[-1] == f"figures: {out}.report.html"


def test_the_page_can_be_put_elsewhere_and_counts_tokens(tmp_path, source):
    save_tokenizer(train_tokenizer([GOOD] * 3, 300), tmp_path / "tokenizer", 128)
    page = tmp_path / "figures.html"
    done = run(source, tmp_path / "out.jsonl", "--report", page, "--tokenizer", tmp_path / "tokenizer")
    assert done.exit_code == 0, done.output
    assert "Tokens added" in page.read_text(encoding="utf-8")
    assert not (tmp_path / "out.jsonl.report.html").exists()


def test_no_page_is_written_where_none_is_wanted(tmp_path, source):
    assert run(source, tmp_path / "out.jsonl", "--no-report").exit_code == 0
    assert not list(tmp_path.glob("*.html"))


def test_a_run_that_skips_all_has_a_page_that_says_why(tmp_path, source):
    source.write_text(json.dumps({"program": BROKEN}) + "\n")
    assert run(source, tmp_path / "out.jsonl").exit_code == 0
    page = (tmp_path / "out.jsonl.report.html").read_text(encoding="utf-8")
    assert "1 line of the input gave no sequence, 100.0 % of 1." in page


def test_an_empty_input_is_no_fault(tmp_path, source):
    source.write_text("")
    done = run(source, tmp_path / "out.jsonl", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["programs"] == 0


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_run_cut_while_it_wrote_its_page_goes_on_there(tmp_path, source, monkeypatch, suffix):
    out = tmp_path / f"out.{suffix}"

    def cut(self, conclude):
        def fail():
            raise OSError(28, "No space left on device", str(tmp_path / "page"))

        finish(self, fail)

    finish = Output.finish
    monkeypatch.setattr(Output, "finish", cut)
    failed = run(source, out)
    assert failed.exit_code == 1
    assert "No space left on device; what was done is kept" in failed.output
    monkeypatch.undo()
    monkeypatch.setattr(Output, "add", lambda *_: pytest.fail("a program is sampled again"))
    again = run(source, out)
    assert again.exit_code == 0, again.output
    assert "going on after line 3" in again.output
    assert "4 sequences of 2 programs" in again.output
    left = sorted(path.name.removeprefix(out.name) for path in tmp_path.glob("out*"))
    assert left == ["", ".report.html", ".skipped.jsonl"]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_two_runs_never_write_one_file_and_a_killed_one_frees_it(tmp_path, source, suffix):
    out = tmp_path / f"out.{suffix}"
    written = out if suffix == "jsonl" else tmp_path / "out.parquet.unfinished.jsonl"
    written.write_text("what the other has written\n")
    code = [sys.executable, "-c", LOCK, str(written)]
    with subprocess.Popen(code, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        second = run(source, out, "--restart")
        other.kill()
    assert second.exit_code == 1
    assert f"another run is writing {written}; wait until it has ended" in second.output
    assert written.read_text() == "what the other has written\n"
    assert run(source, out).exit_code == 0


@pytest.mark.parametrize(
    ("out", "options"),
    [
        ("in.jsonl", []),
        ("folder/../in.jsonl", []),
        ("link.jsonl", []),
        ("out.jsonl", ["--report", "in.jsonl"]),
        ("out.jsonl", ["--report", "out.jsonl.skipped.jsonl"]),
        ("out.jsonl", ["--report", "out.jsonl"]),
        ("out.jsonl", ["--report", "nowhere/page.html"]),
        ("out.jsonl", ["--report", "page.html", "--no-report"]),
        ("out.jsonl", ["--workers", "0"]),
    ],
)
def test_a_run_that_would_write_over_a_file_is_refused(tmp_path, source, monkeypatch, out, options):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    os.link(source, tmp_path / "link.jsonl")
    before = source.read_bytes()
    refused = run("in.jsonl", out, *options)
    assert refused.exit_code == 2, refused.output
    assert "Traceback" not in refused.output
    assert source.read_bytes() == before
    assert not list(tmp_path.glob("out*"))


def test_an_input_that_is_a_skip_file_is_not_written_over(tmp_path, source):
    skips = source.rename(tmp_path / "out.jsonl.skipped.jsonl")
    refused = run(skips, tmp_path / "out.jsonl")
    assert refused.exit_code == 2
    assert "would write over its input" in refused.output


@pytest.mark.parametrize(
    ("source_name", "out", "said"),
    [
        ("missing.jsonl", "out.jsonl", "cannot read missing.jsonl: No such file or directory"),
        ("in.jsonl", "nowhere/out.jsonl", "there is no folder nowhere"),
        ("in.jsonl", "/dev/null", "is a device or a pipe"),
    ],
)
def test_what_cannot_be_read_or_written_is_named(tmp_path, source, monkeypatch, source_name, out, said):
    monkeypatch.chdir(tmp_path)
    refused = run(source_name, out, "--no-report") if out == "/dev/null" else run(source_name, out)
    assert refused.exit_code in (1, 2)
    assert said in refused.output
    assert "Traceback" not in refused.output
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_folder_that_cannot_be_written_is_named_before_the_work(tmp_path, source, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode, **_: mode != os.W_OK)  # as to users who are not root
    refused = run(source, tmp_path / "out.jsonl")
    assert refused.exit_code == 2
    assert f"nothing can be written in {tmp_path}; name another folder" in refused.output
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_damaged_journal_is_named_and_nothing_is_cut_off(tmp_path, source):
    out = tmp_path / "out.jsonl"
    out.write_text("much work\n")
    journal = tmp_path / "out.jsonl.unfinished.json"
    with Output(tmp_path / "other.jsonl", {}):
        settings = json.loads((tmp_path / "other.jsonl.unfinished.json").read_text())
    settings["skipped"] = {"x": "y"}
    for text in ("", "[]", '{"settings": {}}', '{"settings": 5}', json.dumps(settings)):
        journal.write_text(text)
        refused = run(source, out)
        assert refused.exit_code == 1
        assert "--restart, or choose another --out" in refused.output
        assert "Traceback" not in refused.output
        assert out.read_text() == "much work\n"


# The signal comes from a thread of the run itself, which is scheduled as the run is; a shell's background
# commands, and so these tests among them, would ignore it.
INTERRUPTED = """
import os, runpy, signal, sys, threading, time
out = sys.argv.pop(1)
signal.signal(signal.SIGINT, signal.default_int_handler)
def interrupt():
    while not (os.path.exists(out) and os.path.getsize(out) > 10_000):
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
runpy.run_module("linewise", run_name="__main__", alter_sys=True)
"""


def test_ctrl_c_stops_a_run_that_can_be_gone_on_with(tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps({"program": f"a = {at}\nprint(a)\n"}) + "\n" for at in range(3000)))
    assert run(source, tmp_path / "whole.jsonl", "--method", "randseq").exit_code == 0
    arguments = ["--in", str(source), "--out", str(out), "--samples", "2", "--linter", "fast"]
    command = [
        sys.executable,
        "-c",
        INTERRUPTED,
        str(out),
        "train",
        "lintseq",
        *arguments,
        "--method",
        "randseq",
    ]
    stopped = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert stopped.returncode == 130
    assert stopped.stderr == "stopped; give the same command again to go on\n"
    assert run(source, out, "--method", "randseq").exit_code == 0
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize("at", ["_sink", "_skips"])
def test_an_interrupt_while_an_index_is_written_repeats_and_loses_nothing(tmp_path, at):
    """The journal never counts bytes of an index that it does not count."""
    out = tmp_path / "out.jsonl"

    class Interrupted:
        def __init__(self, file):
            self.file = file

        def write(self, data):
            self.file.write(data)
            raise KeyboardInterrupt

        def __getattr__(self, name):
            return getattr(self.file, name)

    def write(output, index):
        output.add(index, [{"source": index}]) if at == "_sink" else output.skip(index, "empty: it is")

    with pytest.raises(KeyboardInterrupt), Output(out, {}) as output:
        write(output, 0)
        setattr(output, at, Interrupted(getattr(output, at)))
        write(output, 1)
    with Output(out, {}) as output:
        assert (output.next, output.counts.sequences + output.counts.skipped.total()) == (1, 1)
        write(output, 1)
        output.finish(lambda: None)
    lines = (out if at == "_sink" else tmp_path / "out.jsonl.skipped.jsonl").read_text().splitlines()
    assert [json.loads(line).get("source", json.loads(line).get("line", 0) - 1) for line in lines] == [0, 1]


def test_a_compressed_input_is_refused_in_one_sentence(tmp_path, source):
    packed, out = tmp_path / "in.jsonl.gz", tmp_path / "out.jsonl"
    packed.write_bytes(gzip.compress(source.read_bytes()))
    done = run(packed, out)
    assert done.exit_code == 1
    assert done.output == (
        f"Error: {packed} is compressed; unpack it first (gzip -dk), and name the unpacked file\n"
    )
    assert not out.exists()
