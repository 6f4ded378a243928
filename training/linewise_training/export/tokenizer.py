"""Reads a model folder's tokenizer and says it in llama.cpp's words.

Two kinds are exported: byte-level BPE whose pre-tokenizer llama.cpp has built in, and SentencePiece's BPE
with byte fallback. A tokenizer that splits text otherwise in training and in the editor would spoil the
model without any error, so everything else is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from linewise.engines.tokenizer_json import byte_character
from linewise.errors import ModelError
from linewise_training.export.checkpoint import read_json
from linewise_training.tokenizer import QWEN2_PATTERN

LLAMA3_PATTERN = QWEN2_PATTERN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
"""Llama 3's pre-tokenizer: Qwen2's, with up to three digits together."""

DEEPSEEK_PATTERNS = (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+")
"""DeepSeek Coder's pre-tokenizer, one split after the other; single digits follow."""

_DIGITS, _BYTES, _GPT2_BYTES = "digits", "bytes", "words and bytes"
_SPLITTERS: Mapping[tuple[str, ...], str] = {
    (_GPT2_BYTES,): "gpt-2",
    (QWEN2_PATTERN, _BYTES): "qwen2",
    (LLAMA3_PATTERN, _BYTES): "dbrx",
    (_DIGITS, _GPT2_BYTES): "starcoder",
    (*DEEPSEEK_PATTERNS, _DIGITS, _BYTES): "deepseek-coder",
}
"""llama.cpp's `tokenizer.ggml.pre` by the steps of a pre-tokenizer."""

_WHOLE_WORDS_FIRST = {"dbrx": "llama-bpe"}
"""Splitters whose counterpart takes a word that is a token without looking at merges (`ignore_merges`)."""


class TokenRole(IntEnum):
    """llama.cpp's `tokenizer.ggml.token_type`."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True)
class TokenizerTables:
    """`texts` and `roles` by id. `model` is `tokenizer.ggml.model`, "gpt2" or "llama".

    For "gpt2": `merges` as "left right", best first, and `splitter`, which is `tokenizer.ggml.pre`. For
    "llama" (SentencePiece): `scores` by id, and whether a text gets a space in front.
    `begins`: a text begins with the begin-of-sequence token.
    """

    texts: tuple[str, ...]
    roles: tuple[TokenRole, ...]
    model: str = "gpt2"
    merges: tuple[str, ...] = ()
    splitter: str = "default"
    scores: tuple[float, ...] = ()
    space_prefix: bool = False
    begins: bool = False


def read_tokenizer(folder: Path, vocabulary_size: int) -> TokenizerTables:
    """Tables of the tokenizer in `folder`, filled up with unused tokens to `vocabulary_size` (rows of the
    embedding): of its tokenizer.json, else of its tokenizer.model.

    Raises ModelError when there is neither, when llama.cpp could not tokenize the same way, or when the ids
    do not fit the model.
    """
    from linewise_training.export.sentencepiece import read_json_scores, read_model_file  # noqa: PLC0415

    path = folder / "tokenizer.json"
    if not path.exists():
        if not (folder / "tokenizer.model").exists():
            raise ModelError(
                f"{folder} has no tokenizer.json and no tokenizer.model: name a whole model folder."
            )
        return read_model_file(folder / "tokenizer.model", vocabulary_size)
    file = read_json(path)
    model = file.get("model")
    if not isinstance(model, dict) or model.get("type") != "BPE":
        kind = model.get("type") if isinstance(model, dict) else None
        raise ModelError(f"{path}: only BPE tokenizers can be exported, not {kind!r}.")
    try:
        if model.get("byte_fallback"):
            return read_json_scores(path, file, vocabulary_size)
        return _byte_level(path, file, vocabulary_size)
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is not a whole tokenizer ({error!r}): save it again.") from None


def added_tokens(file: Mapping[str, Any]) -> dict[int, tuple[str, TokenRole]]:
    """Text and role of the tokens that stand beside a tokenizer.json's vocabulary, by id."""
    return {
        token["id"]: (token["content"], TokenRole.CONTROL if token["special"] else TokenRole.USER_DEFINED)
        for token in file.get("added_tokens") or []
    }


def begins_with_token(file: Mapping[str, Any]) -> bool:
    """Whether a tokenizer.json puts a special token before every text."""
    processor = file.get("post_processor") or {}
    steps = processor.get("processors", [processor])
    templates = [step.get("single") or [] for step in steps if step.get("type") == "TemplateProcessing"]
    return any(template and "SpecialToken" in template[0] for template in templates)


def filled(
    path: Path, tokens: Mapping[int, tuple[str, TokenRole]], size: int
) -> tuple[tuple[str, ...], tuple[TokenRole, ...]]:
    """Texts and roles by id, unused ones in the gaps and up to `size`.

    Raises ModelError when the model has fewer embeddings than there are tokens.
    """
    if max(tokens, default=-1) >= size:
        raise ModelError(
            f"{path} has a token with the id {max(tokens)}, but the model has {size} embeddings: "
            "they are not of the same training run."
        )
    all_ = [tokens.get(id_, (f"[unused{id_}]", TokenRole.UNUSED)) for id_ in range(size)]
    return tuple(text for text, _ in all_), tuple(role for _, role in all_)


def _byte_level(path: Path, file: Mapping[str, Any], size: int) -> TokenizerTables:
    model = file["model"]
    # llama.cpp does not normalize. NFC is let through because source code is NFC nearly without exception.
    normalizer = (file.get("normalizer") or {}).get("type")
    if normalizer not in (None, "NFC"):
        raise ModelError(
            f"{path}: the normalizer {normalizer!r} has no counterpart in llama.cpp: train without it."
        )
    if model.get("dropout") or model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise ModelError(f"{path}: only plain byte-level BPE can be exported: no dropout, prefix or suffix.")
    _require_all_bytes(path, model["vocab"])
    tokens = {id_: (text, TokenRole.NORMAL) for text, id_ in model["vocab"].items()}
    texts, roles = filled(path, {**tokens, **added_tokens(file)}, size)
    return TokenizerTables(
        texts,
        roles,
        merges=tuple(merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]),
        splitter=_splitter(path, file.get("pre_tokenizer") or {}, bool(model.get("ignore_merges"))),
        begins=begins_with_token(file),
    )


def _splitter(path: Path, pre_tokenizer: Mapping[str, Any], ignore_merges: bool) -> str:
    """llama.cpp's name of this pre-tokenizer."""
    steps: Sequence[Mapping[str, Any]] = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    found = _SPLITTERS.get(tuple(_step(step) for step in steps))
    if found is not None and ignore_merges:
        found = _WHOLE_WORDS_FIRST.get(found)
    if found is None:
        raise ModelError(
            f"{path}: its pre-tokenizer is not one that llama.cpp is known to have (GPT-2's, Qwen2's, "
            "Llama 3's, StarCoder's or DeepSeek Coder's), so llama.cpp would split text differently: "
            "train the tokenizer with `linewise train tokenizer`."
        )
    return found


def _step(step: Mapping[str, Any]) -> str:
    """A step of a pre-tokenizer as _SPLITTERS has it; an unknown one is a word that is not there."""
    kind = step.get("type")
    if kind == "ByteLevel" and not step.get("add_prefix_space", True):
        return _GPT2_BYTES if step.get("use_regex", True) else _BYTES
    if kind == "Digits" and step.get("individual_digits"):
        return _DIGITS
    if kind == "Split" and step.get("behavior") == "Isolated" and not step.get("invert"):
        # A line end may stand in a pattern as itself or as its escape.
        return str((step.get("pattern") or {}).get("Regex")).replace("\r", r"\r").replace("\n", r"\n")
    return f"unknown {kind}"


def _require_all_bytes(path: Path, vocab: Mapping[str, int]) -> None:
    missing = [byte for byte in range(256) if byte_character(byte) not in vocab]
    if missing:
        raise ModelError(
            f"{path} has no token for {len(missing)} of 256 bytes (such as {missing[0]:#04x}), so some text "
            "could not be written: train it with the full byte alphabet."
        )
