"""The laws: equations between counts that come from different places. A run that breaks one has failed.

1. lines = blank + valid + quarantined (+ suppressed, of forgotten people) (+ retained, which retention has
   removed since), per file: lines counted from the bytes, the rest from verdicts;
   rows of bronze = valid + quarantined: rows counted by Iceberg.
2. valid = events + duplicates, per day: each counted from its own rows; events = rows of silver, by Iceberg.
3. per day: every answer adds up to silver, in events and to the last decimal in money.

Of a day that retention has removed from a layer, the books tell what there was: no row of it is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from eventmint.values import Law, LedgerEntry, Totals


@dataclass(frozen=True)
class DayBook:
    """One UTC day as every table sees it.

    Attributes:
        is_closed: whether retention has removed its lines: its counts are those of then.
        has_silver, has_gold: whether silver and gold still keep it.
    """

    valid: int = 0
    events: int = 0
    duplicates: int = 0
    key_conflicts: int = 0
    amount: Decimal = Decimal(0)
    silver_rows: int = 0
    category_events: int = 0
    activity_events: int = 0
    category_revenue: Decimal = Decimal(0)
    funnel_revenue: Decimal = Decimal(0)
    hourly_revenue: Decimal = Decimal(0)
    is_closed: bool = False
    has_silver: bool = True
    has_gold: bool = True


def laws_of_files(entries: Iterable[LedgerEntry]) -> Iterator[Law]:
    for entry in entries:
        if entry.has_lines:
            suppressed, retained = entry.lines_suppressed or 0, entry.lines_retained
            terms = "lines = blank + valid + quarantined"
            yield Law(
                "lines",
                f"bronze.ingested_files {entry.path}",
                terms + (" + suppressed" if suppressed else "") + (" + retained" if retained else ""),
                entry.lines,
                entry.blank + entry.valid + entry.quarantined + suppressed + retained,
            )


def laws_of_lake(ledger_rows: int, bronze_rows: int, live_valid: int, lake: Totals) -> Iterator[Law]:
    """The laws over all files and days.

    Args:
        ledger_rows: valid + quarantined lines of every content.
        bronze_rows: rows of bronze.events.
        live_valid: valid lines, still in bronze, of the contents that count.
        lake: the books of silver added up over all days whose lines bronze has.
    """
    yield Law("rows", "bronze.events", "valid + quarantined = rows", ledger_rows, bronze_rows)
    yield Law(
        "events",
        "silver.event_hours",
        "valid lines of live files = valid lines of all hours",
        live_valid,
        lake.valid,
    )


def laws_of_days(days: Mapping[date, DayBook]) -> Iterator[Law]:
    for day, book in sorted(days.items()):
        noted = ", counted before retention removed the lines" if book.is_closed else ""
        yield Law(
            "events",
            f"silver.event_hours {day}",
            f"valid = events + duplicates{noted}",
            book.valid,
            book.events + book.duplicates,
        )
        silver = f"silver.events_cleaned {day}"
        if book.has_silver:
            yield Law("events", silver, "events = rows", book.events, book.silver_rows)
        else:
            yield Law("events", silver, "rows that retention has left = 0", book.silver_rows, 0)
        if not book.has_gold:
            left = book.category_events + book.activity_events
            yield Law("answers", f"gold {day}", "events that retention has left = 0", left, 0)
            continue
        yield Law(
            "answers",
            f"gold.category_performance {day}",
            "sum of events = silver events",
            book.category_events,
            book.events,
        )
        yield Law(
            "answers",
            f"gold.user_activity {day}",
            "events = silver events",
            book.activity_events,
            book.events,
        )
        for table, revenue in (
            ("hourly_revenue", book.hourly_revenue),
            ("conversion_funnel", book.funnel_revenue),
            ("category_performance", book.category_revenue),
        ):
            yield Law("money", f"gold.{table} {day}", "sum of revenue = silver amount", revenue, book.amount)


def first_broken(laws: Iterable[Law]) -> Law | None:
    return next((law for law in laws if not law.holds), None)
