"""docs/interop.md, written from a run so that its figures are real."""

# ruff: noqa: E501 - lines of the page

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version

from interop.artifacts import ROOT
from interop.checks import Book

_PAGE = ROOT / "docs" / "interop.md"
_HEAD = """# Other engines read the lake

Written by `make interop ARGS=--write` on {day}: {count} checks, {broken} broken, {seconds} seconds.

| engine | version |
|---|---|
{versions}

Needs Maven, Java 17 for Spark and Java 24 or newer for Trino (`TRINO_JAVA_HOME` or `JAVA_HOME` names one that is
not under /usr/lib/jvm). The first run fetches about 900 MB into `build/interop`; later ones need no network. Each
JVM gets 1.5 GB, one at a time.

## What is checked

The lakes are written by eventmint alone, then opened by each engine through the lake's own `catalog.sqlite`:

- **scratch**: `sample-data/` in one run.
- **increments**: the same files in three runs, with a late older day, a file that was replaced by one with other
  events, and then the older day replaced whole.
- **erased**: as increments; then every source file with lines of the most active user is delivered again without
  them, and a run follows.

"Answers" are the five statements of `queries.sql`, compared in order with what `lake.sql` gives. "Rows" are all
values of all 13 tables against PyIceberg. Everything is compared exactly: decimals with their scale, doubles by
their 64 bits, instants to the microsecond, bytes as bytes.

## Results

| | engine | lake | check | result |
|---|---|---|---|---|
{lines}
"""
_TAIL = """
## What was learned

- Iceberg's JdbcCatalog (Spark, Trino) and PyIceberg's SqlCatalog agree on the tables of the SQLite file, so that no
  table has to be registered. The catalog must be called `eventmint` in Spark, and Trino needs
  `iceberg.jdbc-catalog.catalog-name=eventmint`, the SQLite driver in `plugin/iceberg`, and `fs.hadoop.enabled`,
  since its native local file system knows no `file://` addresses.
- `register_table` with a metadata file works in both. In Trino it needs
  `iceberg.register-table-procedure.enabled`, and it shows that one version of the table for good.
- An open Spark catalog keeps connections that may hold SQLite's lock, and a run then waits at its first commits, for
  minutes: close the catalog before eventmint runs. The checks do.
- Iceberg on Spark writes `file:/x` where we write `file:///x`; eventmint reads both.
- Spark casts a timestamp to DATE in the session's time zone: set `spark.sql.session.timeZone=UTC`, or filter on
  `event_date`. Trino keeps UTC whatever the session says.
- Trino takes no trailing semicolon over HTTP.
- An erased user's lines stay in bronze (as a version that no longer counts) and in old snapshots until they are
  trimmed.
- Rows deleted from silver alone are no erasure: bronze still has the lines, so the laws break and nothing is
  published. Deliver the files again without them.

## Limits

- Trino {trino} is the open-source engine, not Athena's build of it; the AWS catalog and S3 are not part of this.
- The Iceberg runtime is that of Glue 5.1, on Apache's Spark, not on Glue's.
- Trino 435, the last for Java 17, could not be fetched; 476 is the newest that could.
"""


def write_page(book: Book, versions: Mapping[str, str], seconds: float) -> None:
    engines = {"eventmint": version("eventmint"), "PyIceberg": version("pyiceberg"), **versions}
    lines = "\n".join(
        f"| {'ok' if check.holds else '**broken**'} | {check.engine} | {check.lake} | {check.what} "
        f"| {check.detail.replace('|', '/')} |"
        for check in book.checks
    )
    head = _HEAD.format(
        day=f"{datetime.now(UTC):%Y-%m-%d}",
        count=len(book.checks),
        broken=len(book.broken),
        seconds=round(seconds),
        versions="\n".join(f"| {name} | {number} |" for name, number in engines.items()),
        lines=lines,
    )
    _PAGE.write_text(head + _TAIL.format(trino=versions["Trino"]), encoding="utf-8")
