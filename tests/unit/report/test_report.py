"""What `show` and `report` say of a file of edit sequences, and of files that are none."""

from __future__ import annotations

import json
import re
from html import escape
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from linewise_training.cli import train
from linewise_training.report.replay import replay
from linewise_training.report.sequences import read_sequences
from linewise_training.report.tally import MOST_BINS, Tally, common_bins
from linewise_training.tokenizer import save_tokenizer, train_tokenizer

PROGRAMS = ["def f(a):\n    b = a\n    return b", "x = (", "x = 1\nprint(x)"]
EDITS = ["@@ -0,0 +1,2 @@\n+def f(a):\n+    return a", "@@ -1,0 +2 @@\n+    a += 1\n@@ -2,0 +4 @@\n+# end"]
PROGRAM = "def f(a):\n    a += 1\n    return a\n# end"


def row(**changes):
    fields = {"instruction": "Add one.", "program": PROGRAM, "edits": EDITS, "source": 4, "sample": 1}
    return json.dumps({**fields, **changes})


@pytest.fixture
def run(tmp_path):
    """Runs a `train` command on a file with the given lines."""

    def invoke(command, lines, *arguments):
        path = tmp_path / "out.jsonl"
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return CliRunner().invoke(train, [command, str(path), *map(str, arguments)])

    return invoke


def test_show_replays_each_edit_as_a_diff_and_the_program_so_far(run):
    result = run("show", [row(source=0), row()], 2, "--plain")
    assert result.exit_code == 0
    assert result.output == (
        "sequence 2: program 4, sample 1, 4 lines, 2 edits\n"
        "Add one.\n"
        "\n"
        "edit 1 of 2: 2 lines in, at 1 place\n"
        "@@ -0,0 +1,2 @@\n"
        "+def f(a):\n"
        "+    return a\n"
        "\n"
        "1 + def f(a):\n"
        "2 +     return a\n"
        "\n"
        "edit 2 of 2: 2 lines in, at 2 places\n"
        "@@ -1,0 +2 @@\n"
        "+    a += 1\n"
        "@@ -2,0 +4 @@\n"
        "+# end\n"
        "\n"
        "1   def f(a):\n"
        "2 +     a += 1\n"
        "3       return a\n"
        "4 + # end\n"
    )


def test_show_colours_a_terminal_unless_plain_is_asked_for(run, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[32m+def f(a):" in run("show", [row()], 1).output
    assert "\x1b" not in run("show", [row()], 1, "--plain").output


def test_nothing_in_a_sequence_can_steer_the_terminal(run):
    text = "print('\x1b[2J\ud800')"
    edits = ["@@ -0,0 +1 @@\n+" + text]
    result = run("show", [row(instruction="\x1b]0;t\x07", program=text, edits=edits)], 1, "--plain")
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert "print('\ufffd[2J\ufffd')" in result.output


@pytest.mark.parametrize(
    ("lines", "number", "said"),
    [
        ([row()], 2, "has no sequence 2; choose one from 1 to 1"),
        ([], 1, "is empty; name a file"),
        (["{"], 1, "line 1 of "),
        (["{"], 1, "it is not JSON. Name a file"),
        (["[1]"], 1, "'edits' is missing or of another type"),
        ([row(program=None)], 1, "'program' is missing or of another type"),
        ([row(edits=[1])], 1, "edit 1 is no text"),
        ([row(edits=["@@ -0,0 +1,2 @@\n+one"])], 1, "is no edit sequence"),
        ([row(edits=["@@ -5,0 +6 @@\n+x"])], 1, "edit 1 of sequence 1 does not fit"),
        ([row(edits=EDITS[:1])], 1, "do not write its program; make the file again"),
    ],
)
def test_show_says_in_one_sentence_what_is_wrong(run, lines, number, said):
    result = run("show", lines, number, "--plain")
    assert result.exit_code == 1
    assert said in result.output
    assert "Traceback" not in result.output


def test_show_and_report_name_a_file_that_is_not_there(tmp_path):
    for arguments in (["show", "no.jsonl", "1"], ["report", "no.jsonl", "--out", str(tmp_path / "r.html")]):
        result = CliRunner().invoke(train, arguments)
        assert result.exit_code == 1
        assert "no.jsonl cannot be read: No such file" in result.output


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_show_and_report_read_what_lintseq_makes(tmp_path, suffix):
    source, made = tmp_path / "in.jsonl", tmp_path / f"made.{suffix}"
    source.write_text("".join(json.dumps({"instruction": "", "program": text}) + "\n" for text in PROGRAMS))
    arguments = ["--in", str(source), "--out", str(made), "--linter", "fast", "--samples", "2"]
    assert CliRunner().invoke(train, ["lintseq", *arguments]).exit_code == 0
    written = list(read_sequences(made))
    assert len(written) == 4
    for one in written:
        assert list(replay(one, Console(quiet=True))) == list(range(1, len(one.edits) + 1))
    result = CliRunner().invoke(train, ["report", str(made), "--out", str(tmp_path / "r.html")])
    assert "4 sequences of 2 programs; 1 skipped" in result.output


@pytest.mark.parametrize("command", [["show", "1"], ["report", "--out", "r.html"]])
def test_a_file_that_only_says_that_it_is_parquet_is_named(tmp_path, command):
    (tmp_path / "no.parquet").write_text(row())
    result = CliRunner().invoke(train, [command[0], str(tmp_path / "no.parquet"), *command[1:]])
    assert result.exit_code == 1
    assert "no.parquet is not a Parquet file" in result.output


def cells(html, name):
    """The numbers of the row `name` of the table: mean, median, 95 %, most."""
    found = re.search(rf"<td>{re.escape(escape(name))}</td>(.*?)</tr>", html)
    return [float(text.replace(",", "")) for text in re.findall(r'<td class="n">([^<]*)</td>', found[1])]


@pytest.fixture
def report(run, tmp_path):
    """Runs `report` and returns the page."""

    def make(lines, skipped=None, *arguments):
        if skipped is not None:
            (tmp_path / "out.jsonl.skipped.jsonl").write_text("".join(line + "\n" for line in skipped))
        result = run("report", lines, "--out", tmp_path / "report.html", *arguments)
        assert result.exit_code == 0, result.output
        return (tmp_path / "report.html").read_text(encoding="utf-8")

    return make


def test_the_figures_count_each_program_once_and_each_sequence_as_its_text(report):
    short = {"program": "x = 1", "edits": ["@@ -0,0 +1 @@\n+x = 1"], "source": 9}
    html = report([row(), row(sample=2), row(**short)])
    assert cells(html, "lines of a program") == [2.5, 1, 4, 4]
    # Header lines count: 3 + 4 lines twice, and 2.
    assert cells(html, "lines of a sequence") == [5.3, 7, 7, 7]
    assert cells(html, "edits of a sequence") == [1.7, 2, 2, 2]
    assert cells(html, "lines that an edit adds") == [1.8, 2, 2, 2]
    text = "<|diff|>" + "\n<|diff|>".join(EDITS)
    assert cells(html, "characters of a sequence")[3] == len(text)
    assert cells(html, "characters of a sequence's program")[3] == len(PROGRAM)


def test_the_page_stands_alone_and_its_charts_are_well_formed(report):
    html = report([row(), row(source=5)])
    assert "<script" not in html
    assert "http" not in html
    assert "url(" not in html
    charts = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(charts) == 3
    for chart in charts:
        assert ElementTree.fromstring(chart).findall("rect")


def test_the_page_shows_what_was_skipped_and_why(report):
    broken = [f"the program has a syntax error: line {n}: invalid <syntax>" for n in range(8)]
    reasons = [*broken, "the program is empty"]
    skipped = [json.dumps({"line": at + 1, "reason": reason}) for at, reason in enumerate(reasons)]
    html = report([row()], skipped)
    assert "9 lines of the input gave no sequence, 90.0 % of 10." in html
    assert '<td>the program has a syntax error</td><td class="n">8</td><td class="n">80.0 %</td>' in html
    assert "line 1: line 0: invalid &lt;syntax&gt;" in html
    assert "<syntax>" not in html
    assert html.index("syntax error") < html.index("program is empty")


def test_the_page_says_when_nothing_was_skipped_and_when_that_is_not_known(report):
    assert "so this is not known" in report([row()])
    assert "No program was skipped." in report([row()], [])


def test_the_page_names_sequences_that_do_not_write_their_program(report):
    html = report([row(), row(edits=EDITS[:1])])
    assert "The edits of 1 sequence do not write their program (line 2)" in html


def test_a_line_that_a_run_is_still_writing_is_left_out(report, tmp_path):
    with_torn = row() + "\n" + row()[:40]
    (tmp_path / "torn.jsonl").write_text(with_torn)
    result = CliRunner().invoke(
        train, ["report", str(tmp_path / "torn.jsonl"), "--out", str(tmp_path / "r.html")]
    )
    assert "1 sequences of 1 programs" in result.output


def test_a_last_line_that_is_whole_counts_without_a_newline(tmp_path):
    (tmp_path / "whole.jsonl").write_text(row() + "\n" + row())
    result = CliRunner().invoke(
        train, ["report", str(tmp_path / "whole.jsonl"), "--out", str(tmp_path / "r.html")]
    )
    assert "2 sequences of 1 programs" in result.output


def test_tokens_are_counted_where_a_tokenizer_is_given(report, tmp_path):
    save_tokenizer(train_tokenizer([PROGRAM] * 3, 300), tmp_path / "tokenizer", 128)
    html = report([row()], None, "--tokenizer", tmp_path / "tokenizer")
    assert cells(html, "tokens of a sequence")[0] > cells(html, "tokens of a sequence's program")[0] > 0


@pytest.mark.parametrize(
    ("lines", "skipped", "said"),
    [
        ([], None, "holds no edit sequence; name a file"),
        ([row(), "{"], None, "line 2 of "),
        ([row()], ["{}"], 'is not {"line", "reason"}'),
    ],
)
def test_report_says_in_one_sentence_what_is_wrong_and_writes_nothing(run, tmp_path, lines, skipped, said):
    if skipped is not None:
        (tmp_path / "out.jsonl.skipped.jsonl").write_text("\n".join(skipped) + "\n")
    result = run("report", lines, "--out", tmp_path / "report.html")
    assert result.exit_code == 1
    assert said in result.output
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.skipped.jsonl", "nowhere/../out.jsonl"])
def test_the_report_never_takes_the_place_of_its_data(run, tmp_path, name):
    result = run("report", [row()], "--out", tmp_path / name)
    assert result.exit_code == 2
    assert "name another file" in result.output
    assert (tmp_path / "out.jsonl").read_text() == row() + "\n"


def test_a_page_that_cannot_be_written_is_named(run, tmp_path):
    result = run("report", [row()], "--out", tmp_path / "nowhere" / "r.html")
    assert result.exit_code == 1
    assert "r.html cannot be written: No such file or directory; name a file" in result.output


def test_a_folder_without_tokenizer_is_named(run, tmp_path):
    result = run("report", [row()], "--out", tmp_path / "r.html", "--tokenizer", tmp_path)
    assert result.exit_code == 1
    assert f"no tokenizer.json in {tmp_path}" in result.output


def test_a_damaged_tokenizer_is_named(run, tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    result = run("report", [row()], "--out", tmp_path / "r.html", "--tokenizer", tmp_path)
    assert result.exit_code == 1
    assert "cannot be read" in result.output


@given(st.lists(st.integers(-100, 100_000), min_size=1))
def test_bins_hold_every_value_once_and_are_few(values):
    tally = Tally()
    for value in values:
        tally.add(value)
    bins = common_bins([tally])
    assert bins.count <= MOST_BINS + 1
    assert sum(tally.shares(bins)) == pytest.approx(1)
    assert min(values) >= bins.first
    for at, share in enumerate(tally.shares(bins)):
        open_end = bins.open_ended and at == bins.count - 1
        end = max(values) + 1 if open_end else bins.start(at + 1)
        inside = sum(bins.start(at) <= value < end for value in values)
        assert share == pytest.approx(inside / len(values))


@given(st.lists(st.integers(0, 50), min_size=1), st.sampled_from([0.25, 0.5, 0.95, 1.0]))
def test_a_quantile_is_the_least_value_that_so_many_do_not_exceed(values, share):
    tally = Tally()
    for value in values:
        tally.add(value)
    within = [v for v in sorted(values) if sum(x <= v for x in values) >= share * len(values)]
    assert tally.quantile(share) == within[0]
