"""The engine: files in by field id, files out whole or not at all, work on all cores in order."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventmint.contracts import Column, Contract, contract
from eventmint.engine import duckdb_engine, parquet
from eventmint.engine.duckdb_engine import DuckDBEngine, DuckDBSession, connect, quoted, scan_sql, sql_type
from eventmint.engine.parquet import (
    ROW_GROUP_ROWS,
    SplitFiles,
    TableFile,
    arrow_schema,
    footer,
    read_rows,
    write_table,
)
from eventmint.errors import TryAgain
from eventmint.storage.digests import stem_in

DAY = date(2026, 1, 15)
MUCH = 1 << 40  # bytes that are worth a process
KINDS: dict[str, Any] = {
    "binary": b"\x00\xff",
    "boolean": True,
    "date": DAY,
    "double": 0.1,
    "int": -(2**31),
    "long": 2**63 - 1,
    "string": "\U0001f600 it's",
    "timestamptz": datetime(2026, 1, 15, 23, 59, 59, 999999, tzinfo=UTC),
    "decimal(15,6)": Decimal("999999999.999999"),
    "decimal(38,6)": Decimal("12345678901234567890123456789012.000001"),
}


def shape_of(**columns: str) -> Contract:
    """A contract with these columns, none of them required, ids from 1."""
    made = [
        Column(name, number, kind, required=False, doc="")
        for number, (name, kind) in enumerate(columns.items(), 1)
    ]
    return Contract("test", "rows", "one row per row", "", "", (), "", tuple(made))


PLAIN = shape_of(day="date", hour="int", name="string", amount="decimal(15,6)")
EVERYTHING = shape_of(**{f"c{number}": kind for number, kind in enumerate(KINDS)})


@pytest.fixture
def session(tmp_path: Path) -> Iterator[DuckDBSession]:
    with DuckDBEngine(2, 200).session(tmp_path / "scratch") as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "out"
    made.mkdir()
    return made


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def foreign_file(path: Path, ids: dict[str, int], columns: dict[str, Any]) -> str:
    """A Parquet file whose columns have these field ids and whatever names."""
    arrays = {name: pa.array(values) for name, values in columns.items()}
    fields = [
        pa.field(name, array.type, metadata={"PARQUET:field_id": str(ids[name])} if name in ids else None)
        for name, array in arrays.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table([*arrays.values()], schema=pa.schema(fields)), path)
    return str(path)


# --- Reading ----------------------------------------------------------------------------------------------


def test_columns_are_found_by_field_id_and_not_by_name(session: DuckDBSession, folder: Path) -> None:
    """A file of before a rename: `name` was called `day`, and something else was called `name`."""
    file = foreign_file(
        folder / "old.parquet",
        {"label": 3, "day": 1, "name": 4, "hour": 99},
        {"label": ["x"], "hour": ["not ours"], "name": [Decimal("1.500000")], "day": [DAY]},
    )
    session.scan("found", PLAIN, [file])
    assert session.rows("SELECT day, hour, name, amount FROM found") == [
        {"day": DAY, "hour": None, "name": "x", "amount": Decimal("1.500000")}
    ]


def test_missing_columns_are_null_in_the_contracts_type(session: DuckDBSession, folder: Path) -> None:
    file = foreign_file(folder / "a.parquet", {"c6": 7}, {"c6": ["x", "y"]})
    session.scan("found", EVERYTHING, [file])
    assert types_of(session, "SELECT * FROM found") == [
        *((c.name, sql_type(c.type)) for c in EVERYTHING.columns),
        ("_location", "VARCHAR"),
    ]
    rows = session.rows("SELECT * FROM found ORDER BY c6")
    assert [row.pop("c6") for row in rows] == ["x", "y"]
    assert [{*row.values()} for row in rows] == [{None, file}] * 2


def types_of(session: DuckDBSession, sql: str) -> list[tuple[str, str]]:
    short = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ"}
    rows = session.rows(f"DESCRIBE {sql}")
    return [(row["column_name"], short.get(row["column_type"], row["column_type"])) for row in rows]


def test_files_of_different_ages_are_read_together(session: DuckDBSession, folder: Path) -> None:
    """A narrower type of before it was widened is read as the contract's."""
    wide = shape_of(count="long", name="string")
    old = foreign_file(folder / "old.parquet", {"n": 1}, {"n": pa.array([7], pa.int32())})
    new = foreign_file(folder / "new.parquet", {"name": 2, "count": 1}, {"name": ["x"], "count": [2**40]})
    session.scan("found", wide, [old, new])
    assert session.rows("SELECT count, name, _location FROM found ORDER BY count") == [
        {"count": 7, "name": None, "_location": old},
        {"count": 2**40, "name": "x", "_location": new},
    ]


@pytest.mark.parametrize("shape", [PLAIN, EVERYTHING, contract("bronze.events")])
def test_no_files_are_a_typed_empty_relation(shape: Contract, session: DuckDBSession) -> None:
    session.scan("nothing", shape, [])
    assert session.rows("SELECT * FROM nothing") == []
    assert types_of(session, "SELECT * FROM nothing") == [
        *((c.name, sql_type(c.type)) for c in shape.columns),
        ("_location", "VARCHAR"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "it's",
        "'; DROP TABLE x; --",
        '"quoted"',
        "with space",
        "a=b",
        "\u00e9\U0001f600",
        "%20",
        "{a,b}",
        "new\nline",
        "-- comment",
        "$1",
        "back\\slash",
        "a.csv",
    ],
)
def test_a_path_is_a_name_and_nothing_else(name: str, session: DuckDBSession, folder: Path) -> None:
    location = foreign_file(folder / name / f"{name}.parquet", {"x": 3}, {"x": ["right"]})
    foreign_file(folder / "a" / "a.parquet", {"x": 3}, {"x": ["wrong"]})
    session.scan("found", PLAIN, [location])
    assert session.rows("SELECT name, _location FROM found") == [{"name": "right", "_location": location}]
    if "/" not in name:
        written = session.write("SELECT * FROM found", PLAIN, folder, f"{name}-again")
        assert [row["name"] for row in read_rows(map(str, written))] == ["right"]


def test_a_partition_folder_adds_no_column(session: DuckDBSession, folder: Path) -> None:
    location = foreign_file(folder / "day=1999-01-01" / "hour=5" / "a.parquet", {"x": 3}, {"x": ["x"]})
    session.scan("found", PLAIN, [location])
    assert session.rows("SELECT * EXCLUDE (_location) FROM found") == [
        {"day": None, "hour": None, "name": "x", "amount": None}
    ]
    assert read_rows([location]) == [{"x": "x"}]


def test_a_missing_file_is_an_error_and_not_an_empty_one(session: DuckDBSession, folder: Path) -> None:
    with pytest.raises(duckdb.Error):
        session.scan("found", PLAIN, [str(folder / "gone.parquet")])


# --- The session ------------------------------------------------------------------------------------------


def test_views_run_where_they_are_used_and_tables_keep_what_was(session: DuckDBSession) -> None:
    session.table("source", "SELECT 1 AS n")
    session.view("seen", "SELECT n FROM source")
    session.table("kept", "SELECT n FROM source")
    session.table("source", "SELECT 2 AS n")
    assert session.rows("SELECT seen.n AS seen, kept.n AS kept FROM seen, kept") == [{"seen": 2, "kept": 1}]


def test_sessions_know_nothing_of_each_other(tmp_path: Path) -> None:
    engine = DuckDBEngine(1, 100)
    with engine.session(tmp_path) as one, engine.session(tmp_path) as other:
        one.table("mine", "SELECT 1 AS n")
        with pytest.raises(duckdb.CatalogException):
            other.rows("SELECT n FROM mine")
    with pytest.raises(duckdb.ConnectionException):
        one.rows("SELECT n FROM mine")


def test_nothing_of_a_session_is_there_in_the_next_one(tmp_path: Path) -> None:
    engine = DuckDBEngine(1, 100)
    with engine.session(tmp_path) as session, session.output(PLAIN, tmp_path, "stem") as output:
        session.table("mine", "SELECT 1 AS n")
        output.add(f"SELECT *, true AS odd FROM ({hours_sql(('2026-01-15', 1, 'a'))}) AS t", aside="odd")  # noqa: S608 - literals of this test
    with engine.session(tmp_path) as session:
        assert session.rows("SHOW ALL TABLES") == []
    engine.close()


def test_a_session_keeps_to_its_limits(tmp_path: Path) -> None:
    with DuckDBEngine(2, 128).session(tmp_path / "it's") as session:
        (found,) = session.rows(
            "SELECT current_setting('threads') AS threads, current_setting('memory_limit') AS memory, "
            "current_setting('temp_directory') AS folder, current_setting('TimeZone') AS zone"
        )
    assert (found["threads"], found["memory"], found["zone"]) == (2, "122.0 MiB", "UTC")
    assert found["folder"] == str(tmp_path / "it's" / "spill")


def test_what_does_not_fit_into_memory_is_spilled_to_the_scratch_folder(tmp_path: Path) -> None:
    with DuckDBEngine(1, 64).session(tmp_path) as session:
        session.table("many", "SELECT range AS n, repeat('x', 100) || range AS text FROM range(1500000)")
        assert list((tmp_path / "spill").iterdir())
        assert session.rows("SELECT COUNT(DISTINCT n) AS n FROM many") == [{"n": 1_500_000}]


@pytest.mark.parametrize("zone", ["America/St_Johns", "Australia/Lord_Howe"])
def test_time_is_utc_whatever_the_machine_thinks(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    with connect() as connection:
        text = connection.execute(
            "SELECT CAST(TIMESTAMPTZ '2026-01-15T23:30:00-03:30' AS VARCHAR)"
        ).fetchone()
        day = connection.execute("SELECT CAST(TIMESTAMPTZ '2026-01-15T23:30:00-03:30' AS DATE)").fetchone()
    assert text == ("2026-01-16 03:00:00+00",)
    assert day == (date(2026, 1, 16),)


def test_no_extension_is_ever_fetched() -> None:
    with connect() as connection:
        for setting in ("autoinstall_known_extensions", "autoload_known_extensions"):
            assert connection.execute(f"SELECT current_setting('{setting}')").fetchone() == (False,)


def test_hours_are_counted_from_1970(session: DuckDBSession) -> None:
    moments = {
        "1970-01-01T00:00:00Z": 0,
        "1970-01-01T00:59:59.999999Z": 0,
        "1970-01-01T01:00:00Z": 1,
        "2026-01-15T23:59:59.999999Z": 491_255,
        "2026-01-16T00:59:59.999999+01:00": 491_255,
        "2026-01-16T00:00:00Z": 491_256,
    }
    for moment, hours in moments.items():
        sql = f"SELECT {session.hour_number('t')} AS hours FROM (SELECT TIMESTAMPTZ '{moment}' AS t) AS one"  # noqa: S608 - literals of this test
        assert session.rows(sql) == [{"hours": hours}]
        assert (datetime.fromisoformat(moment) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
            hours=1
        ) == hours


def test_equal_rows_have_equal_hashes_and_null_is_a_value(session: DuckDBSession) -> None:
    session.table(
        "rows",
        "SELECT * FROM (VALUES (1, 'x', NULL), (1, 'x', NULL), (1, NULL, 'x'), (1, 'x', ''), "
        "(NULL, NULL, NULL)) AS t(a, b, c)",
    )
    hashes = session.rows(f"SELECT {session.row_hash(('a', 'b', 'c'))} AS hash FROM rows")  # noqa: S608 - literals of this test
    found = [row["hash"] for row in hashes]
    assert None not in found
    assert len({*found}) == 4


def test_quoted_text_stays_text(session: DuckDBSession) -> None:
    for text in ("", "'", "''", "it's", "\\'", "a\nb", "$$", "\U0001f600", "'; SELECT 1; --"):
        assert session.rows(f"SELECT {quoted(text)} AS text") == [{"text": text}]


# --- Writing ----------------------------------------------------------------------------------------------


def hours_sql(*hours: tuple[str, int, str]) -> str:
    """SELECT of rows of `PLAIN`: day, hour, name."""
    rows = ", ".join(f"(DATE '{day}', {hour}, '{name}', 1.5::DECIMAL(15, 6))" for day, hour, name in hours)
    return f"SELECT * FROM (VALUES {rows}) AS t(day, hour, name, amount)"  # noqa: S608 - literals of this test


def test_rows_are_parted_into_files_by_their_values(session: DuckDBSession, folder: Path) -> None:
    sql = hours_sql(
        ("2026-01-15", 10, "b"), ("2026-01-15", 9, "a"), ("2026-01-03", 10, "c"), ("2026-01-15", 10, "d")
    )
    written = session.write(sql, PLAIN, folder, "stem", ("day", "hour"))
    rows = {stem_in(path.name): sorted(row["name"] for row in read_rows([str(path)])) for path in written}
    assert rows == {
        "stem-2026-01-03-10": ["c"],
        "stem-2026-01-15-9": ["a"],
        "stem-2026-01-15-10": ["b", "d"],
    }
    assert names_in(folder) == sorted(path.name for path in written)


def test_files_are_returned_in_order_of_their_values(session: DuckDBSession, folder: Path) -> None:
    hours = [(f"2026-01-{day:02d}", hour, "x") for day in (16, 3, 15) for hour in (10, 9, 23, 0)]
    written = session.write(hours_sql(*hours), PLAIN, folder, "s", ("day", "hour"))
    assert [stem_in(path.name) for path in written] == [f"s-{day}-{hour}" for day, hour, _ in sorted(hours)]


def test_rows_without_a_split_are_one_file(session: DuckDBSession, folder: Path) -> None:
    sql = hours_sql(("2026-01-15", 10, "b"), ("2026-01-16", 9, "a"))
    (path,) = session.write(sql, PLAIN, folder, "stem")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path == folder / f"stem.sha256-{digest[:32]}.parquet"


@pytest.mark.parametrize("split_by", [(), ("day",), ("day", "hour")])
def test_no_rows_make_no_file(split_by: tuple[str, ...], session: DuckDBSession, folder: Path) -> None:
    session.scan("nothing", PLAIN, [])
    assert session.write("SELECT * FROM nothing", PLAIN, folder, "stem", split_by) == []
    assert names_in(folder) == []


def test_a_file_has_the_contracts_columns_ids_and_types_in_its_order(
    session: DuckDBSession, folder: Path
) -> None:
    sql = (
        "SELECT 9::BIGINT AS hour, 'x' AS name, 0 AS z, 1::DECIMAL(9, 2) AS amount, '2026-01-15'::DATE AS day"
    )
    (path,) = session.write(sql, PLAIN, folder, "stem")
    found = pq.read_schema(path)
    assert [(f.name, f.type, f.metadata[b"PARQUET:field_id"]) for f in found] == [
        (f.name, f.type, f.metadata[b"PARQUET:field_id"]) for f in arrow_schema(PLAIN)
    ]
    assert pq.read_metadata(path).row_group(0).column(0).compression == "ZSTD"
    assert read_rows([str(path)]) == [{"day": DAY, "hour": 9, "name": "x", "amount": Decimal("1.000000")}]


@pytest.mark.parametrize("value", ["3000000000", "-3000000000", "1.5::DOUBLE"])
def test_a_value_that_does_not_fit_its_type_is_an_error(
    value: str, session: DuckDBSession, folder: Path
) -> None:
    sql = f"SELECT DATE '2026-01-15' AS day, {value} AS hour, 'x' AS name, NULL AS amount"
    with pytest.raises(pa.ArrowInvalid):
        session.write(sql, PLAIN, folder, "stem")
    assert names_in(folder) == []


def test_a_result_without_a_column_of_the_contract_is_an_error(session: DuckDBSession, folder: Path) -> None:
    with pytest.raises(KeyError):
        session.write("SELECT 1 AS hour", PLAIN, folder, "stem")
    assert names_in(folder) == []


def test_the_same_rows_again_replace_the_leftover_of_a_crash(session: DuckDBSession, folder: Path) -> None:
    (path,) = session.write(hours_sql(("2026-01-15", 1, "x")), PLAIN, folder, "stem")
    path.write_text("half")
    (folder / "stem.parquet.partial").write_text("half")
    session.write(hours_sql(("2026-01-15", 1, "x")), PLAIN, folder, "stem")
    assert names_in(folder) == [path.name]
    assert len(read_rows([str(path)])) == 1


def test_an_output_is_filled_by_several_statements(session: DuckDBSession, folder: Path) -> None:
    with session.output(PLAIN, folder, "stem", ("day",)) as output:
        output.add(hours_sql(("2026-01-15", 1, "a"), ("2026-01-16", 1, "b")))
        output.add(hours_sql(("2026-01-15", 2, "c")))
        written = output.close()
    assert [sorted(row["name"] for row in read_rows([str(path)])) for path in written] == [["a", "c"], ["b"]]


def test_rows_put_aside_are_kept_as_a_table_and_not_written(session: DuckDBSession, folder: Path) -> None:
    several = hours_sql(("2026-01-15", 1, "a"), ("2026-01-15", 2, "b"), ("2026-01-15", 3, "c"))
    with session.output(PLAIN, folder, "stem") as output:
        output.add(f"SELECT *, name <> 'b' AS is_odd FROM ({several}) AS t", aside="is_odd")  # noqa: S608 - literals of this test
        assert session.rows("SELECT name, hour, is_odd FROM is_odd ORDER BY name") == [
            {"name": "a", "hour": 1, "is_odd": True},
            {"name": "c", "hour": 3, "is_odd": True},
        ]
        output.add("SELECT day, hour, name || '!' AS name, amount FROM is_odd WHERE name = 'c'")
        (path,) = output.close()
    assert sorted(row["name"] for row in read_rows([str(path)])) == ["b", "c!"]
    assert pq.read_schema(path).names == [*PLAIN.column_names]


@pytest.mark.parametrize(("condition", "aside", "written"), [("true", 2, 0), ("false", 0, 2)])
def test_all_rows_or_none_may_be_put_aside(
    condition: str, aside: int, written: int, session: DuckDBSession, folder: Path
) -> None:
    two = hours_sql(("2026-01-15", 1, "a"), ("2026-01-15", 2, "b"))
    with session.output(PLAIN, folder, "earlier") as output:
        output.add(f"SELECT *, true AS odd FROM ({two}) AS t", aside="odd")  # noqa: S608 - literals of this test
    with session.output(PLAIN, folder, "stem") as output:
        output.add(f"SELECT *, {condition} AS odd FROM ({two}) AS t", aside="odd")  # noqa: S608 - literals of this test
        files = output.close()
    assert session.rows("SELECT COUNT(*) AS n FROM odd") == [{"n": aside}]
    assert len(read_rows(map(str, files))) == written
    assert len(files) == (1 if written else 0)


def test_nothing_put_aside_is_still_a_typed_table(session: DuckDBSession, folder: Path) -> None:
    session.scan("nothing", PLAIN, [])
    with session.output(PLAIN, folder, "stem") as output:
        output.add("SELECT day, hour, name, amount, true AS odd FROM nothing", aside="odd")
    assert types_of(session, "SELECT * FROM odd") == [
        *((c.name, sql_type(c.type)) for c in PLAIN.columns),
        ("odd", "BOOLEAN"),
    ]


def test_rows_are_gathered_into_row_groups_of_useful_size(session: DuckDBSession, folder: Path) -> None:
    count = 2 * ROW_GROUP_ROWS + 1000
    sql = (
        "SELECT DATE '2026-01-15' AS day, CAST(range % 2 AS INTEGER) AS hour, 'x' AS name, "  # noqa: S608 - literals of this test
        f"NULL::DECIMAL(15, 6) AS amount FROM range({count})"
    )
    (path,) = session.write(sql, PLAIN, folder, "one")
    groups = group_sizes(path)
    assert sum(groups) == count
    assert all(ROW_GROUP_ROWS <= size < 2 * ROW_GROUP_ROWS for size in groups[:-1])
    halves = session.write(sql, PLAIN, folder, "two", ("hour",))
    assert [sum(group_sizes(half)) for half in halves] == [count // 2] * 2
    assert all(len(group_sizes(half)) <= 2 for half in halves)


def group_sizes(path: Path) -> list[int]:
    metadata = pq.read_metadata(path)
    return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]


def test_a_statement_that_fails_half_way_leaves_no_file(session: DuckDBSession, folder: Path) -> None:
    late = 3 * ROW_GROUP_ROWS
    sql = (
        "SELECT DATE '2026-01-15' AS day, CAST(range % 3 AS INTEGER) AS hour, "  # noqa: S608 - literals of this test
        f"CASE WHEN range < {late} THEN 'x' ELSE error('half way') END AS name, "
        f"NULL::DECIMAL(15, 6) AS amount FROM range({late} + 10)"
    )
    with pytest.raises(
        (duckdb.Error, OSError), match="half way"
    ):  # Arrow wraps what comes through its stream
        session.write(sql, PLAIN, folder, "stem", ("hour",))
    assert names_in(folder) == []
    assert session.write(hours_sql(("2026-01-15", 1, "x")), PLAIN, folder, "stem")  # it goes on afterwards


def test_an_output_that_is_not_closed_leaves_no_file(session: DuckDBSession, folder: Path) -> None:
    with session.output(PLAIN, folder, "stem") as output:
        output.add(hours_sql(("2026-01-15", 1, "x")))
    assert names_in(folder) == []


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_disk_that_fails_while_files_are_finished_leaves_nothing_half_done(
    failing: int, session: DuckDBSession, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fsync(handle: int) -> None:
        calls.append(handle)
        if len(calls) == failing:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space"):
        session.write(
            hours_sql(*(("2026-01-15", hour, "x") for hour in range(3))), PLAIN, folder, "stem", ("hour",)
        )
    assert [name for name in names_in(folder) if name.endswith(".partial")] == []


# --- One file ---------------------------------------------------------------------------------------------


def rows_of(shape: Contract, *rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([*rows], schema=arrow_schema(shape))


def test_every_type_comes_back_as_it_was(folder: Path) -> None:
    row = {column.name: KINDS[column.type] for column in EVERYTHING.columns}
    nothing = dict.fromkeys(row)
    path = write_table(rows_of(EVERYTHING, row, nothing), EVERYTHING, folder / "a.parquet")
    assert read_rows([str(path), str(path)]) == [row, nothing] * 2
    with connect() as connection:
        found = connection.sql(scan_sql(EVERYTHING, [str(path)])).to_arrow_table().to_pylist()
    assert [{name: value for name, value in r.items() if name != "_location"} for r in found] == [
        row,
        nothing,
    ]


def test_a_file_is_seen_only_when_it_is_finished(folder: Path) -> None:
    file = TableFile(folder / "a.parquet", PLAIN)
    row = {"day": DAY, "hour": 1, "name": "x", "amount": None}
    file.write(rows_of(PLAIN, *[row] * ROW_GROUP_ROWS))
    file.write(rows_of(PLAIN, row))
    file.write(rows_of(PLAIN))
    assert names_in(folder) == ["a.parquet.partial"]
    path = file.close()
    assert names_in(folder) == [path.name]
    assert stem_in(path.name) == "a"
    assert file.rows == ROW_GROUP_ROWS + 1 == pq.read_metadata(path).num_rows


def test_a_file_is_on_disk_before_it_has_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut a name must not stand for half a file."""
    synced = []
    sync = os.fsync

    def note(handle: int) -> None:
        synced.append((os.fstat(handle).st_size, names_in(folder)))
        sync(handle)

    monkeypatch.setattr(os, "fsync", note)
    file = TableFile(folder / "a.parquet", PLAIN)
    file.write(rows_of(PLAIN, {"name": "x"}))
    path = file.close()
    assert synced == [(path.stat().st_size, ["a.parquet.partial"])]


@pytest.mark.parametrize("count", [0, 1, ROW_GROUP_ROWS])
def test_a_discarded_file_leaves_no_trace(count: int, folder: Path) -> None:
    file = TableFile(folder / "a.parquet", PLAIN)
    file.write(rows_of(PLAIN, *[{"name": "x"}] * count))
    file.discard()
    file.discard()
    assert names_in(folder) == []


def test_a_file_without_rows_still_has_its_columns(folder: Path) -> None:
    path = write_table(rows_of(PLAIN), PLAIN, folder / "a.parquet")
    assert read_rows([str(path)]) == []
    assert pq.read_schema(path).names == [*PLAIN.column_names]


def test_a_file_carries_a_note_in_its_footer(folder: Path) -> None:
    file = TableFile(folder / "a.parquet", PLAIN)
    file.write(rows_of(PLAIN, {"name": "x"}))
    path = str(file.close({"our.key": "it's \u00e9"}))
    assert footer(path, "our.key") == "it's \u00e9"
    assert footer(path, "another") is None
    assert footer(str(write_table(rows_of(PLAIN), PLAIN, folder / "b.parquet")), "our.key") is None


def test_a_dictionary_column_makes_the_same_file(folder: Path) -> None:
    plain = rows_of(PLAIN, {"name": "x", "hour": 1}, {"name": "x", "hour": 2}, {"name": None, "hour": 3})
    coded = plain.set_column(2, "name", plain["name"].combine_chunks().dictionary_encode())
    one, other = (
        write_table(rows, PLAIN, folder / name) for rows, name in ((plain, "a.parquet"), (coded, "b.parquet"))
    )
    assert pq.read_table(one).equals(pq.read_table(other))
    assert pq.read_schema(one).equals(pq.read_schema(other), check_metadata=True)


def test_split_files_take_rows_in_any_portions(folder: Path) -> None:
    files = SplitFiles(PLAIN, folder, "s", ("hour",))
    for name, hours in (("a", [1, 2, 1]), ("b", []), ("c", [2]), ("d", [3, 3, 1])):
        files.write(rows_of(PLAIN, *({"name": name, "hour": hour} for hour in hours)))
    found = {stem_in(path.name): [row["name"] for row in read_rows([str(path)])] for path in files.close()}
    assert found == {"s-1": ["a", "a", "d"], "s-2": ["a", "c"], "s-3": ["d", "d"]}
    assert files.close() == []


# --- A column to look rows up by --------------------------------------------------------------------------

TIMED = dataclasses.replace(shape_of(time="timestamptz", visit="string"), lookup="visit", bounds=("time",))
HOSTILE = ("", "'", "x' OR true --", "a\x00b", "\u202ename", "\n", "long " * 40, "é", "NULL")


def visits(*rows: tuple[int, str | None]) -> pa.Table:
    start = datetime(2026, 1, 15, tzinfo=UTC)
    found = ({"time": start + timedelta(minutes=minute), "visit": visit} for minute, visit in rows)
    return rows_of(TIMED, *found)


def test_rows_of_one_value_lie_together_in_order_of_time(folder: Path) -> None:
    given = visits((5, "b"), (3, "a"), (9, None), (1, "b"), (2, None), (3, "a"), (0, "c"))
    path = write_table(given, TIMED, folder / "a.parquet")
    found = [(row["time"].minute, row["visit"]) for row in read_rows([str(path)])]
    assert found == [(1, "b"), (5, "b"), (3, "a"), (3, "a"), (0, "c"), (2, None), (9, None)]


def test_a_file_says_which_values_it_does_not_have(folder: Path) -> None:
    given = visits(*((number % 60, f"s-{number}") for number in range(20_000)))
    path = write_table(given, TIMED, folder / "a.parquet")

    def may_be_there(value: str) -> bool:
        asked = "SELECT bool_or(NOT bloom_filter_excludes) FROM parquet_bloom_probe($1, 'visit', $2)"
        ((told,),) = duckdb.execute(asked, [str(path), value]).fetchall()
        return bool(told)

    assert all(may_be_there(f"s-{number}") for number in range(0, 20_000, 100))
    assert sum(may_be_there(f"t-{number}") for number in range(200)) <= 2


def test_what_waits_for_a_row_group_is_bounded_over_all_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "LOOKUP_GROUP_ROWS", 10)
    files = SplitFiles(TIMED, folder, "s", ("visit",))
    for minute in range(30):
        files.write(visits(*((minute, visit) for visit in "aab")))
        assert sum(file.waiting_rows for file in files._open.values()) < 10
    paths = files.close()
    assert [sum(group_sizes(path)) for path in paths] == [60, 30]
    assert min(group_sizes(paths[0])[:-1]) >= 5  # the fullest goes first


@settings(max_examples=60, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("sparse_times", [0, 1, 1000])
def test_a_look_up_finds_all_that_is_probed_for_and_no_row_twice(
    sparse_times: int, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = st.lists(st.tuples(st.integers(0, 130), st.sampled_from([*HOSTILE, *"abc", None])), max_size=12)
    held, probed = data.draw(rows), data.draw(rows)
    folder = tmp_path_factory.mktemp("look up")
    path = write_table(visits(*held), TIMED, folder / "held.parquet")
    sought = write_table(visits(*probed), TIMED, folder / "probe.parquet")
    with pytest.MonkeyPatch.context() as patch, DuckDBEngine(1, 100).session(folder / "s") as session:
        patch.setattr(duckdb_engine, "_SPARSE_TIMES", sparse_times)
        session.scan("held", TIMED, [str(path)])
        session.scan("probes", TIMED, [str(sought)])
        session.table("probe", "SELECT DISTINCT time AS event_time, visit FROM probes")
        session.view("timed", "SELECT time AS event_time, visit FROM held")
        for lookup in ("", "visit"):
            session.find_at_times("found", "event_time, visit", "timed", "probe", lookup)
            rows_found = session.rows("SELECT * FROM found")
            found = [(minutes_of(row["event_time"]), row["visit"]) for row in rows_found]
            must = Counter(row for row in held if row in probed)
            may = Counter(row for row in held if row[0] in {minute for minute, _ in probed})
            assert must <= Counter(found) <= may


def test_the_few_are_what_a_large_relation_is_joined_by(tmp_path: Path) -> None:
    """DuckDB does not know how many rows our files have: left alone, it would hold all of them."""
    path = write_table(visits(*((minute, "a") for minute in range(100))), TIMED, tmp_path / "held.parquet")
    with DuckDBEngine(1, 100).session(tmp_path / "s") as session:
        session.scan("held", TIMED, [str(path)])
        session.table("few", "SELECT time FROM held LIMIT 7")
        plans = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(session, "table", lambda _, sql: plans.extend(session.rows(f"EXPLAIN {sql}")))
            session.find_among("found", "*", "held", "time", "few")
        plan = plans[0]["explain_value"]
        assert "RIGHT_SEMI" not in plan
        assert "SEMI" in plan
        session.find_among("found", "*", "held", "time", "few")
        assert len(session.rows("SELECT * FROM found")) == 7
        assert session.rows("SELECT current_setting('disabled_optimizers') AS off") == [{"off": ""}]


def minutes_of(moment: datetime) -> int:
    return (moment - datetime(2026, 1, 15, tzinfo=UTC)) // timedelta(minutes=1)


def test_a_long_statement_writes_no_progress_into_our_output() -> None:
    with connect() as connection:
        assert connection.execute("SELECT current_setting('enable_progress_bar')").fetchone() == (False,)


# --- Many files at once -----------------------------------------------------------------------------------


@pytest.fixture
def engine() -> Iterator[DuckDBEngine]:
    made = DuckDBEngine(2, 100)
    yield made
    made.close()


def test_results_come_in_the_order_of_the_tasks(engine: DuckDBEngine) -> None:
    tasks = ["sleep 0.4; echo slow", "echo quick", "echo quicker", "sleep 0.2; echo last"]
    found = engine.map(subprocess.getoutput, tasks, MUCH)
    assert [*found] == ["slow", "quick", "quicker", "last"]


def test_work_is_done_in_processes_of_its_own_where_it_is_worth_it(engine: DuckDBEngine) -> None:
    parent = "echo $PPID"
    found = {*engine.map(subprocess.getoutput, [parent] * 4, MUCH)}
    assert str(os.getpid()) not in found
    assert 1 <= len(found) <= 2


little_work = pytest.mark.parametrize(
    ("workers", "tasks", "size_bytes"), [(1, [1, 2], MUCH), (2, [1], MUCH), (2, [1, 2], 1000), (2, [], MUCH)]
)


@little_work
def test_a_task_may_take_every_core_where_it_runs_alone(
    workers: int, tasks: list[int], size_bytes: int
) -> None:
    assert DuckDBEngine(workers, 100).threads_a_task(len(tasks), size_bytes) == workers
    assert DuckDBEngine(2, 100).threads_a_task(2, MUCH) == 1


@little_work
def test_little_work_is_done_here(workers: int, tasks: list[int], size_bytes: int) -> None:
    engine = DuckDBEngine(workers, 100)
    here: list[int] = []

    def work(task: int) -> int:  # a process of its own could not be handed this
        here.append(task)
        return -task

    assert [*engine.map(work, tasks, size_bytes)] == [-task for task in tasks]
    assert here == tasks
    engine.close()


def test_the_error_of_a_task_is_the_error_of_the_run(engine: DuckDBEngine) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        [*engine.map(int, ["1", "two", "3"], MUCH)]
    assert [*engine.map(int, ["1", "2"], MUCH)] == [1, 2]


def test_a_worker_that_is_killed_asks_for_another_try(engine: DuckDBEngine) -> None:
    with pytest.raises(TryAgain) as error:
        [*engine.map(os._exit, [9, 9], MUCH)]
    assert "run.workers" in error.value.hint
    assert [*engine.map(int, ["1", "2"], MUCH)] == [1, 2]  # the next run has new workers


def test_a_closed_engine_has_no_workers_left() -> None:
    engine = DuckDBEngine(2, 100)
    workers = {*engine.map(subprocess.getoutput, ["echo $PPID"] * 4, MUCH)}
    engine.close()
    engine.close()
    assert not any(Path("/proc", worker).exists() for worker in workers)
