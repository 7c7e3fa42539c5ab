# ruff: noqa: S608 - statements are composed of our own names; no value from data is in them
"""Apache Spark: the engine of a cluster, and of a laptop that has Java 17.

It runs the models as `engine.dialect` translated them and lands files with the same function as every engine.
A task that is repeated makes the same rows: all inputs are files that never change. On one machine everything
goes through its disk, downloads from S3 included. Executors of a cluster do not see the driver's disk: they
read and write `s3://` addresses themselves.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial, reduce
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from eventmint.contracts import Column, Contract
from eventmint.engine.protocol import Place, Result, Task
from eventmint.errors import EventmintError, FixSettings, TryAgain
from eventmint.storage import SCHEME, download_folder, is_s3, list_folder, local_paths, put, remove

try:
    from py4j.protocol import Py4JError, Py4JNetworkError  # type: ignore[import-untyped]
    from pyspark import SparkConf, SparkContext, StorageLevel
    from pyspark.errors import PySparkException, PySparkRuntimeError
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql import functions as f
    from pyspark.sql import types as t
except ImportError as err:
    raise FixSettings(
        "Spark needs the package pyspark.", "Install it: pip install 'eventmint[spark]'."
    ) from err

_NEEDS_JAVA = "Install a Java 17 runtime, or set JAVA_HOME to one; without Java, use run.engine `duckdb`."
_MIN_HEAP_MB = 1024
_MAX_FILE_ROWS = 5_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIELD_ID = "parquet.field.id"
# By kind of column: Spark's type, its name in SQL, and a value that stands where NULL has been ruled out.
_TYPES: dict[str, tuple[t.DataType, str, str]] = {
    "binary": (t.BinaryType(), "BINARY", "X''"),
    "boolean": (t.BooleanType(), "BOOLEAN", "false"),
    "date": (t.DateType(), "DATE", "DATE '1970-01-01'"),
    "double": (t.DoubleType(), "DOUBLE", "0D"),
    "int": (t.IntegerType(), "INT", "0"),
    "long": (t.LongType(), "BIGINT", "0L"),
    "string": (t.StringType(), "STRING", "''"),
    "timestamptz": (t.TimestampType(), "TIMESTAMP", "TIMESTAMP '1970-01-01 00:00:00'"),
}
_STATEMENTS = {
    "spark.sql.session.timeZone": "UTC",
    # A sum that overflows must fail: the default makes it NULL.
    "spark.sql.ansi.enabled": "true",
    "spark.sql.adaptive.enabled": "true",
    # A file's worth: what an hour has beyond it is written by further tasks (see ADR 0005).
    "spark.sql.adaptive.advisoryPartitionSizeInBytes": "256m",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.fieldId.read.enabled": "true",
    "spark.sql.parquet.fieldId.write.enabled": "true",
    "spark.sql.parquet.writeLegacyFormat": "false",
    "spark.sql.caseSensitive": "false",
    "spark.sql.sources.partitionOverwriteMode": "static",
}
_WRITE_OPTIONS = {
    "maxRecordsPerFile": str(_MAX_FILE_ROWS),
    "mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
    # Row groups of about the size that the DuckDB engine writes, so that scans for a time skip as much.
    "parquet.block.size": str(16 << 20),
}
_PASSING = ("OutOfMemory", "ExecutorLost", "FetchFailed", "exited unexpectedly", "SparkContext was shut down")


class SparkWork:
    """Temporary views and kept tables of one stage; see `engine.protocol.Session`."""

    dialect = "spark"

    def __init__(self, spark: SparkSession, *, shares_disk: bool) -> None:
        self._spark = spark
        self._shares_disk = shares_disk
        self._kept: list[DataFrame] = []

    def scan(self, name: str, contract: Contract, locations: Sequence[str]) -> None:
        with _translated():
            self._files(contract, locations).createOrReplaceTempView(name)

    def view(self, name: str, sql: str) -> None:
        with _translated():
            self._spark.sql(sql).createOrReplaceTempView(name)

    def table(self, name: str, sql: str) -> None:
        with _translated():
            self.keep(name, self._spark.sql(sql))

    def rows(self, sql: str) -> list[dict[str, Any]]:
        with _translated():
            return _collect(self._spark.sql(sql))

    def write(
        self, sql: str, contract: Contract, folder: Place, stem: str, split_by: tuple[str, ...] = ()
    ) -> list[str]:
        with self.output(contract, folder, stem, split_by) as output:
            output.add(sql)
            return output.close()

    @contextmanager
    def output(
        self, contract: Contract, folder: Place, stem: str, split_by: tuple[str, ...] = ()
    ) -> Iterator[SparkOutput]:
        output = SparkOutput(self, contract, folder, stem, split_by)
        try:
            yield output
        finally:
            output.discard()

    def row_hash(self, columns: Iterable[str]) -> str:
        return f"xxhash64({', '.join(columns)})"

    def hour_number(self, column: str) -> str:
        return f"unix_micros({column}) DIV 3600000000"

    def instant(self, moment: datetime) -> str:
        return f"TIMESTAMP '{moment.astimezone(UTC).isoformat()}'"

    def find_among(self, name: str, fields: str, relation: str, column: str, among: str) -> None:
        self.table(name, f"SELECT {fields} FROM {relation} WHERE {column} IN (SELECT {column} FROM {among})")

    def find_at_times(
        self,
        name: str,
        fields: str,
        relation: str,
        probe: str,
        lookup: str = "",  # noqa: ARG002 - it joins
    ) -> None:
        """See `engine.protocol.Session`: a semi join; the range lets the scan skip files and row groups."""
        [span] = self.rows(f"SELECT MIN(event_time) AS first, MAX(event_time) AS last FROM {probe}")
        if span["first"] is None:
            self.table(name, f"SELECT {fields} FROM {relation} WHERE false")
            return
        first, last = (self.instant(span[end]) for end in ("first", "last"))
        near = f"(SELECT * FROM {relation} WHERE event_time >= {first} AND event_time <= {last}) AS near"
        self.find_among(name, fields, near, "event_time", probe)

    def flagged(self, fields: str, relation: str, column: str, among: str, flag: str) -> str:
        # A join: Spark knows no IN in a SELECT list.
        return (
            f"SELECT {fields}, {among}.{column} IS NOT NULL AS {flag} "
            f"FROM {relation} LEFT JOIN {among} ON {among}.{column} = {relation}.{column}"
        )

    def frame(self, sql: str) -> DataFrame:
        return self._spark.sql(sql)

    def keep(self, name: str, frame: DataFrame) -> None:
        """Name a result that is computed once, when it is first used."""
        kept = frame.persist(StorageLevel.MEMORY_AND_DISK)
        kept.createOrReplaceTempView(name)
        self._kept.append(kept)

    def close(self) -> None:
        for kept in self._kept:
            kept.unpersist()
        self._kept.clear()

    def _files(self, contract: Contract, locations: Sequence[str]) -> DataFrame:
        if not locations:
            columns = ", ".join(f"CAST(NULL AS {sql_type(c.type)}) AS {c.name}" for c in contract.columns)
            return self._spark.sql(f"SELECT {columns}, CAST(NULL AS STRING) AS _location WHERE false")
        paths = local_paths(locations) if self._shares_disk else locations
        files = (
            self._spark.read.schema(_schema(contract))
            .option("recursiveFileLookup", "true")  # a folder `event_date=...` adds no column
            .option("__globPaths__", "false")  # a path is a name, not a pattern
            .parquet(*map(_address, paths))
        )
        location = f.expr(_LOCATION)
        if self._shares_disk and (downloads := download_folder()):
            # A row of a downloaded file tells the address of the file, not that of the copy.
            location = f.replace(location, f.lit(downloads), f.lit(SCHEME))
        return files.select(*contract.column_names, location.alias("_location"))


# Spark tells where a row is from as a URI, with %20 for a space.
_LOCATION = "regexp_replace(url_decode(replace(_metadata.file_path, '+', '%2B')), '^file:/+', '/')"


def _address(location: str) -> str:
    """A local path says so: the default file system of a cluster may be another."""
    return f"file://{location}" if location.startswith("/") else location


class SparkOutput:
    """Collects what is to be written; one job writes it all. See `engine.protocol.Output`."""

    def __init__(
        self, session: SparkWork, contract: Contract, folder: Place, stem: str, split_by: tuple[str, ...]
    ) -> None:
        self._session = session
        self._contract = contract
        self._folder = str(folder)
        self._stem = stem
        self._split_by = split_by
        self._frames: list[DataFrame] = []
        self._partial = f"{folder}/{stem}.partial"

    def add(self, sql: str, aside: str = "") -> None:
        with _translated():
            frame = self._session.frame(sql)
            if aside:
                self._session.keep(aside, frame.filter(f.col(aside)))
                frame = frame.filter(~f.col(aside))
            columns = [_declared(column) for column in self._contract.columns]
            # Copies: the columns that part the rows into folders are not in the files.
            copies = [f.col(name).alias(_copy(n)) for n, name in enumerate(self._split_by)]
            self._frames.append(frame.select(*columns, *copies))

    def close(self) -> list[str]:
        self.discard()
        copies = [_copy(number) for number in range(len(self._split_by))]
        with _translated():
            reduce(DataFrame.unionAll, self._frames).createOrReplaceTempView("to_write")
            # Brings the rows of a file together in one task, those of a very large one in several.
            by = f"({', '.join(copies)})" if copies else ""
            rows = self._session.frame(f"SELECT /*+ REBALANCE{by} */ * FROM to_write")
            lookup = [self._contract.lookup] if self._contract.lookup else []
            if order := [*copies, *lookup, *self._contract.bounds]:
                rows = rows.sortWithinPartitions(*order)
            rows.write.options(**_WRITE_OPTIONS).parquet(_address(self._partial), partitionBy=copies)
        return self._adopt()

    def discard(self) -> None:
        if is_s3(self._partial):
            remove(list_folder(self._partial))
        else:
            shutil.rmtree(self._partial, ignore_errors=True)

    def _adopt(self) -> list[str]:
        """Give the files that Spark has written their names: `<stem>[-<values>][-<number>].parquet`."""
        found: dict[tuple[str, ...], list[str]] = {}
        for path in list_folder(self._partial):
            if path.endswith(".parquet"):
                folders = path.removeprefix(f"{self._partial}/").split("/")[:-1]
                values = tuple(unquote(name.partition("=")[2]) for name in folders)
                found.setdefault(values, []).append(path)
        moves = []
        for values, paths in sorted(found.items()):
            for number, path in enumerate(paths):
                counted = [str(number)] if len(paths) > 1 else []
                moves.append((path, f"{self._folder}/{'-'.join([self._stem, *values, *counted])}.parquet"))
        for path, _ in moves:
            _sync(path)
        put(moves)
        self.discard()
        return [target for _, target in moves]


def _sync(path: str) -> None:
    if not is_s3(path):
        with Path(path).open("rb") as handle:
            os.fsync(handle.fileno())


def _copy(number: int) -> str:
    return f"_split{number}"


def _declared(column: Column) -> SparkColumn:
    """A column in the contract's type, with its field id; required if the contract says so."""
    kind, name, zero = _type(column.type)
    value = f.col(column.name).cast(kind)
    if column.required:
        fails = f.expr(f"CAST(raise_error('{column.name} is NULL but required') AS {name})")
        value = f.coalesce(value, fails, f.expr(f"CAST({zero} AS {name})"))
    return value.alias(column.name, metadata={_FIELD_ID: column.id})


def _schema(contract: Contract) -> t.StructType:
    return t.StructType(
        [
            t.StructField(column.name, _type(column.type)[0], metadata={_FIELD_ID: column.id})
            for column in contract.columns
        ]
    )


def _type(kind: str) -> tuple[t.DataType, str, str]:
    if not kind.startswith("decimal("):
        return _TYPES[kind]
    precision, scale = kind.removeprefix("decimal(").rstrip(")").split(",")
    return t.DecimalType(int(precision), int(scale)), kind.upper(), "0BD"


def sql_type(kind: str) -> str:
    return _type(kind)[1]


def _collect(frame: DataFrame) -> list[dict[str, Any]]:
    """Return rows with instants as aware UTC times: Spark's own way passes through the local time zone."""
    convert: dict[str, Callable[[Any], Any]] = {}
    columns = []
    for field in frame.schema:
        column = f.col(f"`{field.name}`")
        if isinstance(field.dataType, t.TimestampType):
            column = f.unix_micros(column).alias(field.name)
            convert[field.name] = lambda us: _EPOCH + timedelta(microseconds=us)
        elif isinstance(field.dataType, t.BinaryType):
            convert[field.name] = bytes
        columns.append(column)
    rows = [row.asDict() for row in frame.select(*columns).collect()]
    for row in rows:
        for name, function in convert.items():
            if row[name] is not None:
                row[name] = function(row[name])
    return rows


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what a new run may well survive into `TryAgain`; the rest is a fault of ours."""
    try:
        yield
    except (Py4JError, PySparkException, ConnectionError) as err:
        if isinstance(err, Py4JNetworkError | ConnectionError) or any(sign in str(err) for sign in _PASSING):
            raise TryAgain(
                "Spark ran out of memory or lost an executor.",
                "Run again, with more run.memory_mb or fewer run.workers.",
            ) from err
        raise


class SparkEngine:
    """See `engine.protocol.Engine`.

    A Spark that is there already is used: that of spark-submit, of Glue, or of the process. Otherwise one is
    started in this machine's memory when it is first needed, and stopped by `close`.

    Args:
        workers: cores to use, where the engine starts Spark itself.
        memory_mb: heap of a Spark that the engine starts itself, at least 1 GB.
        scratch: folder that such a Spark may spill to.
    Raises: FixSettings: there is no Java.
    """

    def __init__(self, workers: int, memory_mb: int, scratch: Path) -> None:
        self._workers = workers
        self._heap_mb = max(memory_mb, _MIN_HEAP_MB)
        self._scratch = scratch
        self._spark: SparkSession | None = None
        self._is_ours = not _is_given()
        if self._is_ours:
            _require_java()

    @property
    def shares_disk(self) -> bool:
        """Whether executors run on this machine."""
        if self._is_ours:
            return True
        master = str(self._started().sparkContext.master)
        return master == "local" or master.startswith("local[")

    @contextmanager
    def session(self, scratch: Path) -> Iterator[SparkWork]:  # noqa: ARG002 - Spark spills where it was told to
        with _translated():
            spark = self._started().newSession()
            for key, value in _STATEMENTS.items():
                spark.conf.set(key, value)
        work = SparkWork(spark, shares_disk=self.shares_disk)
        try:
            yield work
        finally:
            with _translated():
                work.close()

    def map(
        self,
        function: Callable[[Task], Result],
        tasks: Sequence[Task],
        size_bytes: int,  # noqa: ARG002 - one task each, however small: the executors are there anyway
    ) -> Iterator[Result]:
        if not tasks:
            return
        with _translated():
            context = self._started().sparkContext
            outcomes = context.parallelize(tasks, len(tasks)).map(partial(_attempt, function)).collect()
        for outcome in outcomes:
            if isinstance(outcome, _Failure):
                raise outcome.error
            yield outcome

    def threads_a_task(self, _count: int, _size_bytes: int) -> int:
        return 1  # an executor has a core for each

    def close(self) -> None:
        if self._spark is not None and self._is_ours:
            self._spark.stop()
        self._spark = None

    def _started(self) -> SparkSession:
        if self._spark is None:
            self._spark = self._start() if self._is_ours else SparkSession.builder.getOrCreate()
        return self._spark

    def _start(self) -> SparkSession:
        log4j2 = Path(__file__).with_name("log4j2.properties")
        settings = {
            "spark.app.name": "eventmint",
            "spark.master": f"local[{self._workers}]",
            "spark.driver.memory": f"{self._heap_mb}m",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.extraJavaOptions": f'"-Dlog4j2.configurationFile={log4j2}"',
            "spark.local.dir": str(self._scratch / "spark"),
            "spark.sql.catalogImplementation": "in-memory",
            "spark.sql.warehouse.dir": str(self._scratch / "warehouse"),
            # On one machine a job to list files costs more than it saves, and so do 200 tasks per shuffle.
            "spark.sql.shuffle.partitions": str(2 * self._workers),
            "spark.sql.sources.parallelPartitionDiscovery.threshold": "100000",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
        }
        try:
            spark = SparkSession.builder.config(conf=SparkConf().setAll([*settings.items()])).getOrCreate()
        except PySparkRuntimeError as err:
            raise FixSettings("Spark needs Java 17, and Java did not start.", _NEEDS_JAVA) from err
        spark.sparkContext.setLogLevel("OFF")
        _share_python(spark.sparkContext)
        return spark


def spark_context() -> SparkContext:
    """The context of the Spark that spark-submit or Glue has started."""
    return SparkContext.getOrCreate()


class _Failure:
    """What came of a task that failed in a way we have a word for."""

    def __init__(self, error: EventmintError | OSError) -> None:
        self.error = error


def _attempt(function: Callable[[Task], Result], task: Task) -> Result | _Failure:
    try:
        return function(task)
    except (EventmintError, OSError) as error:
        return _Failure(error)  # not raised: Spark would repeat it, and wrap it in its own


def _is_given() -> bool:
    return SparkContext._active_spark_context is not None or "PYSPARK_GATEWAY_PORT" in os.environ  # noqa: SLF001


def _require_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = Path(home, "bin", "java") if home else None
    if not (os.access(java, os.X_OK) if java else shutil.which("java")):
        where = f"JAVA_HOME is {home}, which has no bin/java" if home else "there is no `java` on the path"
        raise FixSettings(f"Spark needs Java 17: {where}.", _NEEDS_JAVA)


def _share_python(context: SparkContext) -> None:
    """Let the workers be this Python and have this eventmint, however it came to be on the path."""
    import sys

    context.pythonExec = sys.executable
    own = str(Path(__file__).parents[2])
    context.environment["PYTHONPATH"] = os.pathsep.join([own, os.environ.get("PYTHONPATH", "")]).rstrip(
        os.pathsep
    )
