"""Anomalies: hours unlike the same hour of the weeks before. Pure; the why is in ADR 0016."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import sqrt

from eventmint.watching.figures import HOUR, HourFigures
from eventmint.watching.series import MOST_OTHERS, Series, distance

# By chance alone about once in ten years of hours, all figures together: see ADR 0016.
ALARM = 4.5
LEAST_CHANGE = 0.2
LEAST_CHANGE_OF_RATE = 0.01
# Below it one large order decides what an hour takes.
LEAST_PURCHASES = 50


@dataclass(frozen=True)
class Deviation:
    """One figure of an hour that is unlike what was expected.

    Attributes:
        figure: `events`, `revenue`, `duplicate_rate` or `quarantine_rate`.
        found, expected: in events, in the shop's currency, or as a share (0 to 1).
        strength: their distance in standard deviations; less than nothing for a drop.
    """

    figure: str
    found: float
    expected: float
    strength: float

    @property
    def change(self) -> float | None:
        """By how much more or less was found, as a share of what was expected; None where that is nothing."""
        return self.found / self.expected - 1 if self.expected else None

    def __str__(self) -> str:
        if self.figure.endswith("_rate"):
            return f"{self.figure} {self.found:.1%} instead of about {self.expected:.1%}"
        change = f" ({self.change:+.0%})" if self.change is not None else ""
        return f"{self.figure} {self.found:,.0f} instead of about {self.expected:,.0f}{change}"


@dataclass(frozen=True)
class Anomaly:
    """An hour with all that is unlike in it.

    Attributes:
        hour: its beginning, UTC.
        deviations: each figure that is unlike.
    """

    hour: datetime
    deviations: tuple[Deviation, ...]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:%M} UTC: {', '.join(map(str, self.deviations))}"


@dataclass(frozen=True)
class Anomalies:
    """What came of looking at the hours of `[start, end)`.

    Attributes:
        start, end: UTC; None where no hour is complete.
        hours: how many were looked at.
        judged: how many of them could be judged, by figure; the others have too little history.
        found: the hours that are unlike, oldest first.
    """

    start: datetime | None = None
    end: datetime | None = None
    hours: int = 0
    judged: dict[str, int] = field(default_factory=dict)
    found: tuple[Anomaly, ...] = ()


def find_anomalies(hours: Sequence[HourFigures], end: datetime, last: int) -> Anomalies:
    """Judge the last so many hours.

    Args:
        hours: complete ones without gaps, the last one ends at `end`; of use are the last
            `series.HOURS_NEEDED + last` of them.
    """
    last = min(last, len(hours))
    judged, unlike = _judge(hours, last)
    found = tuple(
        Anomaly(end - (len(hours) - number) * HOUR, deviations) for number, deviations in unlike.items()
    )
    return Anomalies(end - last * HOUR, end, last, judged, found)


def _judge(
    hours: Sequence[HourFigures], last: int
) -> tuple[dict[str, int], dict[int, tuple[Deviation, ...]]]:
    """Return for each figure how many hours could be judged, and what is unlike by number of the hour."""
    figures = _figures(hours)
    judged = {figure.name: 0 for figure in figures}
    unlike: dict[int, tuple[Deviation, ...]] = {}
    for hour in range(len(hours) - last, len(hours)):
        able = [figure for figure in figures if figure.can_judge(hour)]
        for figure in able:
            judged[figure.name] += 1
        if found := tuple(deviation for figure in able if (deviation := figure.deviation(hour))):
            unlike[hour] = found
    return judged, unlike


def _figures(hours: Sequence[HourFigures]) -> tuple[_Figure, ...]:
    events = Series([float(hour.events) for hour in hours])
    lately = hours[-MOST_OTHERS:]
    taken, orders = sum(hour.revenue for hour in lately), sum(hour.purchases for hour in lately)
    order = taken / orders if taken and orders else 1.0
    # What traffic swings, revenue swings too; its own median would mix that up with the size of orders.
    revenue = Series([hour.revenue / order for hour in hours])
    duplicates = Series([float(hour.duplicates) for hour in hours], [float(hour.valid) for hour in hours])
    bad = Series([float(hour.quarantined) for hour in hours], [float(hour.received) for hour in hours])
    return (
        _Figure("events", events, events.swing),
        _Figure("revenue", revenue, events.swing, revenue.chance, LEAST_PURCHASES, order),
        _Figure("duplicate_rate", duplicates, duplicates.swing),
        _Figure("quarantine_rate", bad, bad.swing),
    )


@dataclass(frozen=True)
class _Figure:
    """What is judged: a level, which may be too low or too high, or a rate, which may be too high.

    Attributes:
        swing, chance: how much larger than that of a count its variance is, by hour.
        least: what must be expected at least, or nobody can say.
        unit: what one of its series is in the figure's own unit; of a rate it is the hour's base.
    """

    name: str
    series: Series
    swing: Callable[[int], float]
    chance: Callable[[int], float] = lambda _: 1.0
    least: float = 0.0
    unit: float = 1.0

    def can_judge(self, hour: int) -> bool:
        expected = self.series.expected.get(hour)
        return expected is not None and expected.low >= self.least and self.series.has_others(hour)

    def deviation(self, hour: int) -> Deviation | None:
        value, expected = self.series.values[hour], self.series.expected[hour]
        base = self.series.bases[hour] if self.series.bases else 0.0
        nearest = max(min(value, expected.high), 0.0 if base else expected.low)
        spread = self.chance(hour) * expected.noise + self.swing(hour) * nearest
        strength = distance(value, nearest) / sqrt(spread)
        least_change = max(LEAST_CHANGE * nearest, LEAST_CHANGE_OF_RATE * base)
        if abs(strength) < ALARM or abs(value - nearest) < least_change:
            return None
        unit = 1 / base if base else self.unit
        return Deviation(self.name, value * unit, nearest * unit, strength)
