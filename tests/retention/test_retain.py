"""What is too old goes; what is young enough is, bit for bit, what a lake has that never had retention."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from cut_off import CutOff, cut_off_after
from deliveries import NOW, Row, Shop, event, rows_of, text_of
from forget.people import ANNA, found_in, of_anna
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from made_tables import made_tables, tables_of
from memory_shops import MemoryShop, play_in_memory
from other_programs import compact, drop, rewrite
from retention.shops import DAYS, LIMITS, day, deliver_days, events_of, limits

from eventmint.errors import FixData, FixSettings
from eventmint.lake import Lake
from eventmint.serve.documents import books
from eventmint.serve.screens import laws_sentence
from eventmint.values import DayRange, Retention

SILVER = ("silver.events_cleaned", "gold.product_hours", "gold.daily_users", "gold.daily_sessions")
BOOKS = "silver.event_hours"


def broken(lake: Lake) -> list[str]:
    return [str(law) for law in lake.verify(deep=True) if not law.holds]


def retain(shop: Shop, **how: Any) -> Retention:
    return shop.lake.retain(now=NOW + timedelta(hours=1), **how)


def files_of(shop: MemoryShop) -> tuple[int, list[Path]]:
    """How many commits there were, and every file of the tables."""
    return shop.catalog.commits, sorted((shop.folder / "lake").rglob("*.parquet"))


def sentence(lake: Lake) -> str:
    ledger = lake.ledger()
    return laws_sentence(books(lake.totals(), ledger.entries, ledger.live_contents()))


@pytest.fixture(autouse=True)
def _in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    play_in_memory(monkeypatch)


@pytest.fixture
def shop(tmp_path: Path) -> MemoryShop:
    return lived(MemoryShop(tmp_path, LIMITS))


def lived(shop: MemoryShop) -> MemoryShop:
    deliver_days(shop)
    shop.run()
    return shop


# --- What goes and what stays ----------------------------------------------------------------------------


def test_each_layer_keeps_its_own_days_and_the_books_all_of_them(shop: MemoryShop) -> None:
    before = tables_of(shop.lake)
    made = retain(shop)
    after = tables_of(shop.lake)
    for name, rows in before.items():
        first = day(9) if name == BOOKS else day(3) if name in SILVER else day(5)
        assert after[name] == [row for row in rows if row["event_date"] >= first], name
    bronze = rows_of(shop.lake, "bronze.events")
    valid = [row["event_time"].date() for row in bronze if row["problem"] is None]
    assert set(valid) == {day(2), day(1), day(0)}
    assert len([row for row in bronze if row["problem"]]) == 4  # received today, all of them
    gone = {layer.layer: (layer.before, layer.rows, [*layer.days]) for layer in made.layers}
    assert gone["bronze"] == (day(2), 30, [day(ago) for ago in (7, 6, 5, 4, 3)])
    assert gone["quarantine"] == (day(1), 0, [])
    of_silver = sum(len(before[name]) - len(after[name]) for name in SILVER)
    assert gone["silver"] == (day(3), of_silver, [day(ago) for ago in (7, 6, 5, 4)])
    assert gone["gold"][::2] == (day(5), [day(7), day(6)])
    assert broken(shop.lake) == []


def test_what_came_stays_counted(shop: MemoryShop) -> None:
    shop.deliver("day 6", event(quantity=5))  # what it had said goes, and had not counted any more
    shop.run()
    before = shop.lake.totals()
    retain(shop)
    after = shop.lake.totals()
    assert after.retained == 30
    assert after - before == type(after)(retained=30)
    assert sentence(shop.lake).startswith("every line accounted for: ")
    assert sentence(shop.lake).endswith("; retention has removed 30 of these lines")
    last = shop.lake.last_run()
    assert last is not None
    assert last["retained"] == [f"{layer} before {day(ago)}" for layer, ago in sorted(DAYS.items())]
    assert (last["totals"]["lines"], last["totals"]["events"], last["totals"]["valid"]) == (0, 0, 0)


def test_quarantined_lines_go_by_when_they_were_received(tmp_path: Path) -> None:
    shop = MemoryShop(tmp_path, limits(quarantine=3))
    for ago in (5, 0):
        at = day(ago)
        name = f"year={at:%Y}/month={at:%m}/day={at:%d}/hour=10/minute=00/events-{at:%Y%m%d}-100000"
        shop.deliver(name, event(timestamp=f"{at}T09:00:00Z"), b"{", b"[]")
    shop.run()
    assert [layer.rows for layer in retain(shop).layers] == [2]
    lake = shop.lake
    assert (lake.totals().quarantined, lake.totals().retained) == (4, 2)
    assert lake.quarantine_by_reason() == {"json_invalid": 1, "not_an_object": 1}
    assert [row["event_time"].date() for row in rows_of(lake, "silver.events_cleaned")] == [day(5), day(0)]
    assert broken(lake) == []


def test_a_second_time_and_a_plan_change_nothing(shop: MemoryShop) -> None:
    state = files_of(shop)
    planned = retain(shop, dry_run=True)
    assert files_of(shop) == state
    made = retain(shop)
    assert (planned.layers, planned.seq, made.seq) == (made.layers, 0, 2)
    state, runs = files_of(shop), len(shop.lake.runs())
    again = retain(shop)
    assert (again.changed, again.seq, len(shop.lake.runs())) == (False, 0, runs)
    assert files_of(shop) == state
    assert not shop.run().changed


def test_a_shop_that_stands_still_loses_nothing(shop: MemoryShop) -> None:
    retain(shop)
    rows = tables_of(shop.lake)
    shop.lake.maintain(now=NOW + timedelta(days=900))
    assert tables_of(shop.lake) == rows


def test_the_first_run_of_a_day_does_it_and_then_maintains(shop: MemoryShop) -> None:
    shop.deliver("next", event(timestamp=f"{day(-1)}T09:00:00Z"))
    lake = shop.lake
    lake.run(shop.source, now=NOW + timedelta(days=1))
    assert lake.ledger().closed_before == day(1)
    runs = lake.runs()[-2:]
    assert [bool(run["retained"]) for run in runs] == [False, True]
    assert "source" in runs[0]["read_bytes"]
    assert "source" not in runs[1]["read_bytes"]  # it tells of itself alone
    assert lake.maintain(now=NOW + timedelta(days=1)).rows_retained == 0
    assert broken(lake) == []


# --- What comes later ------------------------------------------------------------------------------------


def test_lines_for_a_day_that_is_gone_are_quarantined_as_expected_and_told_apart(shop: MemoryShop) -> None:
    retain(shop)
    held = tables_of(shop.lake)
    midnight = f"{day(2)}T00:00:00Z"
    shop.deliver(
        "late",
        event(timestamp=midnight),
        event(timestamp=f"{day(3)}T23:59:59.999999Z"),
        event(timestamp=f"{day(6)}T10:00:00Z", quantity=0),
        event(timestamp="1999-01-01T10:00:00+02:00", device="phone"),
    )
    report = shop.run()
    assert report.quarantined_by_reason == {"past_retention": 2, "quantity_out_of_range": 1}
    assert (report.totals.valid, report.totals.quarantined, report.quarantine_rate) == (1, 3, 0.5)
    kept = list(shop.lake.quarantine("past_retention"))
    assert [row["line_number"] for row in kept] == [2, 4]
    assert {
        name: [r for r in rows if r["event_date"] != day(2)] for name, rows in tables_of(shop.lake).items()
    } == {name: [r for r in rows if r["event_date"] != day(2)] for name, rows in held.items()}
    assert broken(shop.lake) == []


def test_a_replay_takes_no_event_in_for_a_day_that_is_gone(tmp_path: Path) -> None:
    shop = lived(MemoryShop(tmp_path, LIMITS))
    refunds = [event(event_type="refund", timestamp=f"{day(ago)}T09:00:00Z") for ago in (6, 0)]
    shop.deliver("refunds", *refunds)
    shop.run()
    retain(shop)
    shop.settings = {**LIMITS, "contract__event_types": ["page_view", "purchase", "refund"]}
    lake = MemoryShop(shop.folder, shop.settings, catalog=shop.catalog).lake
    planned = lake.replay_quarantine(now=NOW + timedelta(hours=2), dry_run=True)
    made = lake.replay_quarantine(now=NOW + timedelta(hours=2))
    assert (planned.passed, made.passed, made.other_reasons) == (1, 1, 1)
    assert lake.quarantine_by_reason()["past_retention"] == 1
    assert broken(lake) == []


def test_a_replaced_file_takes_back_what_is_left_of_it_and_no_more(shop: MemoryShop) -> None:
    retain(shop)
    held = tables_of(shop.lake)
    shop.deliver("day 2", event(quantity=77))  # of it one day is closed, and one is not
    assert shop.run().laws_hold
    found = tables_of(shop.lake)
    for name in SILVER:
        assert [r for r in found[name] if r["event_date"] == day(3)] == [
            r for r in held[name] if r["event_date"] == day(3)
        ]
        assert [r for r in found[name] if r["event_date"] == day(2)] == []
    assert sentence(shop.lake).startswith("every line accounted for")
    assert broken(shop.lake) == []


def test_days_whose_lines_are_gone_are_not_made_anew(shop: MemoryShop) -> None:
    retain(shop)
    held = tables_of(shop.lake)
    with pytest.raises(FixSettings, match=f"before {day(2)}"):
        shop.lake.restate(DayRange(day(3), day(1)))
    made = shop.lake.restate(DayRange())
    assert made.days == (day(2), day(1), day(0))
    assert tables_of(shop.lake) == held
    assert broken(shop.lake) == []


def test_a_rollback_brings_back_what_retention_removed_and_the_next_one_removes_it_again(
    shop: MemoryShop,
) -> None:
    first = shop.lake.runs()[0]["run_id"]
    before = tables_of(shop.lake)
    retain(shop)
    after = tables_of(shop.lake)
    shop.lake.rollback(first, now=NOW + timedelta(hours=2))
    assert tables_of(shop.lake) == before
    drop(shop.lake, "bronze.ingested_files")  # bronze must not say either that anything was removed
    shop.deliver("late", event(timestamp=f"{day(6)}T10:00:00Z"))
    assert shop.run().quarantined_by_reason == {}
    shop.texts.pop("late")
    assert retain(shop).changed
    assert list(tables_of(shop.lake)["silver.events_cleaned"]) == after["silver.events_cleaned"]
    assert broken(shop.lake) == []


def test_a_ledger_that_is_lost_still_knows_what_was_removed(shop: MemoryShop) -> None:
    retain(shop)
    held = tables_of(shop.lake)
    drop(shop.lake, "bronze.ingested_files")
    shop.deliver("late", event(timestamp=f"{day(6)}T10:00:00Z"))
    report = shop.run()
    assert report.laws_hold
    assert shop.lake.ledger().closed_before == day(2)
    assert report.quarantined_by_reason["past_retention"] > 0
    assert tables_of(shop.lake) == held
    assert broken(shop.lake) == []


@pytest.mark.parametrize("table", [BOOKS, "gold.user_activity"])
def test_what_can_be_made_again_is_and_no_closed_day_is_emptied(shop: MemoryShop, table: str) -> None:
    retain(shop)
    held = tables_of(shop.lake)
    compact(shop.lake, "silver.events_cleaned", Random(1))
    compact(shop.lake, "bronze.events", Random(1))
    shop.deliver("more", event(quantity=5), *events_of(2, 77))
    shop.run()
    found = tables_of(shop.lake)
    for name in (table, *SILVER):
        closed = [row for row in held[name] if row["event_date"] < day(2)]
        assert [row for row in found[name] if row["event_date"] < day(2)] == closed, name
    assert broken(shop.lake) == []


@pytest.mark.parametrize("table", ["silver.events_cleaned", "gold.user_activity", BOOKS])
def test_what_is_altered_in_a_closed_day_is_found_as_long_as_anything_tells(
    shop: MemoryShop, table: str
) -> None:
    retain(shop)

    def without_one(rows: pa.Table, _day: date | None) -> pa.Table:
        closed = [n for n, when in enumerate(rows["event_date"].to_pylist()) if when == day(3)]
        return rows.filter(pa.array([n not in closed[:1] for n in range(rows.num_rows)], pa.bool_()))

    rewrite(shop.lake, table, without_one)
    assert {str(day(3)) in law.subject for law in shop.lake.verify() if not law.holds} == {True}


def test_deep_verification_tells_which_days_are_counted_and_not_proven(shop: MemoryShop) -> None:
    retain(shop)
    told = [law.subject for law in shop.lake.verify(deep=True) if "not proven" in law.terms]
    assert [subject[-10:] for subject in told] == [str(day(ago)) for ago in (5, 4, 3)]
    assert "silver.events_cleaned" in told[-1]
    assert "silver.events_cleaned" not in told[0]


# --- Refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "wrong"),
    [
        ({"silver": 3}, "silver_days"),
        ({"bronze": 4, "silver": 3}, "silver_days"),
        ({"bronze": 1, "gold": 3}, "gold_days"),
        ({"bronze": 1, "silver": 5, "gold": 3}, "gold_days"),
        ({"bronze": -1}, "bronze_days"),
        ({"quarantine": 40_000}, "quarantine_days"),
    ],
)
def test_limits_that_contradict_each_other_are_refused(
    tmp_path: Path, days: dict[str, int], wrong: str
) -> None:
    with pytest.raises(FixSettings, match=f"retention.{wrong}"):
        MemoryShop(tmp_path, limits(**days)).lake  # noqa: B018 - it is opened


def test_a_key_without_time_goes_with_no_limit_but_that_of_the_quarantine(tmp_path: Path) -> None:
    key = {"quality__dedup": ["user_id"]}
    with pytest.raises(FixSettings, match="event_time"):
        MemoryShop(tmp_path, {**limits(bronze=3), **key}).lake  # noqa: B018 - it is opened
    MemoryShop(tmp_path, {**limits(quarantine=3), **key}).lake  # noqa: B018 - it is opened


def test_a_damaged_file_stops_it_before_anything_is_removed(shop: MemoryShop) -> None:
    for path in (shop.folder / "lake" / "bronze" / "events").rglob("*.parquet"):
        path.write_bytes(path.read_bytes()[:-1] + b"2")
    rows = tables_of(shop.lake)
    with pytest.raises(FixData, match="damaged"):
        retain(shop)
    assert tables_of(shop.lake) == rows


# --- People ----------------------------------------------------------------------------------------------


def test_who_is_forgotten_is_also_taken_out_of_days_whose_lines_are_gone(tmp_path: Path) -> None:
    shop = MemoryShop(tmp_path / "shop", {**LIMITS, "privacy__key_file": str(tmp_path / "key")})
    never = MemoryShop(tmp_path / "never", LIMITS)
    for one in (shop, never):
        for ago in range(7, -1, -1):
            theirs = [of_anna(timestamp=f"{day(ago)}T09:30:00Z", price=ago)] * 2 if one is shop else []
            one.deliver(f"day {ago}", *events_of(ago, ago), *theirs)
        one.run()
        retain(one)
    made = shop.lake.forget([ANNA], now=NOW + timedelta(hours=2))
    assert (made.valid, made.closed, made.days) == (6, 1, tuple(day(ago) for ago in (3, 2, 1, 0)))
    names = (*SILVER, "gold.user_activity")
    expected, found = tables_of(never.lake), tables_of(shop.lake)
    for name in names:
        first = day(3)  # of before, the answers count her without a name
        assert [r for r in found[name] if r["event_date"] >= first] == [
            r for r in expected[name] if r["event_date"] >= first
        ], name
    assert found_in(shop.folder / "lake") == []
    assert sentence(shop.lake).startswith("every line accounted for")
    assert broken(shop.lake) == []


# --- Whatever happens ------------------------------------------------------------------------------------


@dataclass
class Life:
    """A lake whose days pass, with files that are new, late, replaced and repeated, and what cuts it off."""

    shop: MemoryShop
    today: int = 8
    has_run: bool = False
    is_stale: bool = True
    hours: int = 0
    frozen: dict[str, dict[date, list[Row]]] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)

    def deliver(self, name: str, number: int) -> None:
        """A file of some of the days so far, or what another one has."""
        rng = Random(number)
        others = sorted(self.shop.texts)
        if others and number % 5 == 0:
            text = self.shop.texts[rng.choice(others)]
        else:
            some = [self.today, *(rng.randrange(self.today, 12) for _ in range(2))]
            rows = [row for ago in some for row in events_of(ago, rng.randrange(3), 3)]
            text = text_of(*rows, *rows[:1], b"{")
        self.shop.deliver_text(name, text)
        self.is_stale = True

    def days_pass(self, count: int) -> None:
        self.today = max(0, self.today - count)
        self.deliver(f"{self.today}", 1)

    def moment(self) -> Any:
        self.hours += 1
        return NOW + timedelta(minutes=self.hours)

    def run(self, _number: int = 0) -> None:
        self.shop.lake.run(self.shop.source, now=self.moment())
        self.has_run, self.is_stale = True, False
        self.look()

    def retain(self, _number: int = 0) -> None:
        if self.has_run:
            with suppress(FixData):  # a lake whose run was cut off is refused
                self.shop.lake.retain(now=self.moment())
                if not self.is_stale:
                    self.look()

    def cut_off(self, number: int) -> None:
        """End a run, or a retention, at some point."""
        act = self.run if number % 2 else self.retain
        with cut_off_after(number), suppress(CutOff):
            act()

    def compact(self, number: int) -> None:
        if self.has_run:
            compact(self.shop.lake, ("bronze.events", "silver.events_cleaned")[number % 2], Random(number))

    def look(self) -> None:
        """What is young enough is what the oracle says; closed days are as they were, or gone."""
        lake = self.shop.lake
        horizons = lake.ledger().horizons
        closed_before = horizons.get("bronze", date.min)
        expected = made_tables(set(self.shop.texts.values()))
        for name, rows in tables_of(lake).items():
            open_rows = [row for row in rows if row["event_date"] >= closed_before]
            assert open_rows == [row for row in expected[name] if row["event_date"] >= closed_before], name
            layer = "silver" if name in SILVER else "gold"
            kept_from = date.min if name == BOOKS else horizons.get(layer, date.min)
            seen = self.frozen.setdefault(name, {})
            closed: dict[date, list[Row]] = {}
            for row in rows:
                if row["event_date"] < closed_before:
                    closed.setdefault(row["event_date"], []).append(row)
            assert all(when >= kept_from for when in closed), name
            for when, those in closed.items():
                assert seen.setdefault(when, those) == those, (name, when)
            assert {when for when in seen if when >= kept_from} <= closed.keys(), name


STEPS: st.SearchStrategy[tuple[Callable[..., None], Any]] = st.one_of(
    st.tuples(st.just(Life.deliver), st.just("a"), st.integers(0, 50)),
    st.tuples(st.just(Life.deliver), st.sampled_from("bcd"), st.integers(0, 50)),
    st.tuples(st.just(Life.days_pass), st.integers(1, 4)),
    st.tuples(st.just(Life.run), st.just(0)),
    st.tuples(st.just(Life.retain), st.just(0)),
    st.tuples(st.just(Life.cut_off), st.integers(1, 90)),
    st.tuples(st.just(Life.compact), st.integers(0, 3)),
)


@given(
    steps=st.lists(STEPS, min_size=5, max_size=9),
    days=st.sampled_from(((1, 1, 1), (1, 2, 4), (2, 2, 0), (3, 0, 0))),
)
@settings(max_examples=3, deadline=None, phases=(Phase.explicit, Phase.generate))
def test_whatever_happens_what_is_young_enough_is_what_the_oracle_says(
    steps: list[Any], days: tuple[int, int, int]
) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        play_in_memory(patch)
        bronze, silver, gold = days
        life = Life(MemoryShop(Path(folder), limits(bronze=bronze, silver=silver, gold=gold)))
        life.deliver("a", 1)
        for step, *arguments in steps:
            step(life, *arguments)
        life.run()
        life.retain()
        assert broken(life.shop.lake) == []
        assert sentence(life.shop.lake).startswith("every line accounted for")
        state = files_of(life.shop)
        life.retain()
        assert files_of(life.shop) == state
