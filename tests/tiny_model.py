"""A tiny random Llama with a real tokenizer, made in a second and without torch.

It writes nonsense, but exactly as a trained model would: same files, same special tokens, same splitter.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from linewise_training.tokenizer import QWEN2_PATTERN

END, FILE, INSTRUCTION, DIFF = SPECIAL_TOKENS = ("<|endoftext|>", "<|file|>", "<|instruction|>", "<|diff|>")
CONTEXT_LENGTH = 512

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "hidden_act": "silu",
    "max_position_embeddings": CONTEXT_LENGTH,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    "tie_word_embeddings": True,
    "attention_bias": False,
    "mlp_bias": False,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": 0,
    "dtype": "float32",
}

_TEXTS = [
    "def area(radius):\n    return math.pi * radius ** 2\n\n\n",
    "class Shape:\n    def __init__(self, name):\n",
    "import math\nfrom pathlib import Path\n\n",
    "for index, line in enumerate(lines):\n        print(index, line)\n",
    "if __name__ == '__main__':\n    raise SystemExit(main())\n# größer als naïve Ωmega, 日本語のコメント\n",
    "@1,0\n@12,3\nself.value = value\nreturn [item for item in items if item is not None]\n",
]


def train_tokenizer(vocabulary_size: int = 600, special_tokens: Sequence[str] = SPECIAL_TOKENS) -> Tokenizer:
    """Byte-level BPE that splits as Qwen2 does, with the special tokens of the edit formats."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[AddedToken(text, special=True, normalized=False) for text in special_tokens],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXTS * 8, trainer)
    return tokenizer


def random_weights(config: dict[str, object], seed: int = 0) -> dict[str, np.ndarray]:
    """Weights large enough that the next token is seldom a matter of rounding."""
    random = np.random.default_rng(seed)
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    head = config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head

    def matrix(rows: int, columns: int) -> np.ndarray:
        return (random.standard_normal((rows, columns)) * (1.5 / np.sqrt(columns))).astype(np.float32)

    def norm() -> np.ndarray:
        return (1 + 0.1 * random.standard_normal(hidden)).astype(np.float32)

    weights = {"model.embed_tokens.weight": matrix(config["vocab_size"], hidden) * np.float32(3)}
    for layer in range(config["num_hidden_layers"]):
        name = f"model.layers.{layer}."
        weights |= {
            f"{name}input_layernorm.weight": norm(),
            f"{name}self_attn.q_proj.weight": matrix(queries, hidden),
            f"{name}self_attn.k_proj.weight": matrix(keys, hidden),
            f"{name}self_attn.v_proj.weight": matrix(keys, hidden),
            f"{name}self_attn.o_proj.weight": matrix(hidden, queries),
            f"{name}post_attention_layernorm.weight": norm(),
            f"{name}mlp.gate_proj.weight": matrix(wide, hidden),
            f"{name}mlp.up_proj.weight": matrix(wide, hidden),
            f"{name}mlp.down_proj.weight": matrix(hidden, wide),
        }
    weights["model.norm.weight"] = norm()
    return weights


def write_checkpoint(
    folder: Path, *, special_tokens: Sequence[str] = SPECIAL_TOKENS, **changes: object
) -> Path:
    """Write a Hugging Face model folder; `changes` override config.json. Returns `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(special_tokens=special_tokens)
    config = {**CONFIG, "vocab_size": tokenizer.get_vocab_size(), **changes}
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps(config))
    save_file(random_weights(config), folder / "model.safetensors", metadata={"format": "pt"})
    return folder
