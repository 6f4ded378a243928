"""An example is a list of pieces of text, each tokenized alone, as an engine does a prompt's segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from linewise.engines.protocol import Segment

NO_LOSS = -1  # a piece the model only reads


@dataclass(frozen=True, slots=True)
class Piece:
    """Text with the character offset from which the model is trained to write it.

    `learned_from` is 0 for text that is all learned and `NO_LOSS` for text that is only read. A token that
    straddles the offset is learned: at a cursor it is what token healing makes the model generate.
    """

    text: str
    special: bool = False
    learned_from: int = 0


Example: TypeAlias = tuple[Piece, ...]


def read_only(segments: Sequence[Segment]) -> list[Piece]:
    """Pieces for a prompt's segments, none of them learned."""
    return [Piece(segment.text, segment.special, NO_LOSS) for segment in segments]


def encode(
    example: Example, tokenizer: Tokenizer, *, learn_all: bool = False
) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """Token ids, shape (tokens,), and which of them are learned, same shape.

    `learn_all` learns read-only pieces too (pretraining). Raises ValueError for a special token that the
    tokenizer does not know, or a vocabulary too large for 16 bits.
    """
    if tokenizer.get_vocab_size() > 1 << 16:
        raise ValueError(
            f"the vocabulary has {tokenizer.get_vocab_size()} tokens; token files hold 65,536 at most"
        )
    ids: list[int] = []
    learned: list[bool] = []
    for piece in example:
        offset = 0 if learn_all else piece.learned_from
        if piece.special:
            token = tokenizer.token_to_id(piece.text)
            if token is None:
                raise ValueError(
                    f"the tokenizer has no token {piece.text!r}; train one with `linewise train tokenizer`"
                )
            ids.append(token)
            learned.append(offset != NO_LOSS)
            continue
        encoding = tokenizer.encode(piece.text, add_special_tokens=False)
        ids += encoding.ids
        learned += [offset != NO_LOSS and end > offset for _, end in encoding.offsets]
    return np.array(ids, dtype=np.uint16), np.array(learned, dtype=np.bool_)
