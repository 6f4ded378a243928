"""Leads a hunk out of a loop, and away from what could only be dropped, while it is being written.

A small model that takes the likeliest token each time writes the same lines again and again. What stands
before the first repetition is often of use. So generation goes back to there, and the token that began the
repetition may not come next: the second likeliest does. Where that leads into a loop at the same place, the
third, and so on. It costs the tokens of the loop; all before it is in the engine's cache.

A problem that nothing can mend any more (`linewise.verify.protocol.EarlyProblem`) is led away from in the
same way: back to the token that caused it.

docs/evaluation.md has what loops were measured against: to go back to the least certain token of the
repetition, to penalize tokens that repeat, and to end the hunk; and what the second way brings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from linewise.assistant.repetition import loop_in
from linewise.engines.protocol import Token
from linewise.verify.protocol import EarlyProblem

MOST_TURNS = 16  # of one hunk out of loops; nearly all that come to an end have come to it by then
PATIENCE = 3  # loops of one hunk after which a text that goes round is closed in the model's place
MOST_AVERTED = 16  # turns of one hunk away from problems
MOST_THERE = 4  # ways of those that are tried at one token
MOST_SPENT = 224  # tokens that one hunk has cost, those taken back too, after which it is led no further

_NUMBER = re.compile(r"\d+")


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
        self._turns = self._averted = self._spent = 0
        self._moved = self._went_on = False  # to another place; where it was to end
        self._loop: int | None = None

    def read(self, token: Token) -> bool:
        """Take in the hunk's next token; tell whether its text goes round in a loop now."""
        self._tokens.append(token)
        self._text += token.text
        self._spent += 1
        self._loop = loop_in(self._text, again=self._turns > 0)
        return self._loop is not None

    @property
    def line(self) -> str:
        """What there is of the line in progress."""
        return self._text.rpartition("\n")[2]

    def turn(self, closing: Callable[[int], str] = lambda _: "") -> Turn | None:
        """Go back to where the loop began; None where there is no way left to try.

        That is after `MOST_TURNS` of them, where the hunk was begun with the loop, where the engine does not
        say which token it was, and where it could not be kept from a forbidden one. `closing` tells which
        lines end the text, such as a docstring, that so many added lines leave open.
        """
        if self._loop is None or self._turns == MOST_TURNS:
            return None
        turn = self._back_to(self._loop)
        if turn is None:
            return None
        self._turns += 1
        if self._turns >= PATIENCE and self._text.endswith("\n"):
            rest = closing(self._text.count("\n") - 1)
            return self._given(rest) if rest else turn
        return turn

    def avert(
        self, problem: EarlyProblem, added: Sequence[str], ends: tuple[int, ...], elsewhere: str
    ) -> Turn | None:
        """Go back to what caused `problem` in a hunk with the lines `added`; None where that cannot be.

        `ends` are the tokens that end a hunk; `elsewhere` is how it begins where it could stand instead, if
        that is known. It cannot be for the same reasons as in `turn`, and where the text of the hunk does
        not have its lines one after another, below one header.
        """
        if self._averted == MOST_AVERTED or self._spent >= MOST_SPENT:
            return None
        turn: Turn | None
        if problem.closing:
            turn = self._given(problem.closing)
        elif problem.where == "place" and elsewhere and not self._moved:
            self._tokens, self._text, self._forbidden, self._moved = [], "", {}, True
            turn = self._given(elsewhere)
        elif problem.where == "end" and not self._went_on:
            self._went_on = True
            turn = self._instead(len(self._tokens), len(self._text), ends)
        else:
            place = self._place(problem, added)
            turn = None if place is None else self._back_to(place, MOST_THERE)
        self._averted += turn is not None
        return turn

    def _given(self, text: str) -> Turn:
        """Go on after `text`, written in the model's place."""
        self._tokens.append(Token(-1, text, math.nan))
        self._text += text
        self._loop = None
        return Turn(self._text)

    def _place(self, problem: EarlyProblem, added: Sequence[str]) -> int | None:
        """The character of the text that caused `problem`: of the header's number, or of a line."""
        header, *lines = self._text.split("\n")
        if problem.where == "place":
            number = _NUMBER.search(header)
            return number.end() - 1 if number else None
        # A control token within a line ends the hunk for the model, and is a part of the line for the parser.
        if len(lines) <= len(added) or not all(
            text.endswith(one) for text, one in zip(lines, added, strict=False)
        ):
            return None
        before, line = lines[: problem.line], lines[problem.line]
        sign = len(line) - len(added[problem.line])
        return len(header) + 1 + sum(len(text) + 1 for text in before) + sign + problem.column

    def _back_to(self, character: int, most: int = MOST_TURNS) -> Turn | None:
        """Go back to before the token that has `character` of the text, which may not come again.

        None where it is not known, was forbidden, or `most` others were.
        """
        place = length = 0
        while length + len(self._tokens[place].text) <= character:
            length += len(self._tokens[place].text)
            place += 1
        while place and not self._tokens[place - 1].text:
            place -= 1  # the character that begins here takes several tokens
        id_ = self._tokens[place].id
        return None if id_ < 0 else self._instead(place, length, (id_,), most)

    def _instead(self, place: int, length: int, ids: tuple[int, ...], most: int = MOST_TURNS) -> Turn | None:
        """Go on from the token at `place`, `length` characters into the text, with none of `ids`."""
        tried = self._forbidden.get(place, ())
        if not ids or set(ids) & set(tried) or len(tried) >= most:
            return None
        self._loop = None
        self._forbidden = {at: old for at, old in self._forbidden.items() if at < place}
        self._forbidden[place] = (*tried, *ids)
        del self._tokens[place:]
        self._text = self._text[:length]
        return Turn(self._text, self._forbidden[place])
