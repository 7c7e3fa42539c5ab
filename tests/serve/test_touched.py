"""Which columns a statement reads: by hand, and against sqlglot's analysis of scopes."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp
from sqlglot.optimizer.pushdown_projections import pushdown_projections
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope

from eventmint.contracts import all_contracts, contract
from eventmint.errors import FixSettings
from eventmint.serve.answers import titled_statements
from eventmint.serve.touched import Scan, five_statements, touched

REPOSITORY = Path(__file__).resolve().parent.parent.parent
GOLD = ("conversion_funnel", "hourly_revenue", "category_performance", "user_activity", "top_products")
FIVE = titled_statements(five_statements())


def _ours(statement: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for scan in touched(statement):
        found.setdefault(scan.table, set()).update(scan.columns)
    return found


def _theirs(statement: str) -> dict[str, set[str]]:
    schema: dict[str, object] = {}
    for shape in all_contracts():
        tables = schema.setdefault(shape.schema, {})
        assert isinstance(tables, dict)
        tables[shape.name] = dict.fromkeys(shape.column_names, "text")
    tree = sqlglot.parse(statement, read="duckdb")[0]
    assert tree is not None
    for table in tree.find_all(exp.Table):
        if not table.db and table.name in GOLD:
            table.set("db", exp.to_identifier("gold"))
    tree = pushdown_projections(qualify(tree, schema=schema, dialect="duckdb"))
    found: dict[str, set[str]] = {}
    for scope in traverse_scope(tree):
        for alias, source in scope.sources.items():
            if isinstance(source, exp.Table):
                columns = {column.name for column in scope.columns if column.table == alias}
                found.setdefault(f"{source.db}.{source.name}", set()).update(columns)
    return found


def test_the_package_holds_the_very_statements_of_the_repository() -> None:
    assert five_statements() == (REPOSITORY / "queries.sql").read_text(encoding="utf-8")


def test_the_five_statements_read_these_columns() -> None:
    assert [touched(statement) for _, statement in FIVE] == [
        (Scan("gold.conversion_funnel", ("add_to_carts", "product_id", "purchases", "views")),),
        (
            Scan(
                "gold.hourly_revenue",
                ("event_date", "event_hour", "total_revenue", "transaction_count", "units"),
            ),
        ),
        (Scan("gold.conversion_funnel", ("product_id", "views")),),
        (Scan("gold.category_performance", ("category", "event_date", "events", "revenue")),),
        (Scan("gold.user_activity", ("event_date", "events", "unique_sessions", "unique_users")),),
    ]


@pytest.mark.parametrize("statement", [statement for _, statement in FIVE])
def test_sqlglot_finds_the_same_columns_in_the_five_statements(statement: str) -> None:
    assert _ours(statement) == _theirs(statement)


@pytest.mark.parametrize(
    ("statement", "scans"),
    [
        ("SELECT COUNT(*) FROM silver.events_cleaned", [Scan("silver.events_cleaned", ())]),
        ("SELECT 1", []),
        ("SELECT events FROM user_activity LIMIT 0", [Scan("gold.user_activity", ("events",))]),
        ("SELECT events FROM user_activity WHERE 1 = 0", [Scan("gold.user_activity", ("events",))]),
        (
            "SELECT events FROM user_activity WHERE event_date = DATE '2026-01-15'",
            [Scan("gold.user_activity", ("event_date", "events"))],
        ),
        (
            "SELECT rank FROM top_products ORDER BY view_count LIMIT 3",
            [Scan("gold.top_products", ("rank", "view_count"))],
        ),
        (
            "SELECT * FROM user_activity",
            [Scan("gold.user_activity", tuple(sorted(contract("gold.user_activity").column_names)))],
        ),
        (
            "SELECT events FROM (SELECT * FROM user_activity)",
            [Scan("gold.user_activity", ("events",))],
        ),
        (
            "SELECT a.events FROM user_activity a JOIN user_activity b ON a.unique_users = b.unique_sessions",
            [
                Scan("gold.user_activity", ("events", "unique_users")),
                Scan("gold.user_activity", ("unique_sessions",)),
            ],
        ),
        (
            "WITH w AS MATERIALIZED (FROM user_activity) SELECT a.events, b.unique_users FROM w a, w b",
            [Scan("gold.user_activity", ("events",)), Scan("gold.user_activity", ("unique_users",))],
        ),
        (
            (
                "SELECT events FROM user_activity u WHERE EXISTS "
                "(SELECT 1 FROM hourly_revenue h WHERE h.event_date = u.event_date AND h.units > 1)"
            ),
            [
                Scan("gold.hourly_revenue", ("event_date", "units")),
                Scan("gold.user_activity", ("event_date", "events")),
            ],
        ),
        (
            "SELECT SUM(revenue) OVER (PARTITION BY category) FROM category_performance",
            [Scan("gold.category_performance", ("category", "revenue"))],
        ),
        (
            "SELECT events FROM user_activity UNION ALL SELECT units FROM hourly_revenue",
            [Scan("gold.hourly_revenue", ("units",)), Scan("gold.user_activity", ("events",))],
        ),
        (
            'SELECT "events" FROM "gold"."user_activity";',
            [Scan("gold.user_activity", ("events",))],
        ),
    ],
)
def test_a_statement_reads_what_it_names_and_nothing_else(statement: str, scans: list[Scan]) -> None:
    assert touched(statement) == tuple(scans)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1; SELECT 2",
        "DROP TABLE gold.user_activity",
        "SELECT nothing FROM user_activity",
        "SELECT * FROM nowhere",
        "SELECT * FROM 'secret.parquet'",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELEC 1",
        "",
    ],
)
def test_what_is_not_one_select_over_our_tables_is_refused(statement: str) -> None:
    with pytest.raises(FixSettings):
        touched(statement)


@st.composite
def _statements(draw: st.DrawFn) -> str:
    table = draw(st.sampled_from(GOLD))
    columns = list(contract(f"gold.{table}").column_names)
    some = st.lists(st.sampled_from(columns), min_size=1, max_size=3, unique=True)
    chosen, filtered, sorted_by = draw(some), draw(st.sampled_from(columns)), draw(st.sampled_from(columns))
    listed = ", ".join(f"t.{column}" for column in chosen)
    body = f"SELECT {listed} FROM {table} AS t WHERE t.{filtered} IS NOT NULL ORDER BY t.{sorted_by}"  # noqa: S608
    match draw(st.sampled_from(["plain", "nested", "with", "grouped", "joined"])):
        case "nested":
            return f"SELECT {chosen[0]} FROM (SELECT * FROM {table}) AS t WHERE {filtered} IS NOT NULL"  # noqa: S608
        case "with":
            return f"WITH w AS ({body}) SELECT COUNT({chosen[0]}) AS n FROM w"  # noqa: S608
        case "grouped":
            return f"SELECT {listed}, COUNT(t.{filtered}) AS n FROM {table} AS t GROUP BY {listed}"  # noqa: S608
        case "joined":
            return (
                f"SELECT t.{chosen[0]} FROM {table} AS t "  # noqa: S608
                f"JOIN user_activity AS u ON t.event_date = u.event_date WHERE t.{filtered} IS NOT NULL"
            )
    return body


@settings(max_examples=60, deadline=None)
@given(_statements())
def test_sqlglot_finds_no_column_that_we_miss(statement: str) -> None:
    ours, theirs = _ours(statement), _theirs(statement)
    assert not {table: missed for table in theirs if (missed := theirs[table] - ours[table])}
