"""What the checks ask of an engine, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from eventmint.contracts import Column
from interop.rows import Row


@dataclass(frozen=True)
class Shape:
    """A table as an engine sees it.

    Attributes:
        columns: field id, name, Iceberg type and whether it is required.
        partition: like a contract's: `day(event_time)`, `event_date`, empty for none.
    """

    format_version: int
    columns: tuple[tuple[int, str, str, bool], ...]
    partition: str


@dataclass(frozen=True)
class Held:
    """What the metadata tables `files`, `snapshots` and `partitions` say.

    Attributes:
        files: rows by location, data files only.
        delete_files: number of files that are no data.
        formats: file formats.
        snapshots: ids.
        partition_rows: rows by partition value, `None` in a table without partitions.
    """

    files: dict[str, int]
    delete_files: int
    formats: frozenset[str]
    snapshots: frozenset[int]
    partition_rows: dict[str | None, int]


class Reader(Protocol):
    """An engine with the catalogs of several lakes."""

    name: str
    version: str
    scan_unit: str  # what `scanned` counts: rows or files

    def rows(self, lake: str, sql: str, zone: str = "UTC") -> list[Row]:
        """Run a statement in `gold` of a lake, in a session of that time zone; return exact rows."""

    def table(self, table: str) -> str:
        """Return how SQL names a table such as `silver.events_cleaned`."""

    def selected(self, column: Column) -> str:
        """Return the expression that yields a column without loss."""

    def instant(self, text: str) -> str:
        """Return the literal of an instant such as `2026-01-15 00:00:00 UTC`."""

    def shape(self, lake: str, table: str) -> Shape: ...

    def held(self, lake: str, table: str) -> Held: ...

    def scanned(self, lake: str, table: str, column: str, condition: str) -> int:
        """Count a column where a condition holds; return how much was read for it, in `scan_unit`."""

    def register(self, lake: str, metadata_location: str, name: str) -> str:
        """Register a table of gold in another catalog by its metadata file; return how SQL names it."""
