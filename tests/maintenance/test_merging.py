"""Merging changes no row of any table, and no later run can tell that it happened."""

from __future__ import annotations

import shutil
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from cut_off import cut_off_at
from deliveries import (
    NOW,
    TODAY,
    YESTERDAY,
    Row,
    Shop,
    assert_lake_is,
    event,
    published_rows,
    random_events,
    rows_of,
)
from other_programs import drop

from eventmint import pipeline
from eventmint.contracts import all_contracts, contract
from eventmint.errors import FixData
from eventmint.lake import Lake
from eventmint.maintenance import lay
from eventmint.tables.plan import LiveFile, live_files, newest_files, seq_of
from eventmint.values import Maintenance

LATER = NOW + timedelta(days=2)
MUCH_LATER = NOW + timedelta(days=9000)  # by the clock that snapshots have, too
KEY = ["user_id", "event_type", "product_id"]
EVERY_TABLE = tuple(shape.table for shape in all_contracts())
SETS = ("gold.daily_users", "gold.daily_sessions")
GATHERING = ("bronze.events", "silver.events_cleaned", *SETS, "ops.runs")


def all_rows(lake: Lake) -> dict[str, list[Row]]:
    return {name: rows_of(lake, name) for name in EVERY_TABLE}


def files_of(lake: Lake, name: str) -> list[LiveFile]:
    return live_files(lake._catalog.load(contract(name)), contract(name))


def broken_laws(lake: Lake, *, deep: bool) -> list[str]:
    return [str(law) for law in lake.verify(deep=deep) if not law.holds]


def shop_with_runs(folder: Path, files: int = 2, seed: int = 1, **settings: Any) -> Shop:
    """A shop whose every file came in a run of its own: two days, bad lines, events that came twice."""
    shop, rng = Shop(folder, settings), Random(seed)
    known = random_events(rng, 6)
    for number in range(files):
        shop.deliver(f"f{number}", *random_events(rng, 12), *rng.sample(known, 3), b"{bad", event())
        shop.run()
    return shop


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Shop]:
    """A copy of a shop with two runs behind it, and the shop: Iceberg knows its files by their full paths."""
    folder = tmp_path_factory.mktemp("grown")
    shop = shop_with_runs(folder / "shop")
    shutil.copytree(shop.folder, folder / "kept")
    return folder / "kept", shop


@pytest.fixture
def shop(grown: tuple[Path, Shop]) -> Shop:
    """The grown shop, put back to where it was."""
    kept, shop = grown
    shutil.rmtree(shop.folder)
    shutil.copytree(kept, shop.folder)
    return Shop(shop.folder, texts=dict(shop.texts))


def maintained(shop: Shop) -> Maintenance:
    return shop.lake.maintain(now=LATER)


@pytest.mark.parametrize(("seed", "key"), [(1, None), (2, KEY)], ids=["content", "key"])
def test_no_row_changes_and_what_comes_later_meets_the_same_lake(
    tmp_path: Path, seed: int, key: list[str] | None
) -> None:
    rules = {"dedup": tuple(key)} if key else {}
    shop = shop_with_runs(tmp_path, 3, seed, **({"quality__dedup": key} if key else {}))
    rng = Random(seed)
    gone = [shop.texts["f1"]]
    shop.deliver("f1", *random_events(rng, 5), event(quantity=9))
    shop.run()
    before, published = all_rows(shop.lake), published_rows(shop)

    made = maintained(shop)
    merged = {one.table for one in made.tables if one.files_after < one.files_before}
    assert merged == set(GATHERING) - set(SETS)  # the replaced file has had the sets made anew
    assert all_rows(shop.lake) == before
    assert published_rows(shop) == published
    assert broken_laws(shop.lake, deep=False) == []
    assert broken_laws(shop.lake, deep=True) == []

    def check() -> None:
        assert shop.run().laws_hold
        assert_lake_is(shop.lake, shop.expected(**rules), is_keyed=bool(key), superseded=gone)

    shop.deliver("new", *random_events(rng, 8), event())
    check()
    shop.deliver("late", event(timestamp="2025-06-14T09:00:00Z", user_id="late"), event())
    check()
    shop.deliver_text("copy", shop.texts["f0"])
    check()
    gone.append(shop.texts["f2"])
    shop.deliver("f2", *random_events(rng, 3))
    check()
    assert broken_laws(shop.lake, deep=True) == []


def test_files_of_a_closed_day_become_one_and_those_of_an_open_day_stay(shop: Shop) -> None:
    shop.lake.maintain(now=NOW)
    assert len(files_of(shop.lake, "gold.daily_users")) == 3
    files = files_of(shop.lake, "silver.events_cleaned")
    assert [file.day for file in files].count(YESTERDAY) == 1
    assert [file.day for file in files].count(TODAY) == 2


def test_maintaining_twice_changes_nothing(shop: Shop) -> None:
    assert maintained(shop).changed
    snapshots = shop.lake.snapshots()
    again = maintained(shop)
    assert (again.changed, again.is_complete) == (False, True)
    assert shop.lake.snapshots() == snapshots


def test_what_a_dry_run_says_is_done_then_and_not_before(shop: Shop) -> None:
    snapshots = shop.lake.snapshots()
    plan = shop.lake.maintain(now=LATER, dry_run=True)
    assert shop.lake.snapshots() == snapshots
    done = maintained(shop)
    assert [(one.files_before, one.files_after) for one in plan.tables] == [
        (one.files_before, one.files_after) for one in done.tables
    ]


def test_a_late_event_does_not_cost_its_whole_day(shop: Shop) -> None:
    shop.deliver("large", *random_events(Random(5), 3000))
    shop.run()
    maintained(shop)
    large = max(files_of(shop.lake, "silver.events_cleaned"), key=lambda file: file.rows)
    shop.deliver("late", event(timestamp=f"{large.day}T09:00:00Z", user_id="late"))
    shop.run()
    assert maintained(shop).changed
    assert large in files_of(shop.lake, "silver.events_cleaned")


def test_the_next_run_touches_the_days_of_its_own_file_only(shop: Shop) -> None:
    seqs = {name: seq_of(shop.lake._catalog.load(contract(name))) for name in EVERY_TABLE}
    maintained(shop)
    assert {name: seq_of(shop.lake._catalog.load(contract(name))) for name in EVERY_TABLE} == seqs
    shop.deliver("new", event(user_id="new"))
    assert shop.run().days == (TODAY,)


def test_silver_lies_by_five_minutes_and_person_each_visit_together_also_where_the_sort_was_cut(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lay, "SORTED_ROWS", 5)
    before = rows_of(shop.lake, "silver.events_cleaned")
    maintained(shop)
    assert rows_of(shop.lake, "silver.events_cleaned") == before
    for file in files_of(shop.lake, "silver.events_cleaned"):
        rows = pq.read_table(file.location, partitioning=None).to_pylist()
        visits = [[*visit] for _, visit in groupby(rows, itemgetter("session_id"))]
        assert len(visits) == len({row["session_id"] for row in rows})
        assert all(visit == sorted(visit, key=itemgetter("event_time")) for visit in visits)
        assert len({visit[0]["event_hour"] for visit in visits}) == 3
        assert [*map(place_of, visits)] == sorted(map(place_of, visits))


def place_of(visit: list[dict[str, Any]]) -> tuple[Any, ...]:
    first = visit[0]
    minutes = first["event_time"].minute // 5
    return first["event_hour"], minutes, first["user_id"], first["session_id"]


def test_bronze_keeps_the_lines_of_each_source_file_together_and_in_order(shop: Shop) -> None:
    before = [pq.read_table(f.location, partitioning=None) for f in files_of(shop.lake, "bronze.events")]
    before.sort(key=lambda rows: rows["received_at"][0].as_py())
    maintained(shop)
    (merged,) = files_of(shop.lake, "bronze.events")
    rows = pq.read_table(merged.location, partitioning=None).to_pylist()
    assert rows == [row for table in before for row in table.to_pylist()]


def test_the_ledger_can_be_made_again_from_merged_bronze(shop: Shop) -> None:
    entries = shop.lake.ledger().entries
    shop.lake.maintain(now=MUCH_LATER)  # the files that were merged are gone
    drop(shop.lake, "bronze.ingested_files")
    shop.run()
    assert shop.lake.ledger().entries == entries


def test_the_records_of_runs_stay_and_the_newest_is_still_told(shop: Shop) -> None:
    runs, last, shape = shop.lake.runs(), shop.lake.last_run(), contract("ops.runs")
    maintained(shop)
    assert (shop.lake.runs(), shop.lake.last_run()) == (runs, last)
    # Told from its own file, however many others are laid together.
    assert [file.rows for file in newest_files(shop.lake._catalog.load(shape), shape)] == [1]
    shop.deliver("new", event(user_id="new"))
    report = shop.run()
    maintained(shop)
    newest = shop.lake.last_run()
    assert newest is not None
    assert newest["run_id"] == report.run_id
    assert sorted(file.rows for file in files_of(shop.lake, "ops.runs")) == [1, 2]


def test_a_damaged_file_is_left_alone_and_named(shop: Shop) -> None:
    path = Path(files_of(shop.lake, "bronze.events")[1].location)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(bytes(content))
    made = maintained(shop)
    assert made.damaged == (str(path),)
    assert str(path) in {file.location for file in files_of(shop.lake, "bronze.events")}
    assert any(path.name in law for law in broken_laws(shop.lake, deep=True))


def test_a_merged_file_that_nobody_can_read_is_named_once(shop: Shop) -> None:
    maintained(shop)
    (merged,) = files_of(shop.lake, "bronze.events")
    Path(merged.location).write_bytes(b"no parquet")
    broken = [law for law in shop.lake.verify(deep=True) if not law.holds and law.name == "rows"]
    assert [str(law) for law in broken if "bronze.events" in law.subject] == []


def test_nothing_is_begun_when_the_time_is_up(shop: Shop) -> None:
    snapshots = shop.lake.snapshots()
    made = shop.lake.maintain(now=LATER, max_seconds=0)
    assert (made.changed, made.is_complete) == (False, False)
    assert shop.lake.snapshots() == snapshots
    assert maintained(shop).changed


def test_a_lake_that_a_run_has_left_undone_is_refused(shop: Shop) -> None:
    shop.deliver("new", event(user_id="new"))
    with cut_off_at("commit silver.events_cleaned: after"):
        shop.run()
    with pytest.raises(FixData, match="Run `eventmint run` first"):
        maintained(shop)
    shop.run()
    assert maintained(shop).changed


def test_readers_of_the_database_see_the_new_files_before_the_old_ones_go(shop: Shop) -> None:
    shop.lake.maintain(now=MUCH_LATER)
    with duckdb.connect(str(shop.database), read_only=True) as connection:
        named = {row[0] for row in connection.sql("SELECT location FROM ops.files").fetchall()}
        assert connection.sql("SELECT COUNT(*) FROM silver.events_cleaned").fetchall() != [(0,)]
    held = {file.location for name in EVERY_TABLE if name != "ops.runs" for file in files_of(shop.lake, name)}
    assert named <= held


# --- By itself --------------------------------------------------------------------------------------------


def run_at(shop: Shop, days: float) -> None:
    shop.lake.run(shop.source, now=NOW + timedelta(days=days))


def test_the_first_run_of_a_day_maintains_and_the_others_do_not(shop: Shop) -> None:
    count = len(files_of(shop.lake, "bronze.events"))
    shop.deliver("two days later", event(user_id="new"))
    run_at(shop, 2)
    assert len(files_of(shop.lake, "bronze.events")) == 1 < count
    assert_lake_is(shop.lake, shop.expected())
    shop.deliver("three hours later", event(user_id="newer"))
    run_at(shop, 2.1)
    assert len(files_of(shop.lake, "bronze.events")) == 2


def test_a_run_does_not_maintain_where_it_may_not(tmp_path: Path) -> None:
    shop = shop_with_runs(tmp_path, run__maintain_seconds=0.0)
    shop.deliver("two days later", event(user_id="new"))
    run_at(shop, 2)
    assert len(files_of(shop.lake, "bronze.events")) == 3


def test_what_a_run_had_no_time_for_the_next_one_does(shop: Shop) -> None:
    shop.settings["run__maintain_seconds"] = 1e-9
    shop.deliver("two days later", event(user_id="new"))
    run_at(shop, 2)
    assert len(files_of(shop.lake, "bronze.events")) == 3
    shop.settings["run__maintain_seconds"] = 60.0
    shop.deliver("three hours later", event(user_id="newer"))
    run_at(shop, 2.1)
    assert len(files_of(shop.lake, "bronze.events")) == 1


def test_the_sets_of_an_open_day_stay_in_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "_CROWDED_FILES", 3)
    shop = Shop(tmp_path)
    for number in range(7):
        shop.deliver(f"f{number}", event(user_id=f"u{number}", session_id=f"s{number}"))
        shop.run()
        for name in SETS:
            assert len(files_of(shop.lake, name)) <= 4
    assert_lake_is(shop.lake, shop.expected())
    assert {row["user_id"] for row in rows_of(shop.lake, "gold.daily_users")} == {f"u{n}" for n in range(7)}
