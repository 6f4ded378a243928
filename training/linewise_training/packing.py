"""Packs examples into the blocks of a token file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from linewise.errors import LinewiseError
from linewise.formats.edit_log import END
from linewise_training.examples import Example, encode
from linewise_training.token_file import ARRAYS, TokenFileMeta


def write_token_file(
    examples: Iterable[Example],
    tokenizer: Tokenizer,
    directory: Path,
    *,
    context: int,
    learn_all: bool = False,
) -> TokenFileMeta:
    """Pack `examples` whole into blocks of `context` tokens in `directory`; return what was written.

    An example goes into the fullest of a few open blocks that has room for it. What stays free is filled
    with unlearned end tokens; an example longer than a block is left out. With `learn_all` read-only text
    is learned too.
    """
    end = tokenizer.token_to_id(END)
    closed: list[_Block] = []
    opened: list[_Block] = []
    count = characters = 0
    for example in examples:
        ids, learned = encode(example, tokenizer, learn_all=learn_all)
        if len(ids) > context:
            continue
        count += 1
        characters += sum(len(piece.text) for piece in example)
        opened.sort(key=lambda block: -block.used)
        block = next((block for block in opened if block.used + len(ids) <= context), None)
        if block is None:
            if len(opened) == _OPEN_BLOCKS:
                closed.append(opened.pop(0))
            block = _Block(
                np.full(context, end, np.uint16), np.zeros(context, np.bool_), np.zeros(context, np.bool_)
            )
            opened.append(block)
        block.add(ids, learned)
    closed += opened
    if not closed:
        raise LinewiseError(
            f"no example fits the context of {context} tokens; the corpus is empty or the context too short"
        )
    for block in closed:
        block.first[block.used : block.used + 1] = True  # what fills a block is no example's end
    directory.mkdir(parents=True, exist_ok=True)
    for name in ARRAYS:
        np.save(directory / f"{name}.npy", np.stack([getattr(block, name) for block in closed]))
    tokens = sum(block.used for block in closed)
    learned_tokens = sum(int(block.learned.sum()) for block in closed)
    meta = TokenFileMeta(len(closed), context, tokens, learned_tokens, count, characters)
    (directory / "meta.json").write_text(json.dumps(asdict(meta), indent=2) + "\n", encoding="utf-8")
    return meta


_OPEN_BLOCKS = (
    32  # blocks are more than 97% full with 32, and examples stay near their place in a random order
)


@dataclass(slots=True)
class _Block:
    ids: NDArray[np.uint16]
    learned: NDArray[np.bool_]
    first: NDArray[np.bool_]
    used: int = 0

    def add(self, ids: NDArray[np.uint16], learned: NDArray[np.bool_]) -> None:
        end = self.used + len(ids)
        self.ids[self.used : end], self.learned[self.used : end] = ids, learned
        self.first[self.used] = True
        self.used = end
