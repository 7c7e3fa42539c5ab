"""The figures of each hour, from the books: what anomalies are looked for in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from eventmint.values import LedgerEntry

HOUR = timedelta(hours=1)
# Events come late: an hour is complete when others have come that are so much later than its end.
GRACE = HOUR


@dataclass
class HourFigures:
    """One UTC hour.

    Attributes:
        valid, events, duplicates: lines by the time of their event, as in `silver.event_hours`.
        revenue, purchases: the same, as in `gold.hourly_revenue`; money as a float, for statistics only.
        received, quarantined: lines by the time at which their file came in: a line that is set aside has no
            time of its own that could be trusted.
    """

    valid: int = 0
    events: int = 0
    duplicates: int = 0
    revenue: float = 0.0
    purchases: int = 0
    received: int = 0
    quarantined: int = 0


def complete_until(entries: Iterable[LedgerEntry], now: datetime) -> datetime | None:
    """Return the end of the last hour that is complete; None where nothing has come in.

    A clock that runs ahead completes nothing: neither an event later than the newest file, nor a file later
    than now.
    """
    landed = [entry for entry in entries if entry.status == "landed"]
    newest_event = max((e.last_event_time for e in landed if e.last_event_time), default=None)
    if newest_event is None:
        return None
    mark = min(newest_event, max(entry.received_at for entry in landed), now) - GRACE
    return mark.replace(minute=0, second=0, microsecond=0)


def hourly_figures(
    books: Iterable[Mapping[str, Any]],
    sales: Iterable[Mapping[str, Any]],
    entries: Collection[LedgerEntry],
    start: datetime,
    end: datetime,
) -> list[HourFigures]:
    """Return one item per hour of `[start, end)`, without gaps, zeros where nothing came.

    It begins after the first hour that has an event, which may be half an hour, and not before the first day
    of which retention keeps the answers.

    Args:
        books, sales: rows of `silver.event_hours` and of `gold.hourly_revenue`.
        entries: what became of every file.
        start, end: full hours, UTC.
    """
    rows = {_hour(row): row for row in books if row["valid"]}
    first = max(start, min(rows, default=end) + HOUR, *_answers_kept_from(entries))
    hours = [HourFigures() for _ in range(max(0, (end - first) // HOUR))]

    def at(moment: datetime) -> HourFigures | None:
        return hours[(moment - first) // HOUR] if first <= moment < end else None

    for moment, row in rows.items():
        if hour := at(moment):
            hour.valid, hour.events, hour.duplicates = row["valid"], row["events"], row["duplicates"]
    for row in sales:
        if hour := at(_hour(row)):
            hour.revenue, hour.purchases = float(row["total_revenue"]), row["transaction_count"]
    for entry in entries:
        if entry.has_lines and (hour := at(entry.received_at)):
            quarantined = entry.quarantined + (entry.quarantined_retained or 0)
            hour.received += entry.valid + (entry.valid_retained or 0) + quarantined
            hour.quarantined += quarantined
    return hours


def _answers_kept_from(entries: Iterable[LedgerEntry]) -> list[datetime]:
    days = (entry.retained_before for entry in entries if entry.path == "gold")
    return [datetime.combine(day, time(), UTC) for day in days if day]


def _hour(row: Mapping[str, Any]) -> datetime:
    return datetime.combine(row["event_date"], time(row["event_hour"]), UTC)
