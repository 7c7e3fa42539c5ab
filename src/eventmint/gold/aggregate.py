"""Gold: the building blocks follow the events that came and went, the five answers follow the blocks.

Work depends on what changed and on the hours and days it touches, never on history. This module decides and
writes files; the pipeline finds its inputs and commits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from eventmint.contracts import contract, model_sql
from eventmint.engine.protocol import Session

# More hours than this in one step are a backfill: files per day then, not per hour.
_MANY_HOURS = 48
_SETS = {"gold.daily_users": "user_id", "gold.daily_sessions": "session_id"}


@dataclass(frozen=True)
class Aggregated:
    """Files to add to a table and locations of files to remove from it."""

    add: list[Path] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)


def open_changes(session: Session, came: Sequence[str], went: Sequence[str]) -> list[tuple[date, int]]:
    """Name the silver events that came and went, and return the UTC hours they touch."""
    silver = contract("silver.events_cleaned")
    session.scan("came", silver, came)
    session.scan("went", silver, went)
    session.view("changed_events", "SELECT *, 1 AS sign FROM came UNION ALL SELECT *, -1 AS sign FROM went")
    hours = session.rows(
        "SELECT DISTINCT event_date, event_hour FROM changed_events ORDER BY event_date, event_hour"
    )
    return [(row["event_date"], row["event_hour"]) for row in hours]


def merge_product_hours(
    session: Session, held: Sequence[str], hours: Sequence[tuple[date, int]], folder: Path, stem: str
) -> Aggregated:
    """Bring the touched hours up to date: what is held plus what came minus what went.

    Counts and exact decimals add up in any order, so merging and recomputing give the same rows (measured
    beside each other: docs/adr/0004).

    Args:
        held: every file of the table that has a row of a touched hour; all of them are replaced.
    """
    table = contract("gold.product_hours")
    session.scan("held_hours", table, held)
    split_by = ("event_date", "event_hour") if len(hours) <= _MANY_HOURS else ("event_date",)
    return Aggregated(session.write(model_sql(table.table), table, folder, stem, split_by), list(held))


def extend_set(session: Session, table_name: str, held: Sequence[str], folder: Path, stem: str) -> Aggregated:
    """Add to a day's set of users or sessions those that came and are not in it.

    Args:
        held: the set's files of the touched days.
    """
    table = contract(table_name)
    session.scan("held_set", table, held)
    return Aggregated(session.write(model_sql(table_name), table, folder, stem, ("event_date",)))


def rebuild_set(
    session: Session, table_name: str, held: Sequence[str], events: Sequence[str], folder: Path, stem: str
) -> Aggregated:
    """Make the sets of whole days anew from all their events: events went, and nobody else can tell whether a
    user was there another time.

    Args:
        held: the set's files of these days, to be replaced.
        events: silver's files of these days.
    """
    table = contract(table_name)
    session.scan("came", contract("silver.events_cleaned"), events)
    session.scan("held_set", table, [])
    return Aggregated(session.write(model_sql(table_name), table, folder, stem, ("event_date",)), list(held))


def answer_days(
    session: Session,
    table_name: str,
    blocks: Mapping[str, Sequence[str]],
    held: Sequence[str],
    folder: Path,
    stem: str,
) -> Aggregated:
    """Compute one of the five answers for whole days from the building blocks.

    Args:
        blocks: files of each building block of these days.
        held: the answer's files of these days, to be replaced.
    """
    for name, locations in blocks.items():
        session.scan(name.partition(".")[2], contract(name), locations)
    table = contract(table_name)
    return Aggregated(session.write(model_sql(table_name), table, folder, stem, ("event_date",)), list(held))
