"""A plan says what the run will do, changes nothing, and is refused when anything has changed since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import oracle
import pytest
from cut_off import CutOff, at_every_point, cut_off_at
from deliveries import NOW, TODAY, YESTERDAY, Row, Shop, event, random_events, view
from forget.people import shop_in
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from memory_shops import MemoryShop, play_in_memory
from retention.shops import deliver_days, limits

from eventmint.contracts import ANSWERS
from eventmint.errors import FixSettings, LockHeld, StalePlan, TryAgain
from eventmint.lake import report_to_dict
from eventmint.pipeline import BLOCKS
from eventmint.run_log import Silent
from eventmint.run_plan import RunPlan, deviations, read_plan, write_plan
from eventmint.sources.sample import SampleSettings, generate
from eventmint.storage import lock
from eventmint.values import RunReport

SETS = {"daily_users": "unique_users", "daily_sessions": "unique_sessions"}
GOLD = (*BLOCKS, *(f"gold.{answer}" for answer in ANSWERS))
SOON = NOW + timedelta(minutes=5)
Days = list[str]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryShop:
    play_in_memory(monkeypatch)
    return MemoryShop(tmp_path)


@pytest.fixture
def lived(shop: MemoryShop) -> MemoryShop:
    """A shop with one run behind it, and a file that no run has seen."""
    shop.deliver("a", event(), view())
    run(shop)
    shop.deliver("b", event(user_id="u2"))
    return shop


def everything_in(folder: Path) -> dict[str, str]:
    """Return a digest of every file and folder below one, the lock and scratch included."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else ""
        for path in folder.rglob("*")
    }


def plan(shop: Shop) -> RunPlan:
    return shop.lake.plan(shop.source, now=NOW)


def run(shop: Shop) -> RunReport:
    return shop.lake.run(shop.source, now=NOW)


def do(shop: Shop, planned: RunPlan, now: datetime = SOON) -> dict[str, Any]:
    """Do what was planned; return the record, which must be as planned."""
    record = report_to_dict(shop.lake.run_planned(planned, now=now))
    assert deviations(planned.expected, record) == []
    return record


def plan_changing_nothing(shop: Shop) -> RunPlan:
    _ = shop.lake  # in memory, a lake is there as soon as it is opened
    before = everything_in(shop.folder)
    states = dict(shop.catalog.states) if isinstance(shop, MemoryShop) else {}
    planned = plan(shop)
    assert everything_in(shop.folder) == before
    if isinstance(shop, MemoryShop):
        assert shop.catalog.states.keys() == states.keys()
        assert all(shop.catalog.states[name] is state for name, state in states.items())
    return planned


def days_written(planned: RunPlan, table: str) -> Days:
    return list(planned.expected["wrote"].get(table, {"days": []})["days"])


# --- Whatever came before --------------------------------------------------------------------------------


STEPS = st.one_of(
    st.tuples(st.just("deliver"), st.integers(0, 1 << 16)),
    st.tuples(st.just("replace"), st.integers(0, 1 << 16)),
    st.tuples(st.just("copy"), st.integers(0, 1 << 16)),
    st.tuples(st.just("torn"), st.integers(0, 1 << 16)),
    st.tuples(st.just("cut off"), st.integers(1, 60)),
)


def take(shop: Shop, number: int, kind: str, seed: int) -> None:
    """Let something happen to the source."""
    rng = Random(seed)
    pool: list[Row | bytes] = [*random_events(Random(3), 16), b"{", b" ", event(user_id=""), event(more=1)]
    known = sorted(shop.texts)
    if kind == "torn":
        shop.deliver_bytes(f"torn{number}", b"\x1f\x8b\x08")
    elif kind == "copy" and known:
        shop.deliver_text(f"copy{number}", shop.texts[rng.choice(known)])
    elif kind == "replace" and known:
        shop.deliver(rng.choice(known), *rng.sample(pool, 4))
    else:
        shop.deliver(f"new{number}", *rng.sample(pool, 3), *rng.sample(pool, 3))


@given(steps=st.lists(STEPS, min_size=3, max_size=5))
@settings(max_examples=5, deadline=None, phases=(Phase.explicit, Phase.generate))
def test_the_record_of_a_run_is_its_plan_after_any_history(steps: list[tuple[str, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as place:
        play_in_memory(patch)
        shop = MemoryShop(Path(place), {"quality__max_quarantine": 1.0, "run__batch_mb": 1})
        for number, (kind, seed) in enumerate(steps):
            before = oracle.lake(set(shop.texts.values()), now=NOW)
            take(shop, number, kind, seed)
            if kind == "cut off":
                points = iter(range(seed))

                def stop(_point: str, points: Any = points) -> None:
                    if next(points, None) is None:
                        raise CutOff

                with suppress(CutOff), at_every_point(stop):
                    run(shop)
            planned = plan_changing_nothing(shop)
            record = do(shop, planned, NOW)
            after = oracle.lake(set(shop.texts.values()), now=NOW)
            if kind not in ("cut off", "replace"):
                changed = changed_days(before, after)
                assert days_written(planned, "silver.events_cleaned") == changed
                for table in GOLD:
                    assert days_written(planned, table) == days_of(table, changed, before, after), table
                assert planned.expected["days"] == changed
                assert planned.expected["totals"]["events"] == len(after.events) - len(before.events)
            assert without_bytes(record) == without_bytes(planned.expected)
            assert plan(shop).changed is False


def without_bytes(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what a run wrote by table. The order of rows within a file is left to threads, and so are bytes;
    `do` has looked whether they are near enough."""
    return {
        table: {name: value for name, value in wrote.items() if not name.endswith("_bytes")}
        for table, wrote in record["wrote"].items()
    }


def days_of(table: str, days: Days, before: oracle.OracleLake, after: oracle.OracleLake) -> Days:
    """Return the days of which a table must write something, when events have come on these.

    An answer, and product_hours, where they have any row; a set where somebody came who had not come before.
    """
    answer = table.partition(".")[2]
    if counted := SETS.get(answer):
        grown = [{row["event_date"]: row[counted] for row in lake.user_activity} for lake in (before, after)]
        return [
            day
            for day in days
            if grown[0].get(date.fromisoformat(day), 0) != grown[1][date.fromisoformat(day)]
        ]
    rows = [row for lake in (before, after) for row in getattr(lake, answer, lake.category_performance)]
    return [day for day in days if day in {row["event_date"].isoformat() for row in rows}]


def changed_days(before: oracle.OracleLake, after: oracle.OracleLake) -> Days:
    """Return the days of the events that only one of two lakes has."""
    sets = [{json.dumps(one, default=str, sort_keys=True) for one in lake.events} for lake in (before, after)]
    moments = [json.loads(one)["timestamp"] for one in sets[0] ^ sets[1]]
    return sorted({(oracle.EPOCH + timedelta(microseconds=us)).date().isoformat() for us in moments})


# --- What it knows ---------------------------------------------------------------------------------------


def test_what_repeats_and_what_would_be_quarantined_writes_no_day(lived: MemoryShop) -> None:
    lived.deliver("b", event(), {**event(), "timestamp": "2025-06-13T10:00:00"})
    planned = plan(lived)
    assert planned.expected["days"] == days_written(planned, "silver.events_cleaned") == []
    assert planned.expected["totals"] | {"duplicates": 1, "quarantined": 1} == planned.expected["totals"]
    assert planned.expected["hours"] == ["2025-06-15T10"]  # its books have one more duplicate
    assert planned.expected["quarantined_by_reason"] == {"timestamp_no_zone": 1}
    do(lived, planned)


def test_it_names_each_file_with_what_becomes_of_it(lived: MemoryShop) -> None:
    lived.deliver("a", event(price=8))
    lived.deliver("c", event(user_id="u2"))
    lived.deliver_text("d", lived.texts["c"])
    lived.deliver_bytes("e", b"no gzip")
    lived.deliver("f", event(colour="red", timestamp="2025-06-14T23:00:00Z"), event(colour="blue", size=1))
    planned = plan(lived)
    told = {
        Path(one.file.path).name[0]: (one.outcome, one.reason, one.lines, one.replaces)
        for one in planned.files
    }
    assert told == {
        "a": ("landed", None, 1, True),
        "b": ("landed", None, 1, False),
        "c": ("same_content", None, 0, False),
        "d": ("same_content", None, 0, False),
        "e": ("set_aside", "not_gzip", 0, False),
        "f": ("landed", None, 2, False),
    }
    assert planned.unknown_fields == {"colour": 2, "size": 1}
    assert planned.expected["hours"] == ["2025-06-14T23", "2025-06-15T10"]
    read = planned.expected["read_bytes"]["source"]
    assert read == sum(path.stat().st_size for path in lived.source.rglob("*.gz"))
    do(lived, planned)


def test_lines_are_judged_by_the_time_of_the_plan(lived: MemoryShop) -> None:
    lived.deliver("b", event(timestamp=(NOW + timedelta(hours=30)).isoformat()))
    planned = plan(lived)
    assert planned.expected["quarantined_by_reason"] == {"timestamp_out_of_range": 1}
    do(lived, planned, NOW + timedelta(hours=12))


@pytest.mark.parametrize("point", ["commit bronze.events: after", "commit silver.events_cleaned: after"])
def test_what_a_run_left_behind_is_in_the_plan(lived: MemoryShop, point: str) -> None:
    with cut_off_at(point):
        run(lived)
    planned = plan_changing_nothing(lived)
    assert planned.files == ()
    assert "gold.user_activity" in planned.behind
    assert "bronze.events" not in planned.behind
    assert planned.expected["totals"]["events"] == 1
    assert days_written(planned, "gold.user_activity") == [TODAY.isoformat()]
    record = do(lived, planned)
    assert record["totals"]["lines"] == 1
    assert plan(lived).behind == ()


def test_a_restatement_that_was_cut_off_is_in_the_plan(lived: MemoryShop) -> None:
    from eventmint.values import DayRange

    (lived.source / "events" / "b.jsonl.gz").unlink()
    with cut_off_at("commit bronze.ingested_files: after"):
        lived.lake.restate(DayRange(TODAY, TODAY + timedelta(days=1)), now=NOW)
    planned = plan_changing_nothing(lived)
    assert planned.expected["restated"] == [f"days {TODAY} to {TODAY}"]
    assert days_written(planned, "silver.events_cleaned") == [TODAY.isoformat()]
    do(lived, planned)


def test_lines_of_forgotten_people_are_left_out_of_the_plan(tmp_path: Path) -> None:
    shop = shop_in(tmp_path / "shop")
    shop.deliver("a", event(), event(user_id="u2"))
    shop.run()
    shop.lake.forget(["u2"], now=NOW)
    shop.deliver("b", event(user_id="u2", quantity=2), event(user_id="u3"), b'{"user_id": "u2"')
    planned = plan_changing_nothing(shop)
    assert planned.behind == ()
    totals = planned.expected["totals"]
    assert (totals["lines"], totals["valid"], totals["quarantined"], totals["suppressed"]) == (3, 1, 0, 2)
    assert do(shop, planned)["totals"] == totals


def test_a_person_who_was_forgotten_since_makes_it_stale(tmp_path: Path) -> None:
    shop = shop_in(tmp_path / "shop")
    shop.deliver("a", event())
    shop.run()
    shop.deliver("b", event(user_id="u2"))
    planned = plan(shop)
    shop.lake.forget(["u2"], now=NOW)  # of whom the lake holds nothing yet
    with pytest.raises(StalePlan, match=r"bronze\.suppressed_users"):
        shop.lake.run_planned(planned, now=SOON)


def test_maintenance_is_in_the_plan_on_the_day_that_it_is_due(lived: MemoryShop) -> None:
    assert plan(lived).maintenance is None
    planned = lived.lake.plan(lived.source, now=NOW + timedelta(days=1))
    assert planned.maintenance is not None
    assert {table["table"] for table in planned.maintenance["tables"]} > {"silver.events_cleaned"}


def test_what_retention_removes_after_the_run_is_in_the_plan(tmp_path: Path) -> None:
    shop = Shop(tmp_path, limits(bronze=2))
    deliver_days(shop)
    shop.run()
    assert shop.lake.totals().retained == 0  # not due on the first day
    tomorrow = NOW + timedelta(days=1)
    shop.deliver("next", event(timestamp=tomorrow.isoformat()))
    planned = shop.lake.plan(shop.source, now=tomorrow)
    assert planned.maintenance is not None
    kept_of_today = shop.lake.retain(dry_run=True).rows
    assert planned.maintenance["rows_retained"] > kept_of_today > 0
    shop.lake.run_planned(planned, now=tomorrow)
    assert shop.lake.totals().retained == planned.maintenance["rows_retained"]


# --- Stale -----------------------------------------------------------------------------------------------


def _another_run(shop: MemoryShop) -> MemoryShop:
    run(shop)
    return shop


def _deliver(name: str, *lines: Row) -> Callable[[MemoryShop], MemoryShop]:
    def change(shop: MemoryShop) -> MemoryShop:
        shop.deliver(name, *lines)
        return shop

    return change


def _remove(shop: MemoryShop) -> MemoryShop:
    (shop.source / "events" / "b.jsonl.gz").unlink()
    return shop


def _other(**changed: Any) -> Callable[[MemoryShop], MemoryShop]:
    return lambda shop: MemoryShop(shop.folder, changed, texts=shop.texts, catalog=shop.catalog)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_another_run, "bronze.events has batch 2, had 1"),
        (_deliver("c", event()), "c.jsonl.gz is new"),
        (_deliver("b", event(user_id="u3")), "b.jsonl.gz has changed"),
        (_remove, "b.jsonl.gz is gone"),
        (_other(quality__dedup=["user_id"]), 'quality.dedup is ["user_id"], was ["content"]'),
        (_other(contract__max_line_bytes=99), "contract.max_line_bytes is 99, was 1048576"),
        (_other(source__format="segment"), "source.format is"),
        (_other(run__batch_mb=1), "run.batch_mb is 1, was 100"),
    ],
)
def test_whatever_has_changed_since_is_named_and_nothing_is_done(
    lived: MemoryShop, change: Callable[[MemoryShop], MemoryShop], said: str
) -> None:
    planned = plan(lived)
    shop = change(lived)
    before, states = everything_in(shop.folder), dict(shop.catalog.states)
    with pytest.raises(StalePlan, match="is stale: ") as err:
        shop.lake.run_planned(planned, now=SOON)
    assert said in str(err.value)
    assert (everything_in(shop.folder), shop.catalog.states) == (before, states)


def test_another_version_is_named(lived: MemoryShop) -> None:
    planned = plan(lived)
    for basis, said in (
        (replace(planned.basis, version="0.0.9"), "was 0.0.9"),
        (replace(planned.basis, models="another"), "the contracts or the SQL of the tables are others"),
    ):
        with pytest.raises(StalePlan, match=said):
            lived.lake.run_planned(replace(planned, basis=basis), now=SOON)


def test_a_plan_is_done_once(lived: MemoryShop) -> None:
    planned = plan(lived)
    do(lived, planned)
    with pytest.raises(StalePlan, match="has batch 2, had 1"):
        lived.lake.run_planned(planned, now=SOON)


def test_who_comes_between_the_look_and_the_lock_makes_it_stale(
    lived: MemoryShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = plan(lived)

    def lock_after_another(root: str) -> Any:
        monkeypatch.undo()
        play_in_memory(monkeypatch)
        run(lived)
        return lock(root)

    monkeypatch.setattr("eventmint.lake.lock", lock_after_another)
    with pytest.raises(StalePlan, match="has batch 2, had 1"):
        lived.lake.run_planned(planned, now=SOON)


def test_a_plan_waits_for_nobody_and_is_done_by_one_at_a_time(lived: MemoryShop) -> None:
    with lock(str(lived.folder / "lake")):
        planned = plan(lived)
        with pytest.raises(LockHeld):
            lived.lake.run_planned(planned, now=SOON)
    do(lived, planned)


class RunMeanwhile(Silent):
    """Lets another run go on while one is played."""

    def __init__(self, shop: MemoryShop) -> None:
        self.shop = shop

    def finish(self, stage: str, _note: str) -> None:
        if stage == "bronze":
            run(replace(self.shop, progress=None))


def test_a_run_in_the_middle_of_planning_is_noticed(lived: MemoryShop) -> None:
    lake = lived.lake
    lake._progress = RunMeanwhile(lived)
    with pytest.raises(TryAgain, match="a run has changed the lake"):
        lake.plan(lived.source, now=NOW)


# --- Files -----------------------------------------------------------------------------------------------


def test_a_plan_in_a_file_is_the_plan(lived: MemoryShop, tmp_path: Path) -> None:
    planned, file = plan(lived), tmp_path / "plan.json"
    write_plan(planned, file)
    assert read_plan(file) == planned
    write_plan(read_plan(file), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == file.read_bytes()
    do(lived, read_plan(file))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "its digest is another"),
        ("{", "holds no plan"),
        ("[]", "holds no plan"),
        ('{"format": 99}', "a plan of format 99, expected 1"),
        ('{"format": 1, "sha256": "", "plan": {}}', "its digest is another"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(
    lived: MemoryShop, tmp_path: Path, text: str | None, said: str
) -> None:
    file = tmp_path / "plan.json"
    if text is None:
        write_plan(plan(lived), file)
        text = file.read_text().replace("landed", "lost", 1)
    file.write_text(text)
    with pytest.raises(FixSettings, match=said):
        read_plan(file)


# --- Real lakes ------------------------------------------------------------------------------------------


def test_in_an_empty_home_the_first_run_is_planned_and_nothing_is_made(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.deliver("a", event(), view(timestamp="2025-06-14T10:00:00Z"))
    planned = plan_changing_nothing(shop)
    assert planned.drift.keys() == {*planned.expected["wrote"], "ops.runs"}
    assert planned.expected["days"] == [YESTERDAY.isoformat(), TODAY.isoformat()]
    record = do(shop, planned)
    assert record["laws_hold"]
    assert record["wrote"] == planned.expected["wrote"]
    shop.deliver("a", event(price=9))
    shop.deliver("b", event(price=9), view(user_id="u4"))
    do(shop, plan_changing_nothing(shop))


def test_bytes_of_realistic_files_are_within_a_tenth(tmp_path: Path) -> None:
    """Thousands of lines a file, in several processes, whose rows come in no order that anybody knows."""
    shop = Shop(tmp_path, {"run__workers": 2})
    start = datetime(2026, 1, 15, 10, tzinfo=UTC)
    generate(SampleSettings(3, 4000, shop.source, start, late_rate=0.05, workers=1))
    files = sorted(shop.source.rglob("*.gz"))
    last = files[-1].read_bytes()
    files[-1].unlink()
    for late in (False, True):
        if late:
            files[-1].write_bytes(last)
        now = datetime(2026, 1, 16, tzinfo=UTC)
        planned = shop.lake.plan(shop.source, now=now)
        record = do(shop, planned, now)
        for table in ("bronze.events", "silver.events_cleaned", "gold.product_hours"):
            wrote, said = record["wrote"][table], planned.expected["wrote"][table]
            assert abs(wrote["size_bytes"] / said["size_bytes"] - 1) < 0.1, table
            data = shop.folder / "lake" / table.replace(".", "/") / "data"
            on_disk = sum(path.stat().st_size for path in data.rglob("*.parquet"))
            assert on_disk >= wrote["size_bytes"] > 10_000, table
