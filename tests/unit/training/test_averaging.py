"""Cycles of the learning rate, and the mean of the weights at their ends."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from linewise_training import parcel
from linewise_training.plan import read_plan
from linewise_training.schedule import Schedule, learning_rate_factor
from linewise_training.stage import StageCutError, train_stage


def ending(folder):
    return load_file(folder / "model.safetensors")


def test_each_cycle_warms_up_stays_and_decays_as_one_of_its_length_does():
    shape = {"batch": 1, "learning_rate": 1.0, "warmup": 0.1, "decay": 0.4}
    one, three = Schedule(20, **shape), Schedule(60, cycles=3, **shape)
    alone = [learning_rate_factor(step, one) for step in range(20)]
    assert [learning_rate_factor(step, three) for step in range(60)] == alone * 3
    assert learning_rate_factor(60, three) == learning_rate_factor(20, one)


def test_the_model_is_the_mean_of_the_last_cycles_ends(prepare):
    last, mean = (prepare(name, steps=9, cycles=3, averaged=count) for name, count in (("1", 1), ("2", 2)))
    train_stage(last)
    train_stage(mean)
    assert not (last / "cycles").exists()
    (before,) = (mean / "cycles").iterdir()
    ends = ending(before), ending(last / "model")
    averaged = ending(mean / "model")
    assert averaged.keys() == ends[0].keys()
    for name, weight in averaged.items():
        assert not torch.equal(ends[0][name], ends[1][name])
        torch.testing.assert_close(weight, (ends[0][name] + ends[1][name]) / 2)


def test_a_stage_that_is_cut_and_moved_goes_on_to_the_same_mean(prepare, tmp_path):
    told = {"steps": 4, "cycles": 4, "averaged": 4}
    train_stage(prepare("whole", **told))
    run = tmp_path / "run"
    cut = prepare("run/sft", **told)
    (cut / "begun.json").write_text("{}")
    (run / "tokenizer").symlink_to(tmp_path / "tokenizer")
    for turn in range(2):
        with pytest.raises(StageCutError):
            train_stage(cut, seconds=0)
        parcel.pack(run, tmp_path / f"parts-{turn}", trained=True)
        for path in (*(cut / "cycles").rglob("*"), *cut.glob("checkpoint-*/*")):
            if path.is_file():
                path.unlink()
        parcel.unpack(tmp_path / f"parts-{turn}", run)
    train_stage(cut)
    whole, moved = ending(tmp_path / "whole" / "model"), ending(cut / "model")
    assert all(torch.equal(whole[name], moved[name]) for name in whole)


def test_cycles_are_part_of_the_plan(prepare):
    schedule = read_plan(prepare("run", steps=4, cycles=2, averaged=2)).schedule
    assert (schedule.cycles, schedule.averaged, schedule.cycle_steps) == (2, 2, 2)


@pytest.mark.parametrize(
    ("cycles", "averaged", "said"),
    [
        (3, 1, "10 do not make 3 equal cycles"),
        (2, 3, "averaged = 3"),
        (2, 0, "averaged = 0"),
        (0, 1, "cycles = 0"),
    ],
)
def test_cycles_that_cannot_be_are_named(cycles, averaged, said):
    with pytest.raises(ValueError, match=said):
        Schedule(10, 1, 1.0, cycles=cycles, averaged=averaged)
