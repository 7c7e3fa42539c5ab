"""Contracts: what each table promises, read from the `contract.toml` beside its model.

They make the Iceberg schema (field ids never change), the comments in `analytics.duckdb` and the table pages.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

TABLES = {
    "bronze": ("events", "ingested_files"),
    "silver": ("events_cleaned", "event_hours"),
    "gold": (
        "product_hours",
        "daily_users",
        "daily_sessions",
        "conversion_funnel",
        "hourly_revenue",
        "top_products",
        "category_performance",
        "user_activity",
    ),
    "ops": ("runs",),
}
# Made when it is first needed: a lake that has forgotten nobody has no such table.
SUPPRESSED = "bronze.suppressed_users"
MODEL_FILES = {"duckdb": "model.sql", "spark": "model.spark.sql"}
ANSWERS = ("conversion_funnel", "hourly_revenue", "top_products", "category_performance", "user_activity")


@dataclass(frozen=True)
class Column:
    """One column: its type, whether it may be NULL, and what it means."""

    name: str
    id: int
    type: str
    required: bool
    doc: str
    unit: str = ""
    example: str = ""


@dataclass(frozen=True)
class Contract:
    """One table: `grain` says what a row is; `partition` is a column name or `day(column)`, empty for none.

    `bounds` lists the columns whose smallest and largest value per file are kept, for pruning. `lookup` is a
    column by which few rows are looked for among many: rows of equal values lie together, and every row group
    says by a Bloom filter which values it may have.
    """

    schema: str
    name: str
    grain: str
    doc: str
    partition: str
    bounds: tuple[str, ...]
    lookup: str
    columns: tuple[Column, ...]

    @property
    def table(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


@cache
def contract(table: str) -> Contract:
    """Return the contract of a table such as `silver.events_cleaned`.

    Raises: KeyError: no table has that name.
    """
    schema, _, name = table.partition(".")
    if name not in TABLES.get(schema, ()) and table != SUPPRESSED:
        raise KeyError(table)
    tree = tomllib.loads(_folder(table).joinpath("contract.toml").read_text(encoding="utf-8"))
    columns = tuple(
        Column(
            name=column,
            id=body["id"],
            type=body["type"],
            required=body.get("required", False),
            doc=body["doc"],
            unit=body.get("unit", ""),
            example=body.get("example", ""),
        )
        for column, body in tree["columns"].items()
    )
    return Contract(
        schema=schema,
        name=name,
        grain=tree["grain"],
        doc=tree["doc"],
        partition=tree.get("partition", ""),
        bounds=tuple(tree.get("bounds", ())),
        lookup=tree.get("lookup", ""),
        columns=columns,
    )


def database_name(schema: str, deployment: str) -> str:
    """The database of a schema; without a deployment, as on one machine, just the schema's name.

    Athena reads a hyphen only inside quotes, so it becomes an underscore.
    """
    return f"{schema}_{deployment.replace('-', '_')}" if deployment else schema


def all_contracts() -> tuple[Contract, ...]:
    """The tables that every lake has."""
    return tuple(contract(f"{schema}.{name}") for schema, names in TABLES.items() for name in names)


def kept_contracts() -> tuple[Contract, ...]:
    """Return the contracts of every table that a lake may have, also of the one that not every lake has."""
    return (*all_contracts(), contract(SUPPRESSED))


@cache
def model_sql(table: str, dialect: str = "duckdb") -> str:
    """Return the SQL model of a table, without its trailing semicolon.

    Args: dialect: `duckdb`, or `spark` for what `engine.dialect` made of it.
    """
    return _folder(table).joinpath(MODEL_FILES[dialect]).read_text(encoding="utf-8").strip().rstrip(";")


def _folder(table: str) -> Traversable:
    schema, _, name = table.partition(".")
    return files(f"eventmint.{schema}").joinpath("models", name)
