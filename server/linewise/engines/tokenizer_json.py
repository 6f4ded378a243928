"""A tokenizer.json, as Hugging Face's models have it, in place of a vocabulary that a model file carries.

What engines share that know a model's tokens from there: its vocabulary as bytes, and requests put into its
token ids. The package `tokenizers` reads the file; it comes with the extras of these engines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from linewise.engines.generation import Choices, Plan, plan_of
from linewise.engines.protocol import FimTokens, Request, Segment
from linewise.engines.vocabulary import SpellingIndex, Vocabulary
from linewise.errors import EngineError, ModelError
from linewise.installation import pip_install

_FIM = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<|fim▁begin|>", "<|fim▁hole|>", "<|fim▁end|>"),
)
_BYTE = re.compile(r"<0x([0-9A-F]{2})>\Z")
_SURROGATES = re.compile("[\ud800-\udfff]")


def read_tokenizer(path: Path) -> Any:
    """The `tokenizers.Tokenizer` in the file at `path`. Raises ModelError where there is none."""
    try:
        from tokenizers import Tokenizer  # noqa: PLC0415
    except ImportError as error:
        raise EngineError(
            f"The package tokenizers is not installed ({error}); run: {pip_install('tokenizers')}"
        ) from error
    if not path.is_file():
        raise ModelError(f"{path} is not there: name a model folder with its tokenizer.json.")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # it raises nothing narrower
        why = " ".join(str(error).split())[:200]
        raise ModelError(f"{path} is no tokenizer ({why}): get it again.") from None


def byte_character(byte: int) -> str:
    """What stands for `byte` in GPT-2's vocabulary: itself if printable, else a character from U+0100 on."""
    return chr(byte) if _is_printable(byte) else chr(0x100 + sum(not _is_printable(b) for b in range(byte)))


def read_vocabulary(tokenizer: Any, ends: Iterable[int], size: int | None = None) -> Vocabulary:
    """Every token as bytes, with its role. `size` is how many ids the model has, where it has more."""
    known: int = tokenizer.get_vocab_size(with_added_tokens=True)
    added = tokenizer.get_added_tokens_decoder()
    decoder = json.loads(tokenizer.to_str()).get("decoder") or {}
    byte_level = "ByteLevel" in json.dumps(decoder)
    table = _bytes_of_characters()
    pieces: list[bytes] = []
    unused = set()
    for id_ in range(max(size or 0, max(added, default=-1) + 1, known)):
        text = tokenizer.id_to_token(id_)
        if text is None:
            unused.add(id_)
            pieces.append(b"")
        elif id_ in added:
            pieces.append(added[id_].content.encode())
        elif byte_level:
            pieces.append(bytes(table[character] for character in text))
        elif match := _BYTE.match(text):
            pieces.append(bytes([int(match[1], 16)]))
        else:
            pieces.append(text.replace("▁", " ").encode())
    control = frozenset(id_ for id_, token in added.items() if token.special)
    special = {token.content: id_ for id_, token in added.items()}
    return Vocabulary(tuple(pieces), control, special, frozenset(ends), frozenset(unused))


def begin_token(tokenizer: Any, vocabulary: Vocabulary) -> str:
    """The token, by its text, that the tokenizer puts before every text; empty where there is none."""
    ids: list[int] = tokenizer.encode("a").ids
    first = ids[0] if ids else -1
    return vocabulary.pieces[first].decode() if first in vocabulary.control else ""


def fim_tokens(special: Collection[str], begin: str) -> FimTokens | None:
    """Those of a well-known family whose tokens are all among `special`; None where there are none."""
    for prefix, suffix, middle in _FIM:
        if all(token in special for token in (prefix, suffix, middle)):
            return FimTokens(prefix, suffix, middle, begin=begin)
    return None


class Tokenization:
    """Requests in the token ids of a tokenizer.json. Thread-safe.

    A document that says `<|diff|>` never forges the control token of that name.
    """

    def __init__(self, name: str, tokenizer: Any, vocabulary: Vocabulary) -> None:
        """`name` is the model's, for messages; `tokenizer` is a `tokenizers.Tokenizer`."""
        self._name = name
        self._tokenizer = tokenizer
        self._tokenizer.encode_special_tokens = True
        self.vocabulary = vocabulary
        unused = np.array(sorted(vocabulary.unused), dtype=np.intp)
        self.choices = Choices(name, vocabulary, SpellingIndex(vocabulary), unused)

    def tokenize(self, segments: Sequence[Segment]) -> tuple[int, ...]:
        """Token ids of `segments`, each tokenized alone. Raises EngineError for an unknown special token."""
        ids: list[int] = []
        for segment in segments:
            if segment.special:
                ids.append(self.special(segment.text))
            elif segment.text:
                text = _SURROGATES.sub("\ufffd", segment.text)
                ids += self._tokenizer.encode(text, add_special_tokens=False).ids
        return tuple(ids)

    def plan(self, request: Request, limit: int) -> Plan:
        """`request` for a context of `limit` tokens. Raises EngineError when it cannot be done."""
        return plan_of(request, self.tokenize, self.special, limit, len(self.vocabulary.pieces))

    def special(self, text: str) -> int:
        """The id of a special token. Raises EngineError where there is none."""
        found = self.vocabulary.special.get(text)
        if found is None:
            raise EngineError(
                f"{self._name} has no special token {text!r}: use the format it was trained on."
            )
        return found


@cache
def _bytes_of_characters() -> dict[str, int]:
    return {byte_character(byte): byte for byte in range(256)}


def _is_printable(byte: int) -> bool:
    return 0x21 <= byte <= 0x7E or 0xA1 <= byte <= 0xAC or 0xAE <= byte <= 0xFF
