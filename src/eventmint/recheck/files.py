"""The files of every table: there, intact, readable, and what the table's metadata says of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from eventmint.contracts import Contract, all_contracts
from eventmint.engine.parquet import arrow_schema
from eventmint.engine.protocol import Engine, Session
from eventmint.errors import FixSettings, TryAgain
from eventmint.storage import forget_downloads, local_paths, missing, shrink_downloads
from eventmint.storage.digests import digest_in, digest_of
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.commit import noted_of
from eventmint.tables.plan import LiveFile, TableHandle, live_files, row_count
from eventmint.values import Law

INTACT, NO_DIGEST, ALTERED = range(3)
_BATCH_ROWS = 65_536
# What a file's entry in a manifest says of it, beside its place.
_NOTED = (
    "partition",
    "record_count",
    "column_sizes",
    "value_counts",
    "null_value_counts",
    "nan_value_counts",
    "lower_bounds",
    "upper_bounds",
)


@dataclass
class TableFiles:
    """One table as its metadata tells it, with what its files turned out to be.

    Attributes:
        broken: locations of files that are missing or that nobody can read.
        altered: locations of files that are known not to be what was written; the broken ones are among them.
        unproven: locations of files without a digest, of which that cannot be known.
    """

    shape: Contract
    table: TableHandle
    files: list[LiveFile]
    broken: set[str] = field(default_factory=set)
    altered: set[str] = field(default_factory=set)
    unproven: set[str] = field(default_factory=set)

    @property
    def readable(self) -> list[LiveFile]:
        return [file for file in self.files if file.location not in self.broken]

    def doubt(self, locations: Iterable[str]) -> int:
        """How much the worst of some files is to be doubted: INTACT, NO_DIGEST or ALTERED."""
        some = set(locations)
        if some & self.altered:
            return ALTERED
        return NO_DIGEST if some & self.unproven else INTACT


class Reader:
    """Reads files that may be damaged, with all that will read them later: a file that one of them cannot
    read is broken."""

    def __init__(self, engine: Engine, scratch: Path) -> None:
        self._engine = engine
        self._scratch = scratch
        self._opened = ExitStack()
        self._session: Session | None = None

    def count_rows(self, shape: Contract, file: LiveFile, path: str) -> int:
        """Read every value and return the number of rows; anything may be raised."""
        rows = _count_rows(path, shape)
        try:
            if self._session is None:
                self._session = self._opened.enter_context(self._engine.session(self._scratch))
            self._session.scan("one_file", shape, [file.location])
            self._session.rows(f"SELECT MAX({self._session.row_hash(shape.column_names)}) AS h FROM one_file")  # noqa: S608
        except BaseException:
            self.close()  # whoever stumbled is not asked again
            raise
        return rows

    def close(self) -> None:
        self._session = None
        self._opened.close()


def subject_of(shape: Contract, file: LiveFile) -> str:
    """How a law names a file: table, day, file."""
    return " ".join(filter(None, (shape.table, str(file.day or ""), Path(file.location).name)))


def tables_of(catalog: LakeCatalog, found: dict[str, TableFiles]) -> Iterator[Law]:
    """Read each table's metadata into `found`, and say which cannot be read."""
    for shape in all_contracts():
        detail = ""
        try:
            table = catalog.load(shape)
            found[shape.table] = TableFiles(shape, table, live_files(table, shape))
        except (TryAgain, FixSettings):
            raise
        except Exception as err:  # noqa: BLE001 - there is no end to what damaged bytes may raise
            detail = f"its metadata cannot be read: {_words(err)}"
        yield Law("files", shape.table, "metadata readable", 1, int(not detail), detail)


def laws_of_files(tables: dict[str, TableFiles], reader: Reader) -> Iterator[Law]:
    """Check every file of every table; what is found is also noted in the tables."""
    forget_downloads()  # what this process has written or read before proves nothing of what lies there now
    for one in tables.values():
        shape = one.shape
        noted = sum(file.rows for file in one.files)
        yield Law("rows", shape.table, "rows of the table = rows of its files", row_count(one.table), noted)
        distinct = len({file.location for file in one.files})
        yield Law("files", shape.table, "files listed = files", len(one.files), distinct)
        absent = set(missing(file.location for file in one.files))
        one.broken |= absent
        one.altered |= absent
        for file in one.files:
            if file.location in absent:
                yield Law("files", subject_of(shape, file), "files listed = files there", 1, 0, "missing")
            else:
                (path,) = local_paths([file.location])
                yield from _laws_of_file(one, file, path, reader)
        shrink_downloads()


def _laws_of_file(one: TableFiles, file: LiveFile, path: str, reader: Reader) -> Iterator[Law]:
    subject = subject_of(one.shape, file)
    digest = digest_in(file.location)
    found = _digest_at(path)
    intact = found == digest
    size = Path(path).stat().st_size
    noted = file.data_file.file_size_in_bytes
    yield Law("files", subject, "bytes noted = bytes there", noted, size)
    if digest is None:
        # Another program has written it, or a version of ours that gave no digest.
        one.unproven.add(file.location)
        yield Law("files", subject, "without a digest, held to its rows only", 0, 0)
    else:
        detail = "" if intact else f"their digest is {found}"
        yield Law("files", subject, "bytes as written = bytes there", 1, int(intact), detail)
    try:
        rows = pq.read_metadata(path).num_rows if intact else reader.count_rows(one.shape, file, path)
    except Exception as err:  # noqa: BLE001 - there is no end to what damaged bytes may raise
        one.broken.add(file.location)
        one.altered.add(file.location)
        yield Law("files", subject, "readable", 1, 0, _words(err))
        return
    yield Law("rows", subject, "rows noted = rows read", file.rows, rows)
    if size != noted or rows != file.rows or not (intact or digest is None):
        one.altered.add(file.location)
    if intact:
        wrong = _wrongly_noted(one, file, path)
        yield Law(
            "files", subject, "differences between manifest and footer = 0", len(wrong), 0, ", ".join(wrong)
        )


def _digest_at(path: str) -> str:
    with Path(path).open("rb") as handle:
        return digest_of(handle)


def _count_rows(path: str, shape: Contract) -> int:
    """Read every value of a file as the contract has it and return the number of rows."""
    with pq.ParquetFile(path) as file:
        given = {_field_id(field): field for field in file.schema_arrow}
        for column, wanted in zip(shape.columns, arrow_schema(shape), strict=True):
            _require_column(given.get(column.id), wanted)
        rows = 0
        for batch in file.iter_batches(_BATCH_ROWS):
            batch.validate(full=True)
            rows += batch.num_rows
            for column in shape.columns:
                if column.required and batch.column(column.name).null_count:
                    message = f"{column.name} is NULL"
                    raise ValueError(message)
        return rows


def _require_column(given: Any, wanted: Any) -> None:
    found = (given.name, str(_plain(given.type))) if given is not None else None
    if found not in ((wanted.name, str(wanted.type)), (wanted.name, f"large_{wanted.type}")):
        message = f"there is no column {wanted.name} {wanted.type}"
        raise TypeError(message)


def _plain(kind: Any) -> Any:
    """The type of the values, where they are held as a dictionary."""
    return getattr(kind, "value_type", kind)


def _field_id(field: Any) -> int:
    return int((field.metadata or {}).get(b"PARQUET:field_id", -1))


def _wrongly_noted(one: TableFiles, file: LiveFile, path: str) -> list[str]:
    """What the manifest says otherwise than the file's own footer."""
    try:
        found = noted_of(one.table, path)
    except ValueError as err:  # the table's settings for it are damaged
        return [_words(err)]
    wrong = []
    for name in _NOTED:
        left, right = getattr(file.data_file, name), found[name]
        if isinstance(left, dict):
            # An earlier version may have kept the bounds of fewer columns.
            common = left.keys() & right.keys()
            left, right = ({number: side[number] for number in common} for side in (left, right))
        if left != right:
            wrong.append(name)
    return wrong


def _words(err: Exception) -> str:
    return f"{type(err).__name__}: {' '.join(str(err).split())[:300]}"
