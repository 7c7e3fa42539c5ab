"""The commit protocol: all or nothing, never twice, never over another writer, and never guessed."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deliveries import TODAY, YESTERDAY, Shop, assert_lake_is, event, gzipped, random_events, view
from pyiceberg.expressions import visitors
from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Transaction

from eventmint.contracts import ANSWERS, Contract, all_contracts, contract
from eventmint.engine.parquet import arrow_schema, write_table
from eventmint.errors import Bug, EventmintError, FixData, TryAgain
from eventmint.pipeline import BLOCKS
from eventmint.tables import catalog as catalog_module
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.commit import Conflict, Stamp, commit
from eventmint.tables.plan import (
    BATCH,
    KIND,
    SEQ,
    Changes,
    LiveFile,
    TableHandle,
    address,
    changes_since,
    live_files,
    newest_files,
    row_count,
    seq_of,
)

ACTIVITY = contract("gold.user_activity")
SILVER = contract("silver.events_cleaned")
HOURS = contract("silver.event_hours")
FIRST, SECOND, THIRD = Stamp(1, "batch one"), Stamp(2, "batch two"), Stamp(3, "batch three")


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def parquet(scratch: Path, name: str, shape: Contract, *rows: dict[str, Any]) -> Path:
    table = pa.Table.from_pylist(list(rows), schema=arrow_schema(shape))
    return write_table(table, shape, scratch / f"{name}.parquet")


def activity(scratch: Path, name: str, day: date = TODAY, events: int = 7) -> Path:
    row = {"event_date": day, "unique_users": 1, "unique_sessions": 2, "events": events}
    return parquet(scratch, name, ACTIVITY, row)


def silver_file(scratch: Path, name: str, *times: datetime) -> Path:
    rows = [
        {"event_time": time, "event_date": time.date(), "event_hour": time.hour, "event_type": "search"}
        for time in times
    ]
    return parquet(scratch, name, SILVER, *rows)


def names(files: Sequence[LiveFile]) -> list[str]:
    return sorted(file.stem for file in files)


def events_of(catalog: LakeCatalog) -> list[int]:
    files = live_files(catalog.load(ACTIVITY), ACTIVITY)
    return sorted(pq.read_table(file.location, partitioning=None)["events"][0].as_py() for file in files)


State = tuple[int, dict[str, str], list[str]]


def state(catalog: LakeCatalog, shape: Contract = ACTIVITY) -> State:
    """Return what another reader sees of a table: snapshots, properties, files."""
    table = LakeCatalog(catalog.root).load(shape)
    return len(table.snapshots()), dict(table.properties), names(live_files(table, shape))


# --- What a commit does ----------------------------------------------------------------------------------


def test_a_commit_adds_rows_and_moves_the_stamp(catalog: LakeCatalog, scratch: Path) -> None:
    table = catalog.load(ACTIVITY)
    assert seq_of(table) == 0
    commit(
        table,
        ACTIVITY,
        Stamp(1, "batch one", properties={"eventmint.note": "x"}),
        add=[activity(scratch, "a")],
    )

    fresh = catalog.load(ACTIVITY)
    assert (seq_of(fresh), fresh.properties[BATCH], row_count(fresh)) == (1, "batch one", 1)
    snapshot = fresh.current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    summary = snapshot.summary.additional_properties
    assert (summary[SEQ], summary[BATCH], summary[KIND]) == ("1", "batch one", "batch")
    (file,) = live_files(fresh, ACTIVITY)
    assert (file.rows, file.day) == (1, TODAY)
    assert Path(file.location).parent == catalog.root / f"gold/user_activity/data/event_date={TODAY}"
    assert file.stem == "a"
    assert list(scratch.iterdir()) == []  # moved, not copied


def test_a_commit_without_files_moves_the_stamp_by_a_snapshot_without_rows(catalog: LakeCatalog) -> None:
    commit(catalog.load(ACTIVITY), ACTIVITY, FIRST)
    snapshots, properties, files = state(catalog)
    assert (snapshots, properties[SEQ], properties[BATCH], files) == (1, "1", "batch one", [])


def test_adding_and_removing_is_one_snapshot(catalog: LakeCatalog, scratch: Path) -> None:
    old = [activity(scratch, "a", events=1), activity(scratch, "b", YESTERDAY, events=2)]
    commit(catalog.load(ACTIVITY), ACTIVITY, FIRST, add=old)
    table = catalog.load(ACTIVITY)
    a, b = sorted(live_files(table, ACTIVITY), key=lambda file: file.location, reverse=True)
    assert (a.day, b.day) == (TODAY, YESTERDAY)
    commit(table, ACTIVITY, SECOND, add=[activity(scratch, "c", events=3)], remove=[a])
    assert (state(catalog)[0], state(catalog)[2]) == (2, ["b", "c"])
    assert events_of(catalog) == [2, 3]
    assert Path(a.location).exists()  # a reader of the old snapshot still has it


def test_files_may_be_removed_without_any_in_their_place(catalog: LakeCatalog, scratch: Path) -> None:
    commit(catalog.load(ACTIVITY), ACTIVITY, FIRST, add=[activity(scratch, "a")])
    table = catalog.load(ACTIVITY)
    commit(table, ACTIVITY, SECOND, remove=live_files(table, ACTIVITY))
    assert state(catalog)[2] == []
    assert row_count(catalog.load(ACTIVITY)) == 0


def test_files_of_one_day_of_many_are_removed_however_pyiceberg_schedules_its_threads(
    catalog: LakeCatalog, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its evaluator of manifests keeps what it looks at; the pause makes sure that threads meet in it."""

    def evaluate(self: visitors._ManifestEvalVisitor, manifest: ManifestFile) -> bool:
        self.partition_fields = manifest.partitions or []
        time.sleep(0.005)
        return bool(visitors.visit(self.partition_filter, self))

    days = [TODAY - timedelta(days=age) for age in range(8)]
    for seq, day in enumerate(days, 1):
        commit(catalog.load(ACTIVITY), ACTIVITY, Stamp(seq, "batch"), add=[activity(scratch, f"{day}", day)])
    table = catalog.load(ACTIVITY)
    held = live_files(table, ACTIVITY)
    monkeypatch.setattr(visitors._ManifestEvalVisitor, "eval", evaluate)
    for _ in days[1:]:  # one day of many: where threads meet, nearly all of them see another one
        commit(table, ACTIVITY, Stamp(9, "batch"), remove=[held.pop(0)])
        assert live_files(table, ACTIVITY) == held


def test_every_table_refuses_to_retry_a_commit_on_its_own(catalog: LakeCatalog) -> None:
    for shape in all_contracts():
        assert catalog.load(shape).properties["commit.retry.num-retries"] == "0", shape.table


# --- Other writers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", ["add", "replace", "stamp only"])
@pytest.mark.parametrize("other", ["append", "stamp only"])
def test_a_stale_handle_meets_a_conflict_and_changes_nothing(
    catalog: LakeCatalog, scratch: Path, plan: str, other: str
) -> None:
    commit(catalog.load(ACTIVITY), ACTIVITY, FIRST, add=[activity(scratch, "a", events=1)])
    stale = catalog.load(ACTIVITY)
    remove = live_files(stale, ACTIVITY) if plan == "replace" else []
    other_add = [activity(scratch, "other", YESTERDAY, events=2)] if other == "append" else []
    commit(LakeCatalog(catalog.root).load(ACTIVITY), ACTIVITY, SECOND, add=other_add)
    before = state(catalog)
    add = [] if plan == "stamp only" else [activity(scratch, "mine", events=3)]
    with pytest.raises(Conflict, match=r"gold.user_activity: another writer committed first") as caught:
        commit(stale, ACTIVITY, THIRD, add=add, remove=remove)
    assert isinstance(caught.value, TryAgain)
    assert state(catalog) == before


def test_of_two_writers_with_the_same_plan_exactly_one_wins(catalog: LakeCatalog, scratch: Path) -> None:
    outcomes: list[str] = []
    for number in range(1, 9):
        handles = [LakeCatalog(catalog.root).load(ACTIVITY) for _ in range(2)]
        files = []
        for writer in range(2):
            folder = scratch / f"{number}-{writer}"
            folder.mkdir()
            files.append(activity(folder, f"same name {number}", events=number))
        outcomes.clear()
        start = threading.Barrier(2)

        def write(table: TableHandle, file: Path, start: threading.Barrier, stamp: Stamp) -> None:
            start.wait()
            try:
                commit(table, ACTIVITY, stamp, add=[file])
                outcomes.append("won")
            except Conflict:
                outcomes.append("lost")

        writers = [
            threading.Thread(target=write, args=(table, file, start, Stamp(number, f"batch {number}")))
            for table, file in zip(handles, files, strict=True)
        ]
        for writer_thread in writers:
            writer_thread.start()
        for writer_thread in writers:
            writer_thread.join()
        assert sorted(outcomes) == ["lost", "won"]
        assert events_of(catalog) == list(range(1, number + 1))
    assert state(catalog)[0] == 8


def test_a_stamp_never_goes_back(catalog: LakeCatalog, scratch: Path) -> None:
    commit(catalog.load(ACTIVITY), ACTIVITY, SECOND, add=[activity(scratch, "a")])
    before = state(catalog)
    with pytest.raises(Conflict, match="another writer is ahead of batch 1"):
        commit(catalog.load(ACTIVITY), ACTIVITY, FIRST)
    assert state(catalog) == before


# --- Unknown outcomes ------------------------------------------------------------------------------------


def fail_around(
    table: TableHandle, monkeypatch: pytest.MonkeyPatch, error: Exception, *, is_taken: bool
) -> None:
    """Let the catalog's commit raise, after it was taken or before."""
    real = table.catalog.commit_table

    def commit_table(*arguments: Any, **named: Any) -> Any:
        if is_taken:
            real(*arguments, **named)
        raise error

    monkeypatch.setattr(table.catalog, "commit_table", commit_table)


@pytest.mark.parametrize("error", [TimeoutError("no reply"), OSError("reset"), RuntimeError("odd")])
@pytest.mark.parametrize("has_files", [True, False])
def test_a_commit_whose_reply_is_lost_is_found_and_not_repeated(
    catalog: LakeCatalog, scratch: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, has_files: bool
) -> None:
    table = catalog.load(ACTIVITY)
    fail_around(table, monkeypatch, error, is_taken=True)
    commit(table, ACTIVITY, FIRST, add=[activity(scratch, "a")] if has_files else [])
    snapshots, properties, files = state(catalog)
    assert (snapshots, properties[SEQ], files) == (1, "1", ["a"] if has_files else [])


@pytest.mark.parametrize("error", [TimeoutError("no reply"), OSError("disk full"), RuntimeError("odd")])
def test_a_commit_that_fails_before_it_is_taken_asks_to_try_again(
    catalog: LakeCatalog, scratch: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    before = state(catalog)
    table = catalog.load(ACTIVITY)
    with monkeypatch.context() as patch:
        fail_around(table, patch, error, is_taken=False)
        with pytest.raises(TryAgain, match=f"gold.user_activity: the commit failed: {error}") as caught:
            commit(table, ACTIVITY, FIRST, add=[activity(scratch, "a")])
    assert not isinstance(caught.value, Conflict)
    assert caught.value.__cause__ is error
    assert state(catalog) == before
    # Trying again is not hindered by the leftover, nor does it bring the leftover back.
    commit(catalog.load(ACTIVITY), ACTIVITY, FIRST, add=[activity(scratch, "a", events=8)])
    assert events_of(catalog) == [8]


@pytest.mark.parametrize(
    ("silence", "told"),
    [
        (RuntimeError("no route"), TryAgain("the commit failed, and the catalog does not say")),
        (OSError("No space left on device"), FixData("the disk is full")),
    ],
)
@pytest.mark.parametrize("is_taken", [True, False])
def test_a_commit_of_which_the_catalog_says_nothing_more_asks_to_try_again(
    catalog: LakeCatalog, scratch: Path, silence: Exception, told: EventmintError, is_taken: bool
) -> None:
    table = catalog.load(ACTIVITY)
    real = table.catalog.commit_table

    def refuse(*_: object) -> None:
        raise silence

    def commit_table(*arguments: Any, **named: Any) -> None:
        if is_taken:
            real(*arguments, **named)
        patch.setattr(table.catalog, "load_table", refuse)
        raise TimeoutError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table.catalog, "commit_table", commit_table)
        with pytest.raises(type(told), match=told.message) as caught:
            commit(table, ACTIVITY, FIRST, add=[activity(scratch, "a")])
    assert caught.value.__cause__ is silence
    snapshots, properties, _ = state(catalog)
    assert (snapshots, properties.get(SEQ)) == ((1, "1") if is_taken else (0, None))


def test_a_commit_that_sqlite_refuses_at_its_end_is_not_taken_for_done(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_module, "SQLITE_WAITS_SECONDS", 0.1)
    catalog = LakeCatalog(tmp_path / "lake")
    catalog.create_missing()
    before = state(catalog)
    # A reader in the middle of reading lets a writer write, but not COMMIT.
    reader = sqlite3.connect(catalog.file, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM iceberg_tables").fetchone()
    with pytest.raises(TryAgain, match="in use by another program"):
        commit(catalog.load(ACTIVITY), ACTIVITY, FIRST, add=[activity(scratch, "a")])
    reader.close()
    assert state(LakeCatalog(tmp_path / "lake")) == before
    commit(catalog.load(ACTIVITY), ACTIVITY, FIRST, add=[activity(scratch, "a")])
    assert events_of(LakeCatalog(tmp_path / "lake")) == [7]


def test_a_commit_that_fails_leaves_its_files_in_place(
    catalog: LakeCatalog, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever fails to commit can't know that nobody did: a reply may yet have been lost."""
    table = catalog.load(ACTIVITY)
    finished = activity(scratch, "a")
    content = finished.read_bytes()
    fail_around(table, monkeypatch, TimeoutError("no reply"), is_taken=False)
    with pytest.raises(TryAgain):
        commit(table, ACTIVITY, FIRST, add=[finished])
    (left,) = catalog.root.rglob("a.*parquet")
    assert left.read_bytes() == content


# --- What a commit refuses -------------------------------------------------------------------------------


def test_null_in_a_required_column_is_refused(catalog: LakeCatalog, scratch: Path) -> None:
    declared = arrow_schema(ACTIVITY)
    nullable = pa.schema([field.with_nullable(True) for field in declared])  # noqa: FBT003 - as Arrow has it
    row = {"event_date": TODAY, "unique_users": 1, "unique_sessions": None, "events": 1}
    pq.write_table(pa.Table.from_pylist([row], schema=nullable), scratch / "a.parquet")
    before = state(catalog)
    with pytest.raises(Bug, match=r"gold.user_activity.unique_sessions: 1 rows are NULL"):
        commit(catalog.load(ACTIVITY), ACTIVITY, FIRST, add=[scratch / "a.parquet"])
    assert state(catalog) == before


def test_a_file_with_rows_of_two_days_is_refused(catalog: LakeCatalog, scratch: Path) -> None:
    midnight = datetime(2025, 6, 15, tzinfo=UTC)
    file = silver_file(scratch, "a", midnight, midnight - timedelta(microseconds=1))
    before = state(catalog, SILVER)
    with pytest.raises(ValueError, match="partition"):
        commit(catalog.load(SILVER), SILVER, FIRST, add=[file])
    assert state(catalog, SILVER) == before


# --- Days ------------------------------------------------------------------------------------------------


def test_a_file_belongs_to_its_utc_day_and_is_found_by_day_and_time(
    catalog: LakeCatalog, scratch: Path
) -> None:
    midnight = datetime(2025, 6, 15, tzinfo=UTC)
    instants = {
        "first": datetime(1970, 1, 1, tzinfo=UTC),
        "before": midnight - timedelta(microseconds=1),
        "midnight": midnight,
        "last": midnight + timedelta(days=1, microseconds=-1),
        "after": midnight + timedelta(days=1),
    }
    add = [silver_file(scratch, name, instant) for name, instant in instants.items()]
    commit(catalog.load(SILVER), SILVER, FIRST, add=add)
    table = catalog.load(SILVER)
    for name, instant in instants.items():
        (file,) = (file for file in live_files(table, SILVER) if file.stem == name)
        assert file.day == instant.date()
        assert Path(file.location).parent.name == f"event_time_day={instant.date()}"
        assert name in names(live_files(table, SILVER, days=[instant.date()]))
        assert names(live_files(table, SILVER, between=(instant, instant))) == [name]
    assert names(live_files(table, SILVER, days=[TODAY])) == ["last", "midnight"]
    span = (instants["before"], instants["last"])
    assert names(live_files(table, SILVER, between=span)) == ["before", "last", "midnight"]
    many_days = [TODAY - timedelta(days=number) for number in range(30)]
    assert names(live_files(table, SILVER, days=many_days)) == ["before", "last", "midnight"]
    assert live_files(table, SILVER, days=[date(2025, 6, 1)]) == []


def test_a_day_before_1970_has_its_own_folder(catalog: LakeCatalog, scratch: Path) -> None:
    shape = contract("bronze.events")
    row = {"source_file": "a", "source_sha256": "b", "received_at": datetime(1969, 12, 31, 23, tzinfo=UTC)}
    commit(catalog.load(shape), shape, FIRST, add=[parquet(scratch, "a", shape, row)])
    (file,) = live_files(catalog.load(shape), shape)
    assert file.day == date(1969, 12, 31)
    assert Path(file.location).parent.name == "received_at_day=1969-12-31"


def test_a_table_without_days_has_none(catalog: LakeCatalog, scratch: Path) -> None:
    row = {
        "event_date": TODAY,
        "event_hour": 1,
        "valid": 1,
        "events": 1,
        "duplicates": 0,
        "key_conflicts": 0,
        "amount": Decimal(0),
    }
    commit(catalog.load(HOURS), HOURS, FIRST, add=[parquet(scratch, "a", HOURS, row)])
    (file,) = live_files(catalog.load(HOURS), HOURS)
    assert file.day is None
    assert Path(file.location).parent == catalog.root / "silver/event_hours/data"


# --- What changed ----------------------------------------------------------------------------------------


def add(
    catalog: LakeCatalog, scratch: Path, seq: int, *files: str, remove: Sequence[str] = (), **stamp: Any
) -> None:
    table = catalog.load(ACTIVITY)
    gone = [file for file in live_files(table, ACTIVITY) if file.stem in remove]
    assert len(gone) == len(remove)
    paths = [activity(scratch, name) for name in files]
    commit(table, ACTIVITY, Stamp(seq, f"batch {seq}", **stamp), add=paths, remove=gone)


def append_as_another_program(catalog: LakeCatalog) -> None:
    row = {"event_date": TODAY, "unique_users": 1, "unique_sessions": 2, "events": 7}
    catalog.load(ACTIVITY).append(pa.Table.from_pylist([row], schema=arrow_schema(ACTIVITY)))


def changed(catalog: LakeCatalog, seq: int) -> tuple[list[str], list[str]]:
    changes = changes_since(catalog.load(ACTIVITY), ACTIVITY, seq)
    assert changes is not None
    return names(changes.added), names(changes.removed)


def test_changes_are_the_files_that_came_and_went_since_a_batch(catalog: LakeCatalog, scratch: Path) -> None:
    assert changed(catalog, 0) == ([], [])
    add(catalog, scratch, 1, "a", "b")
    add(catalog, scratch, 2, "c", remove=["a"])
    commit(catalog.load(ACTIVITY), ACTIVITY, THIRD)  # a batch without rows
    add(catalog, scratch, 4, "d", remove=["c"])
    assert changed(catalog, 0) == (["b", "d"], [])
    assert changed(catalog, 1) == (["d"], ["a"])  # c came and went
    assert changed(catalog, 2) == changed(catalog, 3) == (["d"], ["c"])
    assert changed(catalog, 4) == changed(catalog, 9) == ([], [])
    assert names(newest_files(catalog.load(ACTIVITY), ACTIVITY)) == ["d"]


def test_two_commits_of_one_batch_are_both_seen(catalog: LakeCatalog, scratch: Path) -> None:
    add(catalog, scratch, 1, "a")
    add(catalog, scratch, 2, "b")
    add(catalog, scratch, 2, "c", remove=["b"], kind="restate")
    assert changed(catalog, 1) == (["c"], [])


def test_days_of_changes_are_those_of_all_files_that_came_or_went() -> None:
    came, went, undated = (LiveFile(name, 1, day, None) for name, day in _DAYS)  # type: ignore[arg-type]
    assert Changes((came, undated), (went,)).days == {TODAY, YESTERDAY}
    assert Changes().days == frozenset()


_DAYS = (("came", TODAY), ("went", YESTERDAY), ("undated", None))


def test_rows_of_another_program_are_changes_too(catalog: LakeCatalog, scratch: Path) -> None:
    add(catalog, scratch, 1, "a")
    append_as_another_program(catalog)
    assert len(changed(catalog, 1)[0]) == 1
    add(catalog, scratch, 2, "b")
    assert len(changed(catalog, 1)[0]) == 2
    assert changed(catalog, 2) == ([], [])


@pytest.mark.parametrize("uri", ["file:///lake/a.parquet", "file:/lake/a.parquet", "/lake/a.parquet"])
def test_a_file_is_found_however_its_writer_spells_the_folder(uri: str) -> None:
    # PyIceberg and Trino write three slashes, Hadoop, and so Spark, one.
    assert address(uri) == "/lake/a.parquet"


def test_an_address_of_s3_stays_as_it_is() -> None:
    assert address("s3://lake/a.parquet") == "s3://lake/a.parquet"


def test_rows_of_another_program_are_told_once(catalog: LakeCatalog, scratch: Path) -> None:
    add(catalog, scratch, 1, "a")
    append_as_another_program(catalog)
    commit(catalog.load(ACTIVITY), ACTIVITY, SECOND)
    assert len(changed(catalog, 1)[0]) == 1  # a follower brings itself up to batch 2 with this
    add(catalog, scratch, 3, "b")
    assert changed(catalog, 2) == (["b"], [])


def test_changes_cannot_be_told_when_snapshots_have_expired(catalog: LakeCatalog, scratch: Path) -> None:
    for seq, name in enumerate("abc", 1):
        add(catalog, scratch, seq, name)
    table = catalog.load(ACTIVITY)
    oldest = min(table.snapshots(), key=lambda snapshot: snapshot.sequence_number or 0)
    table.maintenance.expire_snapshots().by_id(oldest.snapshot_id).commit()
    table = catalog.load(ACTIVITY)
    assert changes_since(table, ACTIVITY, 0) is None
    assert changes_since(table, ACTIVITY, 1) is None  # whether anything lay between is not known
    assert changed(catalog, 2) == (["c"], [])
    assert changed(catalog, 3) == ([], [])


# --- A run among other writers ---------------------------------------------------------------------------


def touched_by_another(
    monkeypatch: pytest.MonkeyPatch, shop: Shop, tables: Sequence[str], times: int
) -> list[str]:
    """Let another writer commit to these tables, so many times each, just before the run does.

    Returns: a list that gets the name of each table when that happens.
    """
    real = Transaction.commit_transaction
    happened: list[str] = []
    at_work = False

    def commit_transaction(transaction: Transaction) -> TableHandle:
        nonlocal at_work
        name = ".".join(transaction._table.name())
        if name in tables and happened.count(name) < times and not at_work:
            at_work = True
            happened.append(name)
            other = LakeCatalog(shop.folder / "lake").load(contract(name))
            with other.transaction() as changes:
                changes.set_properties({"another": "writer"})
                with changes.update_snapshot().fast_append():
                    pass  # a snapshot without rows, but a snapshot
            at_work = False
        return real(transaction)

    monkeypatch.setattr(Transaction, "commit_transaction", commit_transaction)
    return happened


GOLD = (*BLOCKS, *(f"gold.{answer}" for answer in ANSWERS))


@pytest.mark.parametrize(
    "tables",
    [
        ("bronze.events",),
        ("bronze.ingested_files",),
        ("silver.events_cleaned",),
        ("silver.event_hours",),
        GOLD,
        ("ops.runs",),
    ],
    ids=["bronze", "ledger", "silver", "books", "gold", "record"],
)
def test_a_run_that_meets_a_conflict_plans_again_and_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tables: tuple[str, ...]
) -> None:
    shop = Shop(tmp_path)
    rng = Random(40)
    shop.deliver("a", *random_events(rng, 10))
    shop.run()
    shop.deliver("b", *random_events(rng, 10), event(), b"{")
    shop.deliver_text("blank", b"\n\n")
    shop.deliver_text("copy of a", shop.texts["a"])
    shop.deliver_bytes("corrupt", gzipped(b"x")[:-1])
    with monkeypatch.context() as patch:
        happened = touched_by_another(patch, shop, tables, times=1)
        report = shop.run()
    assert sorted(happened) == sorted(tables)
    assert (report.files_landed, report.files_same_content, report.files_set_aside) == (2, 1, 1)
    assert (report.totals.valid, report.totals.blank, report.totals.quarantined) == (11, 2, 1)
    assert report.quarantined_by_reason == {"json_invalid": 1}
    assert report.laws_hold
    assert_lake_is(shop.lake, shop.expected())
    statuses = sorted((Path(e.path).name, e.status) for e in shop.lake.ledger().entries)
    assert statuses == [
        ("a.jsonl.gz", "landed"),
        ("b.jsonl.gz", "landed"),
        ("blank.jsonl.gz", "landed"),
        ("copy of a.jsonl.gz", "same_content"),
        ("corrupt.jsonl.gz", "set_aside"),
    ]
    last = shop.lake.last_run()
    assert last is not None
    assert last["lake"]["lines"] == shop.expected().lines
    assert not shop.run().changed
    for table in tables:
        assert shop.lake._catalog.load(contract(table)).properties["another"] == "writer"


@pytest.mark.parametrize("table", ["bronze.events", "silver.events_cleaned", "gold.hourly_revenue"])
def test_a_run_that_only_meets_conflicts_gives_up_and_the_next_one_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    shop = Shop(tmp_path)
    shop.deliver("a", view(), event())
    with monkeypatch.context() as patch:
        touched_by_another(patch, shop, [table], times=1000)
        with pytest.raises(Conflict, match=f"{table}: another writer committed first"):
            shop.run()
    assert shop.run().laws_hold
    assert_lake_is(shop.lake, shop.expected())
