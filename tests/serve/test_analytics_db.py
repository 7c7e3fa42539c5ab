"""analytics.duckdb: what it holds, how it is swapped in, and what happens to a file that is not ours."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

import eventmint
from eventmint.contracts import ANSWERS, all_contracts, contract
from eventmint.errors import EventmintError
from eventmint.lake import Lake
from eventmint.serve import analytics_db
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.plan import seq_of

NOW = datetime(2026, 1, 20, tzinfo=UTC)
SHOWN = [shape.table for shape in all_contracts() if shape.schema != "ops"]
# The number that the head of a file written for DuckDB 1.0 carries.
STORAGE_OF_V1_0_0 = 64
Contents = dict[str, list[tuple[Any, ...]]]


def line(day: int, user: str, kind: str = "page_view", price: float | None = None) -> str:
    event = {
        "timestamp": f"2026-01-{day:02d}T10:00:00Z",
        "user_id": user,
        "session_id": f"s-{user}",
        "event_type": kind,
        "product_id": "P1",
    }
    return json.dumps(event if price is None else {**event, "quantity": 1, "price": price})


# What comes in, run by run: file names with their lines. A name that comes again is replaced.
RUNS: dict[str, dict[str, list[str]]] = {
    "the first files": {
        "a": [line(15, "u1"), line(15, "u1", "purchase", 0.1), "broken"],
        "b": [line(16, "u2"), line(16, "u2", "purchase", 0.2)],
    },
    "a late day": {"late": [line(3, "u3"), line(3, "u3", "purchase", 7)]},
    "more of days that are held, duplicates, and a copy of a file": {
        "c": [line(15, "u4"), line(15, "u1"), line(16, "u2")],
        "copy of b": [line(16, "u2"), line(16, "u2", "purchase", 0.2)],
    },
    "only broken lines and an empty file": {"d": ["broken", "{}"], "e": [""]},
    "a file replaced, its only day gone": {"late": [line(4, "u5", "purchase", 1.5)]},
    "a file replaced by an empty one, and a new one": {"a": [""], "f": [line(16, "u6"), line(17, "u6")]},
}


def deliver(folder: Path, files: dict[str, list[str]]) -> None:
    (folder / "events").mkdir(parents=True, exist_ok=True)
    for name, lines in files.items():
        (folder / "events" / f"{name}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))


def open_at(home: Path) -> Lake:
    return eventmint.open_lake(
        source__path=str(home / "source"),
        source__settle_seconds=0.0,
        lake__root=str(home / "lake"),
        lake__database=str(home / "out" / "analytics.duckdb"),
        run__workers=1,
    )


def run(lake: Lake, files: dict[str, list[str]] | None = None) -> bool:
    deliver(lake.settings.source_path, files or {})
    return lake.run(now=NOW).changed


def contents(database: Path) -> Contents:
    """Every row that the database shows, per table, in an order of its own."""
    with duckdb.connect(str(database), read_only=True) as connection:
        return {
            name: sorted(
                # Arrow, because fetchall() needs pytz for instants.
                (tuple(row.values()) for row in connection.table(name).to_arrow_table().to_pylist()),
                key=repr,
            )
            for name in (*SHOWN, "ops.published", "ops.files")
        }


def comments(database: Path) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(database), read_only=True) as connection:
        return connection.execute(
            "SELECT schema_name, table_name, column_name, comment FROM duckdb_columns() "
            "WHERE NOT internal ORDER BY ALL"
        ).fetchall()


def mark_of(path: Path) -> tuple[int, int]:
    """Changes when the file is written or swapped."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake after two runs; the tests of this module leave it as they found it."""
    opened = open_at(tmp_path_factory.mktemp("published"))
    run(opened, RUNS["the first files"])
    run(opened, RUNS["a late day"])
    return opened


@pytest.fixture
def database(lake: Lake) -> Path:
    return lake.settings.database_path


# --- What it holds ----------------------------------------------------------------------------------------


def test_answers_are_tables_and_everything_else_is_a_view(database: Path) -> None:
    with duckdb.connect(str(database), read_only=True) as connection:
        tables = connection.execute("SELECT schema_name || '.' || table_name FROM duckdb_tables()").fetchall()
        views = connection.execute(
            "SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal"
        ).fetchall()
    answers = {f"gold.{name}" for name in ANSWERS}
    assert {name for (name,) in tables} == answers | {"ops.published", "ops.files", "ops.facts"}
    assert {name for (name,) in views} == {*SHOWN} - answers


@pytest.mark.parametrize("name", ANSWERS)
def test_a_table_has_the_rows_of_the_answer(name: str, lake: Lake, database: Path) -> None:
    rows = [tuple(row.values()) for row in lake.answer(name).to_pylist()]
    assert contents(database)[f"gold.{name}"] == sorted(rows, key=repr)
    assert rows


def test_views_show_what_the_lake_has(lake: Lake, database: Path) -> None:
    shown = contents(database)
    for layer in lake.layers():
        assert len(shown[layer["table"]]) == layer["rows"]
    assert len(shown["bronze.ingested_files"]) == len(lake.ledger().entries)


def test_it_says_which_batch_each_table_includes(lake: Lake, database: Path) -> None:
    catalog = LakeCatalog(lake.settings.lake_root)
    with duckdb.connect(str(database), read_only=True) as connection:
        shown = connection.execute("SELECT table_name, seq FROM ops.published").fetchall()
    assert dict(shown) == {name: seq_of(catalog.load(contract(name))) for name in SHOWN}


def test_the_file_is_written_in_the_storage_of_duckdb_1_0(database: Path) -> None:
    magic, version = struct.unpack("<4sQ", database.read_bytes()[8:20])
    assert (magic, version) == (b"DUCK", STORAGE_OF_V1_0_0)
    with duckdb.connect(str(database), read_only=True) as connection:
        (tags,) = connection.execute(
            "SELECT tags FROM duckdb_databases() WHERE path IS NOT NULL AND NOT internal"
        ).fetchone() or ({},)
    assert tags["storage_version"].startswith("v1.0.0")


def test_the_file_has_nothing_that_duckdb_1_0_does_not_understand(database: Path) -> None:
    """DuckDB 1.0 fails on an index of today, and `filename` takes no name there (both tried)."""
    with duckdb.connect(str(database), read_only=True) as connection:
        assert connection.execute("SELECT * FROM duckdb_indexes()").fetchall() == []
        keys = (
            "SELECT table_name FROM duckdb_constraints() WHERE constraint_type IN ('PRIMARY KEY', 'UNIQUE')"
        )
        assert connection.execute(keys).fetchall() == []
        named = "SELECT view_name FROM duckdb_views() WHERE NOT internal AND sql LIKE '%filename = ''%'"
        assert connection.execute(named).fetchall() == []


def test_no_leftover_lies_beside_it(database: Path) -> None:
    assert [path.name for path in database.parent.iterdir()] == [database.name]


# --- Incremental = whole ----------------------------------------------------------------------------------


def test_publishing_what_changed_equals_publishing_everything(tmp_path: Path) -> None:
    lake = open_at(tmp_path)
    catalog = LakeCatalog(lake.settings.lake_root)
    database, whole, behind = (
        lake.settings.database_path,
        tmp_path / "whole.duckdb",
        tmp_path / "behind.duckdb",
    )
    for what, files in RUNS.items():
        assert run(lake, files), what
        whole.unlink(missing_ok=True)
        analytics_db.publish(catalog, whole)
        assert contents(database) == contents(whole), what
        assert comments(database) == comments(whole), what
        if not behind.exists():
            behind.write_bytes(database.read_bytes())
    days = {row[0] for row in contents(database)["gold.user_activity"]}
    assert days == {date(2026, 1, day) for day in (4, 15, 16, 17)}
    # A copy that was away for all runs but the first catches up with all of them at once.
    assert not analytics_db.is_current(catalog, behind)
    analytics_db.publish(catalog, behind)
    assert analytics_db.is_current(catalog, behind)
    assert contents(behind) == contents(database)


# --- Readers and writers ----------------------------------------------------------------------------------

READER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=True)
for _ in sys.stdin:
    print(connection.execute("SELECT SUM(events) FROM gold.user_activity").fetchone()[0], flush=True)
"""


def test_an_open_reader_keeps_the_old_rows_and_a_new_one_sees_the_new(tmp_path: Path) -> None:
    lake = open_at(tmp_path)
    run(lake, {"a": [line(15, "u1")]})
    database = lake.settings.database_path
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdin
        assert reader.stdout

        def events_seen() -> int:
            assert reader.stdin
            assert reader.stdout
            print("go", file=reader.stdin, flush=True)
            return int(reader.stdout.readline())

        assert events_seen() == 1
        run(lake, {"b": [line(15, "u2"), line(15, "u3")]})
        assert events_seen() == 1
        assert contents(database)["gold.user_activity"] == [(date(2026, 1, 15), 3, 3, 3)]
        reader.stdin.close()
        assert reader.wait(10) == 0


def test_a_file_that_a_reader_has_open_is_never_written_to(tmp_path: Path) -> None:
    lake = open_at(tmp_path)
    run(lake, {"a": [line(15, "u1")]})
    database = lake.settings.database_path
    before = database.read_bytes()
    with database.open("rb") as opened:
        run(lake, {"b": [line(15, "u2")]})
        is_kept = opened.read() == before
    assert is_kept  # a word, not the files: pytest would look for minutes for how megabytes differ
    assert database.read_bytes() != before


def test_nothing_is_written_when_nothing_is_new(lake: Lake, database: Path) -> None:
    before = mark_of(database)
    assert not run(lake)
    assert mark_of(database) == before


def test_a_publication_that_fails_leaves_the_old_file(
    lake: Lake, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = mark_of(database)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(analytics_db, "_update_view", fail)
        with pytest.raises(OSError, match="No space"):
            analytics_db.publish(LakeCatalog(lake.settings.lake_root), database)
    assert mark_of(database) == before
    assert not run(lake)
    assert mark_of(database) == before


# --- A file that is not as we left it ---------------------------------------------------------------------


@pytest.fixture
def kept(database: Path) -> Iterator[Contents]:
    """What the database shows; it lies there again when the test has ended."""
    body = database.read_bytes()
    yield contents(database)
    for path in database.parent.iterdir():
        path.unlink()
    database.write_bytes(body)


def truncated(database: Path) -> None:
    os.truncate(database, database.stat().st_size // 2)


def with_flipped_bytes(database: Path) -> None:
    body = bytearray(database.read_bytes())
    for position in range(0, len(body), 512):
        body[position] ^= 0xFF
    database.write_bytes(bytes(body))


def emptied(database: Path) -> None:
    database.write_bytes(b"")


def a_text(database: Path) -> None:
    database.write_text("this is no database\n" * 1000)


def of_somebody_else(database: Path) -> None:
    database.unlink()
    with duckdb.connect(str(database)) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 42 AS answer")


def with_our_tables_in_another_shape(database: Path) -> None:
    with duckdb.connect(str(database)) as connection:
        connection.execute("DROP TABLE gold.user_activity")
        connection.execute("CREATE TABLE gold.user_activity (event_date DATE)")
        connection.execute("UPDATE ops.published SET seq = 1")


def with_a_view_in_the_place_of_a_table(database: Path) -> None:
    with duckdb.connect(str(database)) as connection:
        connection.execute("DROP TABLE gold.user_activity")
        connection.execute("CREATE VIEW gold.user_activity AS SELECT 1 AS one")
        connection.execute("UPDATE ops.published SET seq = 1")


def with_a_half_made_new_one(database: Path) -> None:
    database.with_name(database.name + ".new").write_bytes(b"half of a database")
    database.unlink()


def from_the_future(database: Path) -> None:
    """Of another lake that had taken in more than this one."""
    with duckdb.connect(str(database)) as connection:
        connection.execute("UPDATE ops.published SET seq = 1000")


def deleted(database: Path) -> None:
    database.unlink()


DAMAGES = [
    truncated,
    with_flipped_bytes,
    emptied,
    a_text,
    of_somebody_else,
    with_our_tables_in_another_shape,
    with_a_view_in_the_place_of_a_table,
    with_a_half_made_new_one,
    from_the_future,
    deleted,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_database_that_is_not_as_we_left_it_is_made_anew_by_the_next_run(
    damage: Any, lake: Lake, database: Path, kept: Contents
) -> None:
    damage(database)
    assert not run(lake), "the lake itself has nothing new"
    assert contents(database) == kept
    assert [path.name for path in database.parent.iterdir()] == [database.name]


@pytest.mark.parametrize("damage", [truncated, of_somebody_else, with_our_tables_in_another_shape])
def test_publishing_over_a_file_that_is_not_as_we_left_it_makes_it_anew(
    damage: Any, lake: Lake, database: Path, kept: Contents
) -> None:
    damage(database)
    analytics_db.publish(LakeCatalog(lake.settings.lake_root), database)
    assert contents(database) == kept


# --- Logs that a crash left beside it -----------------------------------------------------------------------

# Somebody opens the file, changes it, and is killed before DuckDB has written the change into the file.
KILLED_WRITER = """
import os, sys, duckdb
connection = duckdb.connect()
connection.execute(f"ATTACH '{sys.argv[1]}' AS other")
connection.execute(sys.argv[2])
os._exit(1)
"""
# A run is killed after it has committed its changes and before they are written into the file itself.
KILLED_RUN = """
import os, sys
from datetime import datetime
from pathlib import Path
import duckdb
from eventmint.serve import analytics_db
from eventmint.tables.catalog import LakeCatalog

class Killed:
    def __init__(self, connection):
        self.connection = connection
    def execute(self, sql, *arguments):
        if sql == "CHECKPOINT":
            os._exit(9)
        return self.connection.execute(sql, *arguments)
    def close(self):
        self.connection.close()

connect = analytics_db.connect
analytics_db.connect = lambda *arguments, **settings: Killed(connect(*arguments, **settings))
analytics_db.publish(LakeCatalog(Path(sys.argv[1])), Path(sys.argv[2]))
"""


def log_of(database: Path) -> Path:
    return database.with_name(database.name + ".wal")


def leave_a_log(database: Path, change: str) -> None:
    subprocess.run([sys.executable, "-c", KILLED_WRITER, str(database), change], check=False)
    assert log_of(database).exists()


def test_a_change_that_an_analyst_left_in_a_log_does_not_outlive_the_next_publication(
    lake: Lake, database: Path, kept: Contents
) -> None:
    leave_a_log(database, "DELETE FROM other.gold.user_activity")
    analytics_db.publish(LakeCatalog(lake.settings.lake_root), database)
    assert contents(database) == kept


@pytest.mark.parametrize("is_read_first", [True, False])
def test_a_log_of_another_file_does_not_lock_readers_out_for_ever(
    is_read_first: bool, lake: Lake, database: Path, kept: Contents
) -> None:
    other = database.with_name("other.duckdb")
    leave_a_log(other, "CREATE TABLE other.t AS SELECT range AS a FROM range(1000)")
    log_of(other).rename(log_of(database))
    if is_read_first:
        run(lake)
    else:
        analytics_db.publish(LakeCatalog(lake.settings.lake_root), database)
    assert contents(database) == kept


def test_a_publication_killed_before_its_end_is_made_good_by_the_next(tmp_path: Path) -> None:
    lake = open_at(tmp_path)
    database = lake.settings.database_path
    run(lake, {"a": [line(15, "u1")]})
    old = database.read_bytes()
    run(lake, {"b": [line(15, "u2"), line(16, "u3")]})
    expected = contents(database)
    database.write_bytes(old)
    arguments = [str(lake.settings.lake_root), str(database)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    killed = subprocess.run([sys.executable, "-c", KILLED_RUN, *arguments], check=False, env=environment)
    assert killed.returncode == 9
    assert database.read_bytes() == old
    assert not run(lake)
    assert contents(database) == expected
    assert [path.name for path in database.parent.iterdir()] == [database.name]


# --- Other files at that path -----------------------------------------------------------------------------


def test_a_database_of_another_lake_is_replaced_by_the_next_run(tmp_path: Path) -> None:
    """Somebody points a new lake at the file of an old one that had taken in as many batches."""
    old = open_at(tmp_path)
    run(old, {"a": [line(15, "old")]})
    new = eventmint.open_lake(
        source__path=str(tmp_path / "new source"),
        source__settle_seconds=0.0,
        lake__root=str(tmp_path / "new lake"),
        lake__database=str(old.settings.database_path),
        run__workers=1,
    )
    run(new, {"a": [line(16, "new"), line(16, "newer")]})
    assert contents(old.settings.database_path)["gold.user_activity"] == [(date(2026, 1, 16), 2, 2, 2)]
    assert [row["user_id"] for row in new.sql("SELECT user_id FROM silver.events_cleaned").to_pylist()] == [
        "new",
        "newer",
    ]


def test_a_folder_in_the_place_of_the_database_is_told(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    names = dataclasses.replace(lake.settings.lake, database=str(folder))
    with pytest.raises(EventmintError) as error:
        Lake(dataclasses.replace(lake.settings, lake=names)).run(now=NOW)
    assert "a folder" in error.value.message
