"""A stage that is trained in a second: a model of a few thousand weights and sixty short functions."""

from __future__ import annotations

import json

from linewise_training.examples import Piece
from linewise_training.packing import write_token_file
from linewise_training.schedule import ModelShape

SHAPE = ModelShape(hidden_size=32, layers=1, heads=2, intermediate_size=48, context=32)


def examples(tokenizer, folder):
    texts = [(Piece(f"def f{i}(x):\n    return x\n"),) for i in range(60)]
    write_token_file(texts, tokenizer, folder, context=32)
    return folder


def losses(folder):
    return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]


def weights(folder):
    return (folder / "model" / "model.safetensors").read_bytes()
