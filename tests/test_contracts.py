"""What a contract promises is what there is: in the model, in Iceberg, in Parquet and in analytics.duckdb."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from pyiceberg.schema import Schema
from pyiceberg.types import IntegerType, LongType

import eventmint
from eventmint.contracts import ANSWERS, TABLES, Column, Contract, all_contracts, contract, model_sql
from eventmint.engine.duckdb_engine import DuckDBEngine, DuckDBSession, scan_sql, sql_type
from eventmint.engine.parquet import arrow_schema
from eventmint.errors import FixData
from eventmint.lake import Lake
from eventmint.tables.catalog import LakeCatalog, iceberg_schema
from eventmint.tables.plan import live_files

NOW = datetime(2026, 1, 20, tzinfo=UTC)
NAMES = [shape.table for shape in all_contracts()]
COLUMNS = [
    pytest.param(shape, column, id=f"{shape.table}.{column.name}")
    for shape in all_contracts()
    for column in shape.columns
]
MEASURED = (
    "int",
    "long",
    "double",
    "decimal",
    "date",
    "timestamptz",
)  # types that mean nothing without a unit
WITH_MODEL = [
    f"{schema}.{name}"
    for schema in ("silver", "gold")
    for name in TABLES[schema]
    if name != "event_hours"  # books: counted by silver/hours.py, not by a SELECT
]
# What a model's output has and its table has not: documented in the model's head.
TECHNICAL = {"silver.events_cleaned": ("is_suspect",)}
INPUTS = {
    "new_events": "bronze.events",
    "came": "silver.events_cleaned",
    "changed_events": "silver.events_cleaned",
    "held_hours": "gold.product_hours",
    **{name: f"gold.{name}" for name in ("product_hours", "daily_users", "daily_sessions")},
}


def line(**fields: Any) -> str:
    event = {
        "timestamp": "2026-01-15T10:00:00.123Z",
        "user_id": "u1",
        "session_id": "s1",
        "event_type": "purchase",
        "product_id": "P1",
        "category": "toys",
        "quantity": 2,
        "price": 9.99,
        "search_query": "",
        "colour": "red",
    }
    return json.dumps({**event, **fields})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("contracts")


@pytest.fixture(scope="module")
def lake(home: Path) -> Lake:
    """A lake whose every table has rows."""
    file = home / "source" / "events" / "a.jsonl.gz"
    file.parent.mkdir(parents=True)
    lines = [line(), line(event_type="page_view", quantity=None), "broken"]
    file.write_bytes(gzip.compress("\n".join(lines).encode()))
    opened = eventmint.open_lake(
        source__path=str(home / "source"),
        source__settle_seconds=0.0,
        lake__root=str(home / "lake"),
        lake__database=str(home / "analytics.duckdb"),
        run__workers=1,
    )
    opened.run(now=NOW)
    return opened


@pytest.fixture(scope="module")
def catalog(lake: Lake) -> LakeCatalog:
    return LakeCatalog(lake.settings.lake_root)


# --- The text ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", NAMES)
def test_a_contract_says_what_a_row_is_and_what_the_table_is_for(table: str) -> None:
    shape = contract(table)
    assert shape.grain.startswith("one row per ")
    assert len(shape.doc) > 15
    assert shape.table == table
    partition = shape.partition.removeprefix("day(").rstrip(")")
    assert {*filter(None, [partition]), *shape.bounds} <= {*shape.column_names}
    if partition:
        assert next(c for c in shape.columns if c.name == partition).required


@pytest.mark.parametrize("table", NAMES)
def test_field_ids_are_unique_and_consecutive_from_one(table: str) -> None:
    shape = contract(table)
    assert [column.id for column in shape.columns] == [*range(1, len(shape.columns) + 1)]


@pytest.mark.parametrize(("shape", "column"), COLUMNS)
def test_a_column_says_what_it_means_and_in_which_unit(shape: Contract, column: Column) -> None:
    assert column.doc
    assert column.doc == column.doc.strip().rstrip(".")
    if column.type.startswith(MEASURED):
        assert column.unit, f"{shape.table}.{column.name} is a {column.type} of what?"


@pytest.mark.parametrize(("shape", "column"), COLUMNS)
def test_a_column_has_an_example_in_its_type(shape: Contract, column: Column) -> None:
    if column.type == "binary":
        return  # bytes have no text to show
    value = parse(column.example, column.type)
    assert value is not None, f"{shape.table}.{column.name}: {column.example!r} is no {column.type}"


def parse(text: str, kind: str) -> Any:
    """Return the value of an example, None where it is none of its type."""
    try:
        if kind.startswith("decimal("):
            precision, scale = map(int, kind.removeprefix("decimal(").rstrip(")").split(","))
            value = Decimal(text)
            fits = value.as_tuple().exponent == -scale and len(value.as_tuple().digits) <= precision
            return value if fits else None
        return PARSERS[kind](text)
    except ValueError:
        return None


def parse_instant(text: str) -> datetime | None:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is UTC else None


def parse_whole(text: str, bits: int) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and int(text) < 2 ** (bits - 1) else None


PARSERS: dict[str, Any] = {
    "boolean": {"true": True, "false": False}.get,
    "date": date.fromisoformat,
    "double": float,
    "int": lambda text: parse_whole(text, 32),
    "long": lambda text: parse_whole(text, 64),
    "string": lambda text: text or None,
    "timestamptz": parse_instant,
}


def test_unknown_tables_have_no_contract() -> None:
    for name in ("gold.nothing", "nothing.events", "events", "", "gold.", "../bronze.events"):
        with pytest.raises(KeyError):
            contract(name)


def test_the_answers_are_tables_of_gold() -> None:
    assert {*ANSWERS} < {*TABLES["gold"]}
    assert len(ANSWERS) == 5


# --- The model --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBSession]:
    with DuckDBEngine(1, 200).session(tmp_path_factory.mktemp("session")) as opened:
        yield opened


@pytest.mark.parametrize("table", WITH_MODEL)
def test_a_model_gives_the_columns_of_its_contract_in_order(table: str, session: DuckDBSession) -> None:
    marks = {"new_events": "false AS is_suspect", "changed_events": "1 AS sign", "came": "1 AS sign"}
    for relation, source in {**INPUTS, "held_set": table}.items():
        extra = f", {marks[relation]}" if relation in marks else ""
        session.view(relation, f"SELECT *{extra} FROM ({scan_sql(contract(source), [])}) AS nothing")  # noqa: S608 - our names
    found = {row["column_name"]: row["column_type"] for row in session.rows(f"DESCRIBE {model_sql(table)}")}
    technical = {name: found.pop(name) for name in TECHNICAL.get(table, ())}
    assert {*technical.values()} <= {"BOOLEAN"}
    types = {"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE"}
    declared = {c.name: types.get(sql_type(c.type), sql_type(c.type)) for c in contract(table).columns}
    assert [*found.items()] == [*declared.items()]


@pytest.mark.parametrize("table", TECHNICAL)
def test_a_technical_column_is_explained_in_the_models_head(table: str) -> None:
    head = [text for text in model_sql(table).splitlines() if text.startswith("--")]
    for name in TECHNICAL[table]:
        assert any(name in text for text in head)


# --- Iceberg ----------------------------------------------------------------------------------------------


def fields_of(schema: Schema) -> list[tuple[int, str, str, bool, str | None]]:
    return [(f.field_id, f.name, str(f.field_type), f.required, f.doc) for f in schema.fields]


@pytest.mark.parametrize("table", NAMES)
def test_the_iceberg_schema_has_the_contracts_ids_types_and_docs(table: str) -> None:
    iceberg_names = {"decimal(15,6)": "decimal(15, 6)", "decimal(25,6)": "decimal(25, 6)"}
    iceberg_names["decimal(38,6)"] = "decimal(38, 6)"
    assert fields_of(iceberg_schema(contract(table))) == [
        (c.id, c.name, iceberg_names.get(c.type, c.type), c.required, c.doc) for c in contract(table).columns
    ]


@pytest.mark.parametrize("table", NAMES)
def test_a_table_of_a_lake_is_its_contract(table: str, catalog: LakeCatalog) -> None:
    shape = contract(table)
    made = catalog.load(shape)
    assert fields_of(made.schema()) == fields_of(iceberg_schema(shape))
    assert made.format_version == 2
    assert made.properties["commit.retry.num-retries"] == "0"
    assert made.properties["comment"] == shape.grain
    sources = {column.id: column.name for column in shape.columns}
    fields = [(str(field.transform), sources[field.source_id]) for field in made.spec().fields]
    by_day = shape.partition.startswith("day(")
    column = shape.partition.removeprefix("day(").rstrip(")")
    assert fields == ([("day" if by_day else "identity", column)] if column else [])


@pytest.mark.parametrize("table", NAMES)
def test_files_carry_field_ids_and_types_of_the_contract(table: str, catalog: LakeCatalog) -> None:
    shape = contract(table)
    files = live_files(catalog.load(shape), shape)
    assert files, "the lake of this test is to have rows in every table"
    for file in files:
        found = pq.read_schema(file.location)
        assert [(f.name, f.type, f.metadata[b"PARQUET:field_id"]) for f in found] == [
            (f.name, f.type, f.metadata[b"PARQUET:field_id"]) for f in arrow_schema(shape)
        ]


# --- Another schema ---------------------------------------------------------------------------------------


def state_of(home: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with its time and content; the lock file may be touched."""
    return {
        str(path.relative_to(home)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def add_a_column(table: Any) -> None:
    with table.update_schema() as update:
        update.add_column("colour", LongType())


def rename_a_column(table: Any) -> None:
    with table.update_schema() as update:
        update.rename_column(table.schema().fields[-1].name, "renamed")


def make_optional(table: Any) -> None:
    with table.update_schema(allow_incompatible_changes=True) as update:
        name = next(f.name for f in table.schema().fields if f.required)
        update.make_column_optional(name)


def drop_a_column(table: Any) -> None:
    with table.update_schema(allow_incompatible_changes=True) as update:
        update.delete_column(table.schema().fields[-1].name)


def widen_a_column(table: Any) -> None:
    with table.update_schema() as update:
        name = next(f.name for f in table.schema().fields if f.field_type == IntegerType())
        update.update_column(name, LongType())


OTHER_SCHEMAS = [
    *((table, add_a_column, "colour long") for table in NAMES),
    ("gold.user_activity", rename_a_column, "renamed long"),
    ("gold.user_activity", make_optional, "event_date date"),
    ("gold.user_activity", drop_a_column, "events long"),
    ("gold.hourly_revenue", widen_a_column, "event_hour"),
]


@pytest.fixture
def kept_lake(lake: Lake) -> Iterator[Lake]:
    """The lake of this module, put back as it was when the test has ended."""
    home = lake.settings.database_path.parent
    backup = home.with_name(home.name + ".backup")
    shutil.copytree(home, backup, symlinks=True)
    yield Lake(lake.settings)
    shutil.rmtree(home)
    backup.rename(home)


@pytest.mark.parametrize(("table", "change", "named"), OTHER_SCHEMAS)
def test_a_table_with_another_schema_is_refused_and_nothing_changes(
    table: str, change: Any, named: str, kept_lake: Lake
) -> None:
    settings = kept_lake.settings
    change(LakeCatalog(settings.lake_root).load(contract(table)))
    new_file = settings.source_path / "events" / "b.jsonl.gz"
    new_file.write_bytes(gzip.compress(line(user_id="u2").encode()))
    before = state_of(settings.lake_root.parent)
    with pytest.raises(FixData) as refused:
        kept_lake.run(now=NOW)
    assert table in refused.value.message
    assert named in refused.value.message
    assert refused.value.hint
    assert state_of(settings.lake_root.parent) == before


# --- analytics.duckdb -------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", [name for name in NAMES if not name.startswith("ops.")])
def test_comments_in_the_database_are_the_contracts(table: str, lake: Lake) -> None:
    shape = contract(table)
    with duckdb.connect(str(lake.settings.database_path), read_only=True) as database:
        comments = database.execute(
            "SELECT column_name, comment FROM duckdb_columns() "
            "WHERE schema_name = ? AND table_name = ? ORDER BY column_index",
            [shape.schema, shape.name],
        ).fetchall()
        of_table = database.execute(
            "SELECT comment FROM duckdb_tables() WHERE schema_name = ? AND table_name = ? UNION ALL "
            "SELECT comment FROM duckdb_views() WHERE schema_name = ? AND view_name = ?",
            [shape.schema, shape.name] * 2,
        ).fetchall()
    assert comments == [(c.name, f"{c.doc} ({c.unit})" if c.unit else c.doc) for c in shape.columns]
    assert of_table == [(f"{shape.grain}. {shape.doc}",)]
