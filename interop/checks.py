"""The checks: what an engine reads against what eventmint says, table by table, exactly."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from eventmint.contracts import ANSWERS, Contract, all_contracts
from interop.lakes import QUESTIONS, LakeUnderTest
from interop.readers import Held, Reader, Shape
from interop.rows import difference, exact


@dataclass(frozen=True)
class Check:
    """One line of the protocol: who, on which lake, what, and whether it holds."""

    engine: str
    lake: str
    what: str
    holds: bool
    detail: str = ""

    def __str__(self) -> str:
        return f"{'ok  ' if self.holds else 'FAIL'} {self.engine:6} {self.lake:11} {self.what}: {self.detail}"


@dataclass
class Book:
    """Collects the checks and says each as it is made; paths start at `root`."""

    root: Path
    checks: list[Check] = field(default_factory=list)

    def note(self, engine: str, lake: str, what: str, wrong: str, detail: str = "") -> None:
        """Note a check; `wrong` says what is wrong, empty for nothing."""
        check = Check(engine, lake, what, not wrong, wrong.replace(f"{self.root}/", "") or detail)
        self.checks.append(check)
        print(check, flush=True)

    @property
    def broken(self) -> list[Check]:
        return [check for check in self.checks if not check.holds]


def read_everything(book: Book, reader: Reader, lake: LakeUnderTest) -> None:
    check_answers(book, reader, lake)
    _check_rows(book, reader, lake)
    _check_shapes(book, reader, lake)
    _check_metadata_tables(book, reader, lake)
    _check_pruning(book, reader, lake)
    _check_time_zones(book, reader, lake)
    _check_registered(book, reader, lake)


def check_answers(book: Book, reader: Reader, lake: LakeUnderTest) -> None:
    expected = lake.answers()
    wrong = [
        f"{title}: {different}"
        for title, statement in QUESTIONS
        if (different := difference(expected[title], reader.rows(lake.name, statement), is_ordered=True))
    ]
    count = sum(map(len, expected.values()))
    detail = f"{len(QUESTIONS)} of {len(QUESTIONS)}, {count} rows in order"
    book.note(reader.name, lake.name, "answers of queries.sql", "; ".join(wrong), detail)


def _check_rows(book: Book, reader: Reader, lake: LakeUnderTest) -> None:
    wrong, total = [], 0
    for shape in all_contracts():
        expected = lake.rows(shape.table)
        columns = ", ".join(reader.selected(column) for column in shape.columns)
        found = reader.rows(lake.name, f"SELECT {columns} FROM {reader.table(shape.table)}")
        if different := difference(expected, found, is_ordered=False):
            wrong.append(f"{shape.table}: {different}")
        total += len(expected)
    detail = f"{len(all_contracts())} tables, {total} rows, every value"
    book.note(reader.name, lake.name, "rows of every table", "; ".join(wrong), detail)


def _check_shapes(book: Book, reader: Reader, lake: LakeUnderTest) -> None:
    wrong = [
        f"{shape.table}: {found}"
        for shape in all_contracts()
        if (found := reader.shape(lake.name, shape.table)) != _promised(shape)
    ]
    columns = sum(len(shape.columns) for shape in all_contracts())
    detail = f"format version 2, ids, names, types, NOT NULL of {columns} columns, partitions"
    book.note(reader.name, lake.name, "schemas", "; ".join(wrong), detail)


def _promised(shape: Contract) -> Shape:
    columns = tuple(
        (c.id, c.name, c.type if c.type[:7] != "decimal" else c.type.replace(" ", ""), c.required)
        for c in shape.columns
    )
    return Shape(2, columns, shape.partition)


def _check_metadata_tables(book: Book, reader: Reader, lake: LakeUnderTest) -> None:
    wrong, files, snapshots = [], 0, 0
    for shape in all_contracts():
        expected, found = _held(lake, shape), reader.held(lake.name, shape.table)
        if found != expected:
            wrong.append(f"{shape.table}: {found} instead of {expected}"[:300])
        files, snapshots = files + len(expected.files), snapshots + len(expected.snapshots)
    detail = f"{files} Parquet files, no delete file, {snapshots} snapshots, rows per partition"
    book.note(reader.name, lake.name, "files, snapshots, partitions", "; ".join(wrong), detail)


def _held(lake: LakeUnderTest, shape: Contract) -> Held:
    handle, _ = lake.handle(shape.table)
    tasks = list(handle.scan().plan_files())
    partitions: Counter[str | None] = Counter()
    for task in tasks:
        partitions[str(_day(task.file.partition[0])) if shape.partition else None] += task.file.record_count
    return Held(
        files={task.file.file_path: task.file.record_count for task in tasks},
        delete_files=0,
        formats=frozenset({"PARQUET"} if tasks else ()),
        snapshots=frozenset(snapshot.snapshot_id for snapshot in handle.snapshots()),
        partition_rows=dict(partitions),
    )


def _day(value: date | int) -> date:
    return value if isinstance(value, date) else date(1970, 1, 1) + timedelta(days=value)


def _check_pruning(book: Book, reader: Reader, lake: LakeUnderTest) -> None:
    """One day is asked of each table that has several: only that day's files may be read."""
    wrong, read, all_of_them, tables = [], 0, 0, 0
    for shape in all_contracts():
        by_day: dict[date, list[int]] = {}
        for task in lake.handle(shape.table)[0].scan().plan_files():
            if shape.partition:
                by_day.setdefault(_day(task.file.partition[0]), []).append(task.file.record_count)
        if len(by_day) < 2:  # noqa: PLR2004 - several
            continue
        day = min(by_day)
        sizes = {key: len(rows) if reader.scan_unit == "files" else sum(rows) for key, rows in by_day.items()}
        found = reader.scanned(
            lake.name, shape.table, shape.columns[-1].name, _on_day(reader, shape.partition, day)
        )
        if found != sizes[day]:
            wrong.append(f"{shape.table}: read {found} {reader.scan_unit} instead of {sizes[day]}")
        read, all_of_them, tables = read + found, all_of_them + sum(sizes.values()), tables + 1
    detail = f"one day of {tables} tables: {read} of {all_of_them} {reader.scan_unit} read"
    book.note(reader.name, lake.name, "partition pruning", "; ".join(wrong), detail)


def _on_day(reader: Reader, partition: str, day: date) -> str:
    if not partition.startswith("day("):
        return f"{partition} = DATE '{day}'"
    column, following = partition.removeprefix("day(").rstrip(")"), day + timedelta(days=1)
    start, end = (reader.instant(f"{value} 00:00:00 UTC") for value in (day, following))
    return f"{column} >= {start} AND {column} < {end}"


def _check_time_zones(book: Book, reader: Reader, lake: LakeUnderTest) -> None:
    """Instants are the same in whatever zone the session is; in UTC their day is `event_date`."""
    _, silver = lake.handle("silver.events_cleaned")
    time = reader.selected(silver.columns[0])
    name = reader.table(silver.table)
    in_utc, in_new_york = (
        sorted(reader.rows(lake.name, f"SELECT {time} FROM {name}", zone))
        for zone in ("UTC", "America/New_York")
    )
    wrong = "" if in_utc == in_new_york else "instants differ between session time zones"
    other_days = reader.rows(
        lake.name, f"SELECT count(*) FROM {name} WHERE CAST(event_time AS DATE) <> event_date"
    )
    if other_days != [(0,)]:
        wrong = f"{other_days[0][0]} events have another day than their event_date"
    cut = reader.rows(
        lake.name,
        f"SELECT count(*) FROM {name} WHERE CAST(event_time AS DATE) <> event_date",
        "America/New_York",
    )
    detail = (
        f"{len(in_utc)} instants in UTC and America/New_York; a cast to DATE in New York moves {cut[0][0]}"
    )
    book.note(reader.name, lake.name, "time zones", wrong, detail)


def _check_registered(book: Book, reader: Reader, lake: LakeUnderTest) -> None:
    wrong = []
    for answer in ANSWERS:
        schema = reader.register(lake.name, lake.metadata_location(f"gold.{answer}"), answer)
        columns = ", ".join(column.name for column in lake.handle(f"gold.{answer}")[1].columns)
        found = reader.rows(lake.name, f"SELECT {columns} FROM {schema}.{answer}")
        if different := difference(lake.rows(f"gold.{answer}"), found, is_ordered=False):
            wrong.append(f"{answer}: {different}")
    detail = f"{len(ANSWERS)} tables of gold in another catalog, by their metadata files"
    book.note(reader.name, lake.name, "register_table", "; ".join(wrong), detail)


def check_user_is_gone(book: Book, reader: Reader, lake: LakeUnderTest, user: str) -> None:
    """No table of silver and gold has a row of the user."""
    found = {}
    for shape in all_contracts():
        if "user_id" in shape.column_names and shape.schema != "bronze":
            sql = f"SELECT count(*) FROM {reader.table(shape.table)} WHERE user_id = '{exact(user)}'"
            found[shape.table] = reader.rows(lake.name, sql)[0][0]
    wrong = "" if not any(found.values()) else f"rows of {user}: {found}"
    book.note(reader.name, lake.name, "the erased user", wrong, f"no row in {', '.join(found)}")
