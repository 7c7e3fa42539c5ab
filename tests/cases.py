"""The machinery of the named cases: reads them, and runs them on any engine."""

from __future__ import annotations

import gzip
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import oracle

from eventmint.contracts import TABLES, Column, contract, model_sql
from eventmint.engine.duckdb_engine import sql_type
from eventmint.engine.protocol import Engine, Session
from eventmint.pipeline import Run, land_files, load_ledger, refine_events
from eventmint.run_log import Silent
from eventmint.sources.discover import list_source
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.plan import live_files
from eventmint.values import EventRules

NOW = datetime(2026, 1, 20, tzinfo=UTC)


MODELS = Path(__file__).parents[1] / "src" / "eventmint"


MAX_ROWS = 10


DEFAULTS: dict[str, Any] = {
    "event_time": datetime(2026, 1, 15, 10, tzinfo=UTC),
    "event_date": date(2026, 1, 15),
    "event_hour": 10,
    "event_type": "page_view",
    "sign": 1,
}


SIGN = Column("sign", 0, "int", required=True, doc="1 for an event that came, -1 for one that went")


Row = dict[str, Any]


Case = dict[str, Any]


def columns_of(table: str) -> tuple[Column, ...]:
    return contract(table).columns


EVENTS = columns_of("silver.events_cleaned")


BLOCKS = {name: columns_of(f"gold.{name}") for name in ("product_hours", "daily_users", "daily_sessions")}


RELATIONS: dict[str, dict[str, tuple[Column, ...]]] = {
    "gold.product_hours": {"changed_events": (*EVENTS, SIGN), "held_hours": BLOCKS["product_hours"]},
    "gold.daily_users": {"came": EVENTS, "held_set": BLOCKS["daily_users"]},
    "gold.daily_sessions": {"came": EVENTS, "held_set": BLOCKS["daily_sessions"]},
    "gold.conversion_funnel": {"product_hours": BLOCKS["product_hours"]},
    "gold.hourly_revenue": {"product_hours": BLOCKS["product_hours"]},
    "gold.top_products": {"product_hours": BLOCKS["product_hours"]},
    "gold.category_performance": {"product_hours": BLOCKS["product_hours"]},
    "gold.user_activity": BLOCKS,
}


SILVER = tuple(f"silver.{name}" for name in TABLES["silver"])


GOLD = tuple(f"gold.{name}" for name in TABLES["gold"])


def case_files(*tables: str) -> list[Path]:
    return [
        path
        for table in tables
        for path in sorted((MODELS / table.replace(".", "/models/") / "cases").glob("*.toml"))
    ]


def table_of(path: Path) -> str:
    return f"{path.parents[3].name}.{path.parents[1].name}"


def name_of(path: Path) -> str:
    return f"{path.parents[1].name}-{path.stem}"


def read_case(path: Path) -> Case:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def complete(row: Mapping[str, Any], columns: Sequence[Column]) -> Row:
    """Return the row with all columns, each in the Python type that the contract's type becomes."""
    unknown = row.keys() - {column.name for column in columns}
    assert not unknown, f"no such column: {unknown}"
    return {column.name: value_of(row, column) for column in columns}


def value_of(row: Mapping[str, Any], column: Column) -> Any:
    is_decimal = column.type.startswith("decimal(")
    if column.name not in row:
        if not column.required:
            return None
        if column.name in DEFAULTS:
            return DEFAULTS[column.name]
        assert is_decimal or column.type in ("int", "long"), f"{column.name} has no default: give one"
        return scaled("0", column) if is_decimal else 0
    value = row[column.name]
    if is_decimal:
        assert isinstance(value, str), f"{column.name}: a decimal is written as text"
        return scaled(value, column)
    return value


def scaled(text: str, column: Column) -> Decimal:
    scale = int(column.type.rstrip(")").split(",")[1])
    step = Decimal(1).scaleb(-scale)
    value = Decimal(text)
    exact = value.quantize(step, context=oracle.EXACT)
    assert exact == value, f"{column.name}: {text} has more than {scale} decimals"
    return exact


def type_in(session: Session, kind: str) -> str:
    """A contract's type in the words of the session's engine."""
    if session.dialect == "duckdb":
        return sql_type(kind)
    from eventmint.engine import spark_engine

    return spark_engine.sql_type(kind)


def to_sql(session: Session, rows: Iterable[Row], columns: Sequence[Column]) -> str:
    """SELECT of these rows, each value cast to its contract's type; no row gives a typed empty relation."""
    types = {column.name: type_in(session, column.type) for column in columns}
    selects = [
        "SELECT " + ", ".join(f"CAST({literal(row[c.name])} AS {types[c.name]}) AS {c.name}" for c in columns)
        for row in rows
    ]
    empty = "SELECT " + ", ".join(f"CAST(NULL AS {types[c.name]}) AS {c.name}" for c in columns)
    return " UNION ALL ".join([*selects, f"{empty} WHERE false"])


def literal(value: Any) -> str:
    if value is None:
        return "NULL"
    text = value.isoformat() if isinstance(value, date) else str(value)
    return "'" + text.replace("'", "''") + "'"


def assert_rows_equal(found: Sequence[Row], expected: Sequence[Row], why: str) -> None:
    """Equal in order, columns, values and Python types: 1 is neither 1.0 nor True."""
    assert [*map(typed, found)] == [*map(typed, expected)], why


def typed(row: Row) -> list[tuple[str, str, Any]]:
    return [(name, type(value).__name__, value) for name, value in row.items()]


def by_value(row: Row) -> str:
    return repr([*row.values()])


def column_types(session: Session, sql: str) -> list[tuple[str, str]]:
    if session.dialect == "spark":
        rows = session.rows(f"DESCRIBE QUERY {sql}")
        return [(row["col_name"], row["data_type"].upper()) for row in rows]
    rows = session.rows(f"DESCRIBE {sql}")
    names = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ"}
    return [(row["column_name"], names.get(row["column_type"], row["column_type"])) for row in rows]


def declared_types(session: Session, table: str) -> list[tuple[str, str]]:
    return [(column.name, type_in(session, column.type)) for column in columns_of(table)]


def assert_case_of_gold(path: Path, session: Session) -> None:
    case, table = read_case(path), table_of(path)
    inputs = {name: rows for name, rows in case.items() if name not in ("why", "expected")}
    found = run_model(session, table, inputs)
    expected = [complete(row, columns_of(table)) for row in case["expected"]]
    is_ordered = "ORDER BY" in model_sql(table).splitlines()[-1]
    if not is_ordered:
        found, expected = sorted(found, key=by_value), sorted(expected, key=by_value)
    assert_rows_equal(found, expected, case["why"])


def assert_case_of_silver(path: Path, folder: Path, engine: Engine, *, in_other_order: bool = True) -> None:
    case, table = read_case(path), table_of(path)
    dedup = tuple(case["dedup"]) if "dedup" in case else None
    expected = expected_rows(case, table)
    found = deliver(folder / "in order", [[file] for file in case["files"]], dedup, engine)
    assert_rows_equal(found[table], expected, case["why"])
    if in_other_order and is_a_set(case["files"]):
        found = deliver(folder / "at once", [case["files"][::-1]], dedup, engine)
        assert_rows_equal(found[table], expected, f"in another order: {case['why']}")


def run_model(session: Session, table: str, inputs: Mapping[str, Sequence[Row]]) -> list[Row]:
    """Run the model over these rows and return its own, after a check of its column types."""
    relations = RELATIONS[table]
    assert inputs.keys() <= relations.keys()
    for name, columns in relations.items():
        rows = [complete(row, columns) for row in inputs.get(name, [])]
        session.table(name, to_sql(session, rows, columns))
    sql = model_sql(table, session.dialect)
    assert column_types(session, sql) == declared_types(session, table)
    return session.rows(sql)


def deliver(
    home: Path, deliveries: Iterable[Sequence[Row]], dedup: tuple[str, ...] | None, engine: Engine
) -> dict[str, list[Row]]:
    """Land and refine one delivery after the other; return the rows of silver's tables.

    Args: deliveries: files that come in together, each with `path` and `lines`.
    """
    source, scratch = home / "source", home / "scratch"
    scratch.mkdir(parents=True)
    catalog = LakeCatalog(home / "lake")
    catalog.create_missing()
    run = Run(catalog, engine, scratch, EventRules(), dedup, NOW, Silent())
    for files in deliveries:
        for file in files:
            path = source / file["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(text_of(file), mtime=0))
        load_ledger(run)
        arrived = list_source(source, "**/*.gz", is_known=run.ledger.knows).files
        assert len(arrived) == len(files)
        land_files(run, arrived)
        refine_events(run, arrived)
    with run.engine.session(scratch) as session:
        return {table: rows_of(session, catalog, table) for table in SILVER}


def text_of(file: Row) -> bytes:
    return "\n".join(file["lines"]).encode() + b"\n"


def rows_of(session: Session, catalog: LakeCatalog, table: str) -> list[Row]:
    shape = contract(table)
    session.scan("found", shape, [file.location for file in live_files(catalog.load(shape), shape)])
    select = f"SELECT {', '.join(shape.column_names)} FROM found"  # noqa: S608 - the contract's names
    assert column_types(session, select) == declared_types(session, table)
    return sorted(session.rows(select), key=by_value)


def expected_rows(case: Case, table: str) -> list[Row]:
    return sorted((complete(row, columns_of(table)) for row in case["expected"]), key=by_value)


def is_a_set(files: Sequence[Row]) -> bool:
    """Whether no file replaces another: then the order of delivery must not matter."""
    return len({file["path"] for file in files}) == len(files) > 1


def plain(value: Any) -> Any:
    """Instants as microseconds and decimals without trailing zeros, so that both sides look alike."""
    if isinstance(value, datetime):
        return oracle.microseconds(value)
    return json.dumps(str(value.normalize(oracle.EXACT))) if isinstance(value, Decimal) else value


def amount_of(event: Row) -> Any:
    if event["event_type"] != "purchase":
        return None
    return plain(oracle.EXACT.multiply(event["price"], event["quantity"]))
