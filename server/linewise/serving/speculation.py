"""Drafts of what comes next, looked up in the document's own tokens (prompt-lookup decoding).

Edits copy much: run-ups repeat lines of the document, and a hunk written again repeats the one that was
struck. A draft is what followed the last time that the latest tokens stood there. The model reads it in one
step together with the token before it, and its own choice after each drafted token says how much of the
draft holds: what is kept is what it would have chosen, draft or no draft, so the draft changes the speed
alone. `Pace` measures whether it changes it for the better.

Source: Saxena, "Prompt Lookup Decoding", 2023; the check of drafts is Leviathan et al., "Fast Inference from
Transformers via Speculative Decoding", 2023, for drafts that are certain of themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LONGEST_DRAFT = 7
"""Tokens: with the one before it, eight are read at once. A keystroke may have to wait that long."""

SHORTEST_MATCH, LONGEST_MATCH = 2, 8
_FIRST_DRAFT = 3
_PART = 0  # stands between texts in a history; token ids are kept one higher


class History:
    """The tokens that drafts are looked up in: `earlier` ones, such as a struck hunk's, then its own."""

    def __init__(self, earlier: Sequence[int], tokens: Sequence[int]) -> None:
        self._ids: NDArray[np.int32] = np.zeros(len(earlier) + len(tokens) + 257, np.int32)
        self._begin = len(earlier) + 1
        self._end = self._begin
        self._ids[: len(earlier)] = np.array(earlier, np.int32) + 1
        self.extend(tokens)

    def extend(self, tokens: Sequence[int]) -> None:
        """Add the generation's next tokens."""
        end = self._end + len(tokens)
        if end > self._ids.size:
            self._ids = np.concatenate([self._ids, np.zeros(end, np.int32)])
        self._ids[self._end : end] = np.array(tokens, np.int32) + 1
        self._end = end

    def __len__(self) -> int:
        """How many of the generation's tokens it has."""
        return self._end - self._begin

    def draft(self, most: int) -> list[int]:
        """At most `most` tokens that may come next; empty where the latest ones stood nowhere before.

        Of several places, the one where most of the latest tokens agree counts, and of those the last.
        """
        ids = self._ids[: self._end]
        if len(self) < SHORTEST_MATCH:
            return []
        places = np.flatnonzero(ids[:-1] == ids[-1])
        for back in range(2, LONGEST_MATCH + 1):
            agreeing = places[places >= back - 1]
            agreeing = agreeing[ids[agreeing - back + 1] == ids[-back]]
            if not agreeing.size:
                if back <= SHORTEST_MATCH:
                    return []
                break
            places = agreeing
        start = int(places[-1]) + 1
        # Where the match is nearer to the end than that, the text goes round in a circle.
        found = ids[start : start + most]
        if found.size < most:
            found = np.resize(found, most)
        parts = np.flatnonzero(found == _PART)
        return [int(id_) - 1 for id_ in (found[: parts[0]] if parts.size else found)]


class Pace:
    """Whether drafts pay in one document, and how long they should be.

    It compares the seconds that a token took with a draft and without. Where drafts lose, none is made for a
    while, and for longer each time.
    """

    _WEIGHT = 1 / 8  # of the latest measurement in the mean
    _TRIALS = 6  # drafts before a verdict
    _RECHECK = 32  # drafts, after which one step goes without, to know what that costs now
    _FIRST_REST, _LONGEST_REST = 32, 1024  # tokens

    def __init__(self, *, always: bool = False) -> None:
        """With `always`, drafts are as long as they can be, whether they pay or not."""
        self._always = always
        self._plain: float | None = None
        self._drafted: float | None = None
        self._drafts = 0
        self._resting = 0
        self._rest = self._FIRST_REST
        self._length = _FIRST_DRAFT

    def wanted(self) -> int:
        """How many tokens the next draft should have; 0 for none."""
        if self._always:
            return LONGEST_DRAFT
        if self._plain is None or self._resting > 0 or self._drafts % self._RECHECK == self._RECHECK - 1:
            return 0
        return self._length

    def saw_plain(self, seconds: float) -> None:
        """A step without a draft took `seconds` for its one token."""
        self._plain = self._mean(self._plain, seconds)
        self._resting = max(0, self._resting - 1)
        if self._drafts % self._RECHECK == self._RECHECK - 1:
            self._drafts += 1

    def saw_draft(self, drafted: int, accepted: int, seconds: float) -> None:
        """A step with a draft of `drafted` tokens took `seconds`, and `accepted` of them held."""
        self._drafted = self._mean(self._drafted, seconds / (accepted + 1))
        self._drafts += 1
        if accepted == drafted:
            self._length = min(LONGEST_DRAFT, 2 * self._length + 1)
        elif accepted < drafted / 2:
            self._length = max(1, self._length // 2)
        if self._drafts >= self._TRIALS and self._plain is not None:
            if self._drafted > self._plain:
                self._resting, self._rest = self._rest, min(self._LONGEST_REST, 2 * self._rest)
                self._drafted, self._drafts, self._length = None, 0, _FIRST_DRAFT
            else:
                self._rest = self._FIRST_REST

    def _mean(self, mean: float | None, seconds: float) -> float:
        if mean is None:
            return seconds
        # One step that the processor was taken away from shall not decide.
        return mean + self._WEIGHT * (min(seconds, 4 * mean) - mean)
