"""Quarantine: the lines that were set aside, read from bronze itself."""

from __future__ import annotations

from collections import Counter
from typing import Any

from eventmint.contracts import contract
from eventmint.engine.duckdb_engine import connect, quoted, scan_sql
from eventmint.storage import local_paths
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.plan import live_files, may_hold_values


def quarantined_lines(catalog: LakeCatalog, reason: str | None, limit: int) -> list[dict[str, Any]]:
    """Return quarantined lines of bronze in order of file and line."""
    condition = "problem IS NOT NULL"
    if reason:
        condition += f" AND list_contains(string_split(problem, ', '), {quoted(reason)})"
    with connect() as connection:
        rows = connection.sql(
            "SELECT source_file, line_number, problem, raw, extra "  # noqa: S608 - the reason is quoted
            f"FROM ({_quarantine_sql(catalog)}) WHERE {condition} "
            f"ORDER BY source_file, line_number LIMIT {int(limit)}"
        )
        found: list[dict[str, Any]] = rows.to_arrow_table().to_pylist()
        return found


def quarantine_by_reason(catalog: LakeCatalog) -> dict[str, int]:
    with connect() as connection:
        rows = connection.sql(
            f"SELECT problem, COUNT(*) AS n FROM ({_quarantine_sql(catalog)}) "  # noqa: S608 - our names
            "WHERE problem IS NOT NULL GROUP BY problem"
        ).fetchall()
    counted: Counter[str] = Counter()
    for problem, n in rows:
        counted.update(dict.fromkeys(problem.split(", "), n))
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def _quarantine_sql(catalog: LakeCatalog) -> str:
    shape = contract("bronze.events")
    files = live_files(catalog.load(shape), shape)
    return scan_sql(
        shape, local_paths(file.location for file in files if may_hold_values(file, shape, "problem"))
    )
