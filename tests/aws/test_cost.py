"""List prices and the arithmetic on them: by hand, to the last digit."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventmint.aws.cost import (
    WORKER_DPU,
    athena_billed_bytes,
    athena_cost,
    bytes_within,
    glue_cost,
    glue_dpu_seconds,
    lambda_cost,
    load_prices,
    storage_cost,
)

SIZES = st.integers(min_value=0, max_value=10**15)


def test_every_price_says_its_unit_its_page_its_day_and_where_it_was_seen() -> None:
    prices = load_prices()
    assert {"s3_storage", "glue_dpu_hour", "athena_tb", "lambda_gb_second", "cloudwatch_alarm"} <= set(prices)
    for price in prices.values():
        assert price.dollars >= 0
        assert price.unit
        assert price.page.endswith("pricing")
        assert isinstance(price.looked_up, date)
        assert price.seen in {"page", "elsewhere", "nowhere"}


@pytest.mark.parametrize(
    ("scanned", "dollars"),
    [
        (0, "0.00005"),  # ten megabytes at least
        (1, "0.00005"),
        (10_000_000, "0.00005"),
        (10_000_001, "0.000055"),  # every megabyte that was begun
        (200_000_000, "0.001"),
        (10**12, "5"),
    ],
)
def test_a_query_costs_its_megabytes_and_at_least_ten(scanned: int, dollars: str) -> None:
    assert athena_cost(scanned) == Decimal(dollars)


def test_the_bytes_that_a_tenth_of_a_cent_buys() -> None:
    assert bytes_within(Decimal("0.001")) == 200_000_000


@pytest.mark.parametrize(
    ("seconds", "workers", "worker_type", "dpu_seconds"),
    [
        (1, 2, "G.1X", 120),  # a minute at least
        (60, 2, "G.1X", 120),
        (90.5, 2, "G.1X", 181),
        (3600, 10, "G.2X", 72_000),
    ],
)
def test_a_run_is_billed_for_all_workers_and_at_least_a_minute(
    seconds: float, workers: int, worker_type: str, dpu_seconds: int
) -> None:
    assert glue_dpu_seconds(seconds, workers, worker_type) == dpu_seconds


def test_dpu_seconds_cost_a_3600th_of_the_hour() -> None:
    assert glue_cost(72_000) == Decimal("8.80")
    assert glue_cost(3600) == Decimal("0.44")
    assert glue_cost(3600, is_flex=True) == Decimal("0.29")


def test_a_fraction_of_a_second_is_taken_as_it_is_written_not_as_a_float_holds_it() -> None:
    assert glue_dpu_seconds(100.1, 2) == Decimal("200.2")


def test_storage_is_paid_by_the_binary_gigabyte() -> None:
    assert storage_cost(2**30) == Decimal("0.023")
    assert storage_cost(100 * 2**30) == Decimal("2.3")


def test_a_function_is_paid_by_call_and_by_memory_and_time() -> None:
    # 8,640 x 10 s x 1 GB = 86,400 GB-s
    assert lambda_cost(8640, 10, 1024) == 86_400 * Decimal("0.0000166667") + 8640 * Decimal("0.0000002")


@given(SIZES, SIZES)
def test_more_bytes_never_cost_less(one: int, other: int) -> None:
    less, more = sorted((one, other))
    assert athena_cost(less) <= athena_cost(more)
    assert storage_cost(less) <= storage_cost(more)


@given(SIZES)
def test_a_query_is_never_billed_for_less_than_it_scans_nor_for_a_megabyte_more(scanned: int) -> None:
    billed = athena_billed_bytes(scanned)
    assert billed >= scanned
    assert billed - scanned < 10**6 or billed == 10**7


@given(st.integers(min_value=50, max_value=10**9).map(lambda n: Decimal(n) / 10**6))
def test_what_a_sum_buys_is_within_the_sum_and_a_megabyte_more_is_not(dollars: Decimal) -> None:
    within = bytes_within(dollars)
    assert athena_cost(within) <= dollars
    assert athena_cost(within + 1) > dollars


@given(
    st.floats(min_value=0, max_value=10**6),
    st.integers(min_value=2, max_value=100),
    st.sampled_from([*WORKER_DPU]),
)
def test_another_worker_or_second_never_makes_a_run_cheaper(seconds: float, workers: int, size: str) -> None:
    dpu_seconds = glue_dpu_seconds(seconds, workers, size)
    assert glue_dpu_seconds(seconds, workers + 1, size) > dpu_seconds
    assert glue_dpu_seconds(seconds + 1, workers, size) >= dpu_seconds
