"""Plans find the files that PyIceberg's own scans find, and read no manifest twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from deliveries import NOW, Shop, event, random_events, rows_of
from pyiceberg.expressions import And, GreaterThanOrEqual, LessThanOrEqual
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
)

from eventmint.contracts import Contract, contract
from eventmint.engine.parquet import arrow_schema, write_table
from eventmint.errors import FixData
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.commit import Stamp, commit
from eventmint.tables.plan import LiveFile, TableHandle, address, live_files

SILVER, BRONZE, ACTIVITY = map(contract, ("silver.events_cleaned", "bronze.events", "gold.user_activity"))
FIRST = NOW - timedelta(days=400)
DAYS = [date(2026, 1, day) for day in (1, 2, 3)]
Add = Callable[..., TableHandle]


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A lake of many days whose files have come and gone; one file of bronze holds no time at all."""
    shop, rng = Shop(tmp_path_factory.mktemp("shop")), Random(4)
    for number in range(4):
        moments = [FIRST + timedelta(hours=rng.randrange(24 * 300)) for _ in range(12)]
        lines = [event(timestamp=f"{moment:%Y-%m-%dT%H:%M:%S}Z") for moment in moments]
        shop.deliver(f"f{number}", *lines, *random_events(rng, 5))
        shop.run()
    shop.deliver("bad", b"{bad")
    shop.deliver("f1", *random_events(rng, 5))
    shop.run()
    return shop


def found(files: list[LiveFile]) -> list[str]:
    return [file.location for file in files]


def scanned(table: TableHandle, *conditions: Any) -> list[str]:
    scan = table.scan()
    for condition in conditions:
        scan = scan.filter(condition)
    return [address(task.file.file_path) for task in scan.plan_files()]


@pytest.mark.parametrize("shape", [SILVER, BRONZE], ids=lambda shape: shape.table)
def test_files_between_two_instants_are_those_of_a_scan(shop: Shop, shape: Contract) -> None:
    rng, table = Random(5), shop.lake._catalog.load(shape)
    assert found(live_files(table, shape)) == scanned(table)
    moments = [row["event_time"] for row in rows_of(shop.lake, SILVER.table)]
    sizes = set()
    for _ in range(60):
        near, length = rng.choice(moments), timedelta(hours=rng.choice([0, 1, 30, 24 * 40]))
        first = near + timedelta(microseconds=rng.choice([-1, 0, 1])) - rng.choice([length, timedelta(0)])
        last = first + length
        between = And(
            GreaterThanOrEqual("event_time", first.isoformat()),
            LessThanOrEqual("event_time", last.isoformat()),
        )
        files = found(live_files(table, shape, between=(first, last)))
        assert files == scanned(table, between)
        sizes.add(len(files))
    assert len(sizes) > 2


def test_files_of_days_are_those_whose_partition_is_one_of_them(shop: Shop) -> None:
    rng, table = Random(6), shop.lake._catalog.load(SILVER)
    every = live_files(table, SILVER)
    days = sorted({file.day for file in every if file.day})
    assert len(days) > 20
    for count in (0, 1, 2, 7, len(days)):
        chosen = [*rng.sample(days, count), date(1999, 1, 1)]
        assert found(live_files(table, SILVER, days=chosen)) == [
            file.location for file in every if file.day in chosen
        ]
    assert live_files(table, SILVER, days=[]) == []


def test_days_of_arrival_are_days_too(shop: Shop) -> None:
    table = shop.lake._catalog.load(BRONZE)
    every = live_files(table, BRONZE)
    [day] = {file.day for file in every if file.day}
    assert found(live_files(table, BRONZE, days=[day])) == found(every)
    assert live_files(table, BRONZE, days=[day - timedelta(days=1)]) == []


# ---- a table by itself -------------------------------------------------------------------------------------


@pytest.fixture
def add(catalog: LakeCatalog, tmp_path: Path) -> Add:
    def add_day(day: date, shape: Contract = ACTIVITY) -> TableHandle:
        table = catalog.load(shape)
        stamp = Stamp(1 + len(table.snapshots()), str(day))
        commit(table, shape, stamp, add=[file_of(day, shape, tmp_path / f"{day}.parquet")])
        return table

    return add_day


def file_of(day: date, shape: Contract, path: Path) -> Path:
    """A file with one row of that day."""
    row = dict.fromkeys(shape.column_names, 1) | {"event_date": day, "event_time": noon(day)}
    texts = {column.name: "x" for column in shape.columns if column.type == "string"}
    rows = pa.Table.from_pylist([row | texts], schema=arrow_schema(shape))
    return write_table(rows, shape, path)


def manifests(catalog: LakeCatalog, shape: Contract = ACTIVITY) -> list[Path]:
    return sorted((catalog.root / shape.schema / shape.name / "metadata").glob("*.avro"))


def test_a_handle_reads_each_manifest_once_and_a_new_one_reads_again(catalog: LakeCatalog, add: Add) -> None:
    for day in DAYS:
        add(day)
    table = catalog.load(ACTIVITY)
    before = live_files(table, ACTIVITY)
    for path in manifests(catalog):
        path.unlink()
    assert live_files(table, ACTIVITY) == before
    assert [file.day for file in live_files(table, ACTIVITY, days=DAYS[:1])] == DAYS[:1]
    with pytest.raises(FileNotFoundError):
        live_files(catalog.load(ACTIVITY), ACTIVITY)


def test_a_handle_follows_its_own_commits(add: Add, tmp_path: Path) -> None:
    table = add(DAYS[0])
    [held] = live_files(table, ACTIVITY)
    path = file_of(DAYS[1], ACTIVITY, tmp_path / "next.parquet")
    commit(table, ACTIVITY, Stamp(2, "next"), add=[path], remove=[held])
    assert [file.day for file in live_files(table, ACTIVITY)] == [DAYS[1]]


@pytest.mark.parametrize(
    ("shape", "asked"),
    [
        (ACTIVITY, {"days": DAYS[1:2]}),
        (SILVER, {"days": DAYS[1:2]}),
        (SILVER, {"between": (noon(DAYS[1]), noon(DAYS[1]) + timedelta(hours=11))}),
    ],
    ids=["days", "days of events", "instants"],
)
def test_of_days_that_are_not_asked_for_no_manifest_is_read(
    catalog: LakeCatalog, add: Add, shape: Contract, asked: dict[str, Any]
) -> None:
    own: dict[date, set[Path]] = {}
    for day in DAYS:
        known = set(manifests(catalog, shape))
        add(day, shape)
        new = set(manifests(catalog, shape)) - known
        own[day] = {path for path in new if not path.name.startswith("snap-")}
    for path in own[DAYS[0]] | own[DAYS[2]]:
        path.unlink()
    assert [file.day for file in live_files(catalog.load(shape), shape, **asked)] == DAYS[1:2]


# ---- rows that another program has marked as deleted -------------------------------------------------------


@pytest.mark.parametrize("content", [DataFileContent.POSITION_DELETES, DataFileContent.EQUALITY_DELETES])
def test_rows_that_another_program_has_deleted_are_refused_with_what_to_do(
    catalog: LakeCatalog, add: Add, content: DataFileContent
) -> None:
    table = add(DAYS[0])
    [held] = live_files(table, ACTIVITY)
    transaction = table.transaction()
    append: Any = transaction.update_snapshot().fast_append()
    with append as producer:
        producer._process_manifests = lambda kept: [*kept, delete_manifest(producer, table, held, content)]
    transaction.commit_transaction()
    with pytest.raises(FixData, match="gold.user_activity: rows were deleted by another program") as caught:
        live_files(catalog.load(ACTIVITY), ACTIVITY)
    assert "OPTIMIZE" in caught.value.hint


def delete_manifest(producer: Any, table: TableHandle, held: LiveFile, content: DataFileContent) -> Any:
    deleted = DataFile.from_args(
        content=content,
        file_path=f"{held.data_file.file_path}-deletes",
        file_format=held.data_file.file_format,
        partition=held.data_file.partition,
        record_count=1,
        file_size_in_bytes=1,
        spec_id=0,
        equality_ids=[1],
    )
    writer = producer.new_manifest_writer(table.spec())
    writer.__class__ = type("Deletes", (type(writer),), {"content": lambda _: ManifestContent.DELETES})
    with writer:
        writer.add_entry(
            ManifestEntry.from_args(
                status=ManifestEntryStatus.ADDED, snapshot_id=producer.snapshot_id, data_file=deleted
            )
        )
    return writer.to_manifest_file()
