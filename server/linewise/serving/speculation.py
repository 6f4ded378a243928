"""Drafts of what comes next, looked up in the document's own tokens (prompt-lookup decoding).

Edits copy much: run-ups repeat lines of the document, and a hunk written again repeats the one that was
struck. A guess is what followed the last time that the latest tokens stood there; where the text has just
left what it copied, it is what comes after the one token that differs. The model reads a draft in one step
together with the token before it, and its own choice after each drafted token says how much of the draft
holds: what is kept is what it would have chosen, draft or no draft, so the draft changes the speed alone.

Every guess is compared with what is then chosen, drafted or not: so `Odds` knows what a draft would be worth
while none is made. `linewise.serving.pace` decides how long it should be.

Source: Saxena, "Prompt Lookup Decoding", 2023; the check of drafts is Leviathan et al., "Fast Inference from
Transformers via Speculative Decoding", 2023, for drafts that are certain of themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LONGEST_DRAFT = 7
"""Tokens: with the one before it, eight are read at once. A keystroke may have to wait that long."""

SHORTEST_MATCH, LONGEST_MATCH = 2, 8
_PART = "\0"  # stands between texts in a history; the characters of tokens are one higher


@dataclass(frozen=True, slots=True)
class Guess:
    """Tokens that may come next. `agreeing` is how many of those before them agree with where they stood."""

    tokens: Sequence[int] = ()
    agreeing: int = 0


NO_GUESS = Guess()


class History:
    """The tokens that are looked up: `earlier` ones, such as a struck hunk's, then the generation's own.

    They are kept as text, a character for each: searching that takes microseconds, and holds up no thread.
    """

    def __init__(self, earlier: Sequence[int], tokens: Sequence[int]) -> None:
        self._text = f"{_text(earlier)}{_PART}{_text(tokens)}"
        self._begin = len(earlier) + 1
        self._next: int | None = None  # what the last guess would guess next, where it goes on

    def extend(self, tokens: Sequence[int]) -> None:
        """Add the generation's next tokens."""
        self._text += _text(tokens)
        if self._next is not None:
            self._next += len(tokens)

    def __len__(self) -> int:
        """How many of the generation's tokens it has."""
        return len(self._text) - self._begin

    def guess(self, most: int) -> Guess:
        """At most `most` tokens that may come next; none where nothing speaks for any.

        Of several places where the latest tokens stood, the one where most of them agree counts, and of those
        the last. Where they stood nowhere, the guess before goes on, past the tokens that were chosen.
        """
        self._next, agreeing = self._place()
        if self._next is None:
            return NO_GUESS
        found = self._text[self._next : self._next + most]
        if len(found) < most:
            # The match is nearer to the end than that: the text goes round in a circle.
            found = (found * most)[:most]
        return Guess([ord(one) - 1 for one in found.split(_PART, 1)[0]], agreeing)

    def _place(self) -> tuple[int | None, int]:
        """The place of what may come next, and how many tokens before it agree with the latest ones."""
        text, end = self._text, len(self._text)
        best, most = -1, 0
        for length in range(SHORTEST_MATCH, min(LONGEST_MATCH, len(self)) + 1):
            # More tokens agree nowhere later than fewer do.
            found = text.rfind(text[-length:], 0, best if most else end - 1)
            if found < 0:
                break
            best, most = found + length, length
        if most:
            return best, most
        if self._next is not None and self._next < end:
            return self._next, int(text[self._next - 1] == text[end - 1])
        return None, 0


def _text(tokens: Sequence[int]) -> str:
    return "".join(chr(one + 1) for one in tokens)


class Odds:
    """How often guesses were right lately, by how many tokens before them agreed."""

    _REMEMBERED = 64  # guesses of a kind
    _BORROWED = 4  # guesses that those of all documents count for
    _AT_FIRST = (0.3, 0.5, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9)

    def __init__(self, common: Odds | None = None) -> None:
        """`common` are those of all documents: what is believed of a new one."""
        self._common = common
        self._seen = [0.0] * (LONGEST_MATCH + 1)
        self._right = [0.0] * (LONGEST_MATCH + 1)

    def of(self, agreeing: int) -> float:
        """The probability that the next token is the one that is guessed."""
        agreeing = min(agreeing, LONGEST_MATCH)
        believed = self._AT_FIRST[agreeing] if self._common is None else self._common.of(agreeing)
        return (self._right[agreeing] + self._BORROWED * believed) / (self._seen[agreeing] + self._BORROWED)

    def saw(self, guess: Guess, chosen: Sequence[int]) -> None:
        """After `guess`, `chosen` came. A guess is compared up to the first token that was not chosen."""
        for place, (guessed, token) in enumerate(zip(guess.tokens, chosen, strict=False)):
            self._count(min(guess.agreeing + place, LONGEST_MATCH), guessed == token)
            if guessed != token:
                return

    def _count(self, agreeing: int, is_right: bool) -> None:
        keep = 1 - 1 / self._REMEMBERED
        self._seen[agreeing] = keep * self._seen[agreeing] + 1
        self._right[agreeing] = keep * self._right[agreeing] + is_right
        if self._common is not None:
            self._common._count(agreeing, is_right)
