"""The audit: collects what every table says of a day or of the lake and holds it to the laws.

After a run it looks at the days that changed, at little cost; `verify` counts everything again from the rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

from eventmint import laws
from eventmint.bronze.ledger import Ledger
from eventmint.contracts import ANSWERS, contract
from eventmint.engine.protocol import Session
from eventmint.errors import LawBroken
from eventmint.laws import DayBook
from eventmint.pipeline import Run, books_in, count_books, lines_of
from eventmint.silver.hours import Books, HourBook
from eventmint.storage import missing
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.plan import changes_since, live_files, row_count
from eventmint.values import DayRange, Law, Totals

_CHECKED_TABLES = ("bronze.events", "silver.events_cleaned", *(f"gold.{answer}" for answer in ANSWERS))
_BOOK_TERMS = tuple(item.name for item in dataclasses.fields(HourBook))


def laws_of_run(run: Run, checked_seq: int) -> tuple[Law, ...]:
    """Check the files that a run took in, the lake's sums, and every day that changed since the laws were
    last found to hold, whichever run changed it.

    Args:
        checked_seq: number of the last batch up to which they were.
    """
    silver = contract("silver.events_cleaned")
    table = run.catalog.load(silver)
    changes = changes_since(table, silver, checked_seq)
    run.days |= changes.days if changes else {file.day for file in live_files(table, silver) if file.day}
    books = read_books(run.catalog)
    return (
        *laws.laws_of_files(run.entries),
        *_laws_of_lake(run, books),
        *laws.laws_of_days(_day_books(run, run.days, books)),
    )


def laws_of_everything(run: Run) -> tuple[Law, ...]:
    """Check every file, day and hour, with all terms of silver counted again from the rows.

    Raises: LawBroken: a file is missing.
    """
    rows = tuple(_rows_of_tables(run))
    noted = read_books(run.catalog)
    silver = contract("silver.events_cleaned")
    days = {day for day, _ in noted} | {
        file.day for file in live_files(run.catalog.load(silver), silver) if file.day
    }
    counted = count_books(run, sorted(day for day in days if not run.is_closed(day)))
    closed = {hour: book for hour, book in noted.items() if run.is_closed(hour[0])}
    return (
        *laws.laws_of_files(run.ledger.entries),
        *rows,
        *_laws_of_lake(run, counted),
        *_laws_of_closed_days(run),
        *laws.laws_of_days(_day_books(run, days, counted | closed)),
        *_laws_of_books({hour: book for hour, book in noted.items() if hour not in closed}, counted),
    )


def _laws_of_closed_days(run: Run) -> Iterator[Law]:
    """No line is left in bronze of a day that nothing is made of any more."""
    if closed_before := run.ledger.horizons.get("bronze"):
        contents = frozenset(entry.sha256 for entry in run.ledger.entries if entry.has_lines and entry.sha256)
        left = lines_of(run, DayRange(end=closed_before), contents)
        subject = f"bronze.events before {closed_before}"
        yield Law("rows", subject, "valid lines that retention has left = 0", sum(left.values()), 0)


def read_books(catalog: LakeCatalog) -> Books:
    """Return the books of silver as runs have noted them."""
    shape = contract("silver.event_hours")
    return books_in(live_files(catalog.load(shape), shape))


def lake_totals(ledger: Ledger, books: Books) -> Totals:
    """Return the terms of the laws for the whole lake."""
    counted = [entry for entry in ledger.entries if entry.has_lines]
    return Totals(
        lines=sum(entry.lines for entry in counted),
        blank=sum(entry.blank for entry in counted),
        valid=sum(book.valid for book in books.values()),
        quarantined=sum(entry.quarantined + (entry.quarantined_retained or 0) for entry in counted),
        retained=sum(entry.lines_retained for entry in counted),
        suppressed=sum(entry.lines_suppressed or 0 for entry in ledger.entries),
        events=sum(book.events for book in books.values()),
        duplicates=sum(book.duplicates for book in books.values()),
        key_conflicts=sum(book.key_conflicts for book in books.values()),
    )


def changed_totals(before: Totals, after: Totals) -> Totals:
    """Return what the terms have changed by.

    Valid lines are what law 1 leaves of the others: the lake counts them only for as long as no newer version
    of their file has come.
    """
    change = after - before
    return dataclasses.replace(
        change, valid=change.lines - change.blank - change.quarantined - change.suppressed
    )


def _laws_of_lake(run: Run, books: Books) -> Iterator[Law]:
    ledger = run.ledger
    counted = [entry for entry in ledger.entries if entry.has_lines]
    return laws.laws_of_lake(
        ledger_rows=sum(entry.valid + entry.quarantined for entry in counted),
        bronze_rows=row_count(run.catalog.load(contract("bronze.events"))),
        live_valid=sum(ledger.entry_of(sha256).valid for sha256 in ledger.live_contents()),
        lake=lake_totals(ledger, {hour: book for hour, book in books.items() if not run.is_closed(hour[0])}),
    )


def _laws_of_books(noted: Books, counted: Books) -> Iterator[Law]:
    for day, hour in sorted(noted.keys() | counted.keys()):
        one, other = noted.get((day, hour), HourBook()), counted.get((day, hour), HourBook())
        for term in _BOOK_TERMS:
            subject = f"silver.event_hours {day} {hour:02d}:00"
            yield Law("books", subject, f"{term} noted = counted", getattr(one, term), getattr(other, term))


def _rows_of_tables(run: Run) -> Iterator[Law]:
    """Rows that can be read against rows that Iceberg has on its books, per table."""
    with run.engine.session(run.scratch) as session:
        for name in _CHECKED_TABLES:
            shape = contract(name)
            files = live_files(run.catalog.load(shape), shape)
            absent = missing(file.location for file in files)
            if absent:
                raise LawBroken(f"{name}: the file {absent[0]} is missing.", "Restore it from a backup.")
            session.scan("one_table", shape, [file.location for file in files])
            found = {
                row["_location"]: row["n"]
                for row in session.rows("SELECT _location, COUNT(*) AS n FROM one_table GROUP BY _location")
            }
            for file in files:
                subject = f"{name} {file.day or ''} {Path(file.location).name}"
                yield Law("rows", subject, "rows noted = rows read", file.rows, found.get(file.location, 0))


def _day_books(run: Run, wanted: Iterable[date], books: Books) -> dict[date, DayBook]:
    """Each day as every table sees it: books of silver, Iceberg's row counts, sums over the answers."""
    days = set(wanted)
    if not days:
        return {}
    rows = dict.fromkeys(days, 0)
    silver = contract("silver.events_cleaned")
    for file in live_files(run.catalog.load(silver), silver, days=days):
        if file.day:
            rows[file.day] += file.rows
    with run.engine.session(run.scratch) as session:
        category_events, category_revenue = _sums(
            run, session, "category_performance", days, "events", "revenue"
        )
        (activity_events,) = _sums(run, session, "user_activity", days, "events")
        (funnel_revenue,) = _sums(run, session, "conversion_funnel", days, "revenue")
        (hourly_revenue,) = _sums(run, session, "hourly_revenue", days, "total_revenue")
    found = {}
    horizons = run.ledger.horizons
    for day in days:
        total = sum((book for (when, _), book in books.items() if when == day), HourBook())
        found[day] = DayBook(
            valid=total.valid,
            events=total.events,
            duplicates=total.duplicates,
            amount=total.amount,
            silver_rows=rows[day],
            category_events=int(category_events.get(day, 0)),
            activity_events=int(activity_events.get(day, 0)),
            category_revenue=category_revenue.get(day, Decimal(0)),
            funnel_revenue=funnel_revenue.get(day, Decimal(0)),
            hourly_revenue=hourly_revenue.get(day, Decimal(0)),
            is_closed=run.is_closed(day),
            has_silver=day >= horizons.get("silver", day),
            has_gold=day >= horizons.get("gold", day),
        )
    return found


def _sums(
    run: Run, session: Session, answer: str, days: set[date], *columns: str
) -> list[dict[date, Decimal]]:
    shape = contract(f"gold.{answer}")
    files = live_files(run.catalog.load(shape), shape, days=days)
    totals = ", ".join(f"SUM({column}) AS {column}" for column in columns)
    session.scan("answer", shape, [file.location for file in files])
    rows = session.rows(f"SELECT event_date, {totals} FROM answer GROUP BY event_date")  # noqa: S608 - our names
    return [{row["event_date"]: Decimal(row[column]) for row in rows} for column in columns]
