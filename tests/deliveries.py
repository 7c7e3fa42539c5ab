"""What tests deliver to a lake, and what they read back from it.

A small shop: few users and products, two days of three hours each, so that events meet. Every file of a test
gets a modification time of its own, a second later than the one before: a rewrite is always a new version,
and no test waits for a clock.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import hostile
import oracle

import eventmint
from eventmint.contracts import ANSWERS, contract
from eventmint.engine.parquet import read_rows
from eventmint.lake import Lake
from eventmint.run_log import Progress, Silent
from eventmint.tables.plan import live_files
from eventmint.values import RunReport, Totals

NOW = hostile.NOW
TODAY, YESTERDAY = NOW.date(), NOW.date() - timedelta(days=1)
NATURAL_KEY = ("timestamp", "user_id", "session_id", "event_type", "product_id")
# Every table whose rows must not depend on how the files came.
MADE_TABLES = (
    "silver.events_cleaned",
    "silver.event_hours",
    "gold.product_hours",
    "gold.daily_users",
    "gold.daily_sessions",
    *(f"gold.{answer}" for answer in ANSWERS),
)
_ticks = itertools.count()
Row = dict[str, Any]


# --- Delivering ------------------------------------------------------------------------------------------


def event(**changes: Any) -> Row:
    """Return a purchase of this morning, with these fields instead; a field given as None is left out."""
    fields = {
        "timestamp": "2025-06-15T10:20:30.500Z",
        "user_id": "u1",
        "session_id": "s1",
        "event_type": "purchase",
        "product_id": "p1",
        "category": "toys",
        "quantity": 2,
        "price": 1.25,
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


def view(**changes: Any) -> Row:
    return event(**{"event_type": "page_view", "quantity": None, "price": None, **changes})


def random_event(rng: Random) -> Row:
    """Return a valid event of today or yesterday between 09:00 and 12:00."""
    moment = NOW.replace(hour=9, minute=0) + timedelta(
        days=-rng.randrange(2), hours=rng.randrange(3), seconds=rng.randrange(3600)
    )
    return hostile.good_event(rng) | {"timestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}


def random_events(rng: Random, count: int) -> list[Row]:
    return [random_event(rng) for _ in range(count)]


def text_of(*lines: Row | bytes) -> bytes:
    """Return the decompressed file that has these lines."""
    written = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return b"".join(line + b"\n" for line in written)


def gzipped(text: bytes) -> bytes:
    return gzip.compress(text, compresslevel=1, mtime=0)


# --- Running ---------------------------------------------------------------------------------------------


@dataclass
class Shop:
    """A folder with a source, a lake and its database, and the texts that lie in the source now."""

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    progress: Progress | None = None
    texts: dict[str, bytes] = field(default_factory=dict)

    @property
    def source(self) -> Path:
        return self.folder / "source"

    @property
    def database(self) -> Path:
        return self.folder / "analytics.duckdb"

    @property
    def lake(self) -> Lake:
        """The lake, opened anew; it lands its files in this process and waits for none."""
        lake = eventmint.open_lake(
            lake__root=str(self.folder / "lake"),
            lake__database=str(self.database),
            **{"run__workers": 1, "source__settle_seconds": 0.0, **self.settings},
        )
        return Lake(lake.settings, self.progress)

    def keep(self) -> Shop:
        """Keep the shop as it is, for `put_back`."""
        shutil.copytree(self.folder, self.folder.with_name("image"))
        return self

    def put_back(self) -> Shop:
        """Bring the shop back as it was kept, where it lay: its tables know their files by absolute path."""
        shutil.rmtree(self.folder)
        shutil.copytree(self.folder.with_name("image"), self.folder)
        return self

    def deliver(self, name: str, *lines: Row | bytes) -> Path:
        """Put a file with these lines into the source, in place of the one of the same name."""
        return self.deliver_text(name, text_of(*lines))

    def deliver_text(self, name: str, text: bytes) -> Path:
        self.texts[name] = text
        return self.deliver_bytes(name, gzipped(text))

    def deliver_bytes(self, name: str, compressed: bytes) -> Path:
        path = self.source / "events" / f"{name}.jsonl.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(compressed)
        modified = int((NOW - timedelta(hours=1)).timestamp()) + next(_ticks)
        os.utime(path, (modified, modified))
        return path

    def run(self) -> RunReport:
        """Run at `NOW`, give or take: no two runs have the same time."""
        return self.lake.run(self.source, now=NOW + timedelta(microseconds=next(_ticks)))

    def expected(self, **rules: Any) -> oracle.OracleLake:
        """Return what the lake must hold when every file that lies in the source was taken in."""
        return oracle.lake(set(self.texts.values()), now=NOW, **rules)


# --- Reading back ----------------------------------------------------------------------------------------


def rows_of(lake: Lake, table: str) -> list[Row]:
    """Return the rows of a table as its Parquet files have them, in a total order."""
    shape = contract(table)
    files = live_files(lake._catalog.load(shape), shape)
    return sorted(read_rows(file.location for file in files), key=lambda row: repr(list(row.values())))


def published_rows(shop: Shop) -> dict[str, list[Row]]:
    """Return the rows of every table that is made from the files, as analysts see them, in a total order."""
    with duckdb.connect(str(shop.database), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return {
            table: connection.sql(f"FROM {table} ORDER BY ALL").to_arrow_table().to_pylist()
            for table in MADE_TABLES
        }


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Return every file of a lake with size and modification time; the lock and scratch are no part of it."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock" and ".scratch" not in path.parts
    }


def assert_answers_are(lake: Lake, expected: oracle.OracleLake) -> None:
    for answer in ANSWERS:
        assert lake.answer(answer).to_pylist() == getattr(expected, answer), answer


def assert_lake_is(
    lake: Lake, expected: oracle.OracleLake, *, is_keyed: bool = False, superseded: Iterable[bytes] = ()
) -> None:
    """Compare the answers, the events and the terms of the laws, all exactly.

    Args:
        is_keyed: a dedup key is set, and then no event conflicts with another.
        superseded: texts that were landed but count no more: their lines are on the books, their events not.
    """
    assert_answers_are(lake, expected)
    assert _events_held(lake) == [{name: e[name] for name in oracle.FIELDS} for e in expected.events]
    past = oracle.lake(superseded, now=NOW)
    assert lake.totals() == Totals(
        lines=expected.lines + past.lines,
        blank=expected.blank + past.blank,
        valid=expected.valid,
        quarantined=expected.quarantined + past.quarantined,
        events=len(expected.events),
        duplicates=expected.duplicates,
        key_conflicts=0 if is_keyed else key_conflicts(expected.events),
    )


def _events_held(lake: Lake) -> list[Row]:
    held = [
        {"timestamp": oracle.microseconds(row["event_time"]), **{n: row[n] for n in oracle.FIELDS[1:]}}
        for row in rows_of(lake, "silver.events_cleaned")
    ]
    return sorted(held, key=oracle.canonical_order)


def key_conflicts(events: list[Row]) -> int:
    """Count the events beyond the first that share time, user, session, type and product."""
    twins = Counter(tuple(row[name] for name in NATURAL_KEY) for row in events)
    return sum(count - 1 for count in twins.values())


def days_of(expected: oracle.OracleLake) -> tuple[date, ...]:
    return tuple(row["event_date"] for row in expected.user_activity)


class CutOffAfter(Silent):
    """Ends a run, as a lost machine would, when a stage has finished."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def finish(self, stage: str, _note: str) -> None:
        if stage == self.stage:
            raise RuntimeError(stage)
