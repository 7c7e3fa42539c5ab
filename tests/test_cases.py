"""Every small named case beside a model: a table is a folder with `model.sql`, `contract.toml` and `cases/`.

A case of gold gives rows of the model's input relations, a case of silver gives the raw lines of files in the
order of their delivery; both give the rows expected, compared exactly, types included. A column that a row
leaves out is NULL where the contract allows it, else 0 where it is a number, else what `DEFAULTS` says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import oracle
import pytest
from cases import (
    GOLD,
    MAX_ROWS,
    MODELS,
    NOW,
    RELATIONS,
    SILVER,
    amount_of,
    assert_case_of_gold,
    assert_case_of_silver,
    by_value,
    case_files,
    expected_rows,
    name_of,
    plain,
    read_case,
    run_model,
    text_of,
)

from eventmint.contracts import model_sql
from eventmint.engine.duckdb_engine import DuckDBEngine, DuckDBSession
from eventmint.values import EVENT_COLUMNS


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBSession]:
    with DuckDBEngine(1, 200).session(tmp_path_factory.mktemp("session")) as opened:
        yield opened


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


@pytest.mark.parametrize("path", case_files(*GOLD), ids=name_of)
def test_case_of_gold(path: Path, session: DuckDBSession) -> None:
    assert_case_of_gold(path, session)


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


@pytest.mark.parametrize("path", case_files(*SILVER), ids=name_of)
def test_case_of_silver(path: Path, tmp_path: Path) -> None:
    assert_case_of_silver(path, tmp_path, DuckDBEngine(1, 200))


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
