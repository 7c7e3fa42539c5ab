"""Maintenance from end to end: merge, forget, sweep; bounded in time, and safe to leave off anywhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime

from eventmint.contracts import Contract, all_contracts
from eventmint.maintenance.merge import (
    ORDERS,
    Find,
    Merged,
    merge,
    of_closed_days,
    of_days,
    plan_merge,
)
from eventmint.pipeline import Run
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.maintain import expire, expired, orphans, remove_orphans
from eventmint.tables.plan import TableHandle, live_files
from eventmint.values import Maintenance, TableMaintenance

TimeIsUp = Callable[[], bool]


def plan_maintenance(catalog: LakeCatalog, now: datetime) -> Maintenance:
    """Return what `maintain` would do; nothing is written."""
    found = []
    for shape in all_contracts():
        table = catalog.load(shape)
        state = _state_of(table, shape)
        groups = plan_merge(table, shape, of_closed_days(now)) if shape.table in ORDERS else []
        fewer = sum(len(group.files) - 1 for group in groups)
        unknown = orphans(table, now)
        found.append(
            dataclasses.replace(
                state,
                files_after=state.files_before - fewer,
                snapshots_expired=len(expired(table, now)),
                orphans_removed=len(unknown),
                orphan_bytes=sum(file.size_bytes for file in unknown),
            )
        )
    return Maintenance(tuple(found), dry_run=True)


def maintain(run: Run, is_time_up: TimeIsUp, publish: Callable[[], None]) -> Maintenance:
    """Do what is due: merge the files of closed days, forget old snapshots, remove orphans.

    Args:
        publish: lets readers see the new files; called before any file can go that they still read.
    """
    before = {shape.table: _state_of(run.catalog.load(shape), shape) for shape in all_contracts()}
    merged = merge_tables(run, of_closed_days(run.now), is_time_up)
    if any(one.files_before for one in merged.values()):
        publish()
    states = {name: _after(state, merged.get(name, Merged())) for name, state in before.items()}
    swept = 0
    for shape in all_contracts():
        if is_time_up():
            break
        states[shape.table] = _sweep(states[shape.table], run.catalog.load(shape), run.now)
        swept += 1
    return Maintenance(
        tables=tuple(states.values()),
        is_complete=all(one.is_done for one in merged.values()) and swept == len(states),
        damaged=tuple(sorted(location for one in merged.values() for location in one.damaged)),
    )


def merge_tables(run: Run, find: Find, is_time_up: TimeIsUp) -> dict[str, Merged]:
    """Merge the files, of those that are found, of every table that gathers some."""
    merged = {}
    run.progress.start("maintain", 0, 0)
    with run.engine.session(run.scratch) as session:
        for name in ORDERS:
            merged[name] = merge(run, session, name, find, is_time_up)
    before = sum(one.files_before for one in merged.values())
    after = sum(one.files_after for one in merged.values())
    run.progress.finish("maintain", f"{before:,} files merged into {after:,}")
    return merged


def merge_crowded(run: Run, is_time_up: TimeIsUp) -> bool:
    """Merge the sets of days that a run has found crowded, open as they are; return whether any was."""
    if not run.crowded:
        return False
    with run.engine.session(run.scratch) as session:
        for name, days in run.crowded.items():
            merge(run, session, name, of_days(days), is_time_up)
    run.crowded.clear()
    return True


def _after(state: TableMaintenance, merged: Merged) -> TableMaintenance:
    return dataclasses.replace(
        state,
        files_after=state.files_before - merged.files_before + merged.files_after,
        bytes_after=state.bytes_before - merged.bytes_before + merged.bytes_after,
    )


def _sweep(state: TableMaintenance, table: TableHandle, now: datetime) -> TableMaintenance:
    snapshots, files = expire(table, now)
    found = remove_orphans(table, now)
    return dataclasses.replace(
        state,
        snapshots_expired=snapshots,
        files_expired=files,
        orphans_removed=len(found),
        orphan_bytes=sum(file.size_bytes for file in found),
    )


def _state_of(table: TableHandle, shape: Contract) -> TableMaintenance:
    files = live_files(table, shape)
    size_bytes = sum(file.size_bytes for file in files)
    return TableMaintenance(shape.table, len(files), len(files), size_bytes, size_bytes)
