"""Manifests stay few whatever the number of commits, and no file and no change is lost by that."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
from deliveries import TODAY

from eventmint.contracts import contract
from eventmint.engine.parquet import arrow_schema, write_table
from eventmint.storage.digests import stem_in
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.commit import Stamp, commit
from eventmint.tables.manifests import MANIFESTS_BEFORE_MERGING
from eventmint.tables.plan import TableHandle, changes_since, live_files

ACTIVITY = contract("gold.user_activity")
DAYS = tuple(TODAY - timedelta(days=age) for age in range(3))
COMMITS = 60
State = set[str]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[TableHandle, list[State]]:
    """A table after many commits that add and replace files of three days, and its files after each."""
    folder = tmp_path_factory.mktemp("manifests")
    catalog = LakeCatalog(folder / "lake")
    catalog.create_missing()
    rng = Random(3)
    states: list[State] = [set()]
    for seq in range(1, COMMITS + 1):
        table = catalog.load(ACTIVITY)
        days = DAYS[: 1 + rng.randrange(3)]
        held = live_files(table, ACTIVITY)
        gone = [file for file in held if file.day in days and rng.random() < 0.2]
        added = [activity(folder, f"{seq}-{day}", day) for day in days]
        commit(table, ACTIVITY, Stamp(seq, f"batch {seq}"), add=added, remove=gone)
        names = {file.stem for file in gone}
        states.append((states[-1] - names) | {stem_in(str(path)) for path in added})
    return catalog.load(ACTIVITY), states


def activity(folder: Path, name: str, day: date) -> Path:
    row = {"event_date": day, "unique_users": 1, "unique_sessions": 2, "events": 7}
    rows = pa.Table.from_pylist([row], schema=arrow_schema(ACTIVITY))
    return write_table(rows, ACTIVITY, folder / f"{name}.parquet")


def names_of(table: TableHandle, *days: date) -> State:
    found = live_files(table, ACTIVITY, days=days) if days else live_files(table, ACTIVITY)
    return {file.stem for file in found}


def test_every_file_is_still_known_on_its_day(history: tuple[TableHandle, list[State]]) -> None:
    table, states = history
    assert names_of(table) == states[-1]
    for day in DAYS:
        assert names_of(table, day) == {name for name in states[-1] if name.endswith(f"-{day}")}


def test_every_change_can_still_be_told_across_merges(history: tuple[TableHandle, list[State]]) -> None:
    table, states = history
    for seq in range(COMMITS + 1):
        changes = changes_since(table, ACTIVITY, seq)
        assert changes is not None
        added, removed = ({file.stem for file in files} for files in (changes.added, changes.removed))
        assert (added, removed) == (states[-1] - states[seq], states[seq] - states[-1])


def test_manifests_are_few_and_none_is_empty_but_the_newest(
    history: tuple[TableHandle, list[State]],
) -> None:
    table, _ = history
    snapshot = table.current_snapshot()
    assert snapshot is not None
    manifests = snapshot.manifests(table.io)
    assert len(manifests) < 2 * MANIFESTS_BEFORE_MERGING < COMMITS
    older = [manifest for manifest in manifests if manifest.added_snapshot_id != snapshot.snapshot_id]
    assert all(manifest.added_files_count or manifest.existing_files_count for manifest in older)


def test_every_old_snapshot_still_has_its_files(history: tuple[TableHandle, list[State]]) -> None:
    table, states = history
    for snapshot in table.snapshots():
        summary = snapshot.summary
        assert summary is not None
        files = table.scan(snapshot_id=snapshot.snapshot_id).plan_files()
        names = {stem_in(task.file.file_path) for task in files}
        assert names == states[int(summary.additional_properties["eventmint.seq"])]
