"""Days made anew are those of a new lake, whatever was there and whatever comes between, cut off or not."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from cut_off import CutOff, at_every_point, cut_off_after, cut_off_at
from deliveries import (
    MADE_TABLES,
    NOW,
    TODAY,
    YESTERDAY,
    Row,
    Shop,
    event,
    published_rows,
    random_events,
    state_of,
    text_of,
    view,
)
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from made_tables import in_order, made_tables, tables_of
from memory_shops import MemoryShop, play_in_memory
from other_programs import compact, rewrite

from eventmint import pipeline
from eventmint.contracts import ANSWERS, contract
from eventmint.errors import FixData, FixSettings, LockHeld
from eventmint.lake import Lake
from eventmint.serve.documents import file_outcomes, files_document, history_document
from eventmint.serve.screens import draw_files, draw_history
from eventmint.serve.terminal import Page
from eventmint.serve.truth import load_truth
from eventmint.silver.refine import refine
from eventmint.storage import lock
from eventmint.tables.plan import live_files
from eventmint.values import DayRange, Restatement

LATER = NOW + timedelta(days=9)
LATE_DAY = date(2025, 6, 9)
DAYS = (None, LATE_DAY, YESTERDAY, TODAY, TODAY + timedelta(days=1))
RANGES = tuple(
    DayRange(start, end)
    for start, end in itertools.product(DAYS, DAYS)
    if start is None or end is None or start < end
)
KEY = ("event_time", "user_id")
ALL = DayRange()
# How many lines a step holds in memory at most; the last is what it is in real life.
ROWS = (1, 4, 6_000_000)


def days_of(start: date, end: date | None = None) -> DayRange:
    return DayRange(start, (end or start) + timedelta(days=1))


def restate(shop: Shop, days: DayRange = ALL) -> Restatement:
    return shop.lake.restate(days, now=NOW + timedelta(seconds=1))


def broken(lake: Lake) -> list[str]:
    return [str(law) for law in lake.verify(deep=True) if not law.holds]


def locations(shop: Shop, table: str) -> dict[date | None, set[str]]:
    shape = contract(table)
    found: dict[date | None, set[str]] = {}
    for file in live_files(shop.lake._catalog.load(shape), shape):
        found.setdefault(file.day, set()).add(file.location)
    return found


@pytest.fixture(autouse=True)
def _in_memory(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "real_shop" not in request.fixturenames:
        play_in_memory(monkeypatch)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return lived(MemoryShop(tmp_path))


@pytest.fixture
def real_shop(tmp_path: Path) -> Shop:
    return lived(Shop(tmp_path))


def lived(shop: Shop) -> Shop:
    """A lake of three days, that two files brought, one of them with what the other had brought."""
    shared = random_events(Random(3), 3)
    shop.deliver("a", *random_events(Random(1), 9), *shared, event(), event(quantity=3), b"{")
    shop.run()
    shop.deliver("b", *random_events(Random(2), 9), *shared, event(), view(timestamp="2025-06-09T10:00:00Z"))
    shop.run()
    return shop


# --- Whatever came before --------------------------------------------------------------------------------


@dataclass
class Life:
    """A lake that lives, with files that are new, replaced, late, and days that are made anew between."""

    shop: Shop
    has_run: bool = False
    key: tuple[str, ...] | None = None
    pool: list[Row | bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = Random(7)
        recent = random_events(rng, 14)
        self.pool += recent
        self.pool += [{**one, "timestamp": f"{LATE_DAY}T{one['timestamp'][11:]}"} for one in recent[:4]]
        self.pool += [{**recent[0], "category": "twin"}, b"{", b" "]

    def deliver(self, name: str, number: int) -> None:
        rng = Random(number)
        self.shop.deliver_text(name, text_of(*rng.choices(self.pool, k=rng.choice((1, 6, 12)))))

    def run(self, _argument: object = None) -> None:
        self.shop.run()
        self.has_run = True

    def run_cut_off(self, number: int) -> None:
        with cut_off_after(number), suppress(CutOff):
            self.shop.run()

    def restate(self, days: DayRange) -> None:
        if self.has_run:
            restate(self.shop, days)

    def restate_cut_off(self, days: DayRange, number: int) -> None:
        if self.has_run:
            with cut_off_after(number), suppress(CutOff):
                restate(self.shop, days)

    def maintain(self, _argument: object) -> None:
        if self.has_run:
            with suppress(FixData):  # a lake whose run was cut off is refused
                self.shop.lake.maintain(now=LATER)

    def compact(self, table: str, number: int) -> None:
        if self.has_run:
            compact(self.shop.lake, table, Random(number))


CUTS = st.integers(1, 90)
STEPS = st.one_of(
    st.tuples(st.just(Life.deliver), st.sampled_from("abc"), st.integers(0, 9)),
    st.tuples(st.just(Life.run), st.just(0)),
    st.tuples(st.just(Life.run_cut_off), CUTS),
    st.tuples(st.just(Life.restate), st.sampled_from(RANGES)),
    st.tuples(st.just(Life.restate_cut_off), st.sampled_from(RANGES), CUTS),
    st.tuples(st.just(Life.maintain), st.just(0)),
    st.tuples(st.just(Life.compact), st.sampled_from(("bronze.events", MADE_TABLES[0])), st.integers(0, 9)),
)


@given(
    steps=st.lists(STEPS, min_size=3, max_size=8),
    key=st.sampled_from((None, KEY)),
    rows=st.sampled_from(ROWS),
)
@settings(max_examples=4, deadline=None, phases=(Phase.explicit, Phase.generate))
def test_any_life_with_restatements_ends_where_the_oracle_begins(
    steps: list[Any], key: tuple[str, ...] | None, rows: int
) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "_REFINE_ROWS", rows)
        life = Life(MemoryShop(Path(folder), {"quality__dedup": list(key)} if key else {}))
        life.deliver("a", 1)
        for step, *arguments in steps:
            step(life, *arguments)
        life.run()
        expected = made_tables(set(life.shop.texts.values()), key)
        assert tables_of(life.shop.lake) == expected
        restate(life.shop, RANGES[len(steps)])
        assert tables_of(life.shop.lake) == expected
        assert broken(life.shop.lake) == []
        assert not life.shop.run().changed


# --- What was wrong is mended ----------------------------------------------------------------------------


def altered(rows: pa.Table) -> pa.Table:
    """The rows with another value in the last of them that has one."""
    name = next(
        name
        for name in (
            "quantity",
            "units",
            "events",
            "total_revenue",
            "view_count",
            "views",
            "user_id",
            "session_id",
        )
        if name in rows.column_names
    )
    values = rows[name].to_pylist()
    last = max(number for number, value in enumerate(values) if value is not None)
    values[last] = values[last] + ("x" if isinstance(values[last], str) else 5)
    position = rows.schema.get_field_index(name)
    return rows.set_column(
        position, rows.schema.field(position), pa.array(values, rows.schema.types[position])
    )


def alter_today(shop: Shop, tables: Iterable[str]) -> None:
    for table in tables:
        rewrite(shop.lake, table, lambda rows, day: altered(rows) if day in {None, TODAY} else rows)


def test_wrong_rows_are_mended_by_restating_their_day_and_no_file_of_another_day_changes(shop: Shop) -> None:
    right = tables_of(shop.lake)
    alter_today(shop, MADE_TABLES)
    wrong = tables_of(shop.lake)
    assert [name for name in MADE_TABLES if wrong[name] == right[name]] == []
    before = {name: locations(shop, name) for name in MADE_TABLES}
    assert restate(shop, days_of(TODAY)).days == (TODAY,)
    after = {name: locations(shop, name) for name in MADE_TABLES}
    for name in MADE_TABLES:
        for day in {*before[name], *after[name]} - {None}:
            is_same = before[name].get(day) == after[name].get(day)
            assert is_same == (day != TODAY), (name, day)
    assert tables_of(shop.lake) == right
    assert broken(shop.lake) == []


@pytest.mark.parametrize("point", [None, "commit silver.events_cleaned: after"], ids=["whole", "cut off"])
def test_rows_of_a_day_that_no_line_tells_of_go(shop: Shop, point: str | None) -> None:
    right = tables_of(shop.lake)
    other = TODAY + timedelta(days=1)

    def with_another_day(rows: pa.Table, day: date | None) -> pa.Table:
        if day not in {None, TODAY}:
            return rows
        held = rows.to_pylist()
        return pa.Table.from_pylist(held + [{**row, "event_date": other} for row in held], rows.schema)

    for table in ("gold.product_hours", "gold.daily_users", "silver.event_hours"):
        rewrite(shop.lake, table, with_another_day)
    asked = DayRange(other, None)
    if point is None:
        assert restate(shop, asked).days == (other,)
    else:
        with cut_off_at(point):
            restate(shop, asked)
        shop.run()
    assert tables_of(shop.lake) == right


def test_files_that_wait_since_a_crash_come_first_and_then_the_days_are_made_anew(shop: Shop) -> None:
    alter_today(shop, MADE_TABLES)
    shop.deliver("c", event(quantity=9), view(timestamp="2025-06-08T10:00:00Z"))
    with cut_off_at("commit bronze.ingested_files: after"):
        shop.run()
    restate(shop, days_of(TODAY))
    assert tables_of(shop.lake) == made_tables(list(shop.texts.values()))
    assert broken(shop.lake) == []


def test_hours_are_cut_into_steps_that_lose_none(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = tables_of(shop.lake)
    asked = []

    def noted(session: Any, intake: Any, *arguments: Any) -> Any:
        asked.append(intake.between)
        return refine(session, intake, *arguments)

    monkeypatch.setattr(pipeline, "refine", noted)
    counts = {}
    for rows in (1, 12, 6_000_000):
        asked.clear()
        monkeypatch.setattr(pipeline, "_REFINE_ROWS", rows)
        restate(shop)
        counts[rows] = len(asked)
        assert tables_of(shop.lake) == expected
        assert asked == sorted(asked)
        assert all(one[1] < other[0] for one, other in itertools.pairwise(asked))
    hours = {(row["event_date"], row["event_hour"]) for row in expected["silver.event_hours"]}
    assert counts[1] == len(hours)
    assert counts[1] > counts[12] > counts[6_000_000] == 1


# --- Another key -----------------------------------------------------------------------------------------


def keyed(shop: Shop, *key: str) -> Shop:
    return replace(shop, settings={**shop.settings, "quality__dedup": list(key)})


def test_all_days_go_over_to_another_key_and_back(shop: Shop) -> None:
    texts = list(shop.texts.values())
    other = keyed(shop, *KEY)
    made = restate(other)
    assert made.events == len(made_tables(texts, KEY)[MADE_TABLES[0]]) - len(
        made_tables(texts)[MADE_TABLES[0]]
    )
    assert made.events < 0
    assert tables_of(other.lake) == made_tables(texts, KEY)
    assert broken(other.lake) == []
    assert not other.run().changed
    restate(shop)
    assert tables_of(shop.lake) == made_tables(texts)


def test_a_range_that_holds_every_day_is_all_days(shop: Shop) -> None:
    restate(keyed(shop, *KEY), days_of(LATE_DAY, TODAY))
    assert tables_of(keyed(shop, *KEY).lake) == made_tables(list(shop.texts.values()), KEY)


def test_under_another_key_some_days_are_refused_and_a_run_says_how_to_go_on(shop: Shop) -> None:
    before, other = tables_of(shop.lake), keyed(shop, *KEY)
    for days in (days_of(YESTERDAY, TODAY), DayRange(None, TODAY)):
        for dry_run in (True, False):
            with pytest.raises(FixSettings, match=r"refined under `content`.*restate --all days"):
                other.lake.restate(days, dry_run=dry_run)
    assert tables_of(shop.lake) == before
    other.deliver("c", event(quantity=9), event(timestamp="2025-06-08T10:00:00Z"))
    with pytest.raises(FixSettings, match="go over to the new one with `eventmint restate --all`"):
        other.run()
    # Its file lies in bronze by now; the restatement takes it along.
    restate(other)
    assert tables_of(other.lake) == made_tables(list(other.texts.values()), KEY)
    assert broken(other.lake) == []


def test_a_key_without_the_time_is_refused_and_nothing_is_noted(shop: Shop) -> None:
    before = shop.lake.snapshots()
    with pytest.raises(FixSettings, match="decided over all days at once"):
        restate(keyed(shop, "user_id"))
    assert shop.lake.snapshots() == before
    assert not shop.run().changed


def test_a_key_that_loses_the_time_after_the_intent_was_noted_is_refused_until_it_is_back(
    tmp_path: Path,
) -> None:
    shop = lived(MemoryShop(tmp_path, {"quality__dedup": ["user_id"]}))
    with cut_off_at("commit bronze.ingested_files: after"):
        restate(keyed(shop, *KEY))
    with pytest.raises(FixSettings, match="decided over all days at once"):
        shop.run()
    assert keyed(shop, *KEY).run().laws_hold
    assert tables_of(shop.lake) == made_tables(list(shop.texts.values()), KEY)


def test_some_days_that_were_noted_take_no_other_key_over(shop: Shop) -> None:
    before = tables_of(shop.lake)
    with cut_off_at("commit bronze.ingested_files: after"):
        restate(shop, days_of(TODAY))
    with pytest.raises(FixSettings, match="refined under `content`"):
        keyed(shop, *KEY).run()
    assert shop.run().laws_hold
    assert tables_of(shop.lake) == before


# --- What it says and does -------------------------------------------------------------------------------


def test_what_was_planned_is_what_is_done_and_what_it_tells(shop: Shop) -> None:
    shape = contract(MADE_TABLES[0])
    files = live_files(shop.lake._catalog.load(shape), shape, days=[YESTERDAY, TODAY])
    plan = shop.lake.restate(days_of(YESTERDAY, TODAY), dry_run=True)
    made = restate(shop, days_of(YESTERDAY, TODAY))
    assert replace(plan, dry_run=False, seconds=made.seconds) == made
    assert (made.range, made.days) == ("days 2025-06-14 to 2025-06-15", (YESTERDAY, TODAY))
    hours = made_tables(list(shop.texts.values()))["silver.event_hours"]
    assert made.lines == sum(row["valid"] for row in hours if row["event_date"] != LATE_DAY)
    assert made.replaced[MADE_TABLES[0]] == {
        "files": len(files),
        "bytes": sum(Path(file.location).stat().st_size for file in files),
    }
    record = shop.lake.last_run() or {}
    assert (record["restated"], record["files_landed"]) == (["days 2025-06-14 to 2025-06-15"], 0)
    assert record["days"] == ["2025-06-14", "2025-06-15"]
    assert (record["laws_hold"], set(record["totals"].values())) == (True, {0})


def test_it_is_told_as_a_restatement_and_is_no_file(shop: Shop) -> None:
    before = shop.lake.ledger()
    restate(shop, days_of(TODAY))
    after = shop.lake.ledger()
    assert after.newest_event == before.newest_event
    assert after.live_contents() == before.live_contents()
    page = Page(io.StringIO())
    draw_history(page, history_document(shop.lake.runs(), 10))
    assert "restatement" in page.text()
    assert file_outcomes(after.entries) == file_outcomes(before.entries)
    truth = shop.folder / "truth.json"
    truth.write_text(json.dumps({"files": [{"path": entry.path} for entry in before.entries]}))
    assert load_truth(truth, after.entries) is not None
    document = files_document(after.entries)
    assert document["below"] == files_document(before.entries)["below"] != ""
    page = Page(io.StringIO())
    draw_files(page, document)
    assert "days 2025-06-15 to 2025-06-15  restated" in page.text()
    assert tables_of(shop.lake) == made_tables(list(shop.texts.values()))


def test_a_dry_run_changes_nothing(real_shop: Shop) -> None:
    before = state_of(real_shop.folder)
    real_shop.lake.restate(ALL, dry_run=True)
    assert state_of(real_shop.folder) == before


def test_of_days_without_anything_nothing_is_made(shop: Shop) -> None:
    before = shop.lake.snapshots()
    made = restate(shop, DayRange(date(2030, 1, 1), None))
    assert (made.changed, made.lines, made.days) == (False, 0, ())
    assert shop.lake.snapshots() == before


def test_twice_gives_the_same_rows(shop: Shop) -> None:
    expected = tables_of(shop.lake)
    for days in (ALL, ALL):
        restate(shop, days)
        assert tables_of(shop.lake) == expected
    assert broken(shop.lake) == []


def test_lines_of_a_file_that_was_replaced_do_not_come_back(shop: Shop) -> None:
    shop.deliver("a", event(quantity=9))
    shop.run()
    restate(shop)
    assert tables_of(shop.lake) == made_tables(list(shop.texts.values()))
    assert broken(shop.lake) == []


def test_one_that_was_cut_off_is_not_noted_twice(shop: Shop) -> None:
    with cut_off_at("commit silver.events_cleaned: before"):
        restate(shop, days_of(TODAY))
    restate(shop, days_of(TODAY))
    assert [entry.path for entry in shop.lake.ledger().entries if entry.status == "restated"] == [
        "days 2025-06-15 to 2025-06-15"
    ]
    assert broken(shop.lake) == []


def test_files_that_come_before_bronze_has_heard_of_it_get_a_number_of_their_own(shop: Shop) -> None:
    with cut_off_at("commit bronze.ingested_files: after"):
        restate(shop)
    shop.deliver("c", event(quantity=9))
    assert shop.run().files_landed == 1
    assert [entry.seq for entry in shop.lake.ledger().entries] == [1, 2, 3, 4]
    assert tables_of(shop.lake) == made_tables(list(shop.texts.values()))
    assert broken(shop.lake) == []


def test_from_a_damaged_file_nothing_is_made(real_shop: Shop) -> None:
    shape = contract("bronze.events")
    (file, *_) = live_files(real_shop.lake._catalog.load(shape), shape)
    before = tables_of(real_shop.lake)
    path = Path(file.location)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(FixData, match=r"damaged, and all days would be made anew from it.*verify --deep"):
        restate(real_shop)
    assert tables_of(real_shop.lake) == before


def test_another_one_at_work_is_not_disturbed(shop: Shop) -> None:
    with lock(shop.lake._catalog.location), pytest.raises(LockHeld):
        restate(shop)


def test_readers_see_every_answer_as_it_was_or_as_it_will_be(real_shop: Shop) -> None:
    old = answers_of(real_shop)
    other = keyed(real_shop, *KEY)
    seen = []

    def look(point: str) -> None:
        if point.startswith("publish") or point.endswith((": after", ": trimmed")):
            seen.append(answers_of(other))

    with at_every_point(look):
        restate(other)
    new = answers_of(other)
    assert old != new
    assert len(seen) > 10
    assert [one for one in seen if one not in (old, new)] == []
    assert seen[0] == old
    assert {name: in_order(rows) for name, rows in new.items()} == {
        f"gold.{answer}": made_tables(list(other.texts.values()), KEY)[f"gold.{answer}"] for answer in ANSWERS
    }


def answers_of(shop: Shop) -> dict[str, list[Row]]:
    rows = published_rows(shop)
    return {f"gold.{answer}": rows[f"gold.{answer}"] for answer in ANSWERS}
