# ruff: noqa: S608 - statements are composed of the contract's own column names; no value from data is in them
"""The books of silver: per UTC hour, valid lines, events, duplicates, key conflicts and amounts.

Each term is counted from rows of its own, so that `valid = events + duplicates` is a check and not a
definition. Held in silver.event_hours, one small file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from eventmint.contracts import contract
from eventmint.engine.parquet import arrow_schema
from eventmint.engine.protocol import Session
from eventmint.values import EVENT_COLUMNS, NATURAL_KEY

Hour = tuple[date, int]
_ORDER = ", ".join(f"{column} ASC NULLS LAST" for column in EVENT_COLUMNS)
_AMOUNT = (
    "CASE WHEN event_type = 'purchase' "
    "THEN CAST(CAST(price AS DECIMAL(25, 6)) * CAST(quantity AS DECIMAL(10, 0)) AS DECIMAL(25, 6)) ELSE 0 END"
)


@dataclass(frozen=True)
class HourBook:
    """The terms of one hour, or their change."""

    valid: int = 0
    events: int = 0
    duplicates: int = 0
    key_conflicts: int = 0
    amount: Decimal = Decimal(0)

    def __add__(self, other: HourBook) -> HourBook:
        return HourBook(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __bool__(self) -> bool:
        return any(getattr(self, f.name) for f in fields(self))


Books = dict[Hour, HourBook]
Terms = Mapping[str, Iterable[tuple[str, str]]]


def read_books(session: Session, terms: Terms, conflicts: str, gained: str, lost: str) -> Books:
    """Count the terms per hour.

    Args:
        terms: for `valid`, `events` and `duplicates` the relations to count, each with `1` or `-1`.
        conflicts: SELECT of `event_time` and `n`, to be summed.
        gained, lost: relations whose purchases are added to and taken from the amounts.
    """
    names = ("valid", "events", "duplicates", "key_conflicts", "amount")

    hour = session.hour_number("event_time")

    def part(name: str, value: str, source: str) -> str:
        columns = ", ".join(f"{value if n == name else 0} AS {n}" for n in names)
        return f"SELECT {hour} AS hour, {columns} FROM {source}"

    parts = [part(name, sign, source) for name, sources in terms.items() for sign, source in sources]
    parts.append(part("key_conflicts", "n", f"({conflicts}) AS conflicts"))
    parts += [part("amount", f"{sign} * {_AMOUNT}", source) for sign, source in (("1", gained), ("-1", lost))]
    sums = ", ".join(f"CAST(SUM({n}) AS BIGINT) AS {n}" for n in names[:-1])
    found = session.rows(
        f"SELECT hour, {sums}, CAST(SUM(amount) AS DECIMAL(38, 6)) AS amount "
        f"FROM ({' UNION ALL '.join(parts)}) AS parts GROUP BY hour"
    )
    return {_hour(row["hour"]): _book(row) for row in found}


def recount_day(
    session: Session,
    bronze_files: str,
    silver_files: str,
    day: date,
    live_contents: Collection[str],
    key: tuple[str, ...] | None,
) -> Books:
    """Return the books of one day as they follow from the rows themselves, every term counted afresh.

    Args:
        bronze_files, silver_files: relations over all files that may hold rows of the day.
        live_contents: the file contents that count.
        key: the columns that make two lines one event; None for all of them.
    """
    of_day = f"CAST(event_time AS DATE) = DATE '{day.isoformat()}'"
    session.view("live_lines", f"SELECT * FROM {bronze_files} WHERE {are_valid(live_contents)}")
    session.view("day_lines", f"SELECT * FROM live_lines WHERE {of_day}")
    session.view("day_events", f"SELECT * FROM {silver_files} WHERE {of_day}")
    identity = ", ".join(key or EVENT_COLUMNS)
    nothing = "(SELECT * FROM day_events WHERE false) AS nothing"
    conflicts = f"SELECT event_time, COUNT(*) - 1 AS n FROM day_events GROUP BY {', '.join(NATURAL_KEY)}"
    # Under a key without the time, the line that a repeat repeats may be of another day.
    source = "day_lines" if key is None or "event_time" in key else "live_lines"
    session.view(
        "day_repeats",
        "SELECT event_time FROM (SELECT event_time, "
        f"ROW_NUMBER() OVER (PARTITION BY {identity} ORDER BY {_ORDER}) AS copy FROM {source}"
        f") AS copies WHERE copy > 1 AND {of_day}",
    )
    return read_books(
        session,
        {
            "valid": [("1", "day_lines")],
            "events": [("1", "day_events")],
            "duplicates": [("1", "day_repeats")],
        },
        conflicts if key is None else "SELECT event_time, 0 AS n FROM day_events WHERE false",
        "day_events",
        nothing,
    )


def days_of_lines(session: Session, bronze_files: str, contents: Collection[str]) -> set[date]:
    """Return the days that the valid lines of some file contents are of."""
    return {day for day, _ in lines_per_hour(session, bronze_files, contents)}


def lines_per_hour(session: Session, bronze_files: str, contents: Collection[str]) -> dict[Hour, int]:
    """Return the number of valid lines of some file contents in each hour that has any, oldest first."""
    hour = session.hour_number("event_time")
    found = session.rows(
        f"SELECT {hour} AS hour, COUNT(*) AS lines FROM {bronze_files} WHERE {are_valid(contents)} "
        f"GROUP BY {hour} ORDER BY {hour}"
    )
    return {_hour(row["hour"]): row["lines"] for row in found}


def are_valid(contents: Collection[str]) -> str:
    """Condition for the valid lines of some file contents."""
    # Hexadecimal hashes of our own making: safe to write out.
    return f"problem IS NULL AND source_sha256 IN ({', '.join(map(repr, sorted(contents))) or 'NULL'})"


def merge(old: Books, change: Books) -> Books:
    """Return the books after a change; hours without anything left are dropped."""
    merged = {
        hour: old.get(hour, HourBook()) + change.get(hour, HourBook()) for hour in old.keys() | change.keys()
    }
    return {hour: book for hour, book in sorted(merged.items()) if book}


def books_to_table(books: Books) -> pa.Table:
    rows = [
        {"event_date": day, "event_hour": hour, **{f.name: getattr(book, f.name) for f in fields(book)}}
        for (day, hour), book in sorted(books.items())
    ]
    return pa.Table.from_pylist(rows, schema=arrow_schema(contract("silver.event_hours")))


def books_from_rows(rows: Iterable[dict[str, Any]]) -> Books:
    return {(row["event_date"], row["event_hour"]): _book(row) for row in rows}


def _hour(number: int) -> Hour:
    return date(1970, 1, 1) + timedelta(hours=number), number % 24


def _book(row: Mapping[str, Any]) -> HourBook:
    return HourBook(*(row[f.name] for f in fields(HourBook)))
