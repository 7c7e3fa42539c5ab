"""Sizes: the bytes that tables hold, and those that a few of their columns take up. No row is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow.parquet as pq

from eventmint.contracts import Contract
from eventmint.tables.plan import TableHandle, live_files

# Location of a Parquet file -> what its footer says (`pyarrow.parquet.FileMetaData`).
ReadFooter = Callable[[str], Any]
_MAGIC_AND_LENGTH_BYTES = 8


@dataclass(frozen=True)
class TableSize:
    """What a table holds now.

    Attributes:
        table: its name, such as `gold.user_activity`.
        files, rows, size_bytes: its live data files, by Iceberg's metadata.
        commit_files: data files that its newest commit added.
        commit_metadata: what else that commit wrote: manifests, their list, the metadata file.
    """

    table: str
    files: int
    rows: int
    size_bytes: int
    commit_files: int
    commit_metadata: int


@dataclass(frozen=True)
class ColumnSize:
    """What reading some columns of a table takes.

    Attributes:
        column_bytes: the compressed column chunks, as every footer says.
        footer_bytes: the footers, without which no chunk can be found.
        file_bytes: the whole files: an engine may fetch a small file at once.
        largest_day_bytes: chunks and footers of the partition that has most; of the whole table without any.
    """

    column_bytes: int
    footer_bytes: int
    file_bytes: int
    largest_day_bytes: int

    @property
    def read_bytes(self) -> int:
        """What is read at least: chunks and footers."""
        return self.column_bytes + self.footer_bytes


def table_size(table: TableHandle, contract: Contract) -> TableSize:
    found = live_files(table, contract)
    files, metadata = _objects_of_newest_commit(table)
    return TableSize(
        table=contract.table,
        files=len(found),
        rows=sum(file.rows for file in found),
        size_bytes=sum(file.data_file.file_size_in_bytes for file in found),
        commit_files=files,
        commit_metadata=metadata,
    )


def column_size(
    table: TableHandle, contract: Contract, columns: Collection[str], read_footer: ReadFooter | None = None
) -> ColumnSize:
    """Return the bytes of some columns over all live files of a table; no file is left out by its day.

    Args:
        columns: names of the contract; none for a count of rows.
        read_footer: default: through the table's own storage, which on S3 reads the end of each file only.
    """
    read = read_footer or footers_of(table)
    wanted = frozenset(columns)
    column_bytes = footer_bytes = file_bytes = 0
    by_day: Counter[date | None] = Counter()
    for file in live_files(table, contract):
        footer = read(file.location)
        chunks = sum(size for name, size in chunk_bytes(footer).items() if name in wanted)
        end = footer.serialized_size + _MAGIC_AND_LENGTH_BYTES
        column_bytes += chunks
        footer_bytes += end
        file_bytes += file.data_file.file_size_in_bytes
        by_day[file.day] += chunks + end
    return ColumnSize(column_bytes, footer_bytes, file_bytes, max(by_day.values(), default=0))


def chunk_bytes(footer: Any) -> dict[str, int]:
    """Return the compressed bytes of each column over all row groups of a file."""
    sizes: dict[str, int] = {}
    for group in range(footer.num_row_groups):
        for position in range(footer.num_columns):
            chunk = footer.row_group(group).column(position)
            sizes[chunk.path_in_schema] = sizes.get(chunk.path_in_schema, 0) + chunk.total_compressed_size
    return sizes


def footers_of(table: TableHandle) -> ReadFooter:
    """Return a reader of footers through the table's own storage, local or not."""

    def read(location: str) -> Any:
        with table.io.new_input(location).open() as stream:
            return pq.read_metadata(stream)

    return read


def _objects_of_newest_commit(table: TableHandle) -> tuple[int, int]:
    snapshot = table.current_snapshot()
    if snapshot is None:
        return 0, 0
    summary = snapshot.summary.additional_properties if snapshot.summary else {}
    manifests = snapshot.manifests(table.io)
    new = sum(manifest.added_snapshot_id == snapshot.snapshot_id for manifest in manifests)
    return int(summary.get("added-data-files", "0")), new + 2  # the list of manifests, and metadata.json
