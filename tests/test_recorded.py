"""Two sets of behaviour recorded on real shops, with answers by two independent programs.

The sets carry no licence that would let us ship them, so the test runs only where they lie beside the clone.
"""

from __future__ import annotations

import csv
import tarfile
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import eventmint

RECORDED = Path(__file__).parents[2] / "shared" / "data"
# Six visits of rees46_mini have no session: real shops lose cookies, so the field must be optional there.
SETS = {"rees46_mini": ["session_id"], "bestbuy_search": []}


@pytest.fixture(scope="module", params=SETS)
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    archive = RECORDED / f"{request.param}.tar.gz"
    if not archive.exists():
        pytest.skip(f"optional: {archive.name} is not beside this clone")
    folder = tmp_path_factory.mktemp(request.param)
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    lake = eventmint.open_lake(
        lake__root=str(folder / "lake"),
        lake__database=str(folder / "analytics.duckdb"),
        contract__optional=SETS[request.param],
        source__settle_seconds=0.0,
    )
    report = lake.run(folder / request.param)
    assert report.totals.quarantined == 0
    return lake, folder / request.param / "truth" / "dedup_exact"


def read(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_funnel_per_product_equals_the_recorded_truth(recorded: tuple[Any, Path]) -> None:
    lake, truth = recorded
    counted: dict[str, Counter[str]] = {}
    for row in lake.answer("conversion_funnel").to_pylist():
        counted.setdefault(row["product_id"], Counter()).update(
            page_view_events=row["views"],
            add_to_cart_events=row["add_to_carts"],
            purchase_events=row["purchases"],
        )
    expected = {
        row["product_id"]: Counter(
            {name: int(row[name]) for name in ("page_view_events", "add_to_cart_events", "purchase_events")}
        )
        for row in read(truth, "funnel_per_product")
    }
    assert counted == expected


def test_revenue_by_hour_equals_the_recorded_truth(recorded: tuple[Any, Path]) -> None:
    lake, truth = recorded
    assert [
        (str(row["event_date"]), row["event_hour"], row["transaction_count"], row["total_revenue"])
        for row in lake.answer("hourly_revenue").to_pylist()
    ] == [
        (row["date"], int(row["hour_utc"]), int(row["purchases"]), Decimal(row["revenue"]))
        for row in read(truth, "revenue_date_hour")
    ]


def test_the_top_ten_equals_the_recorded_truth(recorded: tuple[Any, Path]) -> None:
    lake, truth = recorded
    statement = (Path(__file__).parents[1] / "queries.sql").read_text().split(";")[2]
    assert [(row["product_id"], row["view_count"]) for row in lake.sql(statement).to_pylist()] == [
        (row["product_id"], int(row["page_views"])) for row in read(truth, "top10_products")
    ]


def test_events_per_day_and_category_equal_the_recorded_truth(recorded: tuple[Any, Path]) -> None:
    lake, truth = recorded
    assert {
        (str(row["event_date"]), row["category"]): row["events"]
        for row in lake.answer("category_performance").to_pylist()
    } == {
        (row["date"], "(none)" if row["category"] == r"\N" else row["category"]): int(row["events"])
        for row in read(truth, "events_day_category")
    }


def test_users_and_sessions_per_day_equal_the_recorded_truth(recorded: tuple[Any, Path]) -> None:
    lake, truth = recorded
    assert [
        (str(row["event_date"]), row["events"], row["unique_users"], row["unique_sessions"])
        for row in lake.answer("user_activity").to_pylist()
    ] == [
        (row["date"], int(row["events"]), int(row["users"]), int(row["sessions"]))
        for row in read(truth, "uniques_per_day")
    ]
