"""The tokenizer: byte-level BPE with the special tokens of all formats.

Two choices serve editing. Digits are single tokens, so that line numbers are spelled, not memorised. And no
merge crosses a line end, so that every line has the same tokens wherever it stands and whatever follows:
a log's cached tokens stay right when a line is added after them. The pre-tokenizer is Qwen2's (llama.cpp's
`qwen2`), which a GGUF file can name; in training each newline is split off first, hence no such merge is
ever learned.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from linewise.errors import FileError
from linewise.formats import edit_log, fim
from linewise.formats.edit_log import END
from linewise_training.token_file import read_jsonl

SPECIAL_TOKENS = (*edit_log.SPECIAL_TOKENS, *fim.SPECIAL_TOKENS)
"""One tokenizer serves every format, so that models of different formats can grow from one base."""

# https://github.com/ggml-org/llama.cpp, LLAMA_VOCAB_PRE_TYPE_QWEN2
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_tokenizer(texts: Iterable[str], vocabulary_size: int) -> Tokenizer:
    """Learn byte-level BPE merges from `texts`; `vocabulary_size` counts bytes, merges and special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[\r\n]"), "isolated"),
            pre_tokenizers.Split(Regex(QWEN2_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(SPECIAL_TOKENS),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, directory: Path, context_length: int) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`, as transformers reads them."""
    directory.mkdir(parents=True, exist_ok=True)
    # Written here: what the library raises for a full disk is a bare Exception.
    (directory / "tokenizer.json").write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": END,
        "clean_up_tokenization_spaces": False,
        "model_max_length": context_length,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def load_tokenizer(directory: Path) -> Tokenizer:
    """Read the tokenizer of a run or checkpoint folder.

    Raises FileNotFoundError where there is none, and FileError where it is damaged.
    """
    path = directory / "tokenizer.json"
    if not path.is_file():
        raise FileNotFoundError(f"no tokenizer.json in {directory}; make one with `linewise train tokenizer`")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library has no class of its own for what it cannot read
        raise FileError(
            f"{path} cannot be read ({error}); make it again with `linewise train tokenizer`"
        ) from error
    # The text of a special token in a document is text; only a piece that is special becomes the token.
    tokenizer.encode_special_tokens = True
    return tokenizer


def texts_of(files: Path) -> Iterator[str]:
    """The text of each line of a corpus file (`files.jsonl`).

    Raises LinewiseError for a line that has none.
    """
    for row in read_jsonl(files, "text"):
        yield str(row["text"])
