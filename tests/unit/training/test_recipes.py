"""The recipes that come with Linewise, and what is said of a recipe that cannot be."""

from __future__ import annotations

from importlib.resources import files

import pytest
import torch
from click.testing import CliRunner

from linewise.errors import LinewiseError
from linewise.models.description import describe
from linewise_training.cli import train
from linewise_training.recipe import read_recipe
from linewise_training.schedule import learning_rate_factor
from linewise_training.stage import new_model
from linewise_training.steps import make_gguf

SHIPPED = sorted(
    path.name.removesuffix(".toml") for path in (files("linewise_training") / "recipes").iterdir()
)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_can_be_read_and_is_called_as_its_file(name):
    assert read_recipe(name).name in (name, f"linewise-{name}")


@pytest.mark.parametrize(
    # The published float32 files have 608 MB and 1.82 GB.
    ("name", "parameters"),
    [("tinycodelm-150m", 152e6), ("tinycodelm-400m", 454e6)],
)
def test_the_papers_models_have_its_sizes_batches_and_schedule(name, parameters):
    recipe = read_recipe(name)
    with torch.device("meta"):
        model = new_model(recipe.model, recipe.vocabulary, seed=0)
    assert model.config.model_type == "olmo"
    assert model.num_parameters() == pytest.approx(parameters, rel=0.005)
    _, pretraining = recipe.pretrain
    tokens_a_step = pretraining.batch * pretraining.gradient_accumulation * recipe.model.context
    assert tokens_a_step == 524_288
    assert tokens_a_step * pretraining.steps == pytest.approx(72e9, rel=1e-4)
    assert learning_rate_factor(98, pretraining) < 1.0 == learning_rate_factor(99, pretraining)
    assert learning_rate_factor(pretraining.steps, pretraining) == pytest.approx(0.1)
    mix, tuning = recipe.sft
    assert (mix.format, tuning.batch * tuning.gradient_accumulation) == ("lintseq", 512)


def test_the_larger_embedded_model_fits_into_32_mib():
    recipe = read_recipe("embedded-32mib")
    with torch.device("meta"):
        model = new_model(recipe.model, recipe.vocabulary, seed=0)
    bits = {"q8_0": 8.5}[recipe.quantization]  # 32 weights of 8 bits share a scale of 16
    assert 29 * 2**20 < model.num_parameters() * bits / 8 < 31 * 2**20  # the rest is the vocabulary's


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("heads = 2", "heads = 3"), "multiple of heads"),
        (("batch = 2", "batch = 0"), "at least 1"),
        (("seed = 1", ""), "'seed' is missing"),
        (("seed = 1", "sede = 1"), "unknown sede"),
        (("layers = 2", "layer = 2"), "layer"),
        (("layers = 2", ""), "layers"),
        (("[model]", "[modell]"), "modell"),
        (("[export]", '[export]\nlicence = "MIT"'), r"unknown licence in \[export\]; it has .*license"),
        (("[export]", '[export]\nlicense = ""'), "SPDX"),
        (("[export]", "[export]\nlicense = 2"), "SPDX"),
        (("seed = 1", "seed = "), "line"),
    ],
)
def test_a_fault_in_a_recipe_is_named(tmp_path, change, said):
    text = (files("linewise_training") / "recipes" / "nano.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(*change, 1))
    with pytest.raises(LinewiseError, match=said):
        read_recipe(str(path))


@pytest.mark.parametrize(("name", "licence"), [("embedded", "Apache-2.0"), ("nano", None)])
def test_a_model_names_the_licence_that_its_recipe_gives(tiny_checkpoint, tmp_path, name, licence):
    out = tmp_path / "model.gguf"
    make_gguf(tiny_checkpoint, out, read_recipe(name))
    assert describe(out).licence == licence


def test_an_unknown_recipe_lists_the_known_ones():
    with pytest.raises(LinewiseError, match=", ".join(SHIPPED)):
        read_recipe("huge")


def test_options_after_two_dashes_reach_the_corpus(tmp_path):
    result = CliRunner().invoke(
        train, ["run", "nano", "--out", str(tmp_path / "run"), "--", "--folder", str(tmp_path / "missing")]
    )
    assert result.exit_code != 0
    assert "there is no folder" in result.output
    assert str(tmp_path / "missing") in result.output
