"""A figure of every hour, and what each hour should have by the others. Pure; the why is in ADR 0016.

An hour is held against the same hour of the week in up to eight weeks before, each brought to today's level
by the hours between. The hour itself is in none of what it is held against. Figures are compared as square
roots, for which chance has the same size at every level: two events instead of five are no news.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import sqrt
from statistics import fmean, median, median_high, median_low

DAY = 24
WEEK = 7 * DAY
MOST_WEEKS = 8
# Two may differ by chance or because one of them was an anomaly itself: an hour must be beyond both.
LEAST_WEEKS = 2
LEAST_HOURS_OF_LEVEL = DAY
# A week with less than a quarter of today's level, or more than four times it, was another shop.
LARGEST_CHANGE_OF_LEVEL = 4.0
# How much hours swing is measured on so many others at least, and on four weeks of them at most.
LEAST_OTHERS = 24
MOST_OTHERS = 4 * WEEK
# Before the hours that are judged.
HOURS_NEEDED = MOST_OTHERS + (MOST_WEEKS + 1) * WEEK

_MEDIAN_OF_SQUARE = 0.4549  # of a standard normal variable
_LOSS_OF_MEDIAN = 1.57  # its variance against that of the mean
_ROOT = 0.375  # sqrt(x + 3/8) of a Poisson variable has nearly the same variance for every mean


@dataclass(frozen=True)
class Expected:
    """What an hour should have: the median of the weeks before, `low` to `high` where these are even.

    `noise` is the variance of the distance by chance alone: that of the hour, and that of the median.
    """

    low: float
    high: float
    noise: float

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2


@dataclass
class Series:
    """One figure of every hour, counted in what comes by chance: events, lines, orders.

    Args: bases: for a rate, what it is a share of.
    """

    values: Sequence[float]
    bases: Sequence[float] = ()
    _sums: list[float] = field(init=False)
    expected: dict[int, Expected] = field(init=False)
    _others: frozenset[int] = field(init=False)
    _swings: list[float] = field(init=False)
    _chances: list[float] = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.values)
        self._sums = [0.0, *accumulate(self.values)]
        found = ((hour, self._expect(hour)) for hour in range(count))
        self.expected = {hour: expected for hour, expected in found if expected}
        self._others = frozenset(hour for hour in self.expected if hour >= count - MOST_OTHERS)
        self._swings = sorted(map(self._swing_of, self._others))
        self._chances = sorted(map(self._chance_of, self._others))

    def has_others(self, hour: int) -> bool:
        return len(self._others) - (hour in self._others) >= LEAST_OTHERS

    def swing(self, hour: int) -> float:
        """How much other hours swing beyond chance: the variance of their ratio to what was expected."""
        return max(0.0, self._median_of_others(self._swings, self._swing_of, hour))

    def chance(self, hour: int) -> float:
        """How much larger chance is than if all orders were alike: by the other hours, at least 1."""
        return max(1.0, self._median_of_others(self._chances, self._chance_of, hour))

    def _median_of_others(self, ordered: list[float], of: Callable[[int], float], hour: int) -> float:
        others = ordered
        if hour in self._others:
            own = bisect_left(ordered, of(hour))
            others = ordered[:own] + ordered[own + 1 :]
        return median(others) if others else 0.0

    def _swing_of(self, hour: int) -> float:
        found = self.expected[hour]
        square = distance(self.values[hour], found.middle) ** 2
        return (square / _MEDIAN_OF_SQUARE - found.noise) / max(found.middle, 1.0)

    def _chance_of(self, hour: int) -> float:
        found = self.expected[hour]
        return distance(self.values[hour], found.middle) ** 2 / _MEDIAN_OF_SQUARE / found.noise

    def _expect(self, hour: int) -> Expected | None:
        references = [*self._references(hour)]
        if len(references) < LEAST_WEEKS:
            return None
        levelled = [value for value, _ in references]
        noise = 1 + _LOSS_OF_MEDIAN * fmean(level for _, level in references) / len(references)
        return Expected(median_low(levelled), median_high(levelled), noise)

    def _references(self, hour: int) -> Iterator[tuple[float, float]]:
        """The same hour of the weeks before at today's level, and the factor that brought it there."""
        for then in range(hour - WEEK, max(-1, hour - (MOST_WEEKS + 1) * WEEK), -WEEK):
            level = self._level(hour, then)
            if 1 / LARGEST_CHANGE_OF_LEVEL <= level <= LARGEST_CHANGE_OF_LEVEL:
                yield self.values[then] * level, level

    def _level(self, hour: int, then: int) -> float:
        """How much larger an hour should be than the one then, by what is around them; 0 if nobody knows."""
        if self.bases:
            return self.bases[hour] / self.bases[then] if self.bases[then] else 0.0
        span = min(WEEK, then)
        before = self._sums[then] - self._sums[then - span]
        if span < LEAST_HOURS_OF_LEVEL or not before:
            return 0.0
        return (self._sums[hour] - self._sums[hour - span]) / before


def distance(value: float, expected: float) -> float:
    return 2 * (sqrt(value + _ROOT) - sqrt(expected + _ROOT))
