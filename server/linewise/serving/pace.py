"""How long a draft should be: as long as brings most tokens a second, by what steps were seen to cost.

Reading one more token costs a large model next to nothing, a small one on a single core nearly as much as the
first: so it is measured, for each number of tokens, while generations run. What a draft brings is the sum of
the probabilities that its first token holds, its first two, and so on (Leviathan et al., 2023, section 3.1,
with probabilities that differ). Where no draft is worth its price, none is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from linewise.serving.speculation import LONGEST_DRAFT, Guess, Odds

Speculation: TypeAlias = Literal["auto", "on", "off"]
"""Whether drafts are made: where they pay, always, or never."""

_WEIGHT = 1 / 8  # of the latest measurement in the mean
_AT_FIRST = 0.2  # what a further token is believed to cost: so little that it is tried, and then known
_FORGOTTEN = 1 - 1 / 1024  # a step: what is not done gets cheaper in memory, until it is tried again
_WORTH = 0.9  # of the time without a draft, at most: looking up and going back are not free either
_SPIKE = 4  # times the mean, beyond which a step says more of the machine than of the model


@dataclass
class _Price:
    """Mean price of each further token of a step, in steps of one token; the step that told it last."""

    price: float = _AT_FIRST
    seen: int = 1
    last: int = 0


class Pace:
    """What steps of one token cost, for caches of like length, and how much more those of up to eight do.

    A step that reads as many tokens as the one before is quicker: llama.cpp need not plan it anew. So a draft
    also costs what the single token after it takes longer.
    """

    def __init__(self) -> None:
        self._single: dict[int, float] = {}
        self._prices = {rows: _Price() for rows in range(2, LONGEST_DRAFT + 2)}
        self._change = 0.0  # in steps of one token
        self._steps = 0

    def saw_step(self, cached: int, rows: int, seconds: float, *, like_before: bool = True) -> None:
        """Reading `rows` tokens after `cached` ones took so long; `like_before`: the last read as many."""
        self._steps += 1
        size = cached.bit_length()
        if rows == 1 and not like_before:
            if size in self._single:
                change = max(0.0, min(1.0, seconds / self._single[size] - 1))
                self._change += _WEIGHT * (change - self._change)
        elif rows == 1:
            mean = self._single.setdefault(size, seconds)
            self._single[size] += _WEIGHT * (min(seconds, _SPIKE * mean) - mean)
        elif size in self._single:
            found, single = self._prices[rows], self._single[size]
            # More than another step it cannot cost: the processor was away.
            price = max(0.0, min(1.0, (seconds / single - 1) / (rows - 1)))
            found.seen += 1
            found.price += max(_WEIGHT, 1 / found.seen) * (price - found.price)
            found.last = self._steps

    def length(self, cached: int, guess: Guess, odds: Odds) -> int:
        """How many tokens of `guess` to draft after `cached` ones; 0 for none.

        So many that the step takes least time for each token that it is expected to bring. What each of these
        costs besides, such as being chosen, changes nothing in that.
        """
        if cached.bit_length() not in self._single:
            return 0
        best, least = 0, _WORTH
        expected = probability = 1.0
        for length in range(1, min(LONGEST_DRAFT, len(guess.tokens)) + 1):
            probability *= odds.of(guess.agreeing + length - 1)
            expected += probability
            found = self._prices[length + 1]
            price = found.price * _FORGOTTEN ** (self._steps - found.last)
            cost = (1 + length * price + self._change) / expected
            if cost < least:
                best, least = length, cost
        return best
