"""Counts of whole numbers: mean and quantiles exactly, and bins for a histogram."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

MOST_BINS = 32


@dataclass(frozen=True, slots=True)
class Bins:
    """Equally wide bins: bin `k` begins at `first + k * width`; an open last one holds all above, too."""

    first: int
    width: int
    count: int
    open_ended: bool
    """Whether the last bin holds values beyond its width."""

    def start(self, at: int) -> int:
        """The least value of bin `at`."""
        return self.first + at * self.width

    def name(self, at: int) -> str:
        """The values of bin `at`, for people: "7", "10 to 14" or "60 or more"."""
        start, end = self.start(at), self.start(at + 1) - 1
        if at == self.count - 1 and self.open_ended:
            return f"{start} or more"
        return str(start) if start == end else f"{start} to {end}"


class Tally:
    """How often each whole number was seen. Memory grows with how many different numbers there are."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.size = 0
        self.total = 0

    def add(self, value: int) -> None:
        """See `value` once more."""
        self._counts[value] += 1
        self.size += 1
        self.total += value

    @property
    def mean(self) -> float:
        """The arithmetic mean; 0 where nothing was seen."""
        return self.total / self.size if self.size else 0.0

    def quantile(self, share: float) -> int:
        """The least value that at least `share` (0 to 1) of all do not exceed; 0 where nothing was seen."""
        seen = 0
        for value in sorted(self._counts):
            seen += self._counts[value]
            if seen >= share * self.size:
                return value
        return 0

    @property
    def least(self) -> int:
        """The smallest value; 0 where nothing was seen."""
        return min(self._counts, default=0)

    @property
    def most(self) -> int:
        """The largest value; 0 where nothing was seen."""
        return max(self._counts, default=0)

    def shares(self, bins: Bins) -> tuple[float, ...]:
        """The share of all values, 0 to 1, that lies in each bin."""
        counts = [0] * bins.count
        for value, times in self._counts.items():
            counts[min((value - bins.first) // bins.width, bins.count - 1)] += times
        return tuple(times / max(1, self.size) for times in counts)


def common_bins(tallies: Sequence[Tally]) -> Bins:
    """Bins for all of `tallies`: up to where one in a hundred is above, then one open bin for the rest."""
    least = min(tally.least for tally in tallies)
    most = max(tally.most for tally in tallies)
    end = max(tally.quantile(0.99) for tally in tallies)
    width = next(width for width in _round_widths() if (end - least) // width < MOST_BINS - 1)
    first = least // width * width
    inner = (end - first) // width + 1
    open_ended = most >= first + inner * width
    return Bins(first, width, inner + open_ended, open_ended)


def _round_widths() -> Iterator[int]:
    for power in count():
        yield from (10**power, 2 * 10**power, 5 * 10**power)
