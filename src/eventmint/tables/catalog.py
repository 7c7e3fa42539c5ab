"""The catalog: opens the lake's Iceberg tables and creates the missing ones from their contracts.

A table whose schema is not the contract's is refused, never changed in silence.
"""

from __future__ import annotations

import os
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

from eventmint.contracts import Contract, all_contracts
from eventmint.errors import FixData
from eventmint.tables.plan import TableHandle

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
    "format-version": "2",
    "commit.retry.num-retries": "0",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "10",
    "write.metadata.metrics.default": "counts",
}


class LakeCatalog:
    """The tables of one lake, in a folder, with a SQLite file as the catalog."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._catalog: Catalog | None = None

    @property
    def file(self) -> Path:
        return self.root / "catalog.sqlite"

    def exists(self) -> bool:
        return self.file.exists()

    def load(self, contract: Contract) -> TableHandle:
        """Return a fresh handle of the table.

        Raises: FixData: the lake has no such table, or one with another schema.
        """
        try:
            table = self._open().load_table((contract.schema, contract.name))
        except NoSuchTableError:
            raise FixData(
                f"{self.root}: the lake has no table {contract.table}.", "Run `eventmint run` to build it."
            ) from None
        _refuse_other_schema(table, contract)
        return table

    def create_missing(self) -> None:
        """Create every table that the contracts name and the lake lacks."""
        catalog = self._open()
        for contract in all_contracts():
            identifier = (contract.schema, contract.name)
            catalog.create_namespace_if_not_exists(contract.schema)
            if catalog.table_exists(identifier):
                continue
            schema = iceberg_schema(contract)
            bounds = {f"write.metadata.metrics.column.{name}": "full" for name in contract.bounds}
            catalog.create_table(
                identifier,
                schema=schema,
                location=f"file://{self.root / contract.schema / contract.name}",
                partition_spec=_partition_spec(contract, schema),
                properties={**_PROPERTIES, **bounds, "comment": contract.grain},
            )

    def _open(self) -> Catalog:
        if self._catalog is None:
            self.root.mkdir(parents=True, exist_ok=True)
            try:
                self._catalog = SqlCatalog(
                    "eventmint",
                    uri=f"sqlite:///{self.file}?timeout=30",
                    warehouse=f"file://{self.root}",
                    init_catalog_tables="true",
                )
            except DatabaseError as err:
                raise FixData(
                    f"{self.file}: the catalog cannot be read: {err.orig}.",
                    "Restore it from a backup, or run into a new lake folder.",
                ) from err
        return self._catalog


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
    def shape(schema: Schema) -> list[tuple[int, str, str, bool]]:
        return [(f.field_id, f.name, str(f.field_type), f.required) for f in schema.fields]

    expected, found = shape(iceberg_schema(contract)), shape(table.schema())
    if found != expected:
        odd = [f"{name} {kind}" for _, name, kind, _ in set(found) ^ set(expected)]
        raise FixData(
            f"{contract.table}: its columns are not the contract's ({', '.join(sorted(odd))}).",
            "Rebuild the lake in a new folder with this version, or use the version that wrote it.",
        )


def lake_folder_is_writable(root: Path) -> bool:
    """Whether a run could write here: the folder, or the nearest parent that exists."""
    folder = root
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK)
