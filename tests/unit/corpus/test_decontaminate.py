"""`linewise train decontaminate`: problems leave training data, and whoever takes them out says which."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from linewise.edits import diff, format_edit, split_lines
from linewise.errors import LinewiseError
from linewise_training.corpus.decontaminate import Filter, shared_items
from linewise_training.corpus.decontaminate_command import decontaminate_command

PROMPT = '''def widest_gap(levels):
    """Return the widest gap between two neighbouring levels after sorting all of them.
    """
'''
BODY = """    ordered = sorted(levels)
    gaps = [after - before for before, after in zip(ordered, ordered[1:])]
    return max(gaps, default=0)
"""
OTHER = """def shorten(text, width):
    if len(text) <= width:
        return text
    kept = text[: width - 1].rstrip()
    return kept + "…"
"""
DESCRIPTION = "Return the widest gap between two neighbouring levels after sorting all of them."


@pytest.fixture
def problems(tmp_path):
    path = tmp_path / "bench.jsonl.gz"
    with gzip.open(path, "wt") as stream:
        stream.write(json.dumps({"task_id": "Bench/7", "prompt": PROMPT, "canonical_solution": BODY}) + "\n")
    return path


def run(*arguments):
    return CliRunner().invoke(decontaminate_command, [str(one) for one in arguments])


def history(start, end):
    return {"start": start, "edits": [format_edit(diff(split_lines(start), split_lines(end)))]}


CLEAN = [
    {"text": OTHER, "path": "a.py"},
    {"instruction": "shorten a text to a width", "program": OTHER},
    {"instruction": "", "response": f"Here you are:\n```python\n{OTHER}```\n"},
    history("x = 1\n", "x = 2\n"),
]
DIRTY = [
    ("text", {"text": f"import os\n\n\n{OTHER}\n\n{PROMPT}{BODY}"}),
    ("program", {"instruction": "do it", "program": (PROMPT + BODY).replace("widest_gap", "solve")}),
    ("response", {"instruction": "do it", "response": f"Think first.\n```python\n{PROMPT}{BODY}```\nDone."}),
    ("instruction", {"instruction": DESCRIPTION, "program": OTHER}),
    ("edits", history(OTHER, PROMPT + BODY)),
    ("prompt", {"prompt": PROMPT + BODY, "completion": ""}),
]


def test_what_is_too_like_a_problem_goes_and_the_rest_stays_byte_for_byte(tmp_path, problems):
    kept = [json.dumps(row, indent=None, separators=(" , ", ":")) + "\n" for row in CLEAN]
    lines = [kept[0], "\n", *(json.dumps(row) + "\n" for _, row in DIRTY), *kept[1:]]
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(lines))
    result = run("--in", source, "--benchmark", problems, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    assert out.read_text() == "".join(kept)
    figures = json.loads(result.output)
    assert (figures["rows"], figures["dropped"], figures["problems"]) == (10, 6, 1)
    named = [json.loads(line) for line in (tmp_path / "out.jsonl.dropped.jsonl").read_text().splitlines()]
    assert named == figures["found"]
    assert [(one["line"], one["key"]) for one in named] == [(n, key) for n, (key, _) in enumerate(DIRTY, 3)]
    assert {(one["task"], one["benchmark"]) for one in named} == {("Bench/7", "bench.jsonl.gz")}


def test_without_an_output_it_is_a_check(tmp_path, problems):
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps(CLEAN[0]) + "\n")
    assert run("--in", source, "--benchmark", problems).exit_code == 0
    source.write_text(json.dumps(DIRTY[0][1]) + "\n")
    result = run("--in", source, "--benchmark", problems)
    assert result.exit_code == 1
    assert "line 1: its text is too like Bench/7" in result.output
    assert list(tmp_path.glob("*.jsonl*")) == [source] or {p.name for p in tmp_path.iterdir()} == {
        "in.jsonl",
        "bench.jsonl.gz",
    }


def test_the_threshold_decides(tmp_path, problems):
    half = {"text": PROMPT + "    ordered = sorted(levels)\n    return ordered[0]\n"}
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps(half) + "\n")
    assert run("--in", source, "--benchmark", problems, "--threshold", 1).exit_code == 0
    assert run("--in", source, "--benchmark", problems, "--threshold", 0.05).exit_code == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{broken\n", "line 1: not JSON"),
        (b'{"text": "x"}\n[1]\n', "line 2: not a JSON object"),
        (b'{"number": 3}\n', "line 1: it has none of the keys"),
        (b'{"text": "\xff"}\n', "line 1: not JSON"),
        (b'{"start": "a", "edits": ["@@ -9 +9 @@\\n-x\\n+y"]}\n', "line 1: its edits do not apply"),
    ],
)
def test_a_broken_line_is_named_and_nothing_is_left(tmp_path, problems, content, told):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(content)
    out.write_text("old\n")
    result = run("--in", source, "--benchmark", problems, "--out", out)
    assert result.exit_code == 1
    assert told in str(result.exception)
    assert out.read_text() == "old\n"
    assert not list(tmp_path.glob("*.unfinished"))


def test_no_file_is_written_over_itself_and_a_benchmark_must_be_one(tmp_path, problems):
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps(CLEAN[0]) + "\n")
    assert "name another" in str(run("--in", source, "--benchmark", problems, "--out", source).exception)
    assert "without a prompt" in str(run("--in", source, "--benchmark", source).exception)
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(LinewiseError, match="no problem"):
        Filter([empty])


@pytest.mark.parametrize("place", [".", "..", "../sft/model"])
def test_a_model_is_known_by_its_run_also_from_within(tmp_path, problems, monkeypatch, place):
    model = tmp_path / "run" / "sft" / "model"
    model.mkdir(parents=True)
    corpus = tmp_path / "run" / "corpus"
    corpus.mkdir()
    (corpus / "manifest.json").write_text("{}")
    (corpus / "pairs.jsonl").write_text(json.dumps(DIRTY[1][1]) + "\n")
    monkeypatch.chdir(model if place == "." else model.parent)
    assert shared_items(Path(place), problems).tasks == ("Bench/7",)


def test_a_manifest_that_says_the_file_was_kept_out_is_believed_and_else_the_corpus_is_read(
    tmp_path, problems
):
    run_folder = tmp_path / "run"
    (run_folder / "corpus").mkdir(parents=True)
    (run_folder / "export").mkdir()
    model = run_folder / "export" / "m.gguf"
    assert not shared_items(model, problems).known
    (run_folder / "corpus" / "manifest.json").write_text("{}")
    (run_folder / "corpus" / "pairs.jsonl").write_text(json.dumps(DIRTY[1][1]) + "\n")
    shared = shared_items(model, problems)
    assert (shared.tasks, shared.known) == (("Bench/7",), True)
    assert shared_items(run_folder / "corpus", problems) == shared
    digest = hashlib.sha256(problems.read_bytes()).hexdigest()
    (run_folder / "export" / "m.data.json").write_text(json.dumps({"benchmarks": {"bench.jsonl.gz": digest}}))
    assert shared_items(model, problems).tasks == ()
    (run_folder / "export" / "m.data.json").write_text("[]")
    with pytest.raises(LinewiseError, match="no data manifest"):
        shared_items(model, problems)
