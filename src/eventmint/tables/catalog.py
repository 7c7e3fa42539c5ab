"""The catalog: opens the lake's Iceberg tables and creates the missing ones from their contracts.

A folder has its catalog beside it, in SQLite; a lake in S3 has the Glue Data Catalog. A table that a former
version made gets the nullable columns that have come since: its old rows and snapshots have NULL there. One
whose schema differs otherwise is refused, never changed in silence.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import DayTransform, IdentityTransform, Transform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)
from sqlalchemy.exc import DatabaseError

from eventmint.contracts import Contract, all_contracts, database_name, kept_contracts
from eventmint.crash_points import reached
from eventmint.errors import EventmintError, FixData, FixSettings
from eventmint.storage import is_s3
from eventmint.storage.local import make_folder
from eventmint.storage.trouble import machine_trouble
from eventmint.tables.avro import know_layouts
from eventmint.tables.plan import KNOWN_SINCE, TableHandle, address, uri_of

_TYPES: dict[str, IcebergType] = {
    "binary": BinaryType(),
    "boolean": BooleanType(),
    "date": DateType(),
    "double": DoubleType(),
    "int": IntegerType(),
    "long": LongType(),
    "string": StringType(),
    "timestamptz": TimestamptzType(),
}

# retries 0: a retried append would be rebased on a head that our plan has not seen, and a batch would be
# consumed twice without a word. Old metadata files are dropped, or their number would grow for ever.
_PROPERTIES = {
    "commit.retry.num-retries": "0",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "10",
    "write.metadata.metrics.default": "counts",
}

know_layouts()

# How long a writer waits for readers of the catalog, and for a writer of another table.
SQLITE_WAITS_SECONDS = 30.0


class LakeCatalog:
    """The tables of one lake.

    Args:
        location: a folder, or an `s3://` address.
        deployment: in Glue, what tells the databases of several lakes apart: `bronze_<deployment>`.
    """

    def __init__(self, location: Path | str, deployment: str = "") -> None:
        self.location = str(location)
        self._deployment = deployment
        self._catalog: Catalog | None = None
        self._held: dict[str, TableHandle] | None = None
        self._absent: set[str] = set()

    @property
    def root(self) -> Path:
        """The folder, where the lake is one."""
        return Path(self.location)

    @property
    def file(self) -> Path:
        return self.root / "catalog.sqlite"

    def exists(self) -> bool:
        """Whether anything has been written here, as far as that can be told without opening it."""
        if not is_s3(self.location):
            return self.file.exists()
        ledger = next(shape for shape in all_contracts() if shape.table == "bronze.ingested_files")
        return self._open().table_exists(self._identifier(ledger))

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Load each table once while this lasts: for one who holds the lake's lock.

        A handle follows its own commits. If another program commits all the same, ours conflicts: `forget`.
        """
        self._held = {}
        try:
            yield
        finally:
            self._held = None
            self._absent.clear()

    def forget(self) -> None:
        """Load every table anew from now on: somebody else has committed."""
        if self._held:
            self._held.clear()
        self._absent.clear()

    def load(self, contract: Contract) -> TableHandle:
        """Return a handle of the table as it is, or as it was when held.

        Raises: FixData: the lake has no such table, or one with another schema.
        """
        table = self._find(contract)
        if table is None:
            raise FixData(
                f"{self.location}: the lake has no table {contract.table}.",
                "Run `eventmint run` to build it.",
            )
        return table

    def find(self, contract: Contract) -> TableHandle | None:
        """Return a handle of a table that not every lake has; an absent one is asked for once while held."""
        if contract.table in self._absent:
            return None
        table = self._find(contract)
        if table is None and self._held is not None:
            self._absent.add(contract.table)
        return table

    def create(self, contract: Contract) -> TableHandle:
        """Create a table that not every lake has, unless it is there."""
        self._absent.discard(contract.table)
        if self._find(contract) is None:
            with catalog_errors():
                self._create(contract)
        return self.load(contract)

    def create_missing(self) -> None:
        """Create every table that the contracts name and the lake lacks, and every column that is new.

        Raises: FixData: a table has another schema; then nothing was created.
        """
        found = {contract: self._find(contract) for contract in all_contracts()}
        with catalog_errors():
            for contract, table in found.items():
                if table is None:
                    self._create(contract)
                    reached("tables: one created")
                    continue
                if is_s3(self.location):
                    _adopt(table, contract, self._place(contract))
                if lacking := _lacking_columns(table, contract):
                    _add_columns(table, lacking)

    def lacking(self) -> dict[str, tuple[str, ...]]:
        """Return what `create_missing` would add: by table its new columns, none for a table that is new."""
        there = self.tables()
        found: dict[str, tuple[str, ...]] = {}
        for contract in all_contracts():
            if contract not in there:
                found[contract.table] = ()
            elif columns := _lacking_columns(there[contract], contract):
                found[contract.table] = tuple(field.name for field in columns)
        return found

    def tables(self) -> dict[Contract, TableHandle]:
        """Return the tables that the lake has; of a folder without any, nothing is made to look.

        Raises: FixData: see `load`.
        """
        if not is_s3(self.location) and not self.file.exists():
            return {}
        found = {contract: self._find(contract) for contract in kept_contracts()}
        return {contract: table for contract, table in found.items() if table}

    def _find(self, contract: Contract) -> TableHandle | None:
        if self._held is not None and contract.table in self._held:
            return self._held[contract.table]
        try:
            with catalog_errors():
                table = self._open().load_table(self._identifier(contract))
        except NoSuchTableError:
            return None
        _refuse_other_schema(table, contract)
        if self._held is not None:
            self._held[contract.table] = table
        return table

    def _create(self, contract: Contract) -> None:
        catalog, identifier = self._open(), self._identifier(contract)
        if not catalog.namespace_exists(identifier[0]):
            catalog.create_namespace(identifier[0])
        schema = iceberg_schema(contract)
        catalog.create_table(
            identifier,
            schema=schema,
            location=uri_of(self._place(contract)),
            partition_spec=_partition_spec(contract, schema),
            properties={
                "format-version": "2",
                KNOWN_SINCE: datetime.now(UTC).isoformat(),
                **table_properties(contract),
            },
        )

    def _place(self, contract: Contract) -> str:
        return f"{self.location}/{contract.schema}/{contract.name}"

    def _identifier(self, contract: Contract) -> tuple[str, str]:
        return database_name(contract.schema, self._deployment), contract.name

    def _open(self) -> Catalog:
        if self._catalog is None:
            self._catalog = self._open_glue() if is_s3(self.location) else self._open_sqlite()
        return self._catalog

    def _open_sqlite(self) -> Catalog:
        make_folder(self.root)
        try:
            return SqlCatalog(
                "eventmint",
                uri=f"sqlite:///{self.file}?timeout={SQLITE_WAITS_SECONDS}",
                warehouse=uri_of(self.location),
                init_catalog_tables="true",
                **self._io_properties(),
            )
        except DatabaseError as err:
            raise machine_trouble(err) or FixData(
                f"{self.file}: the catalog cannot be read: {err.orig}.",
                "Restore it from a backup, or run into a new lake folder.",
            ) from err

    def _io_properties(self) -> dict[str, str]:
        return {"py-io-impl": "eventmint.tables.durable_io.DurableFileIO"}

    def _open_glue(self) -> Catalog:
        from eventmint.storage import s3
        from eventmint.storage.session import client

        glue = client("glue", s3.region())  # first: it says what to do where boto3 is missing
        from pyiceberg.catalog.glue import GlueCatalog

        properties = {"glue.skip-archive": "true", "warehouse": self.location, **s3_properties()}
        return GlueCatalog("eventmint", glue, **properties)


def s3_properties() -> dict[str, str]:
    """Return what PyIceberg must know to read and write in S3."""
    from eventmint.storage import s3

    endpoint = s3.endpoint_url()
    return {"s3.region": s3.region(), **({"s3.endpoint": endpoint} if endpoint else {})}


@contextmanager
def catalog_errors() -> Iterator[None]:
    """Turn what AWS, or the file system under PyIceberg, refuses into errors that say what to do."""
    from eventmint.storage.session import told_of

    try:
        yield
    except EventmintError:
        raise
    except Exception as err:
        told = told_of(err)
        if told is None:
            raise
        raise told from err


def _adopt(table: TableHandle, contract: Contract, place: str) -> None:
    """Make a table that a template has created one that we can commit to safely.

    Raises: FixSettings: it belongs to another lake.
    """
    if address(table.location()).rstrip("/") != place:
        raise FixSettings(
            f"{'.'.join(table.name())} lies in {address(table.location())}, not in {place}.",
            "Set lake.root to that lake, or aws.id to another deployment.",
        )
    expected = table_properties(contract)
    lacking = {key: value for key, value in expected.items() if table.properties.get(key) != value}
    if lacking:
        with table.transaction() as transaction:
            transaction.set_properties(lacking)


def table_properties(contract: Contract) -> dict[str, str]:
    """The properties that every table of ours has."""
    bounds = {f"write.metadata.metrics.column.{name}": "full" for name in contract.bounds}
    return {**_PROPERTIES, **bounds, "comment": contract.grain}


@cache
def iceberg_schema(contract: Contract) -> Schema:
    return Schema(
        *(
            NestedField(
                field_id=column.id,
                name=column.name,
                field_type=_iceberg_type(column.type),
                required=column.required,
                doc=column.doc,
            )
            for column in contract.columns
        )
    )


def _iceberg_type(name: str) -> IcebergType:
    if name.startswith("decimal("):
        precision, scale = name.removeprefix("decimal(").rstrip(")").split(",")
        return DecimalType(int(precision), int(scale))
    return _TYPES[name]


def _partition_spec(contract: Contract, schema: Schema) -> PartitionSpec:
    if not contract.partition:
        return UNPARTITIONED_PARTITION_SPEC
    by_day = contract.partition.startswith("day(")
    column = contract.partition.removeprefix("day(").rstrip(")")
    transform: Transform[Any, Any] = DayTransform() if by_day else IdentityTransform()
    field = PartitionField(
        source_id=schema.find_field(column).field_id,
        field_id=1000,
        transform=transform,
        name=f"{column}_day" if by_day else column,
    )
    return PartitionSpec(field)


def _refuse_other_schema(table: TableHandle, contract: Contract) -> None:
    """Raises: FixData: the table has other columns than the contract, beside nullable ones that it lacks."""

    def shapes(fields: Iterable[NestedField]) -> set[tuple[int, str, str, bool]]:
        return {(f.field_id, f.name, str(f.field_type), f.required) for f in fields}

    expected, found = shapes(iceberg_schema(contract).fields), shapes(table.schema().fields)
    if found == expected:
        return
    lacking = shapes(_lacking_columns(table, contract))
    if odd := sorted(f"{name} {kind}" for _, name, kind, _ in (found ^ expected) - lacking):
        raise FixData(
            f"{contract.table}: its columns are not the contract's ({', '.join(odd)}).",
            "Rebuild the lake in a new folder with this version, or use the version that wrote it.",
        )


def _lacking_columns(table: TableHandle, contract: Contract) -> list[NestedField]:
    """The nullable columns that have come since, where Iceberg will give them the contract's ids."""
    last = table.metadata.last_column_id
    lacking = [field for field in iceberg_schema(contract).fields if field.field_id > last]
    lacking.sort(key=lambda field: field.field_id)
    has_next_ids = [field.field_id for field in lacking] == [*range(last + 1, last + 1 + len(lacking))]
    return lacking if has_next_ids and not any(field.required for field in lacking) else []


def _add_columns(table: TableHandle, lacking: Sequence[NestedField]) -> None:
    with table.update_schema() as update:
        for field in lacking:
            update.add_column(field.name, field.field_type, field.doc)


def lake_folder_is_writable(root: Path) -> bool:
    """Whether a run could write here: the folder, or the nearest parent that exists."""
    folder = root
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK)
