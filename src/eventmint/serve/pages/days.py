"""The days that a page tells of: which there are, which are offered, and those before them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pyarrow as pa

# Runs one of our own statements with its parameters over one state of the published tables.
Ask = Callable[[str, Sequence[Any]], pa.Table]

# Condition of the days, with two parameters: see `Days.bounds`.
BETWEEN = "event_date >= ? AND event_date < ?"
_PRESETS = {"7": 7, "30": 30, "90": 90}


@dataclass(frozen=True)
class Days:
    """UTC days, half-open, with the name by which a page offers them."""

    start: date
    end: date
    label: str = ""

    @property
    def count(self) -> int:
        return (self.end - self.start).days

    @property
    def each(self) -> list[date]:
        return [self.start + timedelta(days=n) for n in range(self.count)]

    @property
    def bounds(self) -> tuple[date, date]:
        return self.start, self.end

    @property
    def before(self) -> Days:
        """As many days, directly before."""
        return Days(self.start - timedelta(days=self.count), self.start)

    def within(self, other: Days) -> Days | None:
        """The days that are also the other's; None where there are none."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Days(start, end) if start < end else None

    @property
    def text(self) -> str:
        first, last = self.start, self.end - timedelta(days=1)
        told = f"{last.day} {last:%b} {last.year} (UTC)"
        if first == last:
            return told
        year = "" if first.year == last.year else f" {first.year}"
        return f"{first.day} {first:%b}{year} to {told}"


def known_days(ask: Ask) -> Days | None:
    """Return the days from the first to the last with events; None where there are no events."""
    sql = "SELECT MIN(event_date) AS first, MAX(event_date) AS last FROM gold.user_activity"
    [row] = ask(sql, []).to_pylist()
    return Days(row["first"], row["last"] + timedelta(days=1), "All days") if row["first"] else None


def presets(known: Days) -> dict[str, Days]:
    """Return the periods that are offered: the last days up to the newest, where there are more, and all."""
    found = {
        name: Days(known.end - timedelta(days=count), known.end, f"Last {count} days")
        for name, count in _PRESETS.items()
        if count < known.count
    }
    return {**found, "all": known}


def told(count: int) -> str:
    return f"{count:,} day{'' if count == 1 else 's'}"
