"""Merging the small files of every table that gathers them, one commit of bounded size after the other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial

from eventmint.contracts import Contract
from eventmint.engine.protocol import Place, Session
from eventmint.maintenance.lay import Task, is_intact, lay_in_order, lay_sorted
from eventmint.maintenance.plan import Group, first_commit, groups_of, is_closed
from eventmint.pipeline import Run, replan_on_conflict
from eventmint.storage import shrink_downloads
from eventmint.storage.digests import digest_in
from eventmint.tables.commit import Stamp, commit
from eventmint.tables.plan import (
    BATCH,
    COMPACTION,
    LiveFile,
    TableHandle,
    bytes_of,
    live_files,
    lower_bound,
    newest_files,
    seq_of,
)

# The tables that gather files, each with the column that puts its rows into order. All others are replaced
# whole, a day or all of it, by every run that touches them; the ledger folds itself.
ORDERS = {
    "bronze.events": "received_at",
    "silver.events_cleaned": "event_time",
    "gold.daily_users": "user_id",
    "gold.daily_sessions": "session_id",
    "ops.runs": "started_at",
}
_IN_ORDER = ("bronze.events", "ops.runs")
# Of these the notes of a source file live in the footer, and nothing else could prove a row.
_NEEDS_DIGEST = ("bronze.events",)

# Finds the files of a table that may be merged.
Find = Callable[[TableHandle, Contract], list[LiveFile]]


@dataclass
class Merged:
    """What was done to one table, or would be.

    Attributes:
        files_before, files_after, bytes_before, bytes_after: of the files that were merged, and the new ones.
        damaged: files that are not what was written, and so were left alone.
        is_done: whether nothing is left to do.
    """

    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    damaged: set[str] = field(default_factory=set)
    is_done: bool = False


def of_closed_days(now: datetime) -> Find:
    return lambda table, shape: [file for file in live_files(table, shape) if is_closed(file.day, now)]


def of_days(days: Collection[date]) -> Find:
    return lambda table, shape: live_files(table, shape, days=days)


def plan_merge(table: TableHandle, shape: Contract, find: Find, damaged: Collection[str] = ()) -> list[Group]:
    """Return what is to be merged of a table."""
    files = [file for file in find(table, shape) if file.location not in damaged]
    if shape.table == "ops.runs":
        newest = {file.location for file in newest_files(table, shape)}
        files = [file for file in files if file.location not in newest]
    if shape.table in _NEEDS_DIGEST:
        files = [file for file in files if digest_in(file.location)]
    column = shape.bounds[0] if ORDERS[shape.table] not in shape.bounds else ORDERS[shape.table]
    return groups_of(files, partial(lower_bound, contract=shape, column=column))


def merge(run: Run, session: Session, name: str, find: Find, is_time_up: Callable[[], bool]) -> Merged:
    """Merge the files of one table until nothing is left to do or the time is up."""
    merged = Merged()
    while not merged.is_done and not is_time_up():
        replan_on_conflict(run, partial(_merge_some, run, session, name, find, merged))
    return merged


def _merge_some(run: Run, session: Session, name: str, find: Find, merged: Merged) -> None:
    table, shape = run.open(name)
    groups = first_commit(plan_merge(table, shape, find, merged.damaged))
    if not groups:
        merged.is_done = True
        return
    removed = [file for group in groups for file in group.files]
    if damaged := damaged_of(run, removed):
        merged.damaged |= damaged
        return
    made = _lay(run, session, shape, groups)
    stamp = Stamp(seq_of(table), table.properties.get(BATCH, ""), COMPACTION)
    before = {file.location for file in find(table, shape)}
    commit(table, shape, stamp, add=[str(place) for place in made], remove=removed)
    added = [file for file in find(table, shape) if file.location not in before]
    merged.files_before += len(removed)
    merged.files_after += len(added)
    merged.bytes_before += bytes_of(removed)
    merged.bytes_after += bytes_of(added)
    shrink_downloads()


def damaged_of(run: Run, files: Sequence[LiveFile]) -> set[str]:
    """Return the locations of the files that are not what was written."""
    locations = [file.location for file in files]
    sound = run.engine.map(is_intact, locations, bytes_of(files))
    return {location for location, is_sound in zip(locations, sound, strict=True) if not is_sound}


def _lay(run: Run, session: Session, shape: Contract, groups: Sequence[Group]) -> list[Place]:
    if shape.table in _IN_ORDER:
        tasks = [
            Task(
                shape.table, tuple(file.location for file in _in_order(shape, group)), run.staging, group.stem
            )
            for group in groups
        ]
        return [*run.engine.map(lay_in_order, tasks, sum(group.size_bytes for group in groups))]
    made: list[Place] = []
    for group in groups:
        locations = [file.location for file in group.files]
        made += lay_sorted(session, shape, ORDERS[shape.table], locations, run.staging, group.stem)
    return made


def _in_order(shape: Contract, group: Group) -> list[LiveFile]:
    column = ORDERS[shape.table]
    return sorted(group.files, key=lambda file: (lower_bound(file, shape, column), file.location))
