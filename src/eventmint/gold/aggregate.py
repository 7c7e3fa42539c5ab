"""Gold: the building blocks follow the events that came and went, the five answers follow the blocks.

Work depends on what changed and on the hours and days it touches, never on history. This module computes and
writes files; the pipeline finds its inputs and commits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eventmint.contracts import contract, model_sql
from eventmint.engine.protocol import Place, Session


def open_changes(session: Session, came: Sequence[str], went: Sequence[str]) -> None:
    """Name the silver events that came and went: `came`, `went`, and `changed_events` with their sign."""
    silver = contract("silver.events_cleaned")
    session.scan("came", silver, came)
    session.scan("went", silver, went)
    session.view("changed_events", "SELECT *, 1 AS sign FROM came UNION ALL SELECT *, -1 AS sign FROM went")


def merge_product_hours(session: Session, held: Sequence[str], folder: Place, stem: str) -> Sequence[Place]:
    """Bring the touched days up to date: what is held plus what came minus what went.

    Counts and exact decimals add up in any order, so merging and recomputing give the same rows
    (docs/adr/0004).

    Args:
        held: the table's files of the touched days; the result replaces them.
    """
    table = contract("gold.product_hours")
    session.scan("held_hours", table, held)
    return session.write(model_sql(table.table, session.dialect), table, folder, stem, ("event_date",))


def extend_set(
    session: Session, table_name: str, held: Sequence[str], folder: Place, stem: str
) -> Sequence[Place]:
    """Write the users or sessions that came and are not in their day's set yet.

    Args:
        held: the set's files of the touched days; none to make the sets of whole days anew.
    """
    table = contract(table_name)
    *_, member = table.column_names
    session.scan("day_set", table, held)
    # Of the day's set only those that came again: joined as a whole, all of it would be held in memory.
    columns = ", ".join(table.column_names)
    session.find_among("held_set", columns, "day_set", member, "came")
    return session.write(model_sql(table_name, session.dialect), table, folder, stem, ("event_date",))


def answer_days(
    session: Session, table_name: str, blocks: Mapping[str, Sequence[str]], folder: Place, stem: str
) -> Sequence[Place]:
    """Compute one of the five answers for whole days from the building blocks.

    Args:
        blocks: files of each building block of these days.
    """
    for name, locations in blocks.items():
        session.scan(name.partition(".")[2], contract(name), locations)
    table = contract(table_name)
    return session.write(model_sql(table_name, session.dialect), table, folder, stem, ("event_date",))
