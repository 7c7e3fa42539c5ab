# ruff: noqa: S608 - statements are composed of our own names, paths are quoted
"""DuckDB, in process: the engine of the laptop. Landing runs in one process per core."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from eventmint.contracts import Contract
from eventmint.engine.parquet import ROW_GROUP_ROWS, SplitFiles
from eventmint.engine.protocol import Place, Result, Task
from eventmint.errors import TryAgain
from eventmint.storage import SCHEME, download_folder, local_paths

# Below this much to read (compressed) the files are landed sooner than worker processes start.
_WORTH_A_PROCESS_BYTES = 8 << 20
_PR_SET_PDEATHSIG = 1
# Up to so many times per hour are looked up by value.
_SPARSE_TIMES = 1_000
_LISTED_CHARACTERS = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TYPES = {
    "binary": "BLOB",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "double": "DOUBLE",
    "int": "INTEGER",
    "long": "BIGINT",
    "string": "VARCHAR",
    "timestamptz": "TIMESTAMPTZ",
}


def connect(database: str = ":memory:", **config: Any) -> duckdb.DuckDBPyConnection:
    """Open DuckDB the way the whole project does: UTC, no extension is ever fetched."""
    settings = {"autoinstall_known_extensions": False, "autoload_known_extensions": False, **config}
    return _as_ours(duckdb.connect(database, config=settings))


def _as_ours(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Make the settings that each connection has for itself."""
    connection.execute("SET TimeZone = 'UTC'")
    with contextlib.suppress(duckdb.InvalidInputException):  # a notebook without ipywidgets, which shows none
        connection.execute("SET enable_progress_bar = false")  # it would write into our output
    return connection


def sql_type(kind: str) -> str:
    return _TYPES.get(kind) or kind.upper()


def quoted(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def column_list(contract: Contract) -> str:
    """The contract's columns, as a SELECT names them."""
    return ", ".join(f'"{name}"' for name in contract.column_names)


def scan_sql(contract: Contract, locations: Sequence[str], *, with_location: bool = True) -> str:
    """SELECT over Parquet files, columns found by field id, as the contract types them.

    Args:
        with_location: add `_location`, the file that a row is from.
    """
    if not locations:
        columns = ", ".join(f"CAST(NULL AS {sql_type(c.type)}) AS {c.name}" for c in contract.columns)
        location = ", CAST(NULL AS VARCHAR) AS _location" if with_location else ""
        return f"SELECT {columns}{location} WHERE false"
    ids = ", ".join(
        f"{c.id}: {{name: '{c.name}', type: '{sql_type(c.type)}', default_value: NULL}}"
        for c in contract.columns
    )
    paths = ", ".join(quoted(location) for location in locations)
    columns = ", ".join(contract.column_names)
    option, location = (", filename = '_location'", ", _location") if with_location else ("", "")
    source = f"read_parquet([{paths}], schema = MAP {{{ids}}}{option})"
    return f"SELECT {columns}{location} FROM {source}"


class DuckDBSession:
    """A connection of its own to the engine's database; see `engine.protocol.Session`."""

    dialect = "duckdb"

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._set_aside: set[str] = set()

    def close(self) -> None:
        with self._connection.cursor() as cursor:  # after an error, a result may still be open on ours
            for name in self._set_aside:
                cursor.execute(f"DROP TABLE IF EXISTS {name}")
        self._connection.close()  # what is temporary goes with it

    def scan(self, name: str, contract: Contract, locations: Sequence[str]) -> None:
        sql = scan_sql(contract, local_paths(locations))
        if folder := download_folder():
            # A row of a downloaded file tells the address of the file, not that of the copy.
            origin = f"replace(_location, {quoted(folder)}, {quoted(SCHEME)})"
            sql = f"SELECT * REPLACE ({origin} AS _location) FROM ({sql})"
        self.view(name, sql)

    def view(self, name: str, sql: str) -> None:
        self._connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {sql}")

    def table(self, name: str, sql: str) -> None:
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {sql}")

    def rows(self, sql: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._connection.sql(sql).to_arrow_table().to_pylist()
        return found

    def write(
        self, sql: str, contract: Contract, folder: Place, stem: str, split_by: tuple[str, ...] = ()
    ) -> list[Path]:
        with self.output(contract, folder, stem, split_by) as output:
            output.add(sql)
            return output.close()

    @contextmanager
    def output(
        self, contract: Contract, folder: Place, stem: str, split_by: tuple[str, ...] = ()
    ) -> Iterator[DuckDBOutput]:
        files = SplitFiles(contract, Path(folder), stem, split_by)
        try:
            yield DuckDBOutput(self._connection, files, self._set_aside)
        finally:
            files.discard()

    def row_hash(self, columns: Iterable[str]) -> str:
        return f"hash({', '.join(columns)})"

    def hour_number(self, column: str) -> str:
        return f"epoch_us({column}) // 3600000000"

    def instant(self, moment: datetime) -> str:
        return f"TIMESTAMPTZ '{moment.astimezone(UTC).isoformat()}'"

    def find_among(self, name: str, fields: str, relation: str, column: str, among: str) -> None:
        with self._right_side_first():
            self.table(name, self._among(fields, relation, column, among))

    def find_at_times(self, name: str, fields: str, relation: str, probe: str, lookup: str = "") -> None:
        """See `engine.protocol.Session`.

        What is probed for is dense in the last hours, where a join is best, and sparse in older ones, where a
        list of times lets the scan skip all other columns, and a list of values of the lookup most files.
        """
        self.table("probed_hours", f"SELECT *, {self.hour_number('event_time')} AS hour FROM {probe}")
        counts = self.rows("SELECT hour, COUNT(DISTINCT event_time) AS n FROM probed_hours GROUP BY hour")
        dense = [row["hour"] for row in counts if row["n"] > _SPARSE_TIMES]
        sparse = f"hour NOT IN ({', '.join(map(str, dense))})" if dense else "true"
        found = self.rows(f"SELECT * FROM probed_hours WHERE {sparse}")
        parts = [
            f"SELECT {fields} FROM {relation} WHERE {condition}"
            for condition in self._are_probed(found, lookup)
        ]
        for start in dense:
            first, end = (self.instant(_EPOCH + timedelta(hours=number)) for number in (start, start + 1))
            of_hour = (
                f"(SELECT * FROM {relation} WHERE event_time >= {first} AND event_time < {end}) AS of_hour"
            )
            parts.append(self._among(fields, of_hour, "event_time", probe))
        with self._right_side_first():
            self.table(name, " UNION ALL ".join(parts) or f"SELECT {fields} FROM {relation} WHERE false")

    @staticmethod
    def _among(fields: str, relation: str, column: str, among: str) -> str:
        return f"SELECT {fields} FROM {relation} WHERE {column} IN (SELECT {column} FROM {among})"

    @contextmanager
    def _right_side_first(self) -> Iterator[None]:
        """Let joins build their hash table from the right side, as they are written.

        DuckDB builds it from the side that it takes to be smaller, and does not know how many rows our scans
        have: it may take the files of a day to be fewer than a handful of values.
        """
        self._connection.execute("SET disabled_optimizers = 'build_side_probe_side'")
        try:
            yield
        finally:
            self._connection.execute("RESET disabled_optimizers")

    def _are_probed(self, found: Sequence[dict[str, Any]], lookup: str) -> Iterator[str]:
        """Conditions that between them hold for each row that is probed for, and only once."""
        if not lookup:
            if found:
                yield f"event_time IN ({self._instants(found)})"
            return
        listed = [row for row in found if _may_be_listed(row[lookup])]
        values = ", ".join(map(quoted, sorted({row[lookup] for row in listed})))
        if listed:
            # By the lookup first: its Bloom filters spare most files even their times.
            yield f"{lookup} IN ({values}) AND event_time IN ({self._instants(listed)})"
        if others := [row for row in found if not _may_be_listed(row[lookup])]:
            is_other = f"({lookup} IS NULL OR {lookup} NOT IN ({values}))" if listed else "true"
            yield f"{is_other} AND event_time IN ({self._instants(others)})"

    def _instants(self, rows: Sequence[dict[str, Any]]) -> str:
        return ", ".join(map(self.instant, sorted({row["event_time"] for row in rows})))

    def flagged(self, fields: str, relation: str, column: str, among: str, flag: str) -> str:
        # Not EXISTS nor a join: for IN, DuckDB builds its hash table from the few, and copies no column.
        return f"SELECT {fields}, {column} IN (SELECT {column} FROM {among}) AS {flag} FROM {relation}"


def _may_be_listed(value: str | None) -> bool:
    """Whether a value from data is short and plain enough to stand in a statement."""
    return value is not None and len(value) <= _LISTED_CHARACTERS and value.isprintable()


class DuckDBOutput:
    """See `engine.protocol.Output`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, files: SplitFiles, set_aside: set[str]) -> None:
        self._connection = connection
        self._files = files
        self._set_aside = set_aside

    def add(self, sql: str, aside: str = "") -> None:
        reader = self._connection.sql(sql).to_arrow_reader(ROW_GROUP_ROWS)
        # A cursor of its own: the first one is still reading. Its table can spill, rows held here could not.
        with self._connection.cursor() as cursor:
            if aside:
                self._set_aside.add(aside)
                cursor.register("kept", reader.schema.empty_table())
                cursor.execute(f"CREATE OR REPLACE TABLE {aside} AS SELECT * FROM kept")
            for batch in reader:
                rows = pa.Table.from_batches([batch])
                if aside:
                    cursor.register("kept", rows.filter(rows[aside]))
                    cursor.execute(f"INSERT INTO {aside} SELECT * FROM kept")
                    rows = rows.filter(pc.invert(rows[aside]))
                self._files.write(rows)

    def close(self) -> list[Path]:
        return self._files.close()


def _prepare_worker() -> None:
    """Ctrl-C is the parent's to handle; and when the parent dies, however it dies, its workers do too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):  # Linux only
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _then_release(function: Callable[[Task], Result], task: Task) -> Result:
    try:
        return function(task)
    finally:
        release_memory()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Workers started in here never see Ctrl-C: it reaches the whole process group, and we speak for all."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def release_memory() -> None:
    """Give freed memory back to the system: processes that wait would hold it for those that work."""
    pa.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):  # glibc only
        ctypes.CDLL(None).malloc_trim(0)


class DuckDBEngine:
    """See `engine.protocol.Engine`.

    Args:
        workers: processes for landing and threads for the statements.
        memory_mb: what DuckDB may hold before it spills to the scratch folder.
    """

    shares_disk = True

    def __init__(self, workers: int, memory_mb: int) -> None:
        self.workers = workers
        self.memory_mb = memory_mb
        self._pool: ProcessPoolExecutor | None = None
        self._database: duckdb.DuckDBPyConnection | None = None

    @contextmanager
    def session(self, scratch: Path) -> Iterator[DuckDBSession]:
        if self._database is None:  # 17 ms: once a run, not once a stage
            self._database = connect(
                threads=self.workers,
                memory_limit=f"{self.memory_mb}MB",
                temp_directory=str(scratch / "spill"),
                preserve_insertion_order=False,
                enable_external_file_cache=False,  # no stage reads again what another one has read
            )
        session = DuckDBSession(_as_ours(self._database.cursor()))
        try:
            yield session
        finally:
            session.close()
            release_memory()

    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], size_bytes: int
    ) -> Iterator[Result]:
        if self._runs_in_turn(len(tasks), size_bytes):
            yield from map(function, tasks)
            return
        if self._pool is None:
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.workers, spawn, _prepare_worker)
        try:
            with _interrupts_blocked():
                results = self._pool.map(partial(_then_release, function), tasks)
            yield from results
            self._end_pool()  # what comes next needs the memory that idle processes would hold
        except BrokenProcessPool as err:
            self._pool = None
            raise TryAgain(
                "A landing process was killed (out of memory?).", "Run again with a smaller run.workers."
            ) from err

    def threads_a_task(self, count: int, size_bytes: int) -> int:
        return self.workers if self._runs_in_turn(count, size_bytes) else 1

    def _runs_in_turn(self, count: int, size_bytes: int) -> bool:
        """Whether tasks run here, one after the other: worker processes take a second to start."""
        return self.workers == 1 or count <= 1 or size_bytes < _WORTH_A_PROCESS_BYTES

    def _end_pool(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def close(self) -> None:
        self._end_pool()
        if self._database is not None:
            self._database.close()
            self._database = None
