"""Old snapshots and orphans go, and nothing that anybody may still need."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from eventmint.contracts import contract
from eventmint.engine.parquet import arrow_schema, write_table
from eventmint.errors import Bug
from eventmint.tables import maintain
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.commit import Conflict, Stamp, commit, note
from eventmint.tables.maintain import expire, orphans, remove_orphans, trim
from eventmint.tables.plan import (
    COMPACTION,
    KNOWN_SINCE,
    SEQ,
    Changes,
    TableHandle,
    changes_since,
    files_changed_since,
    live_files,
    newest_files,
    row_count,
    seq_of,
)

RUNS = contract("ops.runs")
NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=10)
LONG_AGO = NOW - timedelta(days=5)


def runs_file(folder: Path, name: str, rows: int = 1) -> Path:
    row = {"run_id": name, "started_at": NOW, "seconds": 1.0, "seq": 1, "laws_hold": True, "report": "{}"}
    return write_table(
        pa.Table.from_pylist([row] * rows, schema=arrow_schema(RUNS)), RUNS, folder / f"{name}.parquet"
    )


def commit_runs(catalog: LakeCatalog, folder: Path, count: int) -> TableHandle:
    for number in range(1, count + 1):
        added = [runs_file(folder, f"r{number}")]
        commit(catalog.load(RUNS), RUNS, Stamp(number, f"batch {number}"), add=added)
    return catalog.load(RUNS)


def compact(table: TableHandle, folder: Path, name: str, rows: int) -> None:
    held = live_files(table, RUNS)
    stamp = Stamp(seq_of(table), "", COMPACTION)
    commit(table, RUNS, stamp, add=[runs_file(folder, name, rows)], remove=held)


def below(catalog: LakeCatalog, folder: str) -> set[str]:
    place = catalog.root / "ops/runs" / folder
    return {path.name for path in place.rglob("*") if path.is_file()}


# --- The mark of a compaction -----------------------------------------------------------------------------


def test_a_compaction_is_no_change_to_who_was_there_and_to_who_lags_behind(
    catalog: LakeCatalog, tmp_path: Path
) -> None:
    table = commit_runs(catalog, tmp_path, 3)
    snapshot = table.metadata.current_snapshot_id
    compact(table, tmp_path, "merged", 3)
    fresh = catalog.load(RUNS)
    assert (seq_of(fresh), row_count(fresh)) == (3, 3)
    assert changes_since(fresh, RUNS, 3) == Changes()
    behind = changes_since(fresh, RUNS, 2)
    assert behind is not None
    assert sum(f.rows for f in behind.added) - sum(f.rows for f in behind.removed) == 1
    files = files_changed_since(fresh, RUNS, snapshot or 0)
    assert files is not None
    assert ([f.stem for f in files.added], len(files.removed)) == (["merged"], 3)


def test_a_compaction_that_loses_a_row_is_refused(catalog: LakeCatalog, tmp_path: Path) -> None:
    table = commit_runs(catalog, tmp_path, 3)
    with pytest.raises(Bug, match="would make 2 rows of 3"):
        compact(table, tmp_path, "merged", 2)
    assert row_count(catalog.load(RUNS)) == 3


def test_a_compaction_planned_before_another_commit_conflicts(catalog: LakeCatalog, tmp_path: Path) -> None:
    stale = commit_runs(catalog, tmp_path, 2)
    commit(catalog.load(RUNS), RUNS, Stamp(3, "batch 3"), add=[runs_file(tmp_path, "r3")])
    with pytest.raises(Conflict):
        compact(stale, tmp_path, "merged", 2)
    assert row_count(catalog.load(RUNS)) == 3


def test_the_newest_rows_are_those_of_the_last_commit_that_brought_some(
    catalog: LakeCatalog, tmp_path: Path
) -> None:
    table = commit_runs(catalog, tmp_path, 3)
    old = [file for file in live_files(table, RUNS) if file.stem != "r3"]
    commit(table, RUNS, Stamp(3, "", COMPACTION), add=[runs_file(tmp_path, "merged", 2)], remove=old)
    assert [file.stem for file in newest_files(catalog.load(RUNS), RUNS)] == ["r3"]
    compact(catalog.load(RUNS), tmp_path, "all", 3)
    assert [file.stem for file in newest_files(catalog.load(RUNS), RUNS)] == ["all"]


# --- Snapshots --------------------------------------------------------------------------------------------


def test_snapshots_expire_by_age_with_the_files_that_only_they_knew(
    catalog: LakeCatalog, tmp_path: Path
) -> None:
    compact(commit_runs(catalog, tmp_path, 3), tmp_path, "merged", 3)
    assert expire(catalog.load(RUNS), NOW) == (0, 0)
    snapshots, files = expire(catalog.load(RUNS), LATER)
    assert snapshots == 3
    assert files >= 6  # three data files, three lists of manifests
    table = catalog.load(RUNS)
    assert len(table.snapshots()) == 1
    assert [file.stem for file in live_files(table, RUNS)] == ["merged"]
    assert len(below(catalog, "data")) == 1
    assert changes_since(table, RUNS, 3) == Changes()


def test_a_state_that_was_the_newest_until_now_is_kept_however_old_it_is(
    catalog: LakeCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintain, "SNAPSHOT_AGE", timedelta(seconds=1))
    table = commit_runs(catalog, tmp_path, 2)
    time.sleep(1.2)
    compact(table, tmp_path, "merged", 2)
    assert expire(catalog.load(RUNS), datetime.now(UTC)) != (0, 0)
    kept = catalog.load(RUNS).snapshots()
    assert [catalog.load(RUNS).scan(snapshot_id=one.snapshot_id).to_arrow().num_rows for one in kept] == [
        2,
        2,
    ]


def test_compactions_push_no_state_out_that_a_reader_may_have_open(
    catalog: LakeCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintain, "SNAPSHOTS_BEFORE_TRIMMING", 3)
    monkeypatch.setattr(maintain, "SNAPSHOTS_KEPT", 2)
    commit_runs(catalog, tmp_path, 3)
    for number in range(4):
        compact(catalog.load(RUNS), tmp_path, f"merged{number}", 3)
    assert trim(catalog.load(RUNS)) == 0
    commit(catalog.load(RUNS), RUNS, Stamp(4, "batch 4"), add=[runs_file(tmp_path, "r4")])
    assert trim(catalog.load(RUNS)) > 0
    kept = [
        snapshot.summary.additional_properties[SEQ]
        for snapshot in catalog.load(RUNS).snapshots()
        if snapshot.summary
    ]
    assert kept == ["3", "3", "3", "3", "3", "4"]


# --- Orphans ----------------------------------------------------------------------------------------------


def plant(catalog: LakeCatalog, name: str, modified: datetime = LONG_AGO) -> Path:
    path = catalog.root / "ops/runs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"left behind")
    os.utime(path, (modified.timestamp(), modified.timestamp()))
    return path


def known_for_long(catalog: LakeCatalog) -> TableHandle:
    note(catalog.load(RUNS), {KNOWN_SINCE: (NOW - timedelta(days=100)).isoformat()})
    return catalog.load(RUNS)


def test_old_files_that_nothing_knows_are_removed(catalog: LakeCatalog, tmp_path: Path) -> None:
    commit_runs(catalog, tmp_path, 2)
    left = [
        plant(catalog, "data/left.parquet"),
        plant(catalog, "data/day=2026-01-01/left.parquet"),
        plant(catalog, "metadata/left-m0.avro"),
        plant(catalog, "metadata/00009-left.metadata.json"),
    ]
    table = known_for_long(catalog)
    before = {name: below(catalog, name) for name in ("data", "metadata")}
    assert {file.location for file in orphans(table, NOW)} == {str(path) for path in left}
    assert {name: below(catalog, name) for name in before} == before  # asking removes nothing
    assert {file.location for file in remove_orphans(table, NOW)} == {str(path) for path in left}
    gone = {path.name for path in left}
    assert {name: below(catalog, name) for name in before} == {n: found - gone for n, found in before.items()}
    assert [file.stem for file in live_files(catalog.load(RUNS), RUNS)] == ["r2", "r1"]
    commit(catalog.load(RUNS), RUNS, Stamp(3, "batch 3"), add=[runs_file(tmp_path, "r3")])


def test_a_file_within_the_grace_period_may_be_a_writers(catalog: LakeCatalog, tmp_path: Path) -> None:
    commit_runs(catalog, tmp_path, 1)
    young = plant(catalog, "data/young.parquet", NOW - timedelta(days=3) + timedelta(minutes=1))
    assert remove_orphans(known_for_long(catalog), NOW) == []
    assert young.exists()


@pytest.mark.parametrize(
    "name", ["data/notes.txt", "notes.parquet", "metadata/version-hint.text", "other/a.avro"]
)
def test_a_file_that_is_not_named_as_ours_is_not_touched(
    catalog: LakeCatalog, tmp_path: Path, name: str
) -> None:
    commit_runs(catalog, tmp_path, 1)
    plant(catalog, name)
    assert remove_orphans(known_for_long(catalog), NOW) == []


def test_what_is_older_than_the_table_as_we_know_it_stays(catalog: LakeCatalog, tmp_path: Path) -> None:
    commit_runs(catalog, tmp_path, 1)
    before = plant(catalog, "data/of-a-lost-catalog.parquet")
    assert remove_orphans(catalog.load(RUNS), LATER) == []
    assert before.exists()


def test_files_that_all_states_need_stay_however_old_they_are(catalog: LakeCatalog, tmp_path: Path) -> None:
    table = commit_runs(catalog, tmp_path, 3)
    compact(table, tmp_path, "merged", 3)
    assert remove_orphans(known_for_long(catalog), LATER) == []
    for snapshot in catalog.load(RUNS).snapshots():
        assert catalog.load(RUNS).scan(snapshot_id=snapshot.snapshot_id).to_arrow().num_rows > 0


def test_nothing_goes_where_the_listing_does_not_show_what_the_table_names(
    catalog: LakeCatalog, tmp_path: Path
) -> None:
    commit_runs(catalog, tmp_path, 2)
    left = plant(catalog, "data/left.parquet")
    table = known_for_long(catalog)
    Path(live_files(table, RUNS)[0].location).unlink()
    assert remove_orphans(table, NOW) == []
    assert left.exists()


def test_a_table_of_an_earlier_version_is_known_from_the_first_look_on(
    catalog: LakeCatalog, tmp_path: Path
) -> None:
    commit_runs(catalog, tmp_path, 1)
    with catalog.load(RUNS).transaction() as transaction:
        transaction.remove_properties(KNOWN_SINCE)
    left = plant(catalog, "data/left.parquet")
    assert remove_orphans(catalog.load(RUNS), NOW) == []
    assert left.exists()
    assert catalog.load(RUNS).properties[KNOWN_SINCE] == NOW.isoformat()
