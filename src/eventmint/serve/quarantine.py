"""Quarantine: the lines that were set aside, read from bronze itself."""

from __future__ import annotations

import gzip
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from eventmint.contracts import contract
from eventmint.engine.duckdb_engine import connect, quoted, scan_sql
from eventmint.storage import local_paths
from eventmint.storage.local import whole_file
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.plan import live_files, may_hold_values
from eventmint.values import is_cut

_EXPORTED_AT_ONCE = 4_096


@dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
        file: its path.
        lines: lines in the file.
        cut: lines of which only the first bytes were kept; in the file where they were asked for.
    """

    file: str
    lines: int
    cut: int


def quarantined_lines(catalog: LakeCatalog, reason: str | None, limit: int) -> list[dict[str, Any]]:
    """Return quarantined lines of bronze in order of file and line."""
    condition = _condition(reason)
    with connect() as connection:
        rows = connection.sql(
            "SELECT source_file, line_number, problem, raw, extra "  # noqa: S608 - the reason is quoted
            f"FROM ({_quarantine_sql(catalog)}) WHERE {condition} "
            f"ORDER BY source_file, line_number LIMIT {int(limit)}"
        )
        found: list[dict[str, Any]] = rows.to_arrow_table().to_pylist()
        return found


def export_lines(
    catalog: LakeCatalog, file: Path, reason: str | None, *, with_cut: bool, memory_mb: int
) -> Export:
    """Write the bytes of quarantined lines, each with a newline, in order of file, content and line.

    Args:
        file: compressed where its name ends with `.gz`; whole at the end, or as it was.
        with_cut: also the kept bytes of lines that are not kept whole.
        memory_mb: what sorting them takes at most; the rest goes to disk.
    """
    lines = cut = 0
    with (
        tempfile.TemporaryDirectory(prefix="eventmint-") as spill,
        connect(temp_directory=spill, memory_limit=f"{memory_mb}MB") as connection,
        _opened(file) as sink,
    ):
        rows = connection.sql(
            f"SELECT raw, extra FROM ({_quarantine_sql(catalog)}) WHERE {_condition(reason)} "  # noqa: S608
            "ORDER BY source_file, source_sha256, line_number"
        )
        for batch in rows.to_arrow_reader(_EXPORTED_AT_ONCE):
            for row in batch.to_pylist():
                row_is_cut = is_cut(row["raw"], row["extra"])
                cut += row_is_cut
                if with_cut or not row_is_cut:
                    sink.write(row["raw"] + b"\n")
                    lines += 1
    return Export(str(file), lines, cut)


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO | gzip.GzipFile]:
    with whole_file(file) as sink:
        if file.suffix != ".gz":
            yield sink
            return
        # No name and no time: the same lines, the same bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=sink, mtime=0) as compressed:
            yield compressed


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


def _condition(reason: str | None) -> str:
    condition = "problem IS NOT NULL"
    if reason:
        condition += f" AND list_contains(string_split(problem, ', '), {quoted(reason)})"
    return condition


def _quarantine_sql(catalog: LakeCatalog) -> str:
    shape = contract("bronze.events")
    files = live_files(catalog.load(shape), shape)
    return scan_sql(
        shape, local_paths(file.location for file in files if may_hold_values(file, shape, "problem"))
    )
