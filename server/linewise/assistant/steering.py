"""Leads a hunk out of a loop while it is being written: back to where the loop began, then on another way.

A small model that takes the likeliest token each time writes the same lines again and again. What stands
before the first repetition is often of use. So generation goes back to there, and the token that began the
repetition may not come next: the second likeliest does. Where that leads into a loop at the same place, the
third, and so on. It costs the tokens of the loop; all before it is in the engine's cache.

docs/evaluation.md has what it was measured against: to go back to the least certain token of the repetition,
to penalize tokens that repeat, and to end the hunk.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from linewise.assistant.repetition import loop_in
from linewise.engines.protocol import Token

MOST_TURNS = 16  # of one hunk; nearly all that come to an end have come to it by then


@dataclass(frozen=True, slots=True)
class Turn:
    """How a hunk is to go on: begun with `text`, and with none of the tokens `forbidden` after it."""

    text: str
    forbidden: tuple[int, ...] = ()


class Steering:
    """The text of one hunk while it is written, and the ways that were tried in it."""

    def __init__(self, begun: str = "") -> None:
        """`begun` is text that the hunk was begun with in the model's place."""
        self._tokens = [Token(-1, begun, math.nan)] if begun else []
        self._text = begun
        self._forbidden: dict[int, tuple[int, ...]] = {}  # by the place among the tokens
        self._turns = 0
        self._loop: int | None = None

    def read(self, token: Token) -> bool:
        """Take in the hunk's next token; tell whether its text goes round in a loop now."""
        self._tokens.append(token)
        self._text += token.text
        self._loop = loop_in(self._text, again=self._turns > 0)
        return self._loop is not None

    @property
    def line(self) -> str:
        """What there is of the line in progress."""
        return self._text.rpartition("\n")[2]

    def turn(self) -> Turn | None:
        """Go back to where the loop began; None where there is no way left to try.

        That is after `MOST_TURNS` of them, where the hunk was begun with the loop, where the engine does not
        say which token it was, and where it could not be kept from a forbidden one.
        """
        if self._loop is None or self._turns == MOST_TURNS:
            return None
        place = length = 0
        while length + len(self._tokens[place].text) <= self._loop:
            length += len(self._tokens[place].text)
            place += 1
        while place and not self._tokens[place - 1].text:
            place -= 1  # the character that begins here takes several tokens
        id_, tried = self._tokens[place].id, self._forbidden.get(place, ())
        if id_ < 0 or id_ in tried:
            return None
        self._turns += 1
        self._loop = None
        self._forbidden = {at: ids for at, ids in self._forbidden.items() if at < place}
        self._forbidden[place] = (*tried, id_)
        del self._tokens[place:]
        self._text = self._text[:length]
        return Turn(self._text, self._forbidden[place])
