"""The engine computes and tokenizes what the training side does."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from linewise.engines import Request, Sampling, Segment, llama_library
from linewise.engines.cache_slot import CacheSlot
from linewise.engines.cores import Threads
from linewise.engines.llama_cpp import LlamaCppEngine

PROMPT = (
    Segment("<|file|>", special=True),
    Segment("geometry.py\n"),
    Segment("<|diff|>", special=True),
    Segment("@1,0\nimport math\n\n\ndef area(radius):\n"),
)


@pytest.fixture(scope="module")
def hugging_face(tiny_checkpoint: Path) -> LlamaForCausalLM:
    torch.set_num_threads(1)
    return LlamaForCausalLM.from_pretrained(tiny_checkpoint, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(tiny_checkpoint / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer


def test_logits_are_those_of_transformers(
    engine: LlamaCppEngine, hugging_face: LlamaForCausalLM, tiny_gguf: Path
) -> None:
    prompt = engine.tokenize((*PROMPT, Segment("    return math.pi\n" * 50)))
    model = llama_library.load_model(tiny_gguf)
    slot = CacheSlot(model, engine.info.vocabulary_size, tokens=512, threads=Threads(1, 1))
    with torch.no_grad():
        expected = hugging_face(torch.tensor([prompt])).logits[0].numpy()
    for length in (1, 7, 260, len(prompt)):  # within and across chunks
        kept = slot.reuse(prompt[:length])
        logits = slot.read(prompt[kept:length])
        assert logits is not None
        spread = expected[length - 1].std()
        np.testing.assert_allclose(logits, expected[length - 1], atol=0.02 * spread)
    slot.close()
    llama_library.api.llama_model_free(model)


def test_greedy_text_is_that_of_transformers(engine: LlamaCppEngine, hugging_face: LlamaForCausalLM) -> None:
    ids = list(engine.tokenize(PROMPT))
    tokens = list(engine.stream(Request(PROMPT, Sampling(max_tokens=40))))
    assert len(tokens) == 40
    for token in tokens:
        with torch.no_grad():
            scores = hugging_face(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        assert token.id == int(scores.argmax())
        assert token.logprob == pytest.approx(float(scores.max()), abs=0.05)
        ids.append(token.id)


def test_a_special_token_tells_how_likely_the_end_was_in_its_place(
    engine: LlamaCppEngine, hugging_face: LlamaForCausalLM, tokenizer: Tokenizer
) -> None:
    ends = [tokenizer.token_to_id(name) for name in ("<|endoftext|>", "<|file|>")]
    told = 0
    for seed in range(40):  # a tiny random model seldom draws a special token
        ids = list(engine.tokenize(PROMPT))
        sampling = Sampling(temperature=4.0, max_tokens=150, seed=seed)
        for token in engine.stream(Request(PROMPT, sampling, stop=("<|file|>",))):
            if token.special:
                with torch.no_grad():
                    scores = hugging_face(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
                assert token.end_logprob == pytest.approx(float(scores[ends].logsumexp(0)), abs=0.05)
                told += 1
            else:
                assert token.end_logprob is None
            ids.append(token.id)
        if told:
            break
    assert told


def test_tokens_are_those_of_the_training_tokenizer(engine: LlamaCppEngine, tokenizer: Tokenizer) -> None:
    chance = random.Random(7)
    alphabets = [
        "abcdefgh_ABC ",
        " \n\t\r",
        "0123456789.,",
        "()[]{}:=+-*/<>|'\"#@\\",
        "äßéñøÆ日本語мирαβγ",
        "😀👩‍💻🏳️‍🌈\u200b\u0301\u00a0\ufeff\0\x1f",
        "'s't're'll'D",
    ]
    words = [
        "def ",
        "return",
        "    ",
        "<|diff|>",
        "<|endoftext|>",
        "self.",
        "\r\n",
        "\n\n",
        "@12,3\n",
        "  \n",
    ]
    for _ in range(3000):
        pieces = []
        for _ in range(chance.randint(0, 8)):
            alphabet = chance.choice(alphabets)
            pieces.append(chance.choice(words))
            pieces.append("".join(chance.choice(alphabet) for _ in range(chance.randint(0, 6))))
        text = "".join(pieces)
        ids = engine.tokenize((Segment(text),))
        assert list(ids) == tokenizer.encode(text).ids, repr(text)
        assert b"".join(engine.vocabulary.pieces[id_] for id_ in ids) == text.encode()
