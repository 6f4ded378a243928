"""The page on a training run: what it says of a folder, whole or cut."""

from __future__ import annotations

import json
import re

import pytest

from linewise.errors import LinewiseError
from linewise_training.report.run import gather_run, run_page, write_run_report


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "mine"

    def stage(name, told, **files):
        (folder / name).mkdir(parents=True)
        (folder / name / "done.json").write_text(json.dumps({"settings": "abc", **told}))
        for file, text in files.items():
            (folder / name / file.replace("_", ".")).write_text(text)

    counts = {"MIT": 3, "BSD-3-Clause": 9, **{f"licence {n}": 1 for n in range(30)}}
    manifest = json.dumps({"files_by_licence": counts, "files_by_origin": {"cpython": 12}})
    losses = [
        {"step": 10, "loss": 5.0},
        {"step": 20, "loss": 4.5, "tokens_per_second": 900.0, "mfu": 0.4},
        {"step": 30, "loss": 9.0, "tokens_per_second": 1000.0, "mfu": 0.45},
        {"step": 30, "loss": 4.0, "tokens_per_second": 1100.0, "mfu": 0.5},
        {"step": 30, "train_loss": 4.4},
    ]
    trained = {
        "tokens": 2e6,
        "seconds": 1800.0,
        "parameters": 5e6,
        "train_loss": 4.4,
        "validation_loss": 4.25,
    }
    stage("corpus", {"files": 42, "characters": 1000, "pairs": 7}, manifest_json=manifest)
    stage("pretrain", trained, losses_jsonl="\n".join(map(json.dumps, losses)) + '\n{"step": 40, "lo')
    return folder


def test_a_step_that_a_resumed_stage_did_again_counts_once_and_a_torn_line_not_at_all(run):
    (stage,) = gather_run(run).trained
    assert stage.losses == ((10, 5.0), (20, 4.5), (30, 4.0))
    assert (stage.tokens_per_second, stage.mfu) == (1100.0, 0.5)


def test_the_page_tells_figures_losses_and_licences(run):
    html = write_run_report(run).read_text()
    for said in (
        "mine",
        "42",
        "5.0 M",
        "2.0 M tokens in 30 min",
        "50% of the device&#x27;s peak",
        "4.250",
    ):
        assert said in html
    assert html.index("BSD-3-Clause") < html.index("MIT") < html.index("12 others")
    assert "loss, nats per learned token" in html


def test_the_page_links_to_the_figures_of_the_edit_sequences_where_they_are(run):
    page = run / "lintseq" / "sequences.jsonl.report.html"
    assert "<a " not in write_run_report(run).read_text()
    page.parent.mkdir()
    page.write_text("figures")
    (link,) = re.findall('<a href="([^"]+)"', write_run_report(run).read_text())
    assert (run / link).samefile(page)


@pytest.mark.parametrize(
    ("tokens", "seconds", "said"),
    [(6144, 5.2, "6,144 tokens in 5 s"), (3.5e9, 3600 * 30, "3,500.0 M tokens in 30.0 h")],
)
def test_a_small_run_and_a_large_one_are_told_in_units_that_fit(run, tokens, seconds, said):
    marker = run / "pretrain" / "done.json"
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "tokens": tokens, "seconds": seconds}))
    assert said in write_run_report(run).read_text()


def test_a_run_that_is_not_trained_yet_has_a_page_without_curves(run):
    (run / "pretrain" / "done.json").unlink()
    html = run_page(gather_run(run), "mine")
    assert "<svg" not in html
    assert "42" in html


@pytest.mark.parametrize(("fault", "said"), [(None, "no complete stage"), ("{", "run the stage again")])
def test_what_is_no_run_is_named(tmp_path, fault, said):
    if fault:
        (tmp_path / "corpus").mkdir()
        (tmp_path / "corpus" / "done.json").write_text(fault)
    with pytest.raises(LinewiseError, match=said):
        write_run_report(tmp_path)
