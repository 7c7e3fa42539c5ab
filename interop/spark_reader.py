"""Spark with Iceberg's own runtime, as on Glue; its JdbcCatalog opens the lake's SQLite catalog."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventmint.contracts import Column
from interop.artifacts import SPARK_JAVA, Artifacts, java_home
from interop.readers import Held, Shape
from interop.rows import Row, exact_rows

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# JdbcCatalog looks its tables up under its own name, so it must have that of PyIceberg's catalog.
CATALOG, REGISTERED = "eventmint", "registered"


class SparkReader:
    """One session of one JVM per lake, because each needs a catalog of the same name."""

    name = "Spark"
    scan_unit = "files"

    def __init__(self, session: SparkSession, scratch: Path, catalogs: Mapping[str, Path]) -> None:
        jvm: Any = session._jvm
        self._jvm = jvm
        iceberg = jvm.org.apache.iceberg.IcebergBuild.version()
        self.version = f"{session.version} with Iceberg {iceberg}"
        self._root, self._scratch, self._catalogs = session, scratch, catalogs
        self._sessions: dict[str, SparkSession] = {}

    def _session(self, lake: str) -> SparkSession:
        if lake in self._sessions:
            return self._sessions[lake]
        own, file = self._root.newSession(), self._catalogs[lake]
        for catalog, uri in ((CATALOG, file), (REGISTERED, self._scratch / f"registered-{lake}.sqlite")):
            options = {
                "": "org.apache.iceberg.spark.SparkCatalog",
                ".type": "jdbc",
                ".uri": f"jdbc:sqlite:{uri}",
                ".jdbc.schema-version": "V1",
                ".warehouse": f"file://{file.parent}",
                ".cache-enabled": "false",  # eventmint commits between our queries
            }
            for key, value in options.items():
                own.conf.set(f"spark.sql.catalog.{catalog}{key}", value)
        own.sql(f"CREATE NAMESPACE IF NOT EXISTS {REGISTERED}.gold")
        own.sql(f"USE {CATALOG}.gold")
        self._sessions[lake] = own
        return own

    def release(self, lake: str) -> None:
        """Close the lake's catalog: its connections hold SQLite's lock, and eventmint could not commit."""
        own = self._sessions.pop(lake, None)
        if own is not None:
            manager = own._jsparkSession.sessionState().catalogManager()
            for catalog in (CATALOG, REGISTERED):
                manager.catalog(catalog).icebergCatalog().close()

    def rows(self, lake: str, sql: str, zone: str = "UTC") -> list[Row]:
        session = self._session(lake)
        session.conf.set("spark.sql.session.timeZone", zone)
        try:
            return exact_rows(session.sql(sql).collect())
        finally:
            session.conf.set("spark.sql.session.timeZone", "UTC")

    def run(self, lake: str, sql: str) -> None:
        """Run a statement for its effect."""
        self._session(lake).sql(sql).collect()

    def table(self, table: str) -> str:
        return f"{CATALOG}.{table}"

    def selected(self, column: Column) -> str:
        return f"unix_micros({column.name})" if column.type == "timestamptz" else column.name

    def instant(self, text: str) -> str:
        return f"TIMESTAMP '{text}'"

    def shape(self, lake: str, table: str) -> Shape:
        loaded = self._loaded(lake, table)
        columns = tuple(
            (field.fieldId(), field.name(), str(field.type()).replace(", ", ","), field.isRequired())
            for field in loaded.schema().columns()
        )
        parts = []
        for part in loaded.spec().fields():
            source, transform = loaded.schema().findColumnName(part.sourceId()), str(part.transform())
            parts.append(source if transform == "identity" else f"{transform}({source})")
        return Shape(loaded.operations().current().formatVersion(), columns, ", ".join(parts))

    def held(self, lake: str, table: str) -> Held:
        name, is_partitioned = self.table(table), bool(self.shape(lake, table).partition)
        files = self.rows(lake, f"SELECT content, file_format, file_path, record_count FROM {name}.files")
        snapshots = self.rows(lake, f"SELECT snapshot_id FROM {name}.snapshots")
        part = "NULL"
        if is_partitioned:
            only: Any = self._session(lake).table(f"{name}.partitions").select("partition.*").columns[0]
            part = f"CAST(partition.{only} AS STRING)"
        partitions = self.rows(lake, f"SELECT {part}, record_count FROM {name}.partitions")
        return Held(
            files={path: count for content, _, path, count in files if content == 0},
            delete_files=sum(content != 0 for content, *_ in files),
            formats=frozenset(kind for _, kind, *_ in files),
            snapshots=frozenset(snapshot for (snapshot,) in snapshots),
            partition_rows=dict(partitions),
        )

    def scanned(self, lake: str, table: str, column: str, condition: str) -> int:
        frame = self._session(lake).sql(f"SELECT {column} FROM {self.table(table)} WHERE {condition}")
        frame.collect()
        leaf = frame._jdf.queryExecution().executedPlan().collectLeaves().head()
        return int(leaf.metrics().get("resultDataFiles").get().value())

    def register(self, lake: str, metadata_location: str, name: str) -> str:
        self.run(
            lake,
            f"CALL {REGISTERED}.system.register_table("
            f"table => 'gold.{name}', metadata_file => '{metadata_location}')",
        )
        return f"{REGISTERED}.gold"

    def _loaded(self, lake: str, table: str) -> Any:
        load = self._jvm.org.apache.iceberg.spark.Spark3Util.loadIcebergTable
        return load(self._session(lake)._jsparkSession, self.table(table))


@contextmanager
def spark_reader(artifacts: Artifacts, scratch: Path, catalogs: Mapping[str, Path]) -> Iterator[SparkReader]:
    """Start Spark; its JVM is gone at the end.

    Args: catalogs: catalog file by name of the lake.
    """
    os.environ["JAVA_HOME"] = str(java_home(SPARK_JAVA))
    from pyspark.sql import SparkSession

    settings: dict[str, bool | float | int | str | None] = {
        "spark.jars": ",".join(map(str, artifacts.spark_jars)),
        "spark.driver.memory": "1500m",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.local.dir": str(scratch / "spark"),
        "spark.log.level": "ERROR",
        "spark.sql.adaptive.enabled": "false",  # or the plan would not show what its scan has read
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
    }
    builder = SparkSession.builder.master("local[2]")
    session = builder.config(map=settings).getOrCreate()
    gateway: Any = session.sparkContext._gateway
    try:
        yield SparkReader(session, scratch, catalogs)
    finally:
        session.stop()
        gateway.shutdown()
        gateway.proc.stdin.close()  # the JVM ends with its parent's pipe
        gateway.proc.wait()
