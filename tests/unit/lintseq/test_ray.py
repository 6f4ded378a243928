"""LintSeq on Ray: the same files as on processes, and nothing of Ray's own on standard output."""

import json
import sys

import pytest
from click.testing import CliRunner

from linewise_training.lintseq import lintseq_command, on_ray


def run(source, out, backend):
    arguments = ["--in", str(source), "--out", str(out), "--samples", "2", "--linter", "fast", "--json"]
    return CliRunner().invoke(lintseq_command, [*arguments, "--workers", "2", "--backend", backend])


@pytest.fixture
def source(tmp_path):
    rows = [{"program": f"a{at} = {at}\nfor b in range(a{at}):\n    print(b)\n"} for at in range(30)]
    rows[20] = {"program": "def f(:"}
    lines = [json.dumps(row) for row in rows]
    lines[11] = "not json"
    path = tmp_path / "in.jsonl"
    path.write_text("".join(line + "\n" for line in lines))
    return path


def test_ray_writes_the_files_that_processes_write(tmp_path, source, monkeypatch, capfd):
    pytest.importorskip("ray.data", reason="Ray is not there for this Python")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(on_ray, "_BLOCK", 5)
    monkeypatch.setattr(on_ray, "_WINDOW_BLOCKS", 2)  # two windows
    outs = {backend: tmp_path / f"{backend}.jsonl" for backend in ("local", "ray")}
    for backend, out in outs.items():
        done = run(source, out, backend)
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        assert (told["programs"], told["sequences"], told["skipped"]) == (28, 56, 2)
    assert capfd.readouterr().out == ""
    assert outs["ray"].read_bytes() == outs["local"].read_bytes()
    skipped = [tmp_path / f"{backend}.jsonl.skipped.jsonl" for backend in outs]
    assert skipped[0].read_bytes() == skipped[1].read_bytes()
    assert [json.loads(line)["line"] for line in skipped[0].read_text().splitlines()] == [12, 21]


def test_without_ray_the_command_says_what_to_install_and_writes_nothing(tmp_path, source, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    done = run(source, tmp_path / "out.jsonl", "ray")
    assert done.exit_code == 1
    assert "pip install 'linewise[ray]'" in done.stderr
    assert "Traceback" not in done.output
    assert not list(tmp_path.glob("out.jsonl*"))
