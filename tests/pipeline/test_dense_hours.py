"""Hours in which much arrives late are compared by a join, others by a list of times: same result."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from deliveries import Shop, assert_lake_is, random_events

from eventmint.engine import duckdb_engine


def test_late_repeats_in_a_dense_hour_are_found_like_those_in_a_sparse_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duckdb_engine, "_SPARSE_TIMES", 1)
    shop = Shop(tmp_path)
    events = random_events(Random(7), 60)
    shop.deliver("a", *events[:40])
    shop.run()
    shop.deliver("b", *events[20:], *events[5:10])
    shop.run()
    assert_lake_is(shop.lake, shop.expected())
