"""Checks that llama.cpp splits text into the same tokens as the tokenizer that a model was trained with."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

from linewise.errors import ModelError
from linewise_training.export.checkpoint import read_json

SAMPLES = 2000

_ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_",
    " \t\n\r",
    "0123456789",
    "()[]{}<>:;,.=+-*/%&|^~!?@#$\\'\"`",
    "äßéñøÆçŁđ日本語中文мирαβγκόσμος한국어עבריתالعربية",
    "😀👩\u200d💻🏳️\u200b\u00a0\ufeff\u3000",
)
_WORDS = (
    *("def ", "return ", "    ", "self.", "import ", "for (int i = 0; i < n; ++i) {\n", "naïve", "→"),
    *("\r\n", "\n\n", "\t\t", "  \n", "'s", "'LL", "I'm", "3.14", "2026", "0x1F"),
    *("<|endoftext|>", "</s>", "\u2581"),
)


def random_texts(count: int, seed: int = 0) -> Iterator[str]:
    """Texts of code-like words, digits, blanks, newlines and characters of all planes."""
    chance = random.Random(seed)
    for _ in range(count):
        pieces = []
        for _ in range(chance.randint(1, 8)):
            if chance.random() < 0.4:
                pieces.append(chance.choice(_WORDS))
            else:
                alphabet = chance.choice(_ALPHABETS)
                pieces.append("".join(chance.choice(alphabet) for _ in range(chance.randint(1, 7))))
        yield "".join(pieces)


def require_same_tokens(folder: Path, gguf: Path, count: int = SAMPLES, seed: int = 0) -> None:
    """Raise ModelError, with the first text that differs, unless the GGUF file `gguf` and the tokenizer in
    `folder` split `count` random texts alike. Special tokens in a text are text to both.

    Where tokenizer.json puts a space in front unless there is one (Metaspace), llama.cpp always does: texts
    that begin with a space are then left out. Linewise itself never asks for a space in front.
    """
    from linewise.engines import llama_library  # noqa: PLC0415

    encode, composed, metaspace = _reference(folder)
    model = llama_library.load_model(gguf, tokenizer_only=True)
    try:
        for text in random_texts(count, seed):
            if metaspace and text.startswith((" ", "\u2581")):
                continue
            written = unicodedata.normalize("NFC", text) if composed else text
            theirs, ours = encode(written), list(llama_library.tokenize(model, written))
            if theirs != ours:
                raise ModelError(
                    f"llama.cpp splits {written!r} into {ours}, and the tokenizer in {folder} into {theirs}: "
                    "this tokenizer cannot be exported."
                )
    finally:
        llama_library.api.llama_model_free(model)


def _reference(folder: Path) -> tuple[Callable[[str], list[int]], bool, bool]:
    """The folder's own tokenizer; whether it composes characters (NFC) first; whether it is Metaspace's."""
    path = folder / "tokenizer.json"
    if not path.exists():
        from sentencepiece import SentencePieceProcessor  # noqa: PLC0415

        pieces = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        return lambda text: [int(id_) for id_ in pieces.encode(text)], False, False
    from tokenizers import Tokenizer  # noqa: PLC0415

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True
    file = read_json(path)
    composed = (file.get("normalizer") or {}).get("type") == "NFC"
    metaspace = (file.get("pre_tokenizer") or {}).get("type") == "Metaspace"
    return lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids), composed, metaspace
