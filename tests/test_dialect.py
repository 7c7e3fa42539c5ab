"""The models in Spark's words are current, and use nothing that another engine understands differently."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlglot import exp, parse, parse_one

from eventmint.contracts import TABLES, model_sql
from eventmint.engine import dialect

QUERIES = (Path(__file__).parents[1] / "queries.sql").read_text(encoding="utf-8")
MODELS = ["silver.events_cleaned", *(f"gold.{name}" for name in TABLES["gold"])]
# What sqlglot translates without an error into something else, or what Spark refuses.
UNFAITHFUL = {
    "SELECT quantile_cont(price, 0.5) AS x FROM t": "PercentileCont",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY price) AS x FROM t": "WithinGroup",
    "SELECT median(price) AS x FROM t": "Median",
    "SELECT epoch_ms(event_time) AS x FROM t": "epoch_ms",
    "SELECT epoch_us(event_time) AS x FROM t": "epoch_us",
    "SELECT list(DISTINCT user_id ORDER BY user_id) AS x FROM t": "ArrayAgg",
    "SELECT approx_count_distinct(user_id) AS x FROM t": "ApproxDistinct",
    "SELECT COUNT(*) FILTER (WHERE price > 1) AS x FROM t": "Filter",
    "SELECT user_id, COUNT(*) AS x FROM t GROUP BY ALL": "GROUP BY",
    "SELECT user_id, COUNT(*) AS x FROM t GROUP BY 1": "GROUP BY 1",
    "SELECT CAST(10.67 AS INTEGER) AS x": "CAST(10.67 AS INT)",
    "SELECT CAST(CAST(price AS DECIMAL(9, 2)) AS BIGINT) AS x FROM t": "AS BIGINT",
    "SELECT CAST(CAST(a AS DOUBLE) / 2 AS BIGINT) AS x FROM t": "AS BIGINT",
    "SELECT a / b AS x FROM t": "a / b",
    "SELECT a // b AS x FROM t": "IntDiv",
    "SELECT CAST(user_id AS VARCHAR) AS x FROM t": "CAST(user_id AS TEXT)",
    "SELECT CAST(t AS TIMESTAMP) AS x FROM t": "CAST(t AS TIMESTAMP)",
    "SELECT EXTRACT(WEEK FROM event_time) AS x FROM t": "EXTRACT(WEEK",
    "SELECT SUM(a) OVER (PARTITION BY b ORDER BY c) AS x FROM t": "OVER",
    "SELECT ROW_NUMBER() OVER (PARTITION BY b) AS x FROM t": "OVER",
    "SELECT a IN (SELECT a FROM u) AS x FROM t": "SELECT a IN",
    "SELECT CASE WHEN EXISTS (SELECT 1 FROM u) THEN 1 END AS x FROM t": "SELECT CASE",
    "SELECT LENGTH(user_id) AS x FROM t": "Length",
    "SELECT avg(price) AS x FROM t": "Avg",
    "SELECT DATE_TRUNC('hour', event_time) AS x FROM t": "Trunc",
    "SELECT a FROM t QUALIFY ROW_NUMBER() OVER (ORDER BY a) = 1": "Qualify",
    "SELECT strange_function(a) AS x FROM t": "strange_function",
}  # fmt: skip


def test_every_model_is_translated_and_current() -> None:
    assert dialect.stale() == {}
    for table in MODELS:
        assert model_sql(table, "spark").startswith("-- Generated from model.sql"), table


@pytest.mark.parametrize("table", MODELS)
def test_a_model_uses_only_what_means_the_same_everywhere(table: str) -> None:
    assert [*dialect.untranslatable(model_sql(table))] == []


@pytest.mark.parametrize(("sql", "named"), UNFAITHFUL.items())
def test_what_translates_unfaithfully_is_refused_and_named(sql: str, named: str) -> None:
    assert any(named.lower() in wrong.lower() for wrong in dialect.untranslatable(sql))
    with pytest.raises(ValueError, match="not in the portable subset"):
        dialect.to_spark(sql)


def test_a_model_that_was_changed_is_told_from_its_old_translation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = dialect.to_spark
    monkeypatch.setattr(dialect, "to_spark", lambda sql: changed(sql).replace("10", "11"))
    assert dialect.main(["--check"]) == 1
    assert capsys.readouterr().out == (
        "silver/models/events_cleaned/model.spark.sql: stale\n"
        "gold/models/top_products/model.spark.sql: stale\n"
    )


def test_nulls_and_ties_keep_their_order_in_translation() -> None:
    """Spark sorts NULL first, DuckDB last: each ascending key must say so."""
    for table in MODELS:
        tree = parse_one(model_sql(table, "spark"), read="spark")
        assert all(key.args["nulls_first"] is False for key in tree.find_all(exp.Ordered)), table


def test_the_five_questions_are_the_same_text_on_athena() -> None:
    statements = parse(QUERIES, read="duckdb")
    assert len(statements) == 5
    for statement in statements:
        assert statement is not None
        assert [*dialect.untranslatable(statement.sql(dialect="duckdb"))] == []
        ours, athenas = (statement.sql(dialect=name, comments=False) for name in ("duckdb", "athena"))
        assert ours == athenas
