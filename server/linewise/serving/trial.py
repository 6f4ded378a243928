"""Which of two ways to do a thing is quicker, found out by trying while it is done.

What is quicker depends on the model, on the processor and on what else runs there, and changes meanwhile. So
the way that is not in use is tried now and then: seldom, where it keeps losing, but at once where the way in
use takes longer than it last did.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Generic, TypeVar

Way = TypeVar("Way")

_BEFORE_FIRST = 4  # steps: where the machine is busy, the first way may take many times as long
_FIRST_INTERVAL, _LONGEST_INTERVAL = 16, 1024  # steps from one trial to the next
_TRIAL = 3  # steps: what one took may be chance
_GAIN = 0.95  # of the time, at most, to be worth a change
_HOPELESS = 2.5  # times the time, after which one step is trial enough


class Trial(Generic[Way]):
    """Two ways of doing a step, of which `first` is used until `other` proves quicker."""

    def __init__(self, first: Way, other: Way) -> None:
        self._way, self._other = first, other
        self._seconds: deque[float] = deque(maxlen=_TRIAL)
        self._tried: list[float] = []
        self._until, self._interval = _BEFORE_FIRST, _FIRST_INTERVAL
        self._others = math.inf  # what a step took the other way when that was last in use or tried

    @property
    def is_trying(self) -> bool:
        """Whether the next step is a trial of the way that is not in use."""
        return self._until == 0

    def choose(self) -> Way:
        """The way to do the next step."""
        return self._other if self.is_trying else self._way

    def saw(self, seconds: float) -> None:
        """The step that was last chosen for took so long, or so long for each of what it brought."""
        if not self.is_trying:
            self._seconds.append(seconds)
            self._until -= 1
            if len(self._seconds) == _TRIAL and _GAIN * min(self._seconds) > self._others:
                self._until = 0
            return
        self._tried.append(seconds)
        # The quickest of each: a step that the processor was taken away from says little.
        usual = min(self._seconds)
        if len(self._tried) < _TRIAL and seconds < _HOPELESS * usual:
            return
        if len(self._tried) == _TRIAL and min(self._tried) < _GAIN * usual:
            self._way, self._other = self._other, self._way
            self._others = usual
            self._seconds.clear()
            self._seconds.extend(self._tried)
            self._interval = _FIRST_INTERVAL
        else:
            self._others = min(self._tried)
            self._interval = min(_LONGEST_INTERVAL, 2 * self._interval)
        self._until = self._interval
        self._tried.clear()
