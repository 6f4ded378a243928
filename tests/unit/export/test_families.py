"""Checkpoints of other people's architectures and tokenizers: the same logits, the same tokens."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from linewise.engines import llama_library
from linewise.engines.cache_slot import CacheSlot
from linewise.engines.cores import Threads
from linewise.errors import ModelError
from linewise_training.export import export
from linewise_training.export.token_check import random_texts, require_same_tokens
from linewise_training.export.tokenizer import DEEPSEEK_PATTERNS, LLAMA3_PATTERN, read_tokenizer
from linewise_training.tokenizer import QWEN2_PATTERN

VOCABULARY = 700
SPECIAL = ("<unk>", "<s>", "</s>")

SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 64}
CONFIGURATIONS = {
    "llama": ("Llama", {}),
    "llama, all biases, untied": (
        "Llama",
        {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False},
    ),
    "llama, wide heads": (
        "Llama",
        {"head_dim": 64, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
    ),
    "llama, linear": (
        "Llama",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e5, "factor": 4.0}},
    ),
    "llama 3.1": ("Llama", {"rope_parameters": LLAMA3_ROPE, "tie_word_embeddings": True}),
    "mistral": ("Mistral", {"sliding_window": None}),
    "qwen2": ("Qwen2", {"tie_word_embeddings": True}),
    "qwen2, yarn": ("Qwen2", {"rope_parameters": YARN}),
    "qwen3": ("Qwen3", {"head_dim": 64}),
    "olmo": ("Olmo", {"clip_qkv": 2.0, "num_key_value_heads": 4}),
}


def byte_level(
    *steps: pre_tokenizers.PreTokenizer, normalizer=None, ignore_merges: bool = False
) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(list(steps)) if len(steps) > 1 else steps[0]
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def split(pattern: str) -> pre_tokenizers.Split:
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def only_bytes() -> pre_tokenizers.ByteLevel:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def sentencepiece_like(metaspace: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    if metaspace:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        steps = [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
        tokenizer.normalizer = normalizers.Sequence(steps)
    return tokenizer


def words() -> pre_tokenizers.ByteLevel:
    return pre_tokenizers.ByteLevel(add_prefix_space=False)


TOKENIZERS = {
    "gpt-2": lambda: byte_level(words()),
    "gpt-2, composed": lambda: byte_level(words(), normalizer=normalizers.NFC()),
    "qwen2": lambda: byte_level(split(QWEN2_PATTERN), only_bytes(), normalizer=normalizers.NFC()),
    "llama-bpe": lambda: byte_level(split(LLAMA3_PATTERN), only_bytes(), ignore_merges=True),
    "dbrx": lambda: byte_level(split(LLAMA3_PATTERN), only_bytes()),
    "starcoder": lambda: byte_level(pre_tokenizers.Digits(individual_digits=True), words()),
    "deepseek-coder, line ends as they are": lambda: byte_level(
        split("[\r\n]"),
        *map(split, DEEPSEEK_PATTERNS[1:]),
        pre_tokenizers.Digits(individual_digits=True),
        only_bytes(),
    ),
    "deepseek-coder": lambda: byte_level(
        *map(split, DEEPSEEK_PATTERNS), pre_tokenizers.Digits(individual_digits=True), only_bytes()
    ),
    "sentencepiece": lambda: sentencepiece_like(metaspace=False),
    "sentencepiece, metaspace": lambda: sentencepiece_like(metaspace=True),
}


def train(name: str) -> Tokenizer:
    tokenizer = TOKENIZERS[name]()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = list(SPECIAL)
    if name.startswith("sentencepiece"):
        alphabet = []
        special += [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    code = Path(__file__).read_text() + Path(transformers.__file__).read_text()[:20_000]
    texts = [code[start : start + 200] for start in range(0, len(code), 200)]
    tokenizer.train_from_iterator(texts, trainer)
    if name.startswith("sentencepiece"):  # the byte tokens are ordinary ones, as Llama 2's are
        raw = json.loads(tokenizer.to_str())
        raw["added_tokens"] = [token for token in raw["added_tokens"] if token["content"] in SPECIAL]
        tokenizer = Tokenizer.from_str(json.dumps(raw))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


@pytest.fixture(scope="module")
def plain_tokenizer() -> Tokenizer:
    return train("qwen2")


def write_checkpoint(
    folder: Path, family: str, changes: dict[str, object], shard: str = "5GB"
) -> torch.nn.Module:
    torch.manual_seed(1)
    config = getattr(transformers, f"{family}Config")(**{**SIZES, **changes})
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Large enough that positions and biases matter to the logits.
            parameter.normal_(1.0 if "norm" in name else 0.0, 0.15)
    model.save_pretrained(folder, max_shard_size=shard)
    return model


def logits_of(path: Path, ids: list[int]) -> np.ndarray:
    model = llama_library.load_model(path)
    slot = CacheSlot(model, VOCABULARY, tokens=256, threads=Threads(1, 1))
    found = []
    for id_ in ids:
        logits = slot.read([id_])
        assert logits is not None
        found.append(logits)
    slot.close()
    llama_library.api.llama_model_free(model)
    return np.array(found)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_logits_are_those_of_transformers(plain_tokenizer: Tokenizer, tmp_path: Path, name: str) -> None:
    family, changes = CONFIGURATIONS[name]
    # Several shards with an index, as large models come.
    reference = write_checkpoint(tmp_path, family, changes, shard="300KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    plain_tokenizer.save(str(tmp_path / "tokenizer.json"))
    written = export(tmp_path, tmp_path / "m.gguf", quantization="f32", metadata={})
    assert written.parameters >= sum(p.numel() for p in reference.parameters())
    ids = torch.randint(3, VOCABULARY, (1, 200), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = reference(ids).logits[0].numpy()
    assert expected.std() > 0.1
    # llama.cpp keeps keys and values in 16 bits, which is all of the difference.
    error = np.abs(logits_of(tmp_path / "m.gguf", ids[0].tolist()) - expected) / expected.std()
    assert error.mean() < 0.005 and error.max() < 0.05


@pytest.mark.parametrize("name", TOKENIZERS)
def test_ten_thousand_texts_become_the_same_tokens(tmp_path: Path, name: str) -> None:
    train(name).save(str(tmp_path / "tokenizer.json"))
    write_checkpoint(tmp_path, "Llama", {"num_hidden_layers": 1})
    export(tmp_path, tmp_path / "m.gguf", quantization="f32", metadata={})
    require_same_tokens(tmp_path, tmp_path / "m.gguf", count=10_000, seed=7)
    model = llama_library.load_model(tmp_path / "m.gguf", tokenizer_only=True)
    values = llama_library.metadata(model)
    llama_library.api.llama_model_free(model)
    assert values["tokenizer.ggml.add_bos_token"] == "true"
    if not name.startswith("sentencepiece"):
        assert name.startswith(values["tokenizer.ggml.pre"])


def test_a_sentencepiece_file_becomes_the_same_tokens(tmp_path: Path) -> None:
    import sentencepiece

    (tmp_path / "text").write_text(Path(__file__).read_text())
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text"),
        model_prefix=str(tmp_path / "tokenizer"),
        model_type="bpe",
        vocab_size=VOCABULARY,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        split_digits=True,
        minloglevel=2,
    )
    write_checkpoint(tmp_path, "Mistral", {"num_hidden_layers": 1})
    export(tmp_path, tmp_path / "m.gguf", quantization="f32", metadata={})
    require_same_tokens(tmp_path, tmp_path / "m.gguf", count=10_000, seed=7)
    (tmp_path / "tokenizer.model").write_bytes((tmp_path / "tokenizer.model").read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"tokenizer\.model is not a whole"):
        read_tokenizer(tmp_path, VOCABULARY)


def test_random_texts_have_what_code_has() -> None:
    text = "".join(random_texts(1000))
    assert all(part in text for part in ("\r\n", "\n\n", "    ", "日", "😀", "\u00a0", "2026", "'s", "\t"))


def test_a_tokenizer_that_splits_otherwise_is_found_out(tmp_path: Path) -> None:
    """The check does not trust the table of pre-tokenizers: here the file says one and the folder another."""
    train("dbrx").save(str(tmp_path / "tokenizer.json"))
    write_checkpoint(tmp_path, "Llama", {"num_hidden_layers": 1})
    export(tmp_path, tmp_path / "m.gguf", quantization="f32", metadata={}, check_tokens=True)
    raw = json.loads((tmp_path / "tokenizer.json").read_text())
    raw["pre_tokenizer"] = json.loads(train("gpt-2").to_str())["pre_tokenizer"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(raw))
    with pytest.raises(ModelError, match="cannot be exported"):
        require_same_tokens(tmp_path, tmp_path / "m.gguf")


class TestRefusals:
    @pytest.mark.parametrize(
        ("family", "changes", "message"),
        [
            ("Gemma2", {"head_dim": 32}, "architecture 'gemma2'"),
            ("Qwen3", {"attention_bias": True}, "attention_bias"),
            ("Llama", {"rope_parameters": {**YARN, "attention_factor": 2.0}}, "position scaling 'yarn'"),
        ],
    )
    def test_what_llama_cpp_would_compute_otherwise(
        self,
        plain_tokenizer: Tokenizer,
        tmp_path: Path,
        family: str,
        changes: dict[str, object],
        message: str,
    ) -> None:
        write_checkpoint(tmp_path, family, changes)
        plain_tokenizer.save(str(tmp_path / "tokenizer.json"))
        with pytest.raises(ModelError, match=message):
            export(tmp_path, tmp_path / "m.gguf", quantization="f32", metadata={})
        assert not (tmp_path / "m.gguf").exists()

    def test_a_shard_that_is_missing_or_half_written(
        self, plain_tokenizer: Tokenizer, tmp_path: Path
    ) -> None:
        write_checkpoint(tmp_path, "Llama", {}, shard="300KB")
        plain_tokenizer.save(str(tmp_path / "tokenizer.json"))
        shard = sorted(tmp_path.glob("model-*.safetensors"))[1]
        whole = shard.read_bytes()
        shard.write_bytes(whole[:-100])
        with pytest.raises(ModelError, match=f"{shard.name}.*half-written"):
            export(tmp_path, tmp_path / "m.gguf", quantization="f32", metadata={})
        shard.unlink()
        with pytest.raises(ModelError, match=f"has no {shard.name}"):
            export(tmp_path, tmp_path / "m.gguf", quantization="f32", metadata={})
        (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": 3}}')
        with pytest.raises(ModelError, match=r"index\.json names no files"):
            export(tmp_path, tmp_path / "m.gguf", quantization="f32", metadata={})
        assert not list(tmp_path.glob("*.gguf")) and not list(tmp_path.glob(".export*"))

    def test_weights_in_a_pickle_and_a_quantized_checkpoint(
        self, plain_tokenizer: Tokenizer, tmp_path: Path
    ) -> None:
        write_checkpoint(tmp_path, "Llama", {"num_hidden_layers": 1})
        plain_tokenizer.save(str(tmp_path / "tokenizer.json"))
        config = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**config, "quantization_config": {"bits": 4}}))
        with pytest.raises(ModelError, match="quantized"):
            export(tmp_path, tmp_path / "m.gguf", quantization="f32", metadata={})
        (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
        with pytest.raises(ModelError, match="pickle"):
            export(tmp_path, tmp_path / "m.gguf", quantization="f32", metadata={})

    def test_a_sliding_window_ends_the_context(self, plain_tokenizer: Tokenizer, tmp_path: Path) -> None:
        write_checkpoint(tmp_path, "Mistral", {"sliding_window": 64, "num_hidden_layers": 1})
        plain_tokenizer.save(str(tmp_path / "tokenizer.json"))
        export(tmp_path, tmp_path / "m.gguf", quantization="f32", metadata={})
        model = llama_library.load_model(tmp_path / "m.gguf", tokenizer_only=True)
        assert llama_library.metadata(model)["llama.context_length"] == "64"
        llama_library.api.llama_model_free(model)
