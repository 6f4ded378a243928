"""SentencePiece's BPE with byte fallback, as Llama 2 and Mistral have it, in llama.cpp's words.

llama.cpp merges the neighbours whose union has the best score. A tokenizer.model has the scores; a
tokenizer.json has merges in order instead, from which scores of the same order are made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from linewise.errors import ModelError
from linewise_training.export.checkpoint import read_json
from linewise_training.export.tokenizer import (
    TokenizerTables,
    TokenRole,
    added_tokens,
    begins_with_token,
    filled,
)

_SPACE = "\u2581"
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_BPE = 2  # sentencepiece_model.proto, TrainerSpec.ModelType


def read_json_scores(path: Path, file: Mapping[str, Any], size: int) -> TokenizerTables:
    """Tables of a tokenizer.json whose model is BPE with byte fallback. Raises ModelError."""
    model = file["model"]
    prefix = _space_prefix(path, file)
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(model["merges"]):
        left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
        ranks.setdefault(left + right, rank)
    tokens = {id_: (text, _role(text, model.get("unk_token"))) for text, id_ in model["vocab"].items()}
    _require_all_bytes(path, [text for text, _ in tokens.values()])
    for id_, (text, role) in added_tokens(file).items():
        known = tokens.get(id_, (text, TokenRole.NORMAL))[1]
        tokens[id_] = (text, role if known is TokenRole.NORMAL else known)
    texts, roles = filled(path, tokens, size)
    worst = -float(len(ranks)) - 1
    return TokenizerTables(
        texts,
        roles,
        model="llama",
        scores=tuple(float(-ranks[text]) if text in ranks else worst for text in texts),
        space_prefix=prefix,
        begins=begins_with_token(file),
    )


def read_model_file(path: Path, size: int) -> TokenizerTables:
    """Tables of a SentencePiece file. Raises ModelError for a damaged one, and for one that is not BPE."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415
    from sentencepiece import sentencepiece_model_pb2  # noqa: PLC0415

    proto = sentencepiece_model_pb2.ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise ModelError(f"{path} is not a whole SentencePiece model ({error}): get it again.") from None
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    if trainer.model_type != _BPE or not trainer.byte_fallback:
        raise ModelError(f"{path}: only SentencePiece's BPE with byte fallback can be exported.")
    if normalizer.precompiled_charsmap or normalizer.remove_extra_whitespaces:
        raise ModelError(f"{path}: its normalization has no counterpart in llama.cpp: train with 'identity'.")
    tokens = {id_: (piece.piece, TokenRole(piece.type)) for id_, piece in enumerate(proto.pieces)}
    scores = {id_: piece.score for id_, piece in enumerate(proto.pieces)}
    settings_path = path.parent / "tokenizer_config.json"
    settings = read_json(settings_path) if settings_path.exists() else {}
    for key, token in (settings.get("added_tokens_decoder") or {}).items():
        role = TokenRole.CONTROL if token.get("special") else TokenRole.USER_DEFINED
        tokens.setdefault(int(key), (token["content"], role))
    texts, roles = filled(path, tokens, size)
    return TokenizerTables(
        texts,
        roles,
        model="llama",
        scores=tuple(scores.get(id_, 0.0) for id_ in range(size)),
        space_prefix=bool(normalizer.add_dummy_prefix),
        begins=bool(settings.get("add_bos_token", True)),
    )


def _space_prefix(path: Path, file: Mapping[str, Any]) -> bool:
    """Whether a text gets a space in front; spaces must become U+2581, and nothing else may be changed."""
    normalizer, splitter = file.get("normalizer"), file.get("pre_tokenizer")
    steps = (normalizer or {}).get("normalizers", [normalizer] if normalizer else [])
    replaced = [step for step in steps if step == _replacement()]
    prepended = [step for step in steps if step == {"type": "Prepend", "prepend": _SPACE}]
    if splitter is None and len(replaced) == 1 and len(replaced) + len(prepended) == len(steps):
        return bool(prepended)
    metaspace = splitter or {}
    if not steps and metaspace.get("type") == "Metaspace" and not metaspace.get("split", True):
        return bool(metaspace.get("prepend_scheme", "always") != "never")
    raise ModelError(
        f"{path}: it changes text before tokenizing in a way that llama.cpp does not: "
        "only spaces as U+2581 can be exported."
    )


def _replacement() -> dict[str, object]:
    return {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}


def _role(text: str, unknown: object) -> TokenRole:
    if text == unknown:
        return TokenRole.UNKNOWN
    return TokenRole.BYTE if _BYTE.fullmatch(text) else TokenRole.NORMAL


def _require_all_bytes(path: Path, texts: list[str]) -> None:
    missing = {f"<0x{byte:02X}>" for byte in range(256)} - set(texts)
    if missing:
        raise ModelError(
            f"{path} has no token for {len(missing)} of 256 bytes (such as {min(missing)}), so some text "
            "could not be written: train it with byte fallback."
        )
