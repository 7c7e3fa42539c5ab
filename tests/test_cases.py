"""Every small named case beside a model: a table is a folder with `model.sql`, `contract.toml` and `cases/`.

A case of gold gives rows of the model's input relations, a case of silver gives the raw lines of files in the
order of their delivery; both give the rows expected, compared exactly, types included. A column that a row
leaves out is NULL where the contract allows it, else 0 where it is a number, else what `DEFAULTS` says.
"""

from __future__ import annotations

import gzip
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import oracle
import pytest

from eventmint.contracts import TABLES, Column, contract, model_sql
from eventmint.engine.duckdb_engine import DuckDBEngine, DuckDBSession, sql_type
from eventmint.pipeline import Run, land_files, load_ledger, refine_events
from eventmint.run_log import Silent
from eventmint.sources.discover import list_source
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.plan import live_files
from eventmint.values import EVENT_COLUMNS, EventRules

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
# The relations that each model's head names after `In:`, with their columns.
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


# --- Rows ------------------------------------------------------------------------------------------------


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


def to_sql(rows: Iterable[Row], columns: Sequence[Column]) -> str:
    """SELECT of these rows, each value cast to its contract's type; no row gives a typed empty relation."""
    selects = [
        "SELECT "
        + ", ".join(f"CAST({literal(row[c.name])} AS {sql_type(c.type)}) AS {c.name}" for c in columns)
        for row in rows
    ]
    empty = "SELECT " + ", ".join(f"CAST(NULL AS {sql_type(c.type)}) AS {c.name}" for c in columns)
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


def column_types(session: DuckDBSession, sql: str) -> list[tuple[str, str]]:
    rows = session.rows(f"DESCRIBE {sql}")
    names = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ"}
    return [(row["column_name"], names.get(row["column_type"], row["column_type"])) for row in rows]


def declared_types(table: str) -> list[tuple[str, str]]:
    return [(column.name, sql_type(column.type)) for column in columns_of(table)]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBSession]:
    with DuckDBEngine(1, 200).session(tmp_path_factory.mktemp("session")) as opened:
        yield opened


# --- The cases themselves ---------------------------------------------------------------------------------


@pytest.mark.parametrize("table", [*SILVER, *GOLD])
def test_every_table_of_silver_and_gold_has_cases(table: str) -> None:
    assert len(case_files(table)) >= (4 if table in SILVER else 3)


def test_no_case_lies_where_no_table_would_find_it() -> None:
    assert {*MODELS.rglob("cases/*")} == {*case_files(*SILVER, *GOLD)}


@pytest.mark.parametrize("path", case_files(*SILVER, *GOLD), ids=name_of)
def test_a_case_is_one_idea_named_as_a_sentence(path: Path) -> None:
    case = read_case(path)
    assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+){3,}", path.stem)
    assert len(case["why"]) > 20
    inputs = [value for name, value in case.items() if name not in ("why", "dedup", "expected", "files")]
    lines = [file["lines"] for file in case.get("files", [])]
    assert 1 <= sum(map(len, inputs + lines)) <= MAX_ROWS
    assert len(case["expected"]) <= MAX_ROWS


@pytest.mark.parametrize("table", GOLD)
def test_the_head_of_a_model_names_the_relations_that_it_reads(table: str) -> None:
    head = " ".join(line for line in model_sql(table).splitlines() if line.startswith("--"))
    inputs = head.partition("In: ")[2]
    body = "\n".join(line for line in model_sql(table).splitlines() if not line.lstrip().startswith("--"))
    for relation in RELATIONS[table]:
        assert re.search(rf"\b{relation}\b", inputs), relation
        assert re.search(rf"\b(FROM|JOIN) {relation}\b", body), relation


# --- Gold: the model's SQL over typed temporary tables -----------------------------------------------------


def run_model(session: DuckDBSession, table: str, inputs: Mapping[str, Sequence[Row]]) -> list[Row]:
    """Run the model over these rows and return its own, after a check of its column types."""
    relations = RELATIONS[table]
    assert inputs.keys() <= relations.keys()
    for name, columns in relations.items():
        rows = [complete(row, columns) for row in inputs.get(name, [])]
        session.table(name, to_sql(rows, columns))
    assert column_types(session, model_sql(table)) == declared_types(table)
    return session.rows(model_sql(table))


@pytest.mark.parametrize("path", case_files(*GOLD), ids=name_of)
def test_case_of_gold(path: Path, session: DuckDBSession) -> None:
    case, table = read_case(path), table_of(path)
    inputs = {name: rows for name, rows in case.items() if name not in ("why", "expected")}
    found = run_model(session, table, inputs)
    expected = [complete(row, columns_of(table)) for row in case["expected"]]
    is_ordered = "ORDER BY" in model_sql(table).splitlines()[-1]
    if not is_ordered:
        found, expected = sorted(found, key=by_value), sorted(expected, key=by_value)
    assert_rows_equal(found, expected, case["why"])


@pytest.mark.parametrize("table", GOLD)
def test_a_model_makes_no_rows_of_nothing(table: str, session: DuckDBSession) -> None:
    assert run_model(session, table, {}) == []


def test_the_eleventh_product_is_not_among_the_top_ten(session: DuckDBSession) -> None:
    views = {f"P{number:02d}": 5 if number < 9 else 3 for number in range(12)}
    hours = [
        {"product_id": product_id, "category": "toys", "events": count, "page_views": count}
        for product_id, count in reversed(views.items())
    ]
    found = run_model(session, "gold.top_products", {"product_hours": hours})
    assert [(row["rank"], row["product_id"]) for row in found] == [*enumerate(sorted(views)[:10], start=1)]


# --- Silver: raw lines of files, through the stages that every run has --------------------------------------


def deliver(
    home: Path, deliveries: Iterable[Sequence[Row]], dedup: tuple[str, ...] | None
) -> dict[str, list[Row]]:
    """Land and refine one delivery after the other; return the rows of silver's tables.

    Args: deliveries: files that come in together, each with `path` and `lines`.
    """
    source, scratch = home / "source", home / "scratch"
    scratch.mkdir(parents=True)
    catalog = LakeCatalog(home / "lake")
    catalog.create_missing()
    run = Run(catalog, DuckDBEngine(1, 200), scratch, EventRules(), dedup, NOW, Silent())
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


def rows_of(session: Any, catalog: LakeCatalog, table: str) -> list[Row]:
    shape = contract(table)
    session.scan("found", shape, [file.location for file in live_files(catalog.load(shape), shape)])
    select = f"SELECT {', '.join(shape.column_names)} FROM found"  # noqa: S608 - the contract's names
    assert column_types(session, select) == declared_types(table)
    return sorted(session.rows(select), key=by_value)


def expected_rows(case: Case, table: str) -> list[Row]:
    return sorted((complete(row, columns_of(table)) for row in case["expected"]), key=by_value)


@pytest.mark.parametrize("path", case_files(*SILVER), ids=name_of)
def test_case_of_silver(path: Path, tmp_path: Path) -> None:
    case, table = read_case(path), table_of(path)
    dedup = tuple(case["dedup"]) if "dedup" in case else None
    expected = expected_rows(case, table)
    found = deliver(tmp_path / "in order", [[file] for file in case["files"]], dedup)
    assert_rows_equal(found[table], expected, case["why"])
    if is_a_set(case["files"]):
        found = deliver(tmp_path / "at once", [case["files"][::-1]], dedup)
        assert_rows_equal(found[table], expected, f"in another order: {case['why']}")


def is_a_set(files: Sequence[Row]) -> bool:
    """Whether no file replaces another: then the order of delivery must not matter."""
    return len({file["path"] for file in files}) == len(files) > 1


@pytest.mark.parametrize("path", case_files("silver.events_cleaned"), ids=name_of)
def test_case_of_silver_is_what_the_oracle_says(path: Path) -> None:
    case = read_case(path)
    texts = {file["path"]: text_of(file) for file in case["files"]}  # a later version replaces an earlier one
    names = dict(zip(EVENT_COLUMNS, oracle.FIELDS, strict=True))
    key = tuple(names[column] for column in case.get("dedup", ()))
    lake = oracle.lake(texts, now=NOW, dedup=key or "content")
    said = [
        {column: plain(event[name]) for column, name in names.items()} | {"amount": amount_of(event)}
        for event in lake.events
    ]
    expected = [
        {name: plain(row[name]) for name in (*EVENT_COLUMNS, "amount")}
        for row in expected_rows(case, "silver.events_cleaned")
    ]
    in_order = partial(sorted, key=by_value)
    assert in_order(said) == in_order(expected)
    for row in expected_rows(case, "silver.events_cleaned"):
        assert (row["event_date"], row["event_hour"]) == (row["event_time"].date(), row["event_time"].hour)


def plain(value: Any) -> Any:
    """Instants as microseconds and decimals without trailing zeros, so that both sides look alike."""
    if isinstance(value, datetime):
        return oracle.microseconds(value)
    return json.dumps(str(value.normalize(oracle.EXACT))) if isinstance(value, Decimal) else value


def amount_of(event: Row) -> Any:
    if event["event_type"] != "purchase":
        return None
    return plain(oracle.EXACT.multiply(event["price"], event["quantity"]))
