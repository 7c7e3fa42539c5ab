"""Athena: one SELECT in the deployment's workgroup, its rows with their types, what it scanned and cost.

Reading only: what is not exactly one SELECT never leaves this machine. Interrupted, it stops the query, which
would go on and cost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from eventmint.aws.cost import athena_cost
from eventmint.aws.names import Names
from eventmint.aws.waiting import wait_until
from eventmint.errors import EventmintError, FixData, FixSettings
from eventmint.storage.session import client, is_emulator, telling

QUERY_SECONDS = 1800.0  # Athena's own limit for a SELECT
LONGEST_PAUSE_SECONDS = 2.0
_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
_PAGE_ROWS = 1000

# A piece of SQL: what is quoted or a comment stays together, and is never looked into.
_PIECES = re.compile(
    r"""(?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*")|(?P<comment>--[^\n]*|/\*.*?\*/)|(?P<end>;)|(?P<broken>['"]|/\*)"""
    r"|(?P<schema>(?<![\w.\"])(?:bronze|silver|gold|ops)(?=\s*\.))",
    re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True)
class Answer:
    """The rows of a query and what they took.

    Attributes:
        dollars: by the price list: 10 MB at least, also for a query that scans nothing.
    """

    rows: pa.Table
    bytes_scanned: int
    dollars: Decimal
    seconds: float
    query_id: str


def query(names: Names, region: str, statement: str, limit: int | None = None) -> Answer:
    """Run one SELECT over the deployment's tables; `gold.*`, `silver.*`, `bronze.*` mean its databases.

    Args: limit: rows at most; None for all.
    Raises: FixSettings: not exactly one SELECT, or one that Athena refuses; the reason is Athena's own.
    """
    text = on_athena(statement, names)
    athena = client("athena", region)
    with telling():
        query_id = athena.start_query_execution(
            QueryString=text,
            WorkGroup=names.workgroup,
            QueryExecutionContext={"Database": names.database("gold")},
        )["QueryExecutionId"]
    try:
        execution = wait_until(
            lambda: _execution(athena, query_id),
            lambda seen: seen["Status"]["State"] in _ENDED,
            f"query {query_id}",
            QUERY_SECONDS,
            LONGEST_PAUSE_SECONDS,
        )
    except BaseException:
        with suppress(EventmintError), telling():
            athena.stop_query_execution(QueryExecutionId=query_id)
        raise
    _require_success(execution)
    rows = _rows(athena, query_id, limit)
    if not rows.num_rows and is_emulator(athena.meta.endpoint_url):
        raise FixSettings(
            "The emulator does not run SQL: an empty answer says nothing.",
            "Ask the lake itself with `eventmint query`, without --target.",
        )
    figures = execution.get("Statistics", {})
    scanned = int(figures.get("DataScannedInBytes", 0))
    seconds = figures.get("TotalExecutionTimeInMillis", 0) / 1000
    return Answer(rows, scanned, athena_cost(scanned), seconds, query_id)


# ---- the question ------------------------------------------------------------------------------------------


def on_athena(statement: str, names: Names) -> str:
    """Return one SELECT with the deployment's databases in the place of the schemas.

    Raises: FixSettings: no SELECT, several statements, or a quote that does not end.
    """
    outside, text, has_ended = [], [], False
    for kind, piece in _pieces(statement):
        if kind == "broken":
            raise FixSettings("The SQL cannot be read: a quote or a comment does not end.")
        if has_ended and kind != "comment" and piece.strip(" \t\r\n;"):
            raise FixSettings("A query is exactly one SELECT.", "Put several into a file and use `-f FILE`.")
        if kind == "end":
            has_ended = True
        elif kind == "comment":
            outside.append(" ")
            text.append(piece)
        elif kind == "schema":
            outside.append(piece)
            text.append(f'"{names.database(piece.lower())}"')
        else:
            outside.append(piece if kind == "text" else "''")
            text.append(piece)
    words = "".join(outside).lstrip(" \t\r\n(").split(None, 1)
    if not words or words[0].upper() not in ("SELECT", "WITH"):
        raise FixSettings("A query is exactly one SELECT.", "It reads; `eventmint --help` has what changes.")
    return "".join(text).strip()


def _pieces(statement: str) -> Iterator[tuple[str, str]]:
    end = 0
    for match in _PIECES.finditer(statement):
        if match.start() > end:
            yield "text", statement[end : match.start()]
        yield match.lastgroup or "text", match[0]
        end = match.end()
    if end < len(statement):
        yield "text", statement[end:]


# ---- the answer --------------------------------------------------------------------------------------------


def _execution(athena: Any, query_id: str) -> Mapping[str, Any]:
    with telling():
        return dict(athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"])


def _require_success(execution: Mapping[str, Any]) -> None:
    status = execution["Status"]
    if status["State"] == "SUCCEEDED":
        return
    reason = status.get("StateChangeReason") or status.get("AthenaError", {}).get("ErrorMessage", "no reason")
    end = "" if reason.endswith((".", "!", "?")) else "."
    verb = "was stopped" if status["State"] == "CANCELLED" else "failed"
    raise FixSettings(
        f"The query {verb}: {' '.join(reason.split())}{end}", "Tables: gold.*, silver.*, bronze.*."
    )


def _rows(athena: Any, query_id: str, limit: int | None) -> pa.Table:
    columns: Sequence[Mapping[str, Any]] = ()
    found: list[list[str | None]] = []
    with telling():
        pages = athena.get_paginator("get_query_results").paginate(
            QueryExecutionId=query_id, PaginationConfig={"PageSize": _PAGE_ROWS}
        )
        for number, page in enumerate(pages):
            result = page["ResultSet"]
            rows = [[cell.get("VarCharValue") for cell in row.get("Data", ())] for row in result["Rows"]]
            if number == 0:
                columns = result["ResultSetMetadata"]["ColumnInfo"]
                # The first row of a SELECT's first page repeats the names of the columns.
                if rows and rows[0] == [column["Name"] for column in columns]:
                    rows = rows[1:]
            found += rows
            if limit is not None and len(found) >= limit:
                break
    return _table(columns, found[:limit])


def _table(columns: Sequence[Mapping[str, Any]], rows: Sequence[Sequence[str | None]]) -> pa.Table:
    arrays, fields = [], []
    for number, column in enumerate(columns):
        kind, read = _type_of(column)
        try:
            values = [None if row[number] is None else read(row[number]) for row in rows]
        except (ValueError, ArithmeticError, LookupError) as err:
            raise FixData(f"Athena's column {column['Name']} is no {column['Type']}: {err}.") from err
        arrays.append(pa.array(values, kind))
        fields.append(pa.field(column["Name"], kind))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _type_of(column: Mapping[str, Any]) -> tuple[pa.DataType, Callable[[Any], Any]]:
    name = column["Type"].lower()
    if name == "decimal":
        return pa.decimal128(column["Precision"], column["Scale"]), Decimal
    if name in ("float", "real"):
        return pa.float32(), float
    return _TYPES.get(name, (pa.string(), str))


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _timestamp(text: str) -> datetime:
    return datetime.fromisoformat(text.strip())


def _timestamp_with_zone(text: str) -> datetime:
    """Return a moment: Athena writes `2026-11-25 10:00:00.000 UTC`, or a zone's name in the end."""
    from zoneinfo import ZoneInfo

    moment, _, zone = text.strip().rpartition(" ")
    if zone.startswith(("+", "-")):
        return datetime.fromisoformat(f"{moment}{zone}").astimezone(UTC)
    return (
        datetime.fromisoformat(moment)
        .replace(tzinfo=UTC if zone == "UTC" else ZoneInfo(zone))
        .astimezone(UTC)
    )


# What arrays, maps and rows look like is no format: they stay text, as Athena shows them.
_TYPES: Mapping[str, tuple[pa.DataType, Callable[[Any], Any]]] = {
    "boolean": (pa.bool_(), _boolean),
    "tinyint": (pa.int8(), int),
    "smallint": (pa.int16(), int),
    "int": (pa.int32(), int),
    "integer": (pa.int32(), int),
    "bigint": (pa.int64(), int),
    "double": (pa.float64(), float),
    "date": (pa.date32(), date.fromisoformat),
    "timestamp": (pa.timestamp("us"), _timestamp),
    "timestamp with time zone": (pa.timestamp("us", "UTC"), _timestamp_with_zone),
    "varbinary": (pa.binary(), bytes.fromhex),
}
