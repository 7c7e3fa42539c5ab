"""The slow oracle's word on every table that is made from the files, the building blocks and books too.

`oracle` judges lines and answers the five questions; this file derives the other tables from the same true
events, in plain Python, so that a run can be compared in full without a second lake.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

import oracle
from deliveries import MADE_TABLES, NOW, Row, Shop, key_conflicts, published_rows

from eventmint.contracts import ANSWERS, contract
from eventmint.engine.parquet import read_rows
from eventmint.lake import Lake
from eventmint.tables.plan import live_files

Grain = tuple[Any, ...]
COUNTED = {
    "page_view": "page_views",
    "add_to_cart": "add_to_carts",
    "remove_from_cart": "remove_from_carts",
    "purchase": "purchases",
    "search": "searches",
}


def made_tables(texts: Collection[bytes], key: tuple[str, ...] | None = None) -> dict[str, list[Row]]:
    """Return the rows of every table of silver and gold for these live contents, in order.

    Args: key: the columns that make two lines one event; None for all of them.
    """
    fields = oracle.FIELDS if key is None else tuple("timestamp" if n == "event_time" else n for n in key)
    expected = oracle.lake(texts, now=NOW, dedup="content" if key is None else fields)
    events = [_silver_row(event) for event in expected.events]
    lines = [line for text in texts for line in valid_lines(text)]
    tables = {
        "silver.events_cleaned": events,
        "silver.event_hours": _hours(lines, expected.events, fields, has_key=key is not None),
        "gold.product_hours": _product_hours(events),
        "gold.daily_users": _set(events, "user_id"),
        "gold.daily_sessions": _set(events, "session_id"),
        **{f"gold.{answer}": getattr(expected, answer) for answer in ANSWERS},
    }
    return {name: in_order(rows) for name, rows in tables.items()}


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Sort rows by their values, in an order that does not depend on how a number is written."""
    return sorted(rows, key=lambda row: [_sortable(row[name]) for name in sorted(row)])


@lru_cache(maxsize=4096)
def valid_lines(text: bytes) -> tuple[Row, ...]:
    verdicts = (oracle.judge(line, now=NOW) for line in oracle.split_lines(text))
    return tuple(verdict.values for verdict in verdicts if verdict.values is not None)


def _sortable(value: object) -> tuple[bool, Any]:
    if value is None:
        return True, 0
    return False, value.encode() if isinstance(value, str) else value


def _silver_row(event: Row) -> Row:
    time = oracle.EPOCH + timedelta(microseconds=event["timestamp"])
    is_purchase = event["event_type"] == "purchase"
    return {
        "event_time": time,
        "event_date": time.date(),
        "event_hour": time.hour,
        **{name: event[name] for name in oracle.FIELDS[1:]},
        "amount": event["price"] * event["quantity"] if is_purchase else None,
    }


def _hours(lines: list[Row], events: list[Row], key: tuple[str, ...], *, has_key: bool) -> list[Row]:
    valid = Counter(_hour(line) for line in lines)
    true = Counter(_hour(event) for event in events)
    repeats: Counter[Grain] = Counter()
    seen = set()
    for line in sorted(lines, key=oracle.canonical_order):
        identity = tuple(line[name] for name in key)
        repeats[_hour(line)] += identity in seen
        seen.add(identity)
    of_hour = defaultdict(list)
    for event in events:
        of_hour[_hour(event)].append(event)
    return [
        {
            "event_date": day,
            "event_hour": hour,
            "valid": valid[day, hour],
            "events": true[day, hour],
            "duplicates": repeats[day, hour],
            "key_conflicts": 0 if has_key else key_conflicts(of_hour[day, hour]),
            "amount": sum(
                (e["price"] * e["quantity"] for e in of_hour[day, hour] if e["event_type"] == "purchase"),
                Decimal(0),
            ),
        }
        for day, hour in valid
    ]


def _hour(event: Row) -> tuple[Any, int]:
    time = oracle.EPOCH + timedelta(microseconds=event["timestamp"])
    return time.date(), time.hour


def _product_hours(events: list[Row]) -> list[Row]:
    rows: dict[Grain, Row] = {}
    for event in events:
        grain = {name: event[name] for name in ("event_date", "event_hour", "product_id", "category")}
        empty = {"events": 0, **dict.fromkeys(COUNTED.values(), 0), "units": 0, "revenue": Decimal(0)}
        row = rows.setdefault(tuple(grain.values()), {**grain, **empty})
        row["events"] += 1
        row[COUNTED[event["event_type"]]] += 1
        if event["event_type"] == "purchase":
            row["units"] += event["quantity"]
            row["revenue"] += event["amount"]
    return list(rows.values())


def _set(events: list[Row], name: str) -> list[Row]:
    pairs = {(event["event_date"], event[name]) for event in events if event[name] is not None}
    return [{"event_date": day, name: value} for day, value in pairs]


# --- What a lake shows -----------------------------------------------------------------------------------


def rows_of_table(lake: Lake, name: str) -> list[Row]:
    """The rows of a table at one snapshot, as its Parquet files have them."""
    shape = contract(name)
    files = live_files(lake._catalog.load(shape), shape)
    return in_order(read_rows(file.location for file in files))


def tables_of(lake: Lake) -> dict[str, list[Row]]:
    """The rows of every made table."""
    return {name: rows_of_table(lake, name) for name in MADE_TABLES}


def published_tables(shop: Shop) -> dict[str, list[Row]]:
    """The same as analysts see them."""
    return {name: in_order(rows) for name, rows in published_rows(shop).items()}


def state_of(rows: object) -> str:
    """A name for these rows, and no others."""
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]
