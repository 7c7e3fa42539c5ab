"""Anomalies once more, after the text of ADR 0016 alone: loops, no shortcuts. Slow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from eventmint.watching.figures import HourFigures

Found = dict[tuple[int, str], tuple[float, float, float]]


def median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def distance(value: float, expected: float) -> float:
    return 2 * (sqrt(value + 3 / 8) - sqrt(expected + 3 / 8))


def expectation(
    values: list[float], bases: list[float] | None, hour: int
) -> tuple[float, float, float] | None:
    levelled, factors = [], []
    for weeks in range(1, 9):
        then = hour - 168 * weeks
        if then < 0:
            continue
        if bases is not None:
            if bases[then] == 0:
                continue
            factor = bases[hour] / bases[then]
        else:
            span = min(168, then)
            now_sum = sum(values[hour - n] for n in range(1, span + 1))
            then_sum = sum(values[then - n] for n in range(1, span + 1))
            if span < 24 or then_sum == 0:
                continue
            factor = now_sum / then_sum
        if 0.25 <= factor <= 4:
            levelled.append(values[then] * factor)
            factors.append(factor)
    if len(levelled) < 2:
        return None
    levelled.sort()
    count = len(levelled)
    noise = 1 + 1.57 * (sum(factors) / count) / count
    return levelled[(count - 1) // 2], levelled[count // 2], noise


@dataclass
class Slow:
    """One figure; `bases` only of a rate."""

    values: list[float]
    bases: list[float] | None = None
    unit: float = 1.0
    least: float = 0.0

    def __post_init__(self) -> None:
        expectations = {n: expectation(self.values, self.bases, n) for n in range(len(self.values))}
        self.known = {n: found for n, found in expectations.items() if found}

    def others(self, hour: int) -> list[tuple[float, float, float]]:
        """Of the other hours: squared distance, the middle of what was expected, noise."""
        found = []
        for n, (low, high, noise) in self.known.items():
            if n != hour and n >= len(self.values) - 4 * 168:
                middle = (low + high) / 2
                found.append((distance(self.values[n], middle) ** 2, middle, noise))
        return found

    def swing(self, hour: int) -> float:
        ratios = [(d / 0.4549 - noise) / max(m, 1.0) for d, m, noise in self.others(hour)]
        return max(0.0, median(ratios)) if ratios else 0.0

    def chance(self, hour: int) -> float:
        return max(1.0, median([d / 0.4549 / noise for d, _, noise in self.others(hour)]))

    def unlike(self, hour: int, swing: float, *, has_own_chance: bool) -> tuple[float, float, float] | None:
        if hour not in self.known or len(self.others(hour)) < 24 or self.known[hour][0] < self.least:
            return None
        low, high, noise = self.known[hour]
        value = self.values[hour]
        if self.bases is not None:
            expected, unit, least_change = min(value, high), 1 / self.bases[hour], 0.01 * self.bases[hour]
        else:
            expected, unit, least_change = (low if value < low else min(value, high)), self.unit, 0.0
        spread = noise * (self.chance(hour) if has_own_chance else 1.0) + swing * expected
        strength = distance(value, expected) / sqrt(spread)
        if abs(strength) < 4.5 or abs(value - expected) < max(0.2 * expected, least_change):
            return None
        return value * unit, expected * unit, strength


def slow_anomalies(hours: list[HourFigures], last: int) -> Found:
    """Return found, expected and strength of each anomaly, by hour and figure."""
    lately = hours[-4 * 168 :]
    orders, taken = sum(hour.purchases for hour in lately), sum(hour.revenue for hour in lately)
    order = taken / orders if taken and orders else 1.0
    figures = {
        "events": Slow([float(h.events) for h in hours]),
        "revenue": Slow([h.revenue / order for h in hours], unit=order, least=50),
        "duplicate_rate": Slow([float(h.duplicates) for h in hours], [float(h.valid) for h in hours]),
        "quarantine_rate": Slow([float(h.quarantined) for h in hours], [float(h.received) for h in hours]),
    }
    unlike: Found = {}
    for hour in range(len(hours) - last, len(hours)):
        for name, figure in figures.items():
            swing = (figures["events"] if name == "revenue" else figure).swing(hour)
            if found := figure.unlike(hour, swing, has_own_chance=name == "revenue"):
                unlike[hour, name] = found
    return unlike
