"""Training stages: packing, schedule, optimizer, and going on where a run was cut."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_stage import SHAPE, examples, losses, weights
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from linewise.errors import LinewiseError
from linewise_training import stage
from linewise_training.examples import Piece
from linewise_training.mix import held_out, without_licence_header
from linewise_training.optimizer import MuonAdamW
from linewise_training.packing import write_token_file
from linewise_training.plan import StagePlan, read_plan, write_plan
from linewise_training.run import Run
from linewise_training.schedule import ModelShape, Schedule, learning_rate_factor
from linewise_training.stage import StageCutError, last_checkpoint, new_model, train_stage
from linewise_training.throughput import Throughput, peak_flops
from linewise_training.token_file import TokenFile
from linewise_training.tokenizer import train_tokenizer


@pytest.fixture
def tokens(tokenizer, tmp_path):
    return examples(tokenizer, tmp_path / "tokens")


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60))
@settings(max_examples=30, deadline=None)
def test_every_example_that_fits_is_packed_whole_and_once(tmp_path_factory, sizes):
    tokenizer = train_tokenizer(["ab"], 300)
    directory = tmp_path_factory.mktemp("packed")
    examples = [(Piece("\n" * size, learned_from=0),) for size in sizes]
    fitting = sorted(size for size in sizes if size <= 32)
    if not fitting:
        with pytest.raises(LinewiseError, match="no example fits"):
            write_token_file(examples, tokenizer, directory, context=32)
        return
    meta = write_token_file(examples, tokenizer, directory, context=32)
    assert (meta.tokens, meta.learned, meta.examples) == (sum(fitting), sum(fitting), len(fitting))
    learned = np.load(directory / "learned.npy")
    assert learned.sum() == sum(fitting)
    assert learned.shape == (meta.blocks, 32)


def test_what_is_only_read_has_no_label(tokenizer, tmp_path):
    example = (Piece("ab\n", learned_from=-1), Piece("cd\n"))
    write_token_file([example], tokenizer, tmp_path / "t", context=16)
    item = TokenFile(tmp_path / "t")[0]
    read, written = (len(tokenizer.encode(text).ids) for text in ("ab\n", "cd\n"))
    labels = item["labels"].tolist()
    assert labels[:read] == [-100] * read
    assert item["position_ids"].tolist() == [*range(read + written), *range(16 - read - written)]
    assert labels[read : read + written] == item["input_ids"][read : read + written].tolist()
    assert labels[read + written :] == [-100] * (16 - read - written)


@pytest.mark.parametrize("architecture", ["llama", "olmo"])
def test_an_example_is_not_seen_from_the_next_one_in_its_block(tokenizer, tmp_path, architecture):
    texts = ("def first(x):\n    return x\n", "def second(y):\n    return y\n")
    write_token_file([(Piece(text),) for text in texts], tokenizer, tmp_path / "t", context=64)
    block = {key: torch.from_numpy(value)[None] for key, value in TokenFile(tmp_path / "t")[0].items()}
    model = new_model(replace(SHAPE, context=64, architecture=architecture), 300, seed=0).eval()
    packed = model(input_ids=block["input_ids"], position_ids=block["position_ids"], use_cache=False).logits[
        0
    ]
    at = 0
    for text in texts:
        ids = tokenizer.encode(text).ids
        alone = model(input_ids=torch.tensor([ids])).logits[0]
        torch.testing.assert_close(packed[at : at + len(ids)], alone, rtol=1e-4, atol=1e-5)
        assert block["labels"][0, at] == -100  # nothing is learned from the end of the example before
        at += len(ids)


def test_a_token_file_that_lacks_a_part_says_what_to_do(tokens):
    (tokens / "first.npy").unlink()
    with pytest.raises(LinewiseError, match="remove the folder"):
        TokenFile(tokens)


def test_the_learning_rate_warms_up_stays_and_decays():
    schedule = Schedule(steps=100, batch=1, learning_rate=1.0, warmup=0.1, decay=0.2, final=0.1)
    factors = [learning_rate_factor(step, schedule) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert set(factors[10:80]) == {1.0}
    assert factors[80:] == sorted(factors[80:], reverse=True)
    assert factors[100] == pytest.approx(0.1)


def test_a_cosine_schedule_is_half_way_down_in_the_middle_of_its_decay():
    schedule = Schedule(100, 1, 1.0, warmup=0.2, decay=0.8, final=0.1, decay_shape="cosine")
    assert learning_rate_factor(60, schedule) == pytest.approx(0.55)
    assert learning_rate_factor(30, schedule) > learning_rate_factor(
        30, replace(schedule, decay_shape="linear")
    )
    assert learning_rate_factor(100, schedule) == pytest.approx(0.1)


def test_speed_is_told_from_the_second_reading_with_the_share_of_the_peak():
    throughput = Throughput(
        tokens_per_step=1000, flops_per_token=6e9, peak=peak_flops("NVIDIA H100 80GB HBM3")
    )
    assert throughput.read(10, now=100.0) == {}
    figures = throughput.read(20, now=101.0)
    assert figures == {"tokens_per_second": 10_000.0, "mfu": pytest.approx(6e13 / 989e12)}
    assert Throughput(1000, 6e9, peak_flops("some processor")).read(1) == {}


def test_a_step_costs_what_the_formula_says():
    shape = ModelShape(hidden_size=768, layers=12, heads=12, intermediate_size=3072, context=1024)
    assert shape.flops_per_token(152_000_000) == 6 * 152e6 + 12 * 12 * 768 * 1024


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: replace(SHAPE, heads=5), "multiple of heads"),
        (lambda: replace(SHAPE, architecture="gpt"), "llama, olmo"),
        (lambda: Schedule(0, 1, 1.0), "at least 1"),
        (lambda: Schedule(1, 1, 1.0, optimizer="sgd"), "muon, adamw"),
        (lambda: Schedule(1, 1, 1.0, decay_shape="steps"), "linear, cosine"),
    ],
)
def test_settings_that_cannot_be_are_named(wrong, said):
    with pytest.raises(ValueError, match=said):
        wrong()


def test_the_optimizer_gives_hidden_matrices_to_muon_and_the_rest_to_adamw():
    model = new_model(SHAPE, 300, seed=0)
    optimizer = MuonAdamW(model, 1e-2, 0.1)
    sizes = [{tuple(p.shape) for p in group["params"]} for group in optimizer.param_groups]
    assert sizes == [{(32, 32), (48, 32), (32, 48)}, {(300, 32), (32,)}]
    before = [p.detach().clone() for p in model.parameters()]
    model(input_ids=torch.arange(8)[None], labels=torch.arange(8)[None]).loss.backward()
    optimizer.step()
    assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_learning_rate_set_by_a_scheduler_reaches_both_halves():
    model = new_model(SHAPE, 300, seed=0)
    optimizer = MuonAdamW(model, 1.0, 0.0)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 0.0)
    before = [p.detach().clone() for p in model.parameters()]
    model(input_ids=torch.arange(8)[None], labels=torch.arange(8)[None]).loss.backward()
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_training_learns_and_saves_what_it_measured(prepare, tokenizer, monkeypatch):
    folder = prepare("run", steps=30)
    examples(tokenizer, folder / "validation")
    seen = []

    def new(shape, vocabulary, seed):
        model = new_model(shape, vocabulary, seed)
        model.model.register_forward_pre_hook(lambda _, __, told: seen.append(told), with_kwargs=True)
        return model

    monkeypatch.setattr(stage, "new_model", new)
    figures = train_stage(folder)
    assert figures["validation_loss"] < 2.0  # a random model has ln 300 = 5.7
    assert all((told["position_ids"] == 0).sum() > 4 for told in seen)  # several examples a block
    assert not any(told.get("use_cache") or told.get("past_key_values") for told in seen)
    result = json.loads((folder / "result.json").read_text())
    assert (result["schedule"]["steps"], result["figures"]) == (30, figures)
    assert json.loads((folder / "model" / "config.json").read_text())["use_cache"]
    assert (folder / "model" / "tokenizer.json").is_file()
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss")] == list(range(1, 31))
    assert len(events.Scalars("tokens_per_second")) == 29


def test_a_stage_that_is_done_only_tells_its_figures(prepare):
    folder = prepare("run", steps=2)
    figures, before = train_stage(folder), weights(folder)
    (folder / "tokens" / "meta.json").unlink()
    assert train_stage(folder) == figures
    assert weights(folder) == before


def test_a_cut_stage_goes_on_to_the_same_model(prepare, monkeypatch):
    whole, cut = (prepare(name, steps=8, save_steps=3) for name in ("whole", "cut"))
    train_stage(whole)

    class CutError(Exception):
        pass

    original = MuonAdamW.step
    steps = []

    def step(self, closure=None):
        steps.append(1)
        if len(steps) == 6:
            raise CutError
        return original(self, closure)

    monkeypatch.setattr(MuonAdamW, "step", step)
    with pytest.raises(CutError):
        train_stage(cut)
    monkeypatch.setattr(MuonAdamW, "step", original)
    train_stage(cut)
    assert weights(whole) == weights(cut)


def test_a_stage_that_ran_out_of_time_goes_on_to_the_same_model(prepare):
    whole, cut = (prepare(name, steps=6) for name in ("whole", "cut"))
    train_stage(whole)
    with pytest.raises(StageCutError, match="after step 1 of 6"):
        train_stage(cut, seconds=0)
    (first,) = [row["seconds"] for row in losses(cut) if "loss" in row]
    figures = train_stage(cut)
    assert weights(whole) == weights(cut)
    assert figures["seconds"] > losses(cut)[-2]["seconds"] > first
    assert figures["train_loss"] == losses(cut)[-2]["loss"] == losses(whole)[-2]["loss"]


def test_a_prepared_run_is_trained_on_a_machine_that_has_only_what_training_needs(prepare, tmp_path):
    first = prepare("first", steps=2)
    second = prepare("second", steps=2)
    (second / "plan.json").unlink()
    # A vocabulary that has grown since: two tokens that the first model did not have.
    schedule = Schedule(2, 4, 1e-2)
    write_plan(StagePlan(302, "../tokenizer", schedule, seed=1, initial="../first/model"), second)
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    tmp_path.rename(moved)
    (moved / "sitecustomize.py").write_text(
        "import sys\n"
        "for name in ('llama_cpp', 'pygls', 'pylint', 'pyflakes', 'click', 'pyarrow', 'gguf'):\n"
        "    sys.modules[name] = None\n"
    )
    trained = subprocess.run(
        [sys.executable, "-m", "linewise_training.stage", moved / first.name, moved / second.name],
        env={**os.environ, "PYTHONPATH": str(moved)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert trained.returncode == 0, trained.stderr
    assert [line.split(":")[0] for line in trained.stdout.splitlines()] == ["first", "second"]
    assert json.loads((moved / "second" / "model" / "config.json").read_text())["vocab_size"] == 302


def test_a_folder_with_another_plan_is_left_as_it_is(prepare):
    folder = prepare("run", steps=2)
    plan = read_plan(folder)
    with pytest.raises(LinewiseError, match="other settings"):
        write_plan(replace(plan, seed=2), folder)
    write_plan(plan, folder)
    assert read_plan(folder) == plan


@pytest.mark.parametrize(("text", "said"), [(None, "no prepared stage"), ("{", "damaged"), ("{}", "damaged")])
def test_a_stage_without_a_plan_says_what_to_do(tmp_path, text, said):
    if text:
        (tmp_path / "plan.json").write_text(text)
    with pytest.raises(LinewiseError, match=said):
        train_stage(tmp_path)


def test_a_checkpoint_that_was_being_written_is_passed_over(tmp_path):
    for step, state in ((3, '{"global_step": 3}'), (6, '{"global_'), (12, None)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if state:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-3")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-3"]
    assert last_checkpoint(tmp_path / "nothing") is None


def test_a_stage_is_done_once_and_again_when_its_settings_or_those_before_change(tmp_path):
    def run(first, second):
        done = []
        folder = Run(tmp_path, redo=True)
        folder.stage("first", first, lambda out: done.append("first"))
        folder.stage("second", second, lambda out: done.append("second"))
        return done

    assert run(1, 2) == ["first", "second"]
    assert run(1, 2) == []
    assert run(1, 3) == ["second"]
    assert run(4, 3) == ["first", "second"]


@pytest.mark.parametrize("whole", [True, False])
def test_what_was_made_with_other_settings_is_not_deleted_unasked(tmp_path, whole):
    def trained(out):
        (out / "model").write_text("hours of training")
        if not whole:
            raise KeyboardInterrupt

    with nullcontext() if whole else pytest.raises(KeyboardInterrupt):
        Run(tmp_path).stage("first", 1, trained)
    for changed in (("first", 2), ("zeroth", 0)):
        again = Run(tmp_path)
        with pytest.raises(LinewiseError, match=r"first was made with other settings.*--redo"):
            again.stage(*changed, lambda out: None)
            again.stage("first", 1, lambda out: None)
    assert (tmp_path / "first" / "model").read_text() == "hours of training"


def test_a_stage_that_failed_before_it_made_anything_takes_other_settings(tmp_path):
    def fail(out):
        raise LinewiseError("no such folder")

    with pytest.raises(LinewiseError, match="no such folder"):
        Run(tmp_path).stage("corpus", 1, fail)
    assert Run(tmp_path).stage("corpus", 2, lambda out: None) == tmp_path / "corpus"


def test_half_done_work_is_kept_for_the_same_settings_and_dropped_for_others(tmp_path):
    def cut(out):
        (out / "half").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Run(tmp_path).stage("s", 1, cut)
    seen = []
    Run(tmp_path).stage("s", 1, lambda out: seen.append((out / "half").exists()))
    with pytest.raises(KeyboardInterrupt):
        Run(tmp_path, redo=True).stage("s", 2, cut)
    Run(tmp_path, redo=True).stage("s", 3, lambda out: seen.append((out / "half").exists()))
    assert seen == [True, False]


def test_about_one_text_in_a_hundred_is_held_out_and_always_the_same():
    chosen = {i for i in range(20_000) if held_out(str(i))}
    assert 100 < len(chosen) < 300
    assert chosen == {i for i in range(20_000) if held_out(str(i))}


def test_a_licence_header_is_left_out_and_other_comments_stay():
    assert without_licence_header("# Copyright X\n# all rights\n\nx = 1") == "x = 1"
    assert without_licence_header("# what this is\nx = 1") == "# what this is\nx = 1"
