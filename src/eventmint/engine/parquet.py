"""Parquet as every table of the lake is written: zstd, field ids, one file per split, synced to disk."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from eventmint.contracts import Column, Contract
from eventmint.crash_points import reached
from eventmint.storage import local_paths, open_parquet
from eventmint.storage.digests import digest_of, with_digest

ROW_GROUP_ROWS = 131_072
# Of a table with a lookup, larger ones: the more rows are ordered by it, the smaller they become. So many
# rows wait in memory at most, in all files that are open together.
LOOKUP_GROUP_ROWS = 1_048_576
# Of the values that a row group does not have, so many at most are taken for one that it may have.
_FALSE_POSITIVES = 1e-3
# Columns with nearly as many values as rows: building a dictionary for them only costs time.
_NO_DICTIONARY = frozenset({"event_time", "user_id", "session_id", "raw"})

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

    Nothing is visible before `close`, which adds the file's digest to its name; `discard` leaves no trace.
    """

    def __init__(self, path: Path, contract: Contract) -> None:
        self.path = path
        self.rows = 0
        self.waiting_rows = 0
        self._lookup = contract.lookup
        self._order = [(name, "ascending") for name in (contract.lookup, *contract.bounds)]
        self._group_rows = LOOKUP_GROUP_ROWS if contract.lookup else ROW_GROUP_ROWS
        self._schema = arrow_schema(contract)
        self._partial = path.with_name(path.name + ".partial")
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []

    def write(self, rows: pa.Table) -> None:
        if rows.num_rows == 0:
            return
        self._waiting.append(_as_declared(rows, self._schema))
        self.waiting_rows += rows.num_rows
        self.rows += rows.num_rows
        if self.waiting_rows >= self._group_rows:
            self.flush()

    def close(self, footer: dict[str, str] | None = None) -> Path:
        """Finish the file: it is complete, on disk and named by its digest when this returns."""
        self.flush()
        writer = self._writer or self._open(self._schema.empty_table())
        if footer:
            writer.add_key_value_metadata(footer)
        writer.close()
        with self._partial.open("rb") as handle:
            digest = digest_of(handle)
            os.fsync(handle.fileno())
        reached("file: written")
        named = with_digest(self.path, digest)
        self._partial.replace(named)
        reached("file: named")
        return named

    def discard(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._partial.unlink(missing_ok=True)

    def flush(self) -> None:
        """Write what waits as a row group."""
        if self._waiting:
            schema = self._waiting[0].schema
            columns = _taken_out(self._waiting)
            self.waiting_rows = 0
            if self._lookup:
                _put_in_order(columns, self._order)
            rows = pa.table(columns, schema)
            self._writer = self._writer or self._open(rows)
            self._writer.write_table(rows, row_group_size=rows.num_rows)

    def _open(self, first: pa.Table) -> pq.ParquetWriter:
        filters = {}
        if self._lookup:
            values = max(1, pc.count_distinct(first[self._lookup]).as_py())
            filters[self._lookup] = {"ndv": values, "fpp": _FALSE_POSITIVES}
        return pq.ParquetWriter(
            self._partial,
            first.schema,
            compression="zstd",
            # The smaller of the two, measured on a shop's events: which one depends on their order.
            compression_level=1 if self._lookup else 2,
            use_dictionary=[name for name in first.schema.names if name not in _NO_DICTIONARY],
            store_schema=False,
            bloom_filter_options=filters or None,
        )


def _taken_out(tables: list[pa.Table]) -> dict[str, pa.ChunkedArray]:
    """Empty a list of tables into columns, each of which can be given up for itself."""
    rows = pa.concat_tables(tables)
    tables.clear()
    return dict(zip(rows.schema.names, rows.columns, strict=True))


def _put_in_order(columns: dict[str, pa.ChunkedArray], order: list[tuple[str, str]]) -> None:
    """Bring rows of an equal first column together, in order of the others.

    In which order the values of the first come is of no use, so the cheapest is taken: as they first appear.
    """
    (lookup, _), *others = order
    keys = {name: columns[name] for name, _ in others}
    keys[lookup] = columns[lookup].combine_chunks().dictionary_encode().indices
    places = pc.sort_indices(pa.table(keys), sort_keys=order)
    del keys

    def put_in_order(name: str) -> None:
        columns[name] = columns[name].combine_chunks().take(places)

    # A few columns at a time, the old ones given up for the new: two copies of all of them at once would be
    # the most that a run holds in memory.
    with ThreadPoolExecutor(pa.cpu_count()) as pool:
        list(pool.map(put_in_order, columns))


def _as_declared(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns of the schema in its types; a dictionary stays one, it makes the same Parquet."""

    def kept(field: pa.Field) -> pa.Field:
        given = rows.schema.field(field.name).type
        return field.with_type(given) if pa.types.is_dictionary(given) else field

    return rows.select(schema.names).cast(pa.schema([kept(field) for field in schema]))


class SplitFiles:
    """One file per combination of values of some columns, all open until `close`.

    The files are named `<stem>[-<values>].parquet`; none for no row.
    """

    def __init__(self, contract: Contract, folder: Path, stem: str, split_by: tuple[str, ...] = ()) -> None:
        self._contract = contract
        self._folder = folder
        self._stem = stem
        self._split_by = split_by
        self._open: dict[tuple[Any, ...], TableFile] = {}

    def write(self, rows: pa.Table) -> None:
        if rows.num_rows == 0:
            return
        for values, part in _split(rows, self._split_by):
            if values not in self._open:
                name = "-".join([self._stem, *map(str, values)]) + ".parquet"
                self._open[values] = TableFile(self._folder / name, self._contract)
            self._open[values].write(part)
            if sum(file.waiting_rows for file in self._open.values()) >= LOOKUP_GROUP_ROWS:
                max(self._open.values(), key=lambda file: file.waiting_rows).flush()

    def close(self) -> list[Path]:
        """Finish every file and return them in order of their values."""
        paths = []
        for values in sorted(self._open):
            paths.append(self._open[values].close())
            del self._open[values]  # only now: what fails to close is still to be discarded
        return paths

    def discard(self) -> None:
        """Remove what was not finished."""
        for unfinished in self._open.values():
            unfinished.discard()
        self._open.clear()


def _split(rows: pa.Table, columns: tuple[str, ...]) -> Iterable[tuple[tuple[object, ...], pa.Table]]:
    """Yield each combination of values with its rows, largest first: nearly all rows share one or two."""
    if not columns:
        yield (), rows
        return
    counted = rows.select(list(columns)).group_by(list(columns)).aggregate([([], "count_all")])
    groups = counted.sort_by([("count_all", "descending")]).to_pylist()
    for group in groups[:-1]:
        mask = None
        for name in columns:
            equal = pc.equal(rows[name], pa.scalar(group[name], rows.schema.field(name).type))
            mask = equal if mask is None else pc.and_(mask, equal)
        yield tuple(group[name] for name in columns), rows.filter(mask)
        rows = rows.filter(pc.invert(mask))
    yield tuple(groups[-1][name] for name in columns), rows


def write_table(rows: pa.Table, contract: Contract, path: Path) -> Path:
    """Write a table that is known to be small as one file."""
    output = TableFile(path, contract)
    output.write(rows)
    return output.close()


def concatenate(locations: Iterable[str], contract: Contract, path: Path, notes: dict[str, str]) -> Path:
    """Write the rows of files one after the other into one, in their order, a row group in memory at a time.

    Args: notes: key-value metadata of the new file.
    """
    output = TableFile(path, contract)
    try:
        for location in local_paths(locations):
            with pq.ParquetFile(location) as file:
                for number in range(file.num_row_groups):
                    output.write(file.read_row_group(number, columns=list(contract.column_names)))
        return output.close(notes)
    except BaseException:
        output.discard()
        raise


def read_rows(locations: Iterable[str]) -> list[dict[str, Any]]:
    """Return the rows of files that are known to be small."""
    paths = local_paths(locations)
    return [row for path in paths for row in pq.read_table(path, partitioning=None).to_pylist()]


def notes_of(location: str) -> dict[str, str]:
    """Return a file's key-value metadata."""
    metadata = pq.read_metadata(open_parquet(location)).metadata or {}
    return {key.decode(): value.decode() for key, value in metadata.items()}


def footer(location: str, key: str) -> str | None:
    """Return an entry of a file's key-value metadata."""
    return notes_of(location).get(key)
