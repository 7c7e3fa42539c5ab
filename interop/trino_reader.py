"""A Trino server, the engine behind Athena, on the loopback; spoken to over its own HTTP protocol."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from eventmint.contracts import Column
from interop.artifacts import TRINO_JAVA, Artifacts, java_home
from interop.readers import Held, Shape
from interop.rows import Row, exact_rows

_START_SECONDS = 180
_REGISTERED = "registered"
_ICEBERG_TYPES = {
    "bigint": "long",
    "integer": "int",
    "varchar": "string",
    "varbinary": "binary",
    "timestamp(6) with time zone": "timestamptz",
}
# How JSON carries what it has no type for.
_PARSERS: dict[str, Callable[[Any], Any]] = {
    "date": date.fromisoformat,
    "decimal": Decimal,
    "double": float,
    "timestamp": lambda text: datetime.fromisoformat(text.replace(" UTC", "+00:00")),
    "varbinary": base64.b64decode,
}


class QueryFailed(Exception):
    """Trino refused a statement; the message is its own."""


class TrinoReader:
    """A client of the running server; each lake is a catalog of its own name."""

    name = "Trino"
    scan_unit = "rows"

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self.version = ""

    def rows(self, lake: str, sql: str, zone: str = "UTC") -> list[Row]:
        headers = {
            "X-Trino-User": "interop",
            "X-Trino-Catalog": lake,
            "X-Trino-Schema": "gold",
            "X-Trino-Time-Zone": zone,
            "X-Trino-Client-Capabilities": "PARAMETRIC_DATETIME",  # or microseconds are cut off
        }
        body = _reply(Request(f"{self._url}/v1/statement", sql.encode(), headers))  # noqa: S310 - our own server
        columns: list[dict[str, str]] = []
        found: list[list[Any]] = []
        while True:
            if "error" in body:
                raise QueryFailed(body["error"]["message"])
            columns = body.get("columns", columns)
            found += body.get("data", [])
            if "nextUri" not in body:
                break
            body = _reply(Request(body["nextUri"]))  # noqa: S310 - the same
        parsers = [_PARSERS.get(re.split(r"[( ]", column["type"])[0]) for column in columns]
        return exact_rows(
            (
                parse(value) if parse and value is not None else value
                for parse, value in zip(parsers, row, strict=True)
            )
            for row in found
        )

    run = rows

    def table(self, table: str) -> str:
        return table

    def selected(self, column: Column) -> str:
        return column.name

    def instant(self, text: str) -> str:
        return f"TIMESTAMP '{text}'"

    def shape(self, lake: str, table: str) -> Shape:
        schema, _, name = table.partition(".")
        plan = str(self.rows(lake, f"EXPLAIN SELECT * FROM {table}")[0][0])
        ids = {column: int(field) for field, column in re.findall(r":= (\d+):(\w+):", plan)}
        described = self.rows(
            lake,
            "SELECT column_name, data_type, is_nullable FROM information_schema.columns "
            f"WHERE table_schema = '{schema}' AND table_name = '{name}' ORDER BY ordinal_position",
        )
        made = str(self.rows(lake, f"SHOW CREATE TABLE {table}")[0][0])
        version = re.search(r"format_version = (\d+)", made)
        parts = re.search(r"partitioning = ARRAY\[(.*)\]", made)
        return Shape(
            int(version[1]) if version else 0,
            tuple(
                (ids[column], column, _ICEBERG_TYPES.get(kind, kind), nullable == "NO")
                for column, kind, nullable in (map(str, row) for row in described)
            ),
            parts[1].replace("'", "") if parts else "",
        )

    def held(self, lake: str, table: str) -> Held:
        schema, _, name = table.partition(".")
        files = self.rows(
            lake, f'SELECT content, file_format, file_path, record_count FROM {schema}."{name}$files"'
        )
        snapshots = self.rows(lake, f'SELECT snapshot_id FROM {schema}."{name}$snapshots"')
        source = f'{schema}."{name}$partitions"'
        columns = [str(row[0]) for row in self.rows(lake, f"DESCRIBE {source}")]
        part = "CAST(partition[1] AS VARCHAR)" if "partition" in columns else "NULL"
        partitions = self.rows(lake, f"SELECT {part}, record_count FROM {source}")
        return Held(
            files={path: count for content, _, path, count in files if content == 0},
            delete_files=sum(content != 0 for content, *_ in files),
            formats=frozenset(kind for _, kind, *_ in files),
            snapshots=frozenset(snapshot for (snapshot,) in snapshots),
            partition_rows=dict(partitions),
        )

    def scanned(self, lake: str, table: str, column: str, condition: str) -> int:
        query = f"EXPLAIN ANALYZE SELECT count({column}) FROM {table} WHERE {condition}"
        plan = str(self.rows(lake, query)[0][0])
        read = re.search(r"Input: (\d+) rows? \([^)]*\), Physical input", plan)
        return int(read[1]) if read else 0

    def register(self, lake: str, metadata_location: str, name: str) -> str:
        schema = f"{_REGISTERED}.gold_{lake}"
        self.rows(lake, f"CREATE SCHEMA IF NOT EXISTS {schema}")
        folder, _, file = metadata_location.rpartition("/metadata/")
        self.rows(
            lake,
            f"CALL {_REGISTERED}.system.register_table(schema_name => 'gold_{lake}', table_name => '{name}', "
            f"table_location => '{folder}', metadata_file_name => '{file}')",
        )
        return schema


@contextmanager
def trino_reader(artifacts: Artifacts, scratch: Path, catalogs: Mapping[str, Path]) -> Iterator[TrinoReader]:
    """Start a server with a catalog for each lake; it is gone at the end.

    Args: catalogs: catalog file by name of the lake.
    """
    port = _free_port()
    _configure(scratch, artifacts, port, catalogs)
    home = java_home(TRINO_JAVA)
    command = [
        str(home / "bin" / "java"),
        *("-Xmx1500m", "-XX:+ExitOnOutOfMemoryError", "-Dfile.encoding=UTF-8", "-Duser.timezone=UTC"),
        *("-Djdk.attach.allowAttachSelf=true", "-XX:+EnableDynamicAgentLoading"),
        *("--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"),
        *("--add-modules=jdk.incubator.vector", f"-Dconfig={scratch / 'config.properties'}"),
        *(f"-Dnode.data-dir={scratch / 'data'}", "-cp", f"{artifacts.trino}/lib/*"),
        "io.trino.server.TrinoServer",
    ]
    with (scratch / "server.log").open("w") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=scratch)  # noqa: S603 - our own command
    try:
        reader = TrinoReader(port)
        _wait_for(reader, server, scratch / "server.log")
        yield reader
    finally:
        server.terminate()
        server.wait()


def _configure(scratch: Path, artifacts: Artifacts, port: int, catalogs: Mapping[str, Path]) -> None:
    (scratch / "catalog").mkdir(parents=True)
    (scratch / "plugin").mkdir()
    (scratch / "plugin" / "iceberg").symlink_to(artifacts.trino / "plugin" / "iceberg")
    _properties(
        scratch / "config.properties",
        {
            "coordinator": "true",
            "node-scheduler.include-coordinator": "true",
            "node.environment": "interop",
            "node.bind-ip": "127.0.0.1",
            "node.internal-address": "127.0.0.1",
            "http-server.http.port": str(port),
            "discovery.uri": f"http://127.0.0.1:{port}",
            "query.max-memory-per-node": "512MB",
            "plugin.dir": str(scratch / "plugin"),
            "catalog.config-dir": str(scratch / "catalog"),
        },
    )
    # Hadoop's file system knows file://, the native local one only local://.
    common = {"connector.name": "iceberg", "fs.hadoop.enabled": "true"}
    for lake, file in catalogs.items():
        own = {
            "iceberg.catalog.type": "jdbc",
            "iceberg.jdbc-catalog.catalog-name": "eventmint",
            "iceberg.jdbc-catalog.driver-class": "org.sqlite.JDBC",
            "iceberg.jdbc-catalog.connection-url": f"jdbc:sqlite:{file}",
            "iceberg.jdbc-catalog.default-warehouse-dir": f"file://{file.parent}",
        }
        _properties(scratch / "catalog" / f"{lake}.properties", common | own)
    registered = {
        "iceberg.catalog.type": "TESTING_FILE_METASTORE",
        "hive.metastore.catalog.dir": f"file://{scratch / 'metastore'}",
        "iceberg.register-table-procedure.enabled": "true",
    }
    _properties(scratch / "catalog" / f"{_REGISTERED}.properties", common | registered)


def _properties(path: Path, values: Mapping[str, str]) -> None:
    path.write_text("".join(f"{key}={value}\n" for key, value in values.items()), encoding="utf-8")


def _wait_for(reader: TrinoReader, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            reader.version = str(reader.rows("system", "SELECT version()")[0][0])
        except (URLError, ConnectionError, QueryFailed):
            time.sleep(0.5)
        else:
            return
    raise RuntimeError(f"Trino did not start; see {log}")


def _reply(request: Request) -> dict[str, Any]:
    with urlopen(request, timeout=120) as response:  # noqa: S310 - our own server
        body: dict[str, Any] = json.load(response)
    return body


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
