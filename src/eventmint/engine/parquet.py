"""Parquet as every table of the lake is written: zstd, field ids, one file per split, synced to disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from eventmint.contracts import Column, Contract

ROW_GROUP_ROWS = 131_072
# Columns with nearly as many values as rows: building a dictionary for them only costs time.
_NO_DICTIONARY = frozenset({"event_time", "user_id", "session_id", "raw", "amount"})

_ARROW_TYPES = {
    "binary": pa.binary(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "double": pa.float64(),
    "int": pa.int32(),
    "long": pa.int64(),
    "string": pa.string(),
    "timestamptz": pa.timestamp("us", tz="UTC"),
}


def arrow_schema(contract: Contract) -> pa.Schema:
    """The contract as an Arrow schema whose fields carry their Iceberg ids."""
    return pa.schema([_field(column) for column in contract.columns])


def _field(column: Column) -> pa.Field:
    if column.type.startswith("decimal("):
        precision, scale = column.type.removeprefix("decimal(").rstrip(")").split(",")
        kind: pa.DataType = pa.decimal128(int(precision), int(scale))
    else:
        kind = _ARROW_TYPES[column.type]
    return pa.field(column.name, kind, not column.required, {"PARQUET:field_id": str(column.id)})


class TableFile:
    """One Parquet file in the making: rows are gathered into row groups of useful size.

    Nothing is visible under `path` before `close`; `discard` leaves no trace.
    """

    def __init__(self, path: Path, contract: Contract) -> None:
        self.path = path
        self.rows = 0
        self._schema = arrow_schema(contract)
        self._partial = path.with_name(path.name + ".partial")
        self._writer = pq.ParquetWriter(
            self._partial,
            self._schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=[name for name in self._schema.names if name not in _NO_DICTIONARY],
        )
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0

    def write(self, rows: pa.Table) -> None:
        if rows.num_rows == 0:
            return
        self._waiting.append(rows.select(self._schema.names).cast(self._schema))
        self._waiting_rows += rows.num_rows
        self.rows += rows.num_rows
        if self._waiting_rows >= ROW_GROUP_ROWS:
            self._flush()

    def close(self, footer: dict[str, str] | None = None) -> Path:
        """Finish the file: it is complete and on disk when this returns."""
        self._flush()
        if footer:
            self._writer.add_key_value_metadata(footer)
        self._writer.close()
        with self._partial.open("rb") as handle:
            os.fsync(handle.fileno())
        self._partial.replace(self.path)
        return self.path

    def discard(self) -> None:
        self._writer.close()
        self._partial.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=ROW_GROUP_ROWS)
            self._waiting, self._waiting_rows = [], 0


def write_split(
    batches: Iterable[pa.RecordBatch],
    contract: Contract,
    path_of: Callable[[tuple[object, ...]], Path],
    split_by: tuple[str, ...] = (),
) -> list[Path]:
    """Write a stream of rows into one file per combination of values of `split_by`.

    Returns: the files, in order of those values; none for a stream without rows.
    """
    open_files: dict[tuple[object, ...], TableFile] = {}
    try:
        for batch in batches:
            if batch.num_rows == 0:
                continue
            for values, rows in _split(pa.Table.from_batches([batch]), split_by):
                if values not in open_files:
                    open_files[values] = TableFile(path_of(values), contract)
                open_files[values].write(rows)
        return [open_files.pop(values).close() for values in sorted(open_files, key=repr)]
    finally:
        for unfinished in open_files.values():
            unfinished.discard()


def _split(rows: pa.Table, columns: tuple[str, ...]) -> Iterable[tuple[tuple[object, ...], pa.Table]]:
    if not columns:
        yield (), rows
        return
    groups = rows.select(list(columns)).group_by(list(columns)).aggregate([])
    if groups.num_rows == 1:
        yield tuple(groups.to_pylist()[0][name] for name in columns), rows
        return
    for group in groups.to_pylist():
        mask = None
        for name in columns:
            equal = pc.equal(rows[name], pa.scalar(group[name], rows.schema.field(name).type))
            mask = equal if mask is None else pc.and_(mask, equal)
        yield tuple(group[name] for name in columns), rows.filter(mask)


def write_table(rows: pa.Table, contract: Contract, path: Path) -> Path:
    """Write a table that is known to be small as one file."""
    output = TableFile(path, contract)
    output.write(rows)
    return output.close()


def read_rows(locations: Iterable[str]) -> list[dict[str, object]]:
    """Return the rows of files that are known to be small."""
    return [row for location in locations for row in pq.read_table(location, partitioning=None).to_pylist()]


def footer(location: str, key: str) -> str | None:
    """Return an entry of a file's key-value metadata."""
    metadata = pq.read_metadata(location).metadata or {}
    value = metadata.get(key.encode())
    return value.decode() if value is not None else None
