"""Turns generated token ids into tokens with text, when a character may be spread over several tokens."""

from __future__ import annotations

import codecs
from dataclasses import replace

from linewise.engines.protocol import Token
from linewise.engines.vocabulary import Vocabulary


class TokenText:
    """Decodes one generation.

    The texts of all tokens, joined, are what `bytes.decode("utf-8", "replace")` makes of their bytes. To
    keep that true to the end, a token that leaves a character incomplete is handed out only together with
    the next one, or at the end, when the character becomes U+FFFD.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held: Token | None = None

    def push(
        self,
        id_: int,
        logprob: float,
        end_logprob: float | None = None,
        alternatives: tuple[tuple[str, float], ...] = (),
    ) -> list[Token]:
        """The tokens that are ready once token `id_` has been generated, oldest first.

        `end_logprob` is kept for a special token only.
        """
        piece = self._vocabulary.pieces[id_]
        if id_ in self._vocabulary.control:
            text = piece.decode("utf-8", "replace")
            return [*self.finish(), Token(id_, text, logprob, True, end_logprob, alternatives)]
        token = Token(id_, self._decoder.decode(piece), logprob, alternatives=alternatives)
        ready = [] if self._held is None else [self._held]
        self._held = None
        if self._decoder.getstate()[0]:
            self._held = token
        else:
            ready.append(token)
        return ready

    def finish(self) -> list[Token]:
        """The token that was held, if any: its character will not be completed."""
        held, self._held = self._held, None
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return [] if held is None else [replace(held, text=held.text + rest)]
