"""What the tests of training stages share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from linewise_training.plan import StagePlan, write_plan
from linewise_training.schedule import Schedule
from linewise_training.tokenizer import save_tokenizer, train_tokenizer

sys.path.insert(0, str(Path(__file__).parent))  # `import small_stage` works under any import mode

from small_stage import SHAPE, examples


@pytest.fixture(scope="package")
def tokenizer():
    return train_tokenizer(["def f(x):\n    return x + 1\n"] * 3, 300)


@pytest.fixture
def prepare(tokenizer, tmp_path):
    """Makes a stage that is ready to be trained; returns its folder."""
    save_tokenizer(tokenizer, tmp_path / "tokenizer", 32)

    def make(name, **schedule):
        folder = tmp_path / name
        told = {"batch": 4, "learning_rate": 1e-2, **schedule}
        write_plan(StagePlan(300, "../tokenizer", Schedule(**told), seed=1, shape=SHAPE), folder)
        examples(tokenizer, folder / "tokens")
        return folder

    return make
