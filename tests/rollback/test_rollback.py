"""A rollback brings back what a run had left, in every table; the next run goes on as from there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import oracle
import pytest
from blocks import blocks
from cut_off import CutOff, at_every_point, cut_off_after, cut_off_at
from deliveries import MADE_TABLES, NOW, TODAY, YESTERDAY, Row, Shop, event, random_events, state_of
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from iceberg_in_memory import IcebergInMemory
from made_tables import in_order, made_tables, published_tables, rows_of_table, tables_of
from memory_shops import MemoryShop, play_in_memory
from other_programs import drop, expire
from replay.test_replay import (
    LATER,
    Life,
    assert_is,
    broken,
    expected_quarantine,
    oracle_of,
    quarantined,
    refund,
    replay,
    under,
)

from eventmint.contracts import all_contracts
from eventmint.errors import FixData, FixSettings, LawBroken, LockHeld
from eventmint.lake import Lake
from eventmint.storage import lock
from eventmint.tables import maintain
from eventmint.values import Law, Rollback

BROUGHT_BACK = ("bronze.events", *MADE_TABLES)
SOON = NOW + timedelta(minutes=1)
Held = dict[str, Any]
AnyShop = TypeVar("AnyShop", bound=Shop)


def held_by(lake: Lake) -> Held:
    """Everything that a rollback to this state must bring back."""
    return {
        **{name: rows_of_table(lake, name) for name in BROUGHT_BACK},
        "ledger": lake.ledger().entries,
        "totals": lake.totals(),
    }


def asked(lake: Lake, run: str) -> dict[str, list[Row]]:
    """What readers are told of the tables as a run left them."""
    with lake.state(run) as state:
        return {name: in_order(state.sql(f"FROM {name}").to_pylist()) for name in BROUGHT_BACK}


def back(shop: Shop, run: str) -> Rollback:
    return shop.lake.rollback(run, now=SOON)


def ids(shop: Shop) -> list[str]:
    return [run["run_id"] for run in shop.lake.runs()]


@pytest.fixture(autouse=True)
def _in_memory(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "real_shop" not in request.fixturenames:
        play_in_memory(monkeypatch)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> MemoryShop:
    with pytest.MonkeyPatch.context() as patch:
        play_in_memory(patch)
        return with_three_runs(MemoryShop(tmp_path_factory.mktemp("memory") / "shop"))


@pytest.fixture(scope="module")
def really_built(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return with_three_runs(Shop(tmp_path_factory.mktemp("real") / "shop"))


@pytest.fixture
def shop(built: MemoryShop) -> Shop:
    return MemoryShop(
        as_it_was(built), texts={**built.texts}, catalog=IcebergInMemory({**built.catalog.states})
    )


@pytest.fixture
def real_shop(really_built: Shop) -> Shop:
    return Shop(as_it_was(really_built), texts={**really_built.texts})


def as_it_was(shop: Shop) -> Path:
    """The shop's folder, in the same place, for tables know their files by absolute path."""
    image = shop.folder.with_name("image")
    if image.exists():
        shutil.rmtree(shop.folder)
        shutil.copytree(image, shop.folder)
    else:
        shutil.copytree(shop.folder, image)
    return shop.folder


def with_three_runs(shop: AnyShop) -> AnyShop:
    """A file; another with repeats of it and bad lines; then the first replaced, and an unreadable one."""
    first = random_events(Random(1), 8)
    shop.deliver("a", *first, refund())
    shop.run()
    shop.deliver("b", *random_events(Random(2), 8), *first[:3], b"{", b"")
    shop.run()
    shop.deliver("a", *first[2:], event(price=7.5))
    shop.deliver_bytes("c", b"no gzip")
    shop.run()
    return shop


# --- Whatever came before --------------------------------------------------------------------------------


@dataclass
class Rewound(Life):
    """A life with the way back; what each run left is remembered, and what had been landed by then."""

    left: dict[str, tuple[Held, set[bytes]]] = field(default_factory=dict)

    def remember(self) -> None:
        last = self.shop.lake.last_run()
        if last and last["run_id"] not in self.left:
            self.left[last["run_id"]] = held_by(self.shop.lake), set(self.landed)

    def run(self, _argument: object = None) -> None:
        super().run()
        self.remember()

    def replay(self, number: int) -> None:
        super().replay(number)
        self.remember()

    def rollback(self, number: int) -> None:
        if self.left:
            self._back_to(sorted(self.left)[number % len(self.left)], lambda: None)

    def rollback_cut_off(self, number: int) -> None:
        def die_first() -> None:
            with cut_off_after(number), suppress(CutOff):
                self.shop.lake.rollback(run, now=SOON)

        if self.left:
            run = sorted(self.left)[number % len(self.left)]
            self._back_to(run, die_first)

    def _back_to(self, run: str, prepare: Callable[[], None]) -> None:
        held, landed = self.left[run]
        lake = self.shop.lake
        try:
            plan = lake.rollback(run, dry_run=True)
        except FixSettings as err:
            assert "not kept any more" in str(err)  # noqa: PT017 - it may be either
            return
        before = lake.totals()
        prepare()
        lake.rollback(run, now=SOON)
        assert held_by(lake) == held
        assert lake.totals().lines == before.lines + plan.totals.lines
        assert lake.totals().events == before.events + plan.totals.events
        assert broken(lake) == []
        self.landed = set(landed)
        self.remember()

    def ask(self, number: int) -> None:
        if self.left:
            run = sorted(self.left)[number % len(self.left)]
            held = self.left[run][0]
            with suppress(FixSettings):  # not kept any more
                assert asked(self.shop.lake, run) == {name: held[name] for name in BROUGHT_BACK}


STEPS = st.one_of(
    st.tuples(st.just(Rewound.deliver), st.sampled_from("abc"), st.integers(0, 6)),
    st.tuples(st.just(Rewound.run), st.just(0)),
    st.tuples(st.just(Rewound.replay), st.integers(0, 2)),
    st.tuples(st.just(Rewound.widen), st.just(0)),
    st.tuples(st.just(Rewound.rollback), st.integers(0, 9)),
    st.tuples(st.just(Rewound.rollback_cut_off), st.integers(1, 30)),
    st.tuples(st.sampled_from((Rewound.maintain, Rewound.compact, Rewound.ask)), st.integers(0, 99)),
)


@given(steps=st.lists(STEPS, min_size=5, max_size=7))
@settings(max_examples=2, deadline=None, phases=(Phase.explicit, Phase.generate))
def test_any_life_can_go_back_and_ends_where_a_new_lake_begins(steps: list[Any]) -> None:
    with TemporaryDirectory() as folder:
        life = Rewound(MemoryShop(Path(folder)))
        for name, number in (("a", 1), ("b", 2), ("a", 3)):
            life.deliver(name, number)
            life.run()
        for step, *arguments in steps:
            step(life, *arguments)
        life.run()
        life.level = 2
        life.widen()
        replay(life.shop, now=LATER)
        assert_is(life.shop, 2, LATER)
        lake, totals = life.shop.lake, life.shop.lake.totals()
        everything = oracle.lake(life.landed, now=LATER, **oracle_of(2))
        assert (totals.lines, totals.blank) == (everything.lines, everything.blank)
        assert quarantined(lake) == expected_quarantine(life.landed, now=LATER, **oracle_of(2))
        assert broken(lake) == []


@given(data=st.data())
@settings(max_examples=2, deadline=None, phases=(Phase.explicit, Phase.generate))
def test_the_run_after_a_rollback_gives_the_lake_before_it(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        shop: Shop = MemoryShop(Path(folder))
        for number in range(data.draw(st.integers(2, 3))):
            rng = Random(number)
            for name in data.draw(st.sets(st.sampled_from("abc"), min_size=1)):
                shop.deliver(name, *random_events(rng, 5), b"{")
            shop.run()
        before, totals = tables_of(shop.lake), shop.lake.totals()
        assert before == made_tables(set(shop.texts.values()))
        run = data.draw(st.sampled_from(ids(shop)))
        plan = back(shop, run)
        shop.run()
        assert tables_of(shop.lake) == before
        # Lines of versions that were replaced since do not come again; all that counts does.
        after = shop.lake.totals()
        terms = (after.valid, after.events, after.duplicates)
        assert terms == (totals.valid, totals.events, totals.duplicates)
        taken_in = {entry.path for entry in shop.lake.ledger().entries if entry.seq > plan.seq}
        assert taken_in == set(plan.files)


# --- What it says and does -------------------------------------------------------------------------------


def test_what_was_planned_is_what_is_done(shop: Shop) -> None:
    first, second, third = ids(shop)
    plan = shop.lake.rollback(first, dry_run=True)
    assert (plan.to, plan.runs, plan.changed, plan.dry_run) == (first, (second, third), True, True)
    assert [Path(file).name for file in plan.files] == ["a.jsonl.gz", "b.jsonl.gz", "c.jsonl.gz"]
    assert plan.files_back == ()
    assert plan.days[-1] == TODAY
    was, now = shop.lake.runs()[0]["lake"], shop.lake.totals()
    assert (plan.totals.lines, plan.totals.events) == (was["lines"] - now.lines, was["events"] - now.events)
    made = back(shop, first)
    assert (made.runs, made.files, made.days, made.totals) == (plan.runs, plan.files, plan.days, plan.totals)


def test_a_dry_run_changes_nothing_and_twice_changes_nothing(real_shop: Shop) -> None:
    shop = real_shop
    first = ids(shop)[0]
    before = state_of(shop.folder)
    shop.lake.rollback(first, dry_run=True)
    assert state_of(shop.folder) == before
    assert back(shop, first).changed
    before = state_of(shop.folder)
    assert not back(shop, first).changed
    assert state_of(shop.folder) == before


def test_a_rollback_is_undone_by_a_rollback_to_the_run_before_it(shop: Shop) -> None:
    first, _, third = ids(shop)
    before = held_by(shop.lake)
    back(shop, first)
    made = back(shop, third)
    assert [Path(file).name for file in made.files_back] == ["a.jsonl.gz", "b.jsonl.gz", "c.jsonl.gz"]
    assert made.files == ()
    assert held_by(shop.lake) == before
    assert not shop.run().changed


def test_days_whose_files_went_and_came_back_are_no_change(tmp_path: Path) -> None:
    shop = MemoryShop(tmp_path)
    for name, day in (("a", TODAY), ("b", YESTERDAY), ("c", TODAY)):
        shop.deliver(name, event(timestamp=f"{day}T09:00:00Z", user_id=name))
        shop.run()
    first, second, third = ids(shop)
    back(shop, first)
    back(shop, third)
    assert shop.lake.rollback(second, dry_run=True).days == (TODAY,)


def test_a_file_that_is_not_there_any_more_does_not_come_back(shop: Shop) -> None:
    before = tables_of(shop.lake)
    (shop.source / "events" / "b.jsonl.gz").unlink()
    back(shop, ids(shop)[0])
    shop.run()
    assert tables_of(shop.lake) == made_tables({shop.texts["a"]}) != before


def test_its_record_tells_what_it_is_and_records_add_up_to_the_lake(shop: Shop) -> None:
    first = ids(shop)[0]
    back(shop, first)
    record = shop.lake.last_run() or {}
    assert (record["rolled_back_to"], record["files_landed"], record["laws_hold"]) == (first, 0, True)
    shop.run()
    assert (shop.lake.last_run() or {})["rolled_back_to"] == ""
    totals = shop.lake.totals()
    for term in ("lines", "blank", "quarantined", "events", "duplicates"):
        assert sum(run["totals"][term] for run in shop.lake.runs()) == getattr(totals, term), term
    for run in shop.lake.runs():
        terms = run["totals"]
        assert terms["lines"] == terms["blank"] + terms["valid"] + terms["quarantined"]


def test_a_run_may_be_named_by_its_beginning(shop: Shop) -> None:
    first, second, _ = ids(shop)
    assert shop.lake.rollback(second[:-1], dry_run=True).to == second
    for name, said in ((first[:8], "several runs begin so"), ("20", "several"), ("no", "no such run")):
        with pytest.raises(FixSettings, match=said):
            back(shop, name)


def without_ids(text: str) -> str:
    return re.sub(r"20\d{6}T\d{6}\.\d{6}-\d{8}", "RUN", text)


def test_a_state_that_is_not_kept_is_refused_with_the_oldest_that_is(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintain, "SNAPSHOTS_BEFORE_TRIMMING", 2)
    monkeypatch.setattr(maintain, "SNAPSHOTS_KEPT", 2)
    shop.deliver("d", event(product_id="p9"))
    shop.run()
    first, _, third, fourth = ids(shop)
    before = held_by(shop.lake)
    for refused in (
        lambda: back(shop, first),
        lambda: shop.lake.sql("FROM user_activity", as_of=first),
    ):
        with pytest.raises(
            FixSettings, match=f"{first}.* not kept any more.*state is kept is {third}"
        ) as error:
            refused()
        (shown,) = blocks("text", page="docs/rollback.md")
        assert without_ids(f"error: {error.value}\n") == without_ids(shown.text)
    assert held_by(shop.lake) == before
    expire(shop.lake, "gold.top_products")
    with pytest.raises(FixSettings, match=f"state is kept is {fourth}"):
        back(shop, third)


def test_a_run_whose_books_did_not_balance_is_no_place_to_go(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.deliver("d", event(product_id="p9"))
    with monkeypatch.context() as patch:
        patch.setattr("eventmint.laws.laws_of_files", _one_broken_law)
        with pytest.raises(LawBroken):
            shop.run()
    good, bad = ids(shop)[-2:]
    with pytest.raises(FixSettings, match="did not balance"):
        back(shop, bad)
    assert back(shop, good).changed
    assert (shop.lake.last_run() or {})["laws_hold"]


def _one_broken_law(entries: Any) -> Iterator[Any]:
    yield from (Law("lines", entry.path, "lines = lines", entry.lines, entry.lines + 1) for entry in entries)


def test_a_missing_file_of_then_is_named_and_nothing_is_done(real_shop: Shop) -> None:
    shop = real_shop
    first = ids(shop)[0]
    for location in (shop.folder / "lake/gold/hourly_revenue").rglob("*.parquet"):
        location.unlink()
    before = shop.lake.snapshots()
    with pytest.raises(FixData, match=r"gold\.hourly_revenue: the file .* is missing"):
        back(shop, first)
    assert shop.lake.snapshots() == before


def test_it_waits_for_no_run_and_needs_a_lake(shop: Shop, tmp_path: Path) -> None:
    with lock(str(shop.folder / "lake")), pytest.raises(LockHeld):
        back(shop, ids(shop)[0])
    with pytest.raises(FixData, match="there is no lake"):
        Shop(tmp_path / "none").lake.rollback("x")


# --- Beside replays, maintenance and other programs ------------------------------------------------------


def test_replayed_lines_go_back_into_the_quarantine(shop: Shop) -> None:
    third = ids(shop)[2]
    before = held_by(shop.lake)
    shop = under(shop, 1)
    assert replay(shop).passed == 1
    back(shop, third)
    assert held_by(shop.lake) == before
    assert replay(shop).passed == 1


def test_merged_files_come_apart_again(real_shop: Shop) -> None:
    shop = real_shop
    first, _, third = ids(shop)
    states = {run: asked(shop.lake, run) for run in (first, third)}
    # The days are closed by then, and no snapshot is old: they are of today.
    made = shop.lake.maintain(now=NOW + timedelta(days=2))
    assert {table.table for table in made.tables if table.files_after < table.files_before} > {
        "bronze.events"
    }
    for run in (first, third):
        assert back(shop, run).changed
        assert {name: rows_of_table(shop.lake, name) for name in BROUGHT_BACK} == states[run]
        assert published_tables(shop) == tables_of(shop.lake)
    assert broken(shop.lake) == []


def test_the_ledger_can_still_be_made_again_from_bronze(shop: Shop) -> None:
    back(shop, ids(shop)[0])
    entries = shop.lake.ledger().entries
    drop(shop.lake, "bronze.ingested_files")
    assert shop.run().files_landed == 2
    assert shop.lake.ledger().entries[: len(entries)] == entries
    assert tables_of(shop.lake) == made_tables({shop.texts["a"], shop.texts["b"]})
    assert broken(shop.lake) == []


@pytest.mark.parametrize("name", ["silver.events_cleaned", "silver.event_hours", "gold.daily_users"])
def test_a_dropped_table_is_made_again_after_a_rollback(shop: Shop, name: str) -> None:
    back(shop, ids(shop)[0])
    before = tables_of(shop.lake)
    drop(shop.lake, name)
    for path in shop.source.rglob("*.gz"):
        path.unlink()
    shop.run()
    assert tables_of(shop.lake) == before
    assert broken(shop.lake) == []


# --- Cut off ---------------------------------------------------------------------------------------------


# What is behind then: everything, all but bronze, gold, nothing. Each is finished by one of the two.
POINTS: dict[str, Callable[..., Any]] = {
    "commit bronze.events: before": back,
    "commit bronze.events: after": back,
    "commit silver.event_hours: after": back,
    "commit gold.product_hours: before": Shop.run,
    "commit gold.user_activity: after": Shop.run,
}


@pytest.mark.parametrize("point", POINTS)
def test_cut_off_anywhere_the_next_rollback_or_run_finishes_it(shop: Shop, point: str) -> None:
    finish = POINTS[point]
    first = ids(shop)[0]
    expected = asked(shop.lake, first)
    with cut_off_at(point):
        back(shop, first)
    if finish is back:
        back(shop, first)
        assert {name: rows_of_table(shop.lake, name) for name in BROUGHT_BACK} == expected
    else:
        assert shop.run().files_landed == 2
        assert tables_of(shop.lake) == made_tables({shop.texts["a"], shop.texts["b"]})
    assert [run["rolled_back_to"] for run in shop.lake.runs()][3:] == [first]


def test_every_table_is_brought_back_and_deep_verification_waits_for_it(shop: Shop) -> None:
    met: list[str] = []
    with at_every_point(met.append):
        back(shop, ids(shop)[0])
    commits = [point.split()[1] for point in met if point.startswith("commit") and point.endswith("before")]
    names = [shape.table for shape in all_contracts()]
    assert sorted(name.rstrip(":") for name in commits) == sorted(names)
    with cut_off_at("commit gold.user_activity: before"):
        back(shop, ids(shop)[1])
    with pytest.raises(FixData, match="a rollback was cut off"):
        shop.lake.verify(deep=True)


def test_what_a_run_had_left_undone_is_rolled_back_too(shop: Shop) -> None:
    third, before = ids(shop)[2], held_by(shop.lake)
    shop.deliver("d", event(product_id="p9"))
    with cut_off_at("commit silver.events_cleaned: before"):
        shop.run()
    assert back(shop, third).changed
    assert held_by(shop.lake) == before
    assert shop.run().files_landed == 1


def test_a_rollback_that_was_cut_off_may_go_elsewhere(shop: Shop) -> None:
    first, second, _ = ids(shop)
    expected = asked(shop.lake, second)
    with cut_off_at("commit silver.event_hours: after"):
        back(shop, first)
    back(shop, second)
    assert {name: rows_of_table(shop.lake, name) for name in BROUGHT_BACK} == expected
    assert broken(shop.lake) == []


def test_where_the_state_is_forgotten_meanwhile_it_is_told_what_to_do(shop: Shop) -> None:
    with cut_off_at("commit bronze.ingested_files: after"):
        back(shop, ids(shop)[0])
    expire(shop.lake, "gold.product_hours")
    with pytest.raises(FixData, match=r"Drop the table gold\.product_hours"):
        shop.run()
    drop(shop.lake, "gold.product_hours")
    shop.run()
    assert tables_of(shop.lake) == made_tables({shop.texts["a"], shop.texts["b"]})
    assert broken(shop.lake) == []
