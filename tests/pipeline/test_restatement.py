"""A table that was dropped is made again from the one before it, whatever the others had seen of it."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from deliveries import MADE_TABLES, Shop, assert_lake_is, event, random_events
from other_programs import drop

from eventmint import crash_points


class CutOff(BaseException):
    """Ends a run in the middle; nothing of ours catches it."""


@pytest.mark.parametrize("table", MADE_TABLES)
def test_a_dropped_table_is_made_again(tmp_path: Path, table: str) -> None:
    shop = Shop(tmp_path)
    shop.deliver("a", *random_events(Random(1), 10), event(), event())
    shop.run()
    drop(shop.lake, table)
    assert shop.run().laws_hold
    assert_lake_is(shop.lake, shop.expected())


def test_a_dropped_silver_is_no_news_to_gold_that_had_seen_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(point: str) -> None:
        if point == "commit bronze.events: after":
            raise CutOff

    shop = Shop(tmp_path)
    shop.deliver("a", *random_events(Random(1), 10), event())
    shop.run()
    shop.deliver("b", event(quantity=7))
    monkeypatch.setattr(crash_points, "on_reached", cut_off)
    with pytest.raises(CutOff):
        shop.run()
    monkeypatch.undo()
    drop(shop.lake, "silver.events_cleaned")
    assert shop.run().laws_hold
    assert_lake_is(shop.lake, shop.expected())
