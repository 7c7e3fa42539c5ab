"""A table that was dropped is made again from the one before it, whatever the others had seen of it."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from cut_off import cut_off_at
from deliveries import MADE_TABLES, Shop, assert_lake_is, event, random_events
from other_programs import drop


def run_until(shop: Shop, point: str) -> None:
    with cut_off_at(point):
        shop.run()


@pytest.mark.parametrize("table", MADE_TABLES)
def test_a_dropped_table_is_made_again(tmp_path: Path, table: str) -> None:
    shop = Shop(tmp_path)
    shop.deliver("a", *random_events(Random(1), 10), event(), event())
    shop.run()
    drop(shop.lake, table)
    assert shop.run().laws_hold
    assert_lake_is(shop.lake, shop.expected())


def test_a_dropped_silver_is_no_news_to_gold_that_had_seen_the_one_before(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.deliver("a", *random_events(Random(1), 10), event())
    shop.run()
    shop.deliver("b", event(quantity=7))
    run_until(shop, "commit bronze.events: after")
    drop(shop.lake, "silver.events_cleaned")
    assert shop.run().laws_hold
    assert_lake_is(shop.lake, shop.expected())


@pytest.mark.parametrize("dropped", [(), ("silver.event_hours",)], ids=["behind", "dropped"])
def test_a_day_of_which_only_repeats_came_is_in_the_books_also_after_a_crash(
    tmp_path: Path, dropped: tuple[str, ...]
) -> None:
    yesterday = "2025-06-14T10:20:30Z"
    shop = Shop(tmp_path)
    shop.deliver("a", event(timestamp=yesterday), event())
    shop.run()
    shop.deliver("b", event(timestamp=yesterday), event(quantity=7))
    run_until(shop, "commit silver.events_cleaned: after")
    for table in dropped:
        drop(shop.lake, table)
    assert shop.run().laws_hold
    assert_lake_is(shop.lake, shop.expected())


def test_a_day_without_an_event_of_its_own_is_in_the_books_made_anew(tmp_path: Path) -> None:
    shop = Shop(tmp_path, {"quality__dedup": ["user_id"]})
    shop.deliver("a", event(timestamp="2025-06-14T10:20:30Z"), event())
    shop.run()
    drop(shop.lake, "silver.event_hours")
    assert shop.run().laws_hold
    totals = shop.lake.totals()
    assert (totals.valid, totals.events, totals.duplicates) == (2, 1, 1)
