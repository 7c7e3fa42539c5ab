"""Touched columns: which columns of which tables a statement has to read. Asked of DuckDB's planner, over
empty tables with the contracts' columns: no data is read, nothing is run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import duckdb

from eventmint.contracts import all_contracts
from eventmint.engine.duckdb_engine import connect, quoted, sql_type
from eventmint.errors import FixSettings

# All that is needed to know which columns are read. Other rules know that the tables are empty, or move
# filters and limits to where the plan does not name their columns.
_RULES = ("unused_columns", "cte_inlining")
_NEVER = "CTE_MATERIALIZE_NEVER"


@dataclass(frozen=True)
class Scan:
    """One reading of a table; a table that is joined with itself is read twice."""

    table: str
    columns: tuple[str, ...]


def five_statements() -> str:
    """Return the text of `queries.sql`: the five questions."""
    return files("eventmint.serve").joinpath("queries.sql").read_text(encoding="utf-8")


def touched(statement: str) -> tuple[Scan, ...]:
    """Return what one SELECT reads, by table: the columns that are selected, filtered, joined or sorted by.

    A WITH clause is read as often as it is named, as Athena does. A count of all rows reads no column.

    Raises: FixSettings: not exactly one SELECT, or one that names what no table has.
    """
    with connect(python_enable_replacements=False) as connection:
        _create_empty_tables(connection)
        try:
            plan = connection.execute(f"EXPLAIN (FORMAT json) {_inlined(connection, statement)}").fetchall()
        except duckdb.Error as err:
            raise FixSettings(
                f"The query cannot be planned: {str(err).splitlines()[0]}",
                "Tables: gold.*, silver.*, bronze.*, ops.*.",
            ) from err
    return tuple(sorted(_scans(json.loads(plan[0][1])), key=lambda scan: (scan.table, scan.columns)))


def _create_empty_tables(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("SET enable_external_access = false")
    for shape in all_contracts():
        columns = ", ".join(f'"{column.name}" {sql_type(column.type)}' for column in shape.columns)
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {shape.schema}")
        connection.execute(f"CREATE TABLE {shape.table} ({columns})")
    connection.execute("SET search_path = 'gold,main'")
    rules = connection.execute("SELECT name FROM duckdb_optimizers()").fetchall()
    off = ",".join(name for (name,) in rules if name not in _RULES)
    connection.execute(f"SET disabled_optimizers = {quoted(off)}")


def _inlined(connection: duckdb.DuckDBPyConnection, statement: str) -> str:
    """Return the statement with each WITH clause read where it is named."""
    row = connection.execute("SELECT CAST(json_serialize_sql(?) AS VARCHAR)", [statement]).fetchone()
    tree: dict[str, Any] = json.loads(row[0]) if row else {"error": True}
    if tree["error"] or len(tree["statements"]) != 1:
        raise FixSettings(f"A query is exactly one SELECT: {tree.get('error_message', 'found several')}.")
    _never_materialize(tree)
    text = connection.execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(tree)]).fetchone()
    return str(text[0]) if text else ""


def _never_materialize(tree: Any) -> None:
    if isinstance(tree, dict):
        if "materialized" in tree:
            tree["materialized"] = _NEVER
        tree = tree.values()
    elif not isinstance(tree, list):
        return
    for branch in tree:
        _never_materialize(branch)


def _scans(plan: Any) -> Iterator[Scan]:
    if isinstance(plan, list):
        for branch in plan:
            yield from _scans(branch)
        return
    told = plan["extra_info"]
    if "Table" in told:
        names = told.get("Projections") or []
        columns = [names] if isinstance(names, str) else names
        yield Scan(told["Table"].split(".", 1)[1], tuple(sorted(columns)))
    yield from _scans(plan.get("children", []))
