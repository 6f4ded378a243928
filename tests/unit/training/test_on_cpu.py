"""Training on a CPU takes two short cuts; both must be what transformers computes the long way."""

import numpy as np
import pytest
import torch

from linewise_training import on_cpu
from linewise_training.schedule import ModelShape
from linewise_training.stage import new_model


@pytest.fixture(params=[None, 2], ids=["as many keys as heads", "fewer keys than heads"])
def model(request):
    shape = ModelShape(32, 2, 4, 48, 64, key_value_heads=request.param)
    built = new_model(shape, 97, 3)
    built.config.use_cache = False
    return built


@pytest.fixture
def batch():
    rng = np.random.default_rng(5)
    ids = torch.from_numpy(rng.integers(0, 97, (3, 64)))
    lengths = [(20, 1, 43), (64,), (7, 57)]
    positions = torch.stack([torch.cat([torch.arange(n) for n in block]) for block in lengths])
    labels = ids.masked_fill(torch.from_numpy(rng.random((3, 64)) < 0.4), -100)
    return {"input_ids": ids, "position_ids": positions, "labels": labels}


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def test_loss_and_gradients_are_those_of_the_model_with_a_mask(model, batch):
    total, learned = on_cpu.language_model_loss(model, **batch)
    ours = gradients(model, total / learned)
    model.set_attn_implementation("sdpa")
    loss = model(**batch).loss
    theirs = gradients(model, loss)
    assert learned == (batch["labels"][:, 1:] != -100).sum()
    torch.testing.assert_close(total / learned, loss)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_more_rows_than_are_multiplied_at_once(model, batch, monkeypatch):
    whole, _ = on_cpu.language_model_loss(model, **batch)
    expected = gradients(model, whole)
    monkeypatch.setattr(on_cpu, "_ROWS", 16)
    parts, _ = on_cpu.language_model_loss(model, **batch)
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(gradients(model, parts), expected, rtol=1e-4, atol=1e-6)


def test_an_example_does_not_see_the_one_before(model, batch):
    def hidden(ids):
        return model.model(input_ids=ids, position_ids=batch["position_ids"]).last_hidden_state

    changed = batch["input_ids"].clone()
    changed[0, :20] = (changed[0, :20] + 1) % 97
    before, after = hidden(batch["input_ids"]), hidden(changed)
    assert not torch.allclose(before[0, :20], after[0, :20])
    assert torch.equal(before[0, 20:], after[0, 20:])


def test_a_batch_that_learns_nothing_has_no_loss(model, batch):
    total, learned = on_cpu.language_model_loss(model, **{**batch, "labels": torch.full((3, 64), -100)})
    assert (total, learned) == (0, 0)


def test_the_output_layer_is_multiplied_in_the_type_of_autocast(model, batch):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough, learned = on_cpu.language_model_loss(model, **batch)
    exact, _ = on_cpu.language_model_loss(model, **batch)
    assert rough != exact
    assert (rough / learned).item() == pytest.approx((exact / learned).item(), rel=0.02)
