"""Four weeks of a shop with the ups and downs of its days, hour by hour."""

from __future__ import annotations

import math
import random

from eventmint.watching.figures import HourFigures
from eventmint.watching.series import WEEK

FOUR_WEEKS = 4 * WEEK
ORDERS, REPEATS, BAD = 0.04, 0.06, 0.01  # of the events


def poisson(rng: random.Random, mean: float) -> int:
    if mean > 60:  # no test could tell it from a normal variable
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    count, product = -1, 1.0
    while product > math.exp(-mean):
        product *= rng.random()
        count += 1
    return count


def taken(rng: random.Random, orders: int) -> float:
    """The sum of so many orders, a few of which are large."""
    if orders > 100:  # as for the counts
        return rng.gauss(27.66 * orders, 26.19 * math.sqrt(orders))
    return math.fsum(rng.lognormvariate(3, 0.8) for _ in range(orders))


def seasonal_weeks(
    seed: int, level: float, *, hours: int = FOUR_WEEKS, swing: float = 0.0, growth: float = 0.0
) -> list[HourFigures]:
    """Return hours of a shop: nights with a fifth of the days' events, weekends with a third more.

    Args:
        level: events of a mean hour.
        swing: standard deviation of what an hour has beyond chance, as a share.
        growth: from one week to the next, as a share.
    """
    rng = random.Random(seed)
    made = []
    for hour in range(hours):
        of_day = 1 + 0.7 * math.sin(2 * math.pi * (hour % 24 - 9) / 24)
        of_week = 1.33 if hour // 24 % 7 >= 5 else 1.0
        mean = level * of_day * of_week * (1 + growth) ** (hour / WEEK) * max(0.0, rng.gauss(1, swing))
        events, repeats, bad, orders = (poisson(rng, mean * share) for share in (1, REPEATS, BAD, ORDERS))
        revenue = taken(rng, orders)
        lines = events + repeats
        made.append(HourFigures(lines, events, repeats, revenue, orders, lines + bad, bad))
    return made


def dropped(hour: HourFigures, share: float) -> HourFigures:
    """Return an hour that has lost this share of everything."""
    kept = 1 - share
    counts = (hour.valid, hour.events, hour.duplicates, hour.purchases, hour.received, hour.quarantined)
    valid, events, duplicates, purchases, received, bad = (round(count * kept) for count in counts)
    return HourFigures(valid, events, duplicates, hour.revenue * kept, purchases, received, bad)
