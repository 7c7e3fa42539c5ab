"""Answers: what the CLI, the API and the pages read. Read-only, one SELECT at a time, no file but ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa

from eventmint.config import Settings
from eventmint.contracts import ANSWERS, contract
from eventmint.engine.duckdb_engine import column_list, connect, quoted
from eventmint.errors import FixData, FixSettings
from eventmint.serve.limits import Limits, interrupting
from eventmint.serve.pages.days import Ask
from eventmint.serve.published import published_database

_ORDER = {
    "conversion_funnel": "event_date, product_id",
    "hourly_revenue": "event_date, event_hour",
    "top_products": "event_date, rank",
    "category_performance": "event_date, category",
    "user_activity": "event_date",
}


_ROWS_AT_ONCE = 100_000
# What a query may be made of; COPY, INSERT and the like have nodes of their own.
_READING_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "CTE_NODE", "RECURSIVE_CTE_NODE"})

# How DuckDB begins a line that names what there is instead.
_GUESSES = ("Did you mean", "Candidate bindings")


@dataclass(frozen=True)
class State:
    """One state of the lake, to be asked.

    Attributes:
        database: a file as `analytics_db` writes it.
        limits: what a statement may take.
    """

    database: Path
    limits: Limits

    def answer(self, name: str, start: date | None = None, end: date | None = None) -> pa.Table:
        """Return the rows of one answer, as `Lake.answer`."""
        return answer(self.database, name, start, end)

    def sql(self, statement: str, limit: int | None = None) -> pa.Table:
        """Return the rows of one SELECT, as `Lake.sql`."""
        return select(self.database, statement, limit, self.limits)


def published_state(settings: Settings) -> State:
    """Return what is published on this machine. Raises: FixData: nothing yet."""
    return State(published_database(settings), limits_of(settings))


def limits_of(settings: Settings) -> Limits:
    """Return what a question may take."""
    return Limits(settings.query.max_seconds, settings.query.memory_mb)


def answer(database: Path, name: str, start: date | None, end: date | None) -> pa.Table:
    """Return the rows of one answer for a half-open range of UTC days, in a total order."""
    with asking(database) as ask:
        return answer_rows(ask, name, start, end)


def answer_rows(
    ask: Ask,
    name: str,
    start: date | None,
    end: date | None,
    category: str | None = None,
    limit: int | None = None,
) -> pa.Table:
    """The same over open tables: of one category, where the answer knows any, and at most `limit` rows."""
    of_category = "AND category = ?" if category is not None else ""
    return ask(
        f"SELECT {_columns(name)} FROM gold.{name} "  # noqa: S608 - names of contracts; values are bound
        "WHERE event_date >= COALESCE(?, DATE '0001-01-01') "
        f"AND event_date < COALESCE(?, DATE '9999-12-31') {of_category} "
        f"ORDER BY {_ORDER[name]} LIMIT ?",
        [start, end, *([] if category is None else [category]), limit],
    )


def require_columns(connection: duckdb.DuckDBPyConnection) -> None:
    """Raises: duckdb.Error: a published table lacks a column: another version has published it."""
    for name in ANSWERS:
        connection.execute(f"SELECT {_columns(name)} FROM gold.{name} LIMIT 0")  # noqa: S608 - names of contracts


def _columns(name: str) -> str:
    return column_list(contract(f"gold.{name}"))


@contextmanager
def asking(database: Path, limits: Limits | None = None) -> Iterator[Ask]:
    """Open the published tables for statements of our own, with parameters: one state of them all.

    Args: limits: of each statement; what it cannot hold in memory is spilled to a folder for temporary files.
    """
    with TemporaryDirectory(prefix="eventmint-") as spill, _read_only(database) as connection:
        connection.execute("SET temp_directory = ?", [spill])
        if limits is None:
            yield lambda sql, parameters: connection.sql(sql, params=[*parameters]).to_arrow_table()
            return
        connection.execute(f"SET memory_limit = '{limits.memory_mb}MB'")
        yield lambda sql, parameters: _limited(
            connection, lambda: connection.sql(sql, params=[*parameters]), None, limits
        )


def select(
    database: Path, statement: str, limit: int | None = None, limits: Limits | None = None
) -> pa.Table:
    """Return the rows of exactly one SELECT, at most `limit`.

    The statement sees the published tables and nothing else: no file, no network, no setting. Views over
    bronze and silver may read the lake's own files and no other. What takes too long or too much is stopped.
    """
    limits = limits or Limits()
    with _read_only(database) as connection:
        _require_one_select(connection, statement)
        allowed = (
            connection.execute("SELECT location FROM ops.files").fetchall() if _may_read(statement) else []
        )
        connection.execute("SET temp_directory = ''")  # the default is a folder, and would be readable
        connection.execute("SET allowed_paths = ?", [[location for (location,) in allowed]])
        for setting in (
            "SET enable_external_access = false",
            "SET max_temp_directory_size = '0KB'",
            f"SET memory_limit = '{limits.memory_mb}MB'",
            "SET lock_configuration = true",
        ):
            connection.execute(setting)
        try:
            return _limited(connection, lambda: connection.sql(statement), limit, limits)
        except (duckdb.Error, OSError) as err:
            raise FixSettings(
                f"The query failed: {_first_line(err)}{_guess(err)}", "Tables: gold.*, silver.*, bronze.*."
            ) from err


def _limited(
    connection: duckdb.DuckDBPyConnection,
    query: Callable[[], duckdb.DuckDBPyRelation],
    limit: int | None,
    limits: Limits,
) -> pa.Table:
    """Return the rows of a query. Raises: FixSettings: it takes too long, or too much memory."""
    with interrupting(connection, limits.seconds) as is_over:
        try:
            return _rows(query(), limit, limits)
        except (duckdb.OutOfMemoryException, pa.ArrowMemoryError, MemoryError):
            raise limits.too_large() from None
        except (duckdb.Error, OSError) as err:
            if is_over.is_set() and isinstance(err, duckdb.InterruptException | OSError):
                raise limits.overtime() from None
            raise


def _rows(relation: duckdb.DuckDBPyRelation, limit: int | None, limits: Limits) -> pa.Table:
    """Return the first rows without computing the rest; all of them where no limit is given."""
    batches, count, size_bytes = [], 0, 0
    reader = relation.to_arrow_reader(_ROWS_AT_ONCE if limit is None else min(max(limit, 1), _ROWS_AT_ONCE))
    for batch in reader:
        batches.append(batch)
        count += batch.num_rows
        size_bytes += batch.nbytes
        if size_bytes > limits.memory_mb << 20:
            raise limits.too_large()
        if limit is not None and count >= limit:
            break
    return pa.Table.from_batches(batches, reader.schema).slice(0, limit)


def split_statements(text: str) -> list[str]:
    """Return the statements of a SQL text. Raises: FixSettings: it can't be parsed."""
    with connect() as connection:
        try:
            return [statement.query.strip() for statement in connection.extract_statements(text)]
        except duckdb.Error as err:
            raise FixSettings(f"The SQL cannot be read: {_first_line(err)}") from err


def titled_statements(text: str) -> list[tuple[str, str]]:
    """Return the statements of a SQL text, each after the comment that stands directly above it."""
    found = []
    end = 0
    for statement in split_statements(text):
        start = text.index(statement, end)
        end = start + 1
        title: list[str] = []
        for line in reversed(text[:start].splitlines()):
            if not line.lstrip().startswith("--"):
                break
            title.insert(0, line.strip().lstrip("-").strip())
        found.append((" ".join(title), statement))
    return found


def _read_only(database: Path) -> duckdb.DuckDBPyConnection:
    connection = connect(python_enable_replacements=False)  # a name is a table's, never that of our variable
    try:
        connection.execute(f"ATTACH {quoted(str(database))} AS analytics (READ_ONLY)")
        connection.execute("USE analytics")
        connection.execute("SET search_path = 'analytics.gold,analytics.main'")
        connection.execute("SELECT location FROM ops.files LIMIT 0")
        require_columns(connection)
    except duckdb.Error as err:
        connection.close()
        raise FixData(
            f"{database}: cannot be opened: {_first_line(err)}", "Run `eventmint run` to rebuild it."
        ) from err
    return connection


def _require_one_select(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    try:
        statements = connection.extract_statements(statement)
    except duckdb.Error as err:
        raise FixSettings(f"The SQL cannot be read: {_first_line(err)}") from err
    if len(statements) != 1:
        raise FixSettings("A query is exactly one SELECT.", "Put several into a file and use `-f FILE`.")
    if not _only_reads(connection, statements[0]):
        raise FixSettings("A query is exactly one SELECT.", "It reads; `eventmint --help` has what changes.")


def _only_reads(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> bool:
    """Whether a statement is a SELECT, and none whose WITH clause writes: DuckDB lets COPY stand there."""
    try:
        if statement.type != duckdb.StatementType.SELECT:
            return False
    except ValueError:  # a kind of statement that the Python package has no name for
        return False
    row = connection.execute("SELECT CAST(json_serialize_sql(?) AS VARCHAR)", [statement.query]).fetchone()
    try:
        return row is not None and _node_types(json.loads(row[0])) <= _READING_NODES
    except RecursionError:
        raise FixSettings("The SQL cannot be read: it is nested too deeply.") from None


def _node_types(tree: Any) -> set[str]:
    """The kinds of query in a parsed statement, at any depth."""
    if isinstance(tree, list):
        return set().union(*map(_node_types, tree))
    if not isinstance(tree, dict):
        return set()
    own = tree.get("type")
    found = {own} if isinstance(own, str) and own.endswith("_NODE") else set()
    return found.union(*map(_node_types, tree.values()))


def _may_read(statement: str) -> bool:
    text = statement.lower()
    return any(schema in text for schema in ("bronze", "silver", "product_hours", "daily_"))


def _guess(err: Exception) -> str:
    """What DuckDB thinks was meant, in its own words: it knows the tables and columns that there are."""
    lines = [line.strip() for line in str(err).splitlines() if line.startswith(_GUESSES)]
    return "".join(f" {line}{'' if line.endswith('?') else '.'}" for line in lines)


def _first_line(err: Exception) -> str:
    line = str(err).strip().splitlines()[0]
    return line if line[-1:] in ".?!" else f"{line}."
