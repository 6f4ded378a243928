"""Reads tokenizer.json and says it in llama.cpp's words.

Only byte-level BPE is exported, and only with a pre-tokenizer that llama.cpp has built in: a tokenizer that
splits text otherwise in training and in the editor would spoil the model without any error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from linewise.errors import ModelError
from linewise_training.export.checkpoint import read_json
from linewise_training.tokenizer import QWEN2_PATTERN


class TokenRole(IntEnum):
    """llama.cpp's `tokenizer.ggml.token_type`."""

    NORMAL = 1
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5


@dataclass(frozen=True, slots=True)
class TokenizerTables:
    """`texts` and `roles` by id; `merges` as "left right", best first; `splitter` is `tokenizer.ggml.pre`."""

    texts: tuple[str, ...]
    roles: tuple[TokenRole, ...]
    merges: tuple[str, ...]
    splitter: str


def read_tokenizer(path: Path, vocabulary_size: int) -> TokenizerTables:
    """Tables of the tokenizer.json at `path`, filled up with unused tokens to `vocabulary_size` (rows of the
    embedding).

    Raises ModelError when llama.cpp could not tokenize the same way, or the ids do not fit the model.
    """
    file = read_json(path)
    model = file.get("model") or {}
    if model.get("type") != "BPE" or model.get("byte_fallback") or model.get("ignore_merges"):
        raise ModelError(f"{path}: only plain byte-level BPE can be exported, not {model.get('type')!r}.")
    # llama.cpp does not normalize. NFC is let through because source code is NFC nearly without exception.
    normalizer = (file.get("normalizer") or {}).get("type")
    if normalizer not in (None, "NFC"):
        raise ModelError(
            f"{path}: the normalizer {normalizer!r} has no counterpart in llama.cpp: train without it."
        )
    texts: dict[int, str] = {id_: text for text, id_ in model["vocab"].items()}
    roles = dict.fromkeys(texts, TokenRole.NORMAL)
    for token in file.get("added_tokens") or []:
        texts[token["id"]] = token["content"]
        roles[token["id"]] = TokenRole.CONTROL if token["special"] else TokenRole.USER_DEFINED
    if max(texts, default=-1) >= vocabulary_size:
        raise ModelError(
            f"{path} has a token with the id {max(texts)}, but the model has {vocabulary_size} embeddings: "
            "they are not of the same training run."
        )
    _require_all_bytes(path, model["vocab"])
    return TokenizerTables(
        tuple(texts.get(id_, f"[unused{id_}]") for id_ in range(vocabulary_size)),
        tuple(roles.get(id_, TokenRole.UNUSED) for id_ in range(vocabulary_size)),
        tuple(merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]),
        _splitter(path, file.get("pre_tokenizer") or {}),
    )


def _splitter(path: Path, pre_tokenizer: Mapping[str, Any]) -> str:
    """llama.cpp's name of this pre-tokenizer."""
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    byte_level = [step for step in steps if step.get("type") == "ByteLevel"]
    splits = [step for step in steps if step.get("type") == "Split"]
    known = len(byte_level) == 1 and len(byte_level) + len(splits) == len(steps)
    if known and not byte_level[0].get("add_prefix_space", True):
        if not splits and byte_level[0].get("use_regex", True):
            return "gpt-2"
        rules = [_split_rule(step) for step in splits]
        if rules == [QWEN2_PATTERN] and not byte_level[0].get("use_regex", True):
            return "qwen2"
    raise ModelError(
        f"{path}: its pre-tokenizer is neither Qwen2's nor GPT-2's without a prefix space, so llama.cpp "
        "would split text differently: train the tokenizer with `linewise train tokenizer`."
    )


def _split_rule(step: Mapping[str, Any]) -> object:
    if step.get("behavior") != "Isolated" or step.get("invert"):
        return None
    return (step.get("pattern") or {}).get("Regex")


def _require_all_bytes(path: Path, vocab: Mapping[str, int]) -> None:
    missing = [byte for byte in range(256) if _byte_character(byte) not in vocab]
    if missing:
        raise ModelError(
            f"{path} has no token for {len(missing)} of 256 bytes (such as {missing[0]:#04x}), so some text "
            "could not be written: train it with the full byte alphabet."
        )


def _byte_character(byte: int) -> str:
    """What stands for `byte` in GPT-2's vocabulary: itself if printable, else a character from U+0100 on."""
    return chr(byte) if _is_printable(byte) else chr(0x100 + sum(not _is_printable(b) for b in range(byte)))


def _is_printable(byte: int) -> bool:
    return 0x21 <= byte <= 0x7E or 0xA1 <= byte <= 0xAC or 0xAE <= byte <= 0xFF
