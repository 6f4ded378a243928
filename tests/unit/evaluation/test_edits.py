"""`linewise eval edits`: tasks are what they say, scores mean it, and the baseline counts right."""

from __future__ import annotations

import inspect
import json
import random
import textwrap
from collections import Counter

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from linewise.assistant import Document
from linewise.edits import Edit, Hunk, apply_hunk, diff, format_edit, join_lines, split_lines
from linewise.engines.llama_cpp import LlamaCppEngine
from linewise.engines.protocol import ModelInfo, Token
from linewise.errors import LinewiseError
from linewise.formats import Cursor, get_format
from linewise.verify import FastVerifier, NoVerifier
from linewise_training.evaluation.compare import compare
from linewise_training.evaluation.edits import edits_command, ngram
from linewise_training.evaluation.edits import run as run_module
from linewise_training.evaluation.edits.instructions import change_tasks, instruction_tasks, written
from linewise_training.evaluation.edits.measure import result_of, score
from linewise_training.evaluation.edits.sources import read_sources
from linewise_training.evaluation.edits.suggest import PlainFormat, Suggestion, open_document, suggest
from linewise_training.evaluation.edits.tasks import (
    KINDS,
    CursorTask,
    SourceFile,
    SourceHistory,
    commit_tasks,
    editing_tasks,
    gap_tasks,
    replacement,
)
from linewise_training.evaluation.folder import read_evaluation
from linewise_training.evaluation.models import LoadedModel
from linewise_training.mix import held_out

SOURCES = [
    SourceFile(f"m{n}.py", inspect.getsource(module))
    for n, module in enumerate((json, json.decoder, textwrap, random))
]


def restored(task):
    """The document with the wanted lines put in."""
    lines = open_document(task).snapshot().lines
    return (*lines[: task.cursor.line], *task.wanted, *lines[task.cursor.line + 1 :])


lines_of_text = st.lists(st.text("ab ", max_size=3), min_size=1, max_size=5).map(tuple)


@given(lines_of_text, st.data())
def test_a_hunk_is_typed_as_an_editor_would(lines, data):
    start = data.draw(st.integers(0, len(lines)))
    end = data.draw(st.integers(start, len(lines)))
    added = data.draw(st.lists(st.text("xy", max_size=2), max_size=3).map(tuple))
    hunk = Hunk(start, lines[start:end], added)
    text = join_lines(lines)
    first, last, new = replacement(lines, hunk)
    assert text[:first] + new + text[last:] == join_lines(apply_hunk(lines, hunk))


def test_a_gap_is_a_file_without_what_is_wanted_and_kinds_are_what_they_say():
    texts = {file.path: split_lines(file.text) for file in SOURCES}
    tasks = list(gap_tasks(SOURCES, 200, 3))
    assert Counter(task.kind for task in tasks).keys() == set(KINDS)
    for task in tasks:
        assert restored(task) == texts[task.path]
        line, column = task.wanted[0], task.cursor.column
        current = open_document(task).snapshot().lines[task.cursor.line]
        assert current[:column] == line[:column]
        if task.kind == "within line":
            assert current[column:] and line.endswith(current[column:]) and len(current) < len(line)
        else:
            assert current == line[:column]
        assert (task.kind == "line end") == (column == len(line))
        if task.kind != "within line":
            assert (task.kind == "new line") == (not line[:column].strip())
        assert task.needed == 1 + (task.kind == "line end")


def test_a_line_being_typed_is_the_hunk_in_progress():
    for task in gap_tasks(SOURCES, 60, 4):
        pending = open_document(task).snapshot().log.pending
        assert (pending is None) == (task.kind == "within line")
        if pending is not None and task.wanted[0][: task.cursor.column].strip():
            assert pending.start == task.cursor.line


def test_editing_tasks_are_windows_of_a_file_and_the_same_seed_draws_them_again():
    tasks = list(editing_tasks(SOURCES, 60, 3))
    assert len(tasks) > 30
    for task in tasks:
        text = next(file.text for file in SOURCES if file.path == task.path)
        window = [line for line in restored(task) if line.strip()]
        rows = [line for line in text.split("\n") if line.strip()]
        starts = [n for n in range(len(rows)) if rows[n : n + len(window)] == window]
        assert starts, task.task
    assert tasks == list(editing_tasks(SOURCES, 60, 3))
    assert tasks != list(editing_tasks(SOURCES, 60, 4))


BEFORE = "import os\n\n\ndef total(prices):\n    return sum(prices)\n\n\nprint(total([1, 2]))\n"
AFTER = (
    "import os\n\n\ndef total(prices, tax):\n    whole = sum(prices)\n    return whole * tax\n\n\n"
    "print(total([1, 2], 3))\n"
)


def history():
    edits = (diff(split_lines(BEFORE), split_lines(AFTER)),)
    return SourceHistory("shop.py", BEFORE, edits)


def test_a_commit_is_typed_up_to_the_cursor_and_knows_what_it_took_away():
    tasks = list(commit_tasks([history()], 40, 1))
    assert tasks
    after = split_lines(AFTER)
    for task in tasks:
        wanted = task.wanted
        assert any(after[n : n + len(wanted)] == wanted for n in range(len(after)))
        assert task.undone <= {line.strip() for line in BEFORE.split("\n")} - {
            line.strip() for line in AFTER.split("\n")
        }
    assert any("return sum(prices)" in task.undone for task in tasks)


TASK = CursorTask(
    "t", "gap", "mid-line", "shop.py", "a = 1\nb = 2\n", ((6, 6, "total = \n"),), Cursor(1, 8),
    ("total = a", "print(total)"), 1, frozenset({"old_line = 3"}),
)  # fmt: skip


def scored(text, raw=(), task=TASK):
    log = open_document(task).snapshot().log
    column = task.cursor.column
    suggestion = Suggestion(text, column, column, 5, tuple(raw), True)
    return score(task, log.lines, log.closed_lines, suggestion, FastVerifier())


def test_a_right_suggestion_scores_as_one():
    scores = scored("a\nprint(total)")
    assert {scores[name] for name in ("exact", "exact all", "suggested", "clean", "parses")} == {1.0}
    assert scores["chrf"] == pytest.approx(1.0)
    assert (scores["accepted lines"], scores["repeats suffix"], scores["reversal"]) == (2.0, 0.0, 0.0)


def test_faults_are_told_apart():
    assert scored("a")["exact"] == 1 and scored("a")["exact all"] == 0
    assert scored("wrong_name")["exact"] == 0 and scored("wrong_name")["clean"] == 0
    assert scored(None) == {
        "exact": 0, "exact all": 0, "suggested": 0, "unanswered": 0, "tokens": 5, "accepted lines": 0,
        "parses": 1, "repeats suffix": 0,
    }  # fmt: skip
    assert scored("a", raw=("total = a", "b = 2"))["repeats suffix"] == 0  # says too little to be told again
    longer = CursorTask("t", "gap", "mid-line", "s.py", "x = \nbatch = 2\n", (), Cursor(0, 4), ("x = 1",), 1)
    repeated = scored("1\nbatch = 2", raw=("x = 1", "batch = 2"), task=longer)
    assert repeated["repeats suffix"] == 1 and repeated["shows repeat"] == 1
    assert scored("a\nold_line = 3")["reversal"] == 0.5
    assert 0.3 < scored("a\nprint(tot)")["chrf"] < 1


def test_at_a_line_end_the_next_line_decides():
    task = CursorTask(
        "t", "gap", "line end", "s.py", "a = 1\n", ((6, 6, "b = 2\n"),), Cursor(1, 5), ("b = 2", "c = 3"), 2
    )
    assert scored("\nc = 3", task=task)["exact"] == 1
    assert scored("\nc = 4", task=task)["exact"] == 0
    assert scored("5\nc = 3", task=task)["exact"] == 0  # b = 25 is not what stood there
    assert result_of(("a = 1", "b = 2", ""), 1, Suggestion("\nc = 3", 5, 5, 1, (), None))[2] == "c = 3"


@given(st.text("ab (", min_size=1, max_size=40), st.text("ab (", max_size=6))
@settings(max_examples=60, deadline=None)
def test_the_baseline_chooses_by_stupid_back_off(corpus, context):
    """Against the formula over plain counts."""
    model = ngram.train([corpus], 10**6)
    tokens = ["\n"] * 4 + ngram._TOKEN.findall(corpus)
    words = sorted(set(tokens))
    ids = {word: model._ids[word] for word in words}
    given = ngram._TOKEN.findall(context)

    def brute(word, before):
        n = len(before)
        follows = Counter(tokens[i + n] for i in range(len(tokens) - n) if tokens[i : i + n] == before)
        if follows[word]:
            return follows[word] / sum(follows.values())
        return (0.4 if follows else 1) * brute(word, before[1:]) if before else 0

    before = given[-4:]
    chosen = model._next([ids.get(token, -1) for token in given][-4:], None)
    scores = {word: brute(word, before) for word in words}
    assert scores[model._words[chosen]] == pytest.approx(max(scores.values()))


def test_the_baseline_goes_on_with_what_it_has_read():
    model = ngram.train(["for index in range(10):\n    print(index)\n"] * 3, 10**6)
    assert model.complete("x = 1\nfor ind")[0] == "ex in range(10):"
    assert model.complete("for index in range(10):\n")[0] == "    print(index)"
    with pytest.raises(LinewiseError, match="no text"):
        ngram.train([], 10)


@pytest.fixture(scope="module")
def engine(tiny_gguf):
    engine = LlamaCppEngine(tiny_gguf, threads=1)
    yield engine
    engine.close()


def test_instructions_ask_for_a_function_in_a_window_and_in_its_whole_file():
    tasks = list(instruction_tasks(SOURCES, 3, 0))
    assert [task.setting for task in tasks] == ["write", "write in file"] * 3
    for window, file in zip(tasks[::2], tasks[1::2], strict=True):
        (text,) = (source.text for source in SOURCES if source.path == file.path)
        assert join_lines(file.wanted) == text
        assert (window.instruction, window.missing, window.line) == (file.instruction, file.missing, None)
        assert (*file.lines[: file.line], *file.missing, *file.lines[file.line :]) == file.wanted
        assert join_lines(window.wanted).rstrip("\n") in text


def test_changes_are_asked_for_in_a_window_and_in_the_whole_file():
    tasks = list(change_tasks(SOURCES, 3, 0))
    assert [task.setting for task in tasks] == ["change", "change in file"] * 3
    for window, file in zip(tasks[::2], tasks[1::2], strict=True):
        assert (window.instruction, window.missing) == (file.instruction, file.missing)
        assert window.shape == f"change, {window.kind}"
        assert file.wanted != file.lines
        (text,) = (source.text for source in SOURCES if source.path == file.path)
        assert text in (join_lines(file.lines), join_lines(file.wanted)) or "import" in file.instruction
        assert join_lines(window.wanted).rstrip("\n") in join_lines(file.wanted)
    assert tasks == list(change_tasks(SOURCES, 3, 0))


class Script:
    """An engine that always says the same."""

    info = ModelInfo("script", "script", 100_000, 256, 0, 0, "edit-log/1", {})

    def __init__(self, text):
        self.tokens = [Token(n, piece, -0.5, piece[0] == "<") for n, piece in enumerate(text.split("¦"))]

    def tokenize(self, segments):
        return tuple(range(len(segments)))

    def stream(self, request, cancel=None):
        yield from self.tokens[: request.sampling.max_tokens]

    def close(self):
        pass


@pytest.mark.parametrize(
    ("text", "hunks", "parses"),
    [
        ("@1,0¦\n¦# a\n", 1, 1.0),
        ("@1,0¦\n¦# a\n¦<|diff|>¦@1,0¦\n" + "".join(f"¦# {n}\n" for n in range(1000)), 2, 0.5),
    ],
)
def test_a_hunk_that_does_not_end_in_time_is_one_that_does_not_parse(text, hunks, parses):
    task = next(instruction_tasks(SOURCES, 1, 0))
    scores, _, reasons = written(task, Script(text), get_format("edit-log/1"), NoVerifier())
    assert (scores["hunks"], scores["parses"], len(reasons)) == (hunks, parses, hunks - 1)


def test_a_write_is_measured_with_and_without_a_look_at_hunks_that_are_not_whole():
    _, task = instruction_tasks(SOURCES, 1, 0)  # a window is no Python by itself
    script, form = Script("@1,0¦\n¦def later():\n"), get_format("edit-log/1")
    early, _, _ = written(task, script, form, FastVerifier())
    late, _, reasons = written(task, script, form, FastVerifier(), check_early=False)
    assert early["averted"] > 0
    assert (late["averted"], late["clean"], len(reasons)) == (0, 0, 1)


@pytest.mark.parametrize("form", [get_format("edit-log/1"), get_format("lintseq"), PlainFormat()])
def test_what_the_product_suggests_is_what_is_scored(engine, form):
    seen = 0
    for task in gap_tasks(SOURCES[:3], 12, 5):
        document = open_document(task)
        answer = suggest(document, task.cursor, engine, form)
        assert bool(answer.tokens) != bool(answer.unanswered)
        seen += not answer.unanswered
        # Its text has no windows, so a file that does not fit whole cannot be shown.
        assert form.name == "lintseq" or "too long" in answer.unanswered or not answer.unanswered
    assert seen or form.name == "lintseq"


def folder_of(tmp_path, count=3):
    folder = tmp_path / "code"
    folder.mkdir()
    for file in SOURCES[:count]:
        (folder / file.path).write_text(file.text)
    return folder


def run(*arguments):
    return CliRunner().invoke(edits_command, [str(one) for one in arguments])


def test_the_command_measures_model_and_baseline_and_goes_on_where_it_was_cut(tmp_path, tiny_gguf):
    folder = folder_of(tmp_path, 2)
    corpus = tmp_path / "files.jsonl"
    corpus.write_text("".join(json.dumps({"text": file.text}) + "\n" for file in SOURCES))
    options = ("--data", folder, "--limit", 4, "--verifier", "fast", "--model", tiny_gguf)
    baseline = ("--baseline-data", corpus)
    whole = run(*options, *baseline, "--out", tmp_path / "whole", "--json")
    assert whole.exit_code == 0, whole.output
    reports = json.loads(whole.output)
    assert set(reports) == {"model", "baseline"}
    assert reports["model"]["shapes"]["gap"]["tasks"] == 4
    shapes = reports["model"]["shapes"]
    some = run(*options, "--out", tmp_path / "some", "--json", "--setting", "write", "--setting", "gap")
    found = json.loads(some.output)["model"]["shapes"]
    assert found == {name: one for name, one in shapes.items() if name.startswith(("gap", "write"))}
    assert {"write", "write in file"} <= shapes.keys() and "write" not in reports["baseline"]["shapes"]
    rows = (tmp_path / "whole" / "results.jsonl").read_text().splitlines(keepends=True)
    assert all({"task", "shape", "scores"} <= json.loads(row).keys() for row in rows)
    found = compare(read_evaluation(tmp_path / "whole"), read_evaluation(tmp_path / "whole" / "baseline"))
    assert {"gap", "editing", "gap, line end"} <= {one.shape for one in found}
    assert not any(one.shape.startswith("write") for one in found)  # the baseline knows no instructions
    cut = tmp_path / "cut"
    cut.mkdir()
    settings_text = (tmp_path / "whole" / "settings.json").read_text()
    (cut / "settings.json").write_text(settings_text)
    (cut / "results.jsonl").write_text("".join(rows[:4]) + rows[4][: len(rows[4]) // 2])
    assert run(*options, "--out", cut).exit_code == 0
    assert (cut / "results.jsonl").read_text() == "".join(rows)
    assert (cut / "report.json").read_text() == (tmp_path / "whole" / "report.json").read_text()
    assert "<table>" in (cut / "report.html").read_text()
    (cut / "results.jsonl").write_text("".join((*rows[:2], "damaged\n", *rows[3:])))
    damaged = run(*options, "--out", cut)
    assert "results.jsonl, line 3: not a JSON object" in str(damaged.exception)
    assert len((cut / "results.jsonl").read_text().splitlines()) == len(rows)  # nothing was thrown away
    other = run(*options, "--seed", 9, "--out", cut)
    assert other.exit_code == 1
    assert "seed" in str(other.exception)


def test_of_a_corpus_only_what_training_leaves_out_is_asked(tmp_path):
    texts = [f"{SOURCES[2].text}\n# {n}\n" for n in range(400)]
    corpus = tmp_path / "files.jsonl"
    corpus.write_text("".join(json.dumps({"text": text, "path": "a.py"}) + "\n" for text in texts))
    files, _ = read_sources([corpus])
    assert {file.text for file in files} == {text for text in texts if held_out(text)}
    assert files


def test_a_history_is_held_out_where_its_file_is(tmp_path):
    edits = [format_edit(diff(split_lines(BEFORE), split_lines(AFTER)))]
    texts = {f"m{n}.py": f"{AFTER}# {n}\n" for n in range(300)}
    rows = [{"path": path, "origin": "o", "start": BEFORE, "edits": edits} for path in texts]
    path = tmp_path / "histories.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, alone = read_sources([path])
    assert {one.path for one in alone} == {name for name in texts if held_out(f"o/{name}")} != set()
    files = [{"path": name, "origin": "o", "text": text} for name, text in texts.items()]
    (tmp_path / "files.jsonl").write_text("".join(json.dumps(row) + "\n" for row in files))
    _, beside = read_sources([path])
    assert {one.path for one in beside} == {name for name, text in texts.items() if held_out(text)} != set()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{broken\n", "line 1: not JSON"),
        ("[1]\n", "line 1: not a JSON object"),
        ('{"program": "x"}\n', "line 1: neither a file"),
        ('{"start": 3, "edits": ["@@ nonsense"], "path": "x", "origin": "held 257"}\n', "line 1: neither"),
        ("", "no held-out file"),
    ],
)
def test_data_that_is_none_is_named(tmp_path, content, told):
    path = tmp_path / "d.jsonl"
    path.write_text(content)
    with pytest.raises(LinewiseError, match=told):
        read_sources([path])


def test_a_commit_may_begin_with_an_empty_file(tmp_path, tiny_gguf, engine):
    task = CursorTask("t", "commit", "new line", "a.py", "", (), Cursor(0, 0), ("import os",), 1)
    tasks, settings = run_module.Tasks((task,), ()), run_module.Settings(("a",), 1, 0, "none")
    model = LoadedModel(tiny_gguf, engine, "edit-log/1")
    assert run_module.evaluate_model(model, tasks, settings, tmp_path / "model")["tasks"] == 1
    words = ngram.train(["import os\nimport sys\n"], 100)
    report = run_module.evaluate_baseline(
        words, {"name": "words", "form": "n-gram"}, tasks, settings, tmp_path / "words", restart=False
    )
    assert report["tasks"] == 1


def test_an_edit_that_only_opens_is_a_document_unchanged():
    task = next(iter(gap_tasks(SOURCES, 1, 1)))
    document = Document(task.path, task.opened)
    assert join_lines(document.snapshot().lines) == task.opened
    assert Edit(()) == diff((), ())
