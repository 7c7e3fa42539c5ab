"""analytics.duckdb: what analysts open. Gold as tables, bronze and silver as views, columns explained.

Built beside the old one and swapped in by an atomic rename, so that a reader sees the old state or the new
one. Only what changed is written: the days of gold that were replaced, the names of files that came and went.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from eventmint.contracts import ANSWERS, Contract, all_contracts, contract
from eventmint.crash_points import reached
from eventmint.engine.duckdb_engine import column_list, connect, quoted, scan_sql, sql_type
from eventmint.errors import FixData, TryAgain
from eventmint.serve.answers import require_columns
from eventmint.storage import is_s3, local_paths
from eventmint.storage.local import sync_folders
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.plan import (
    Changes,
    TableHandle,
    changes_since,
    files_after,
    files_changed_since,
    is_ours_since,
    live_files,
    seq_of,
)

# Readable by every DuckDB since 1.0, and by the tools that ship an old one.
STORAGE_VERSION = "v1.0.0"
_TABLES = tuple(f"gold.{answer}" for answer in ANSWERS)


def is_current(catalog: LakeCatalog, database: Path, facts: str | None = None) -> bool:
    """Whether the database shows the lake as it is, and tells these facts of it, where any are given."""
    if not database.exists():
        return False
    try:
        with _opened(database, read_only=True) as connection:
            shown, told = _published(connection), _facts(connection)
            require_columns(connection)
    except duckdb.Error:
        return False
    return facts in (None, told) and all(
        shown.get(shape.table) == _state(catalog.load(shape)) for shape in _shown_contracts(catalog)
    )


def publish(
    catalog: LakeCatalog,
    database: Path,
    facts: str | None = None,
    confirm: Callable[[], None] | None = None,
    *,
    anew: bool = False,
) -> None:
    """Bring the database up to the lake; readers of the old file keep it until they reopen.

    Args:
        facts: a JSON document that pages tell beside the tables (`ops.facts`); None leaves what is there.
        confirm: for who does not hold the lake's lock: called when all is built, to raise TryAgain where a
            run was at work meanwhile. Then nothing is published, nor unless all tables include one batch.
        anew: take nothing over from the file that is there: what it has deleted may still lie in it.
    Raises: TryAgain: a run is at work.
    """

    def build(fresh: Path) -> None:
        _build(catalog, database, fresh, facts, anew)
        if confirm is not None:
            _require_one_batch(fresh)
            confirm()

    _swap_in(database, build)


def show_past(catalog: LakeCatalog, database: Path, seq: int) -> None:
    """Write a new database that shows the lake as batch `seq` left it.

    Raises: TryAgain: that state is being forgotten.
    """
    with _opened(database) as connection:
        _create(connection)
        for shape in _shown_contracts(catalog):
            files = files_after(catalog.load(shape), shape, seq)
            if files is None:
                raise TryAgain(f"{shape.table}: this state has just been forgotten.", "See which are kept.")
            if shape.table in _TABLES:
                _replace_days(connection, shape, [file.location for file in files], None)
            else:
                _update_view(connection, shape, Changes(tuple(files)), complete=True)


def tell(database: Path, facts: str) -> None:
    """Tell other facts beside the tables as they are; nothing where there is no database."""

    def build(fresh: Path) -> None:
        shutil.copyfile(database, fresh)
        with _opened(fresh) as connection:
            _create(connection)
            _note_facts(connection, facts)

    if database.exists():
        _swap_in(database, build)


def _swap_in(database: Path, build: Callable[[Path], None]) -> None:
    """Build beside the old file, then put the new one in its place."""
    database.parent.mkdir(parents=True, exist_ok=True)
    fresh = database.with_name(database.name + ".new")
    fresh.unlink(missing_ok=True)
    _log_of(fresh).unlink(missing_ok=True)
    if database.is_dir():
        raise FixData(f"{database}: is a folder, expected a file.", "Set `lake.database` to another name.")
    try:
        build(fresh)
        with fresh.open("rb") as handle:
            os.fsync(handle.fileno())
        reached("publish: built")
        # What a killed writer left beside the old file would be replayed onto the new one.
        _log_of(database).unlink(missing_ok=True)
        reached("publish: old log removed")
        fresh.replace(database)
        sync_folders([database.parent])
        reached("publish: swapped")
    finally:
        fresh.unlink(missing_ok=True)
        _log_of(fresh).unlink(missing_ok=True)


def _build(catalog: LakeCatalog, database: Path, fresh: Path, facts: str | None, anew: bool) -> None:
    """Write the new state to `fresh`, starting from the old one where it can be used."""
    try:
        if database.exists() and not anew:
            shutil.copyfile(database, fresh)
            reached("publish: old one copied")
        _bring_up(catalog, fresh, facts)
    except duckdb.Error:
        # Not ours, or damaged: it is a copy of what the lake holds, so make it anew.
        fresh.unlink(missing_ok=True)
        _bring_up(catalog, fresh, facts)


def _bring_up(catalog: LakeCatalog, fresh: Path, facts: str | None) -> None:
    with _opened(fresh) as connection:
        _create(connection)
        published = _published(connection)
        connection.execute("BEGIN")
        for shape in _shown_contracts(catalog):
            table = catalog.load(shape)
            seq, identity, snapshot = published.get(shape.table, (0, "", 0))
            changes = None
            if identity == str(table.metadata.table_uuid) and is_ours_since(table, seq):
                # A table has the rows; a view names files, and a compaction moves rows to others.
                if shape.table in _TABLES:
                    changes = changes_since(table, shape, seq)
                else:
                    changes = files_changed_since(table, shape, snapshot)
            complete = changes is None
            if changes is None:
                changes = Changes(tuple(live_files(table, shape)))
            if shape.table in _TABLES:
                days = None if complete else changes.days
                locations = (
                    [] if days == frozenset() else [f.location for f in live_files(table, shape, days=days)]
                )
                _replace_days(connection, shape, locations, None if days is None else sorted(map(str, days)))
            else:
                _update_view(connection, shape, changes, complete)
            connection.execute("DELETE FROM ops.published WHERE table_name = ?", [shape.table])
            connection.execute("INSERT INTO ops.published VALUES (?, ?, ?, ?)", [shape.table, *_state(table)])
        if facts is not None:
            _note_facts(connection, facts)
        connection.execute("COMMIT")
        connection.execute("CHECKPOINT")


def _require_one_batch(database: Path) -> None:
    with _opened(database, read_only=True) as connection:
        if len({seq for seq, _, _ in _published(connection).values()}) > 1:
            raise TryAgain("A run is writing the tables.", "Ask again in a minute.")


def _create(connection: duckdb.DuckDBPyConnection) -> None:
    for schema in ("bronze", "silver", "gold", "ops"):
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    # No primary keys: DuckDB 1.0 could not open the file.
    connection.execute(
        "CREATE TABLE IF NOT EXISTS ops.published "
        "(table_name VARCHAR, seq BIGINT, table_uuid VARCHAR, snapshot_id BIGINT)"
    )
    connection.execute("CREATE TABLE IF NOT EXISTS ops.files (table_name VARCHAR, location VARCHAR)")
    connection.execute("CREATE TABLE IF NOT EXISTS ops.facts (document VARCHAR)")
    held = "SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE database_name = 'analytics'"
    existing = {name for (name,) in connection.execute(held).fetchall()}
    for shape in map(contract, _TABLES):
        if shape.table not in existing:
            columns = ", ".join(f'"{c.name}" {sql_type(c.type)}' for c in shape.columns)
            connection.execute(f"CREATE TABLE {shape.table} ({columns})")
            _comment(connection, "TABLE", shape)


def _replace_days(
    connection: duckdb.DuckDBPyConnection, shape: Contract, locations: list[str], days: list[str] | None
) -> None:
    if days is None:
        connection.execute(f"DELETE FROM {shape.table}")  # noqa: S608 - a contract's name
    else:
        connection.execute(
            f"DELETE FROM {shape.table} WHERE event_date IN (SELECT CAST(UNNEST(?) AS DATE))",  # noqa: S608
            [days],
        )
    source = scan_sql(shape, local_paths(locations))
    connection.execute(f"INSERT INTO {shape.table} SELECT {column_list(shape)} FROM ({source})")  # noqa: S608


def _update_view(
    connection: duckdb.DuckDBPyConnection, shape: Contract, changes: Changes, complete: bool
) -> None:
    if complete:
        connection.execute("DELETE FROM ops.files WHERE table_name = ?", [shape.table])
    removed, added = ([file.location for file in files] for files in (changes.removed, changes.added))
    connection.execute(
        "DELETE FROM ops.files WHERE table_name = ? AND location IN (SELECT UNNEST(CAST(? AS VARCHAR[])))",
        [shape.table, removed],
    )
    connection.execute("INSERT INTO ops.files SELECT ?, UNNEST(CAST(? AS VARCHAR[]))", [shape.table, added])
    rows = connection.execute(
        "SELECT location FROM ops.files WHERE table_name = ? ORDER BY location", [shape.table]
    ).fetchall()
    source = scan_sql(shape, [location for (location,) in rows], with_location=False)
    connection.execute(f"CREATE OR REPLACE VIEW {shape.table} AS SELECT {column_list(shape)} FROM ({source})")  # noqa: S608
    _comment(connection, "VIEW", shape)


def _comment(connection: duckdb.DuckDBPyConnection, kind: str, shape: Contract) -> None:
    connection.execute(f"COMMENT ON {kind} {shape.table} IS {quoted(f'{shape.grain}. {shape.doc}')}")
    for column in shape.columns:
        text = f"{column.doc} ({column.unit})" if column.unit else column.doc
        connection.execute(f'COMMENT ON COLUMN {shape.table}."{column.name}" IS {quoted(text)}')


def _shown_contracts(catalog: LakeCatalog) -> tuple[Contract, ...]:
    """What the database shows; of a lake in S3 the answers only, for a view could not read there."""
    if is_s3(catalog.location):
        return tuple(contract(name) for name in _TABLES)
    return tuple(shape for shape in all_contracts() if shape.schema != "ops")


def _published(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[int, str, int]]:
    """What the file shows of each table, as `_state` tells it."""
    rows = connection.execute("SELECT table_name, seq, table_uuid, snapshot_id FROM ops.published").fetchall()
    return {name: (seq, identity, snapshot) for name, seq, identity, snapshot in rows}


def _facts(connection: duckdb.DuckDBPyConnection) -> str | None:
    row = connection.execute("SELECT document FROM ops.facts").fetchone()
    return str(row[0]) if row else None


def _note_facts(connection: duckdb.DuckDBPyConnection, facts: str) -> None:
    connection.execute("DELETE FROM ops.facts")
    connection.execute("INSERT INTO ops.facts VALUES (?)", [facts])


def _state(table: TableHandle) -> tuple[int, str, int]:
    """The batch that a table includes, which table it is (another lake's batches count anew), and its
    snapshot: another program may lay the same rows into other files."""
    return seq_of(table), str(table.metadata.table_uuid), table.metadata.current_snapshot_id or 0


def _log_of(database: Path) -> Path:
    return database.with_name(database.name + ".wal")


@contextmanager
def _opened(database: Path, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = connect()
    mode = "READ_ONLY" if read_only else f"STORAGE_VERSION '{STORAGE_VERSION}'"
    try:
        connection.execute(f"ATTACH {quoted(str(database))} AS analytics ({mode})")
        connection.execute("USE analytics")
        yield connection
    finally:
        connection.close()
