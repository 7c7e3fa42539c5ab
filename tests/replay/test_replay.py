"""A replay ends where a new lake would begin: the same files under today's contract, whatever came before."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import oracle
import pytest
from cut_off import CutOff, at_every_point, cut_off_after, cut_off_at
from deliveries import (
    NOW,
    TODAY,
    Row,
    Shop,
    event,
    random_events,
    state_of,
    text_of,
    view,
)
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from made_tables import in_order, tables_of
from memory_shops import MemoryShop, play_in_memory
from other_programs import compact, drop, expire

from eventmint import crash_points
from eventmint.contracts import ANSWERS, contract
from eventmint.errors import FixData, LawBroken, LockHeld
from eventmint.lake import Lake
from eventmint.storage import lock
from eventmint.tables.plan import LiveFile, live_files, may_hold_values
from eventmint.values import Replay

LATER = NOW + timedelta(days=9)
WIDER = [*oracle.EVENT_TYPES, "refund"]
# Each contract takes what the one before did, and more.
CONTRACTS: tuple[dict[str, Any], ...] = (
    {},
    {"event_types": WIDER},
    {"event_types": WIDER, "optional": ["user_id"]},
)
REASONS = (None, "event_type_unknown", "user_id_missing")


def refund(**changes: Any) -> Row:
    return event(event_type="refund", **changes)


def under(shop: Shop, level: int) -> Shop:
    """The same lake under another contract."""
    rules = {f"contract__{name}": value for name, value in CONTRACTS[level].items()}
    return replace(shop, settings=rules)


def oracle_of(level: int) -> dict[str, Any]:
    kinds = {"event_types": tuple, "optional": frozenset}
    return {name: kinds[name](value) for name, value in CONTRACTS[level].items()}


def replay(shop: Shop, reason: str | None = None, *, now: datetime = NOW) -> Replay:
    return shop.lake.replay_quarantine(reason, now=now + timedelta(seconds=1))


def broken(lake: Lake) -> list[str]:
    return [str(law) for law in lake.verify(deep=True) if not law.holds]


def files_of_bronze(shop: Shop) -> list[LiveFile]:
    shape = contract("bronze.events")
    return live_files(shop.lake._catalog.load(shape), shape)


def quarantined(lake: Lake) -> Counter[Any]:
    lines = lake.quarantine(limit=100_000)
    return Counter((line["problem"], line["line_number"], line["raw"]) for line in lines)


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
    """A lake of two files with refunds, one of them twice, among what is right and what will never be."""
    shop.deliver("a", *random_events(Random(1), 6), refund(), refund(product_id="p2"), b"\xff\xfe{")
    shop.deliver("b", *random_events(Random(2), 6), refund(), refund(price=None, user_id=""), b"[]", b"")
    shop.run()
    return under(shop, 1)


def assert_is(shop: Shop, level: int = 1, now: datetime = NOW) -> None:
    """Compare answers and terms with the oracle's for the files that lie there under a contract."""
    expected = oracle.lake(set(shop.texts.values()), now=now, **oracle_of(level))
    held = tables_of(shop.lake)
    for answer in ANSWERS:
        assert held[f"gold.{answer}"] == in_order(getattr(expected, answer)), answer
    totals = shop.lake.totals()
    terms = (expected.valid, len(expected.events), expected.duplicates)
    assert (totals.valid, totals.events, totals.duplicates) == terms


# --- Whatever came before --------------------------------------------------------------------------------


@dataclass
class Life:
    """A lake that lives, and what is known of it without asking it."""

    shop: Shop
    landed: set[bytes] = field(default_factory=set)
    level: int = 0

    def __post_init__(self) -> None:
        rng = Random(7)
        self.pool: list[Row | bytes] = [*random_events(rng, 12), view(timestamp="2025-06-20T10:00:00Z")]
        self.pool += [{**one, "event_type": "refund"} for one in random_events(rng, 8)]
        self.pool += [{**one, "user_id": None} for one in random_events(rng, 4)]
        self.pool += [refund(user_id=None), refund(quantity=0, user_id=None), b"\xff", b"{", b" \r"]

    def deliver(self, name: str, number: int) -> None:
        rng = Random(number)
        lines = rng.choices(self.pool, k=rng.choice((1, 6, 12)))
        self.shop.deliver_text(name, text_of(*lines))

    def run(self, _argument: object = None) -> None:
        self.shop.source.mkdir(exist_ok=True)
        assert self.shop.run().laws_hold
        self.landed |= set(self.shop.texts.values())

    def widen(self, _argument: object = None) -> None:
        self.level = min(self.level + 1, len(CONTRACTS) - 1)
        self.shop = under(self.shop, self.level)

    def replay(self, number: int) -> None:
        if self.landed:
            replay(self.shop, REASONS[number % len(REASONS)])

    def replay_cut_off(self, number: int) -> None:
        with cut_off_after(number), suppress(CutOff):
            self.replay(0)

    def maintain(self, _number: object) -> None:
        if self.landed:
            with suppress(FixData):  # a lake whose replay was cut off is refused
                self.shop.lake.maintain(now=LATER)

    def compact(self, number: int) -> None:
        if self.landed:
            compact(self.shop.lake, "bronze.events", Random(number))


STEPS = st.one_of(
    st.tuples(st.just(Life.deliver), st.sampled_from("abc"), st.integers(0, 6)),
    st.tuples(st.just(Life.run), st.just(0)),
    st.tuples(st.just(Life.replay), st.integers(0, 2)),
    st.tuples(st.just(Life.replay_cut_off), st.integers(1, 60)),
    st.tuples(st.just(Life.widen), st.just(0)),
    st.tuples(st.sampled_from((Life.maintain, Life.compact)), st.integers(0, 99)),
)


@given(steps=st.lists(STEPS, min_size=4, max_size=8))
@settings(max_examples=5, deadline=None, phases=(Phase.explicit, Phase.generate))
def test_any_life_ends_where_a_new_lake_under_todays_contract_begins(steps: list[Any]) -> None:
    with TemporaryDirectory() as folder:
        life = Life(MemoryShop(Path(folder) / "lived"))
        life.deliver("a", 1)
        life.run()
        for step, *arguments in steps:
            step(life, *arguments)
        life.run()
        life.level = len(CONTRACTS)
        life.widen()
        replay(life.shop, now=LATER)
        assert_is(life.shop, 2, LATER)
        lake, totals = life.shop.lake, life.shop.lake.totals()
        everything = oracle.lake(life.landed, now=LATER, **oracle_of(2))
        assert (totals.lines, totals.blank, totals.quarantined) == (
            everything.lines,
            everything.blank,
            everything.quarantined,
        )
        assert lake.quarantine_by_reason() == everything.quarantined_by_reason
        assert quarantined(lake) == expected_quarantine(life.landed, now=LATER, **oracle_of(2))
        assert broken(lake) == []
        anew = MemoryShop(Path(folder) / "anew", life.shop.settings)
        for number, text in enumerate(set(life.shop.texts.values())):
            anew.deliver_text(str(number), text)
        anew.lake.run(anew.source, now=LATER)
        assert tables_of(lake) == tables_of(anew.lake)


def expected_quarantine(texts: set[bytes], **rules: Any) -> Counter[Any]:
    return Counter(
        (verdict.problem, number, line)
        for text in texts
        for number, line in enumerate(oracle.split_lines(text), 1)
        if (verdict := oracle.judge(line, **rules)).problem
    )


# --- What it says and does -------------------------------------------------------------------------------


def test_what_was_planned_is_what_is_done_and_what_it_tells(shop: Shop) -> None:
    before = shop.lake.totals()
    plan = shop.lake.replay_quarantine(now=NOW, dry_run=True)
    made = replay(shop)
    assert (plan.judged, plan.passed, plan.other_reasons, plan.cut) == (6, 3, 1, 0)
    assert plan.by_reason == {
        "event_type_unknown": {"judged": 4, "passed": 3},
        "not_an_object": {"judged": 1, "passed": 0},
        "not_utf8": {"judged": 1, "passed": 0},
        "user_id_empty": {"judged": 1, "passed": 0},
    }
    assert replace(plan, dry_run=False, seconds=made.seconds) == made
    assert made.days == (TODAY,)
    assert [Path(file).name for file in made.files] == ["a.jsonl.gz", "b.jsonl.gz"]
    after = shop.lake.totals()
    assert (after.lines, after.blank) == (before.lines, before.blank)
    assert after.quarantined == before.quarantined - 3
    assert after.valid == before.valid + 3
    # One of the three was delivered twice.
    assert after.events == before.events + 2


def test_a_dry_run_changes_nothing(real_shop: Shop) -> None:
    shop = real_shop
    before = state_of(shop.folder)
    shop.lake.replay_quarantine(now=NOW, dry_run=True)
    assert state_of(shop.folder) == before


def test_twice_changes_nothing(real_shop: Shop) -> None:
    shop = real_shop
    assert replay(shop).changed
    before = state_of(shop.folder), shop.lake.snapshots()
    again = replay(shop)
    assert not again.changed
    assert (again.judged, again.passed) == (3, 0)
    assert (state_of(shop.folder), shop.lake.snapshots()) == before


def test_only_lines_of_the_reason_are_judged(shop: Shop) -> None:
    shop = under(shop, 2)
    assert replay(shop, "not_utf8").judged == 1
    assert replay(shop, "no_such_reason").judged == 0
    assert replay(shop, "event_type_unknown").passed == 3


def test_lines_that_fail_for_other_reasons_get_those_and_keep_their_bytes(shop: Shop) -> None:
    (line,) = shop.lake.quarantine("user_id_empty")
    assert line["problem"] == "user_id_empty, event_type_unknown"
    assert replay(shop).other_reasons == 1
    (after,) = shop.lake.quarantine("user_id_empty")
    assert after == {**line, "problem": "user_id_empty"}
    assert shop.lake.quarantine_by_reason() == {"not_an_object": 1, "not_utf8": 1, "user_id_empty": 1}
    assert broken(shop.lake) == []


def test_reasons_alone_may_change(tmp_path: Path) -> None:
    shop: Shop = MemoryShop(tmp_path)
    shop.deliver("a", refund(user_id=""))
    shop.run()
    shop = under(shop, 1)
    made = replay(shop)
    assert (made.passed, made.other_reasons, made.days) == (0, 1, ())
    assert shop.lake.quarantine_by_reason() == {"user_id_empty": 1}
    assert broken(shop.lake) == []
    assert shop.lake.maintain(now=LATER).is_complete
    shop.deliver("b", event())
    assert shop.run().files_landed == 1


def test_the_record_of_a_replay_tells_what_it_is(shop: Shop) -> None:
    replay(shop)
    record = shop.lake.last_run() or {}
    assert (record["lines_replayed"], record["files_landed"], record["laws_hold"]) == (3, 0, True)
    assert record["totals"] == {
        **dict.fromkeys(("lines", "blank", "key_conflicts", "suppressed", "retained"), 0),
        "valid": 3,
        "quarantined": -3,
        "events": 2,
        "duplicates": 1,
    }
    runs = shop.lake.runs()
    totals = shop.lake.totals()
    for term in ("lines", "blank", "valid", "quarantined", "events", "duplicates"):
        assert sum(run["totals"][term] for run in runs) == getattr(totals, term), term


def test_files_tell_what_was_replayed_and_are_not_counted_for_it(shop: Shop) -> None:
    replay(shop)
    entries = shop.lake.ledger().entries
    assert [(Path(e.path).name, e.status, e.lines, e.valid, e.quarantined) for e in entries] == [
        ("a.jsonl.gz", "landed", 7, 6, 1),
        ("b.jsonl.gz", "landed", 9, 6, 2),
        ("a.jsonl.gz", "replayed", 2, 2, 0),
        ("b.jsonl.gz", "replayed", 1, 1, 0),
    ]


def test_a_run_after_it_has_nothing_to_do(shop: Shop) -> None:
    replay(shop)
    assert not shop.run().changed


def test_an_event_that_comes_again_later_is_a_duplicate_of_the_replayed_one(shop: Shop) -> None:
    replay(shop)
    shop.deliver("c", refund())
    assert shop.run().totals.duplicates == 1
    assert_is(shop)


def test_it_waits_for_no_run_and_leaves_the_lake_alone_while_one_is_at_work(shop: Shop) -> None:
    with lock(str(shop.folder / "lake")), pytest.raises(LockHeld):
        replay(shop)


# --- Replaced files --------------------------------------------------------------------------------------


def test_a_replaced_file_takes_its_replayed_lines_with_it_and_brings_them_back(shop: Shop) -> None:
    replay(shop)
    first = shop.texts["a"]
    shop.deliver("a", event(user_id="u9"))
    shop.run()
    assert_is(shop)
    shop.deliver_text("a", first)
    shop.run()
    assert_is(shop)
    assert broken(shop.lake) == []


def test_lines_of_a_file_that_was_replaced_are_replayed_but_count_only_when_it_is_back(shop: Shop) -> None:
    first = shop.texts["a"]
    shop.deliver("a", event(user_id="u9"))
    shop.run()
    assert replay(shop).passed == 3
    assert_is(shop)
    shop.deliver_text("a", first)
    shop.run()
    assert_is(shop)
    assert broken(shop.lake) == []


# --- Beside maintenance and other programs ---------------------------------------------------------------


def test_merged_files_are_replayed_and_replayed_files_are_merged(shop: Shop) -> None:
    shop.lake.maintain(now=LATER)
    assert replay(shop, "event_type_unknown").passed == 3
    shop.deliver("c", refund(product_id="p7"), event(user_id=None))
    shop.run()
    shop.lake.maintain(now=LATER)
    shop = under(shop, 2)
    assert replay(shop).passed == 1
    shop.lake.maintain(now=LATER)
    assert_is(shop, 2)
    assert broken(shop.lake) == []


def test_the_ledger_can_still_be_made_again_from_bronze(shop: Shop) -> None:
    replay(shop, "event_type_unknown")
    shop = under(shop, 2)
    shop.deliver("c", event(user_id=None), refund(user_id=""))
    shop = under(shop, 0)
    shop.run()
    shop = under(shop, 2)
    replay(shop)
    entries = shop.lake.ledger().entries
    drop(shop.lake, "bronze.ingested_files")
    shop.run()
    assert shop.lake.ledger().entries == entries


def test_lines_that_another_program_has_laid_into_several_files_are_replayed(shop: Shop) -> None:
    compact(shop.lake, "bronze.events", Random(3))
    assert len(files_of_bronze(shop)) == 2
    assert replay(shop).passed == 3
    assert_is(shop)
    assert broken(shop.lake) == []
    assert not replay(shop).changed


def test_another_program_may_compact_bronze_in_the_middle(shop: Shop) -> None:
    def compact_once(point: str) -> None:
        if point == "commit bronze.events: before":
            crash_points.on_reached = None
            compact(shop.lake, "bronze.events", Random(3))

    with at_every_point(compact_once):
        made = replay(shop)
    # Its files are gone: what they hold is for the next one.
    assert made.passed + replay(shop).passed == 3
    assert_is(shop)
    assert broken(shop.lake) == []


def test_a_damaged_file_is_left_alone_and_told(shop: Shop) -> None:
    damaged, other = sorted(file.location for file in files_of_bronze(shop))
    content = bytearray(Path(damaged).read_bytes())
    content[20] ^= 1
    Path(damaged).write_bytes(content)
    plan = shop.lake.replay_quarantine(now=NOW, dry_run=True)
    assert plan.damaged == (damaged,)
    assert 0 < plan.judged < 6
    assert other not in plan.damaged


# --- Cut off ---------------------------------------------------------------------------------------------


def test_a_lake_whose_replay_was_cut_off_is_sound_and_a_run_with_new_files_finishes_it(shop: Shop) -> None:
    with cut_off_at("commit bronze.events: after"):
        replay(shop)
    assert broken(shop.lake) == []
    shop.deliver("c", refund(product_id="p5"))
    report = shop.run()
    assert (report.files_landed, report.lines_replayed) == (1, 3)
    assert report.totals.lines == 1
    assert (report.totals.valid, report.totals.quarantined) == (4, -3)
    assert_is(shop)
    assert broken(shop.lake) == []


def test_what_a_run_had_left_undone_is_finished_first(shop: Shop) -> None:
    shop.deliver("c", refund(product_id="p5"), event(product_id="p6"), b"{")
    shop = under(shop, 0)
    with at_every_point(_cut_off_after_the_ledger), pytest.raises(CutOff):
        shop.run()
    shop = under(shop, 1)
    assert replay(shop).passed == 4
    report = shop.lake.last_run() or {}
    assert (report["files_landed"], report["lines_replayed"]) == (1, 4)
    assert (report["totals"]["lines"], report["totals"]["quarantined"]) == (3, 1 - 3)
    assert_is(shop)


def _cut_off_after_the_ledger(point: str) -> None:
    if point == "commit bronze.ingested_files: after":
        raise CutOff


def test_a_small_batch_size_makes_several_batches_of_one_replay(shop: Shop, monkeypatch: Any) -> None:
    monkeypatch.setattr("eventmint.replay.batches", lambda files, _bytes: ([file] for file in files))
    seq = shop.lake.ledger().seq
    assert replay(shop).passed == 3
    assert shop.lake.ledger().seq == seq + 2
    assert_is(shop)
    assert broken(shop.lake) == []


def test_lines_that_the_ledger_does_not_know_are_not_touched(shop: Shop) -> None:
    compact(shop.lake, "bronze.events", Random(3))
    expire(shop.lake, "bronze.events")
    drop(shop.lake, "bronze.ingested_files")
    before = quarantined(shop.lake)
    with pytest.raises(LawBroken, match="that the ledger does not know"):
        replay(shop)
    assert quarantined(shop.lake) == before


@pytest.mark.parametrize("reasons", [REASONS[1:], REASONS[:0:-1]])
def test_of_a_content_in_several_files_the_latest_note_counts(
    tmp_path: Path, reasons: tuple[str, ...]
) -> None:
    shop: Shop = MemoryShop(tmp_path)
    shop.deliver("a", *random_events(Random(1), 8), refund(), event(user_id=None))
    shop.run()
    compact(shop.lake, "bronze.events", Random(3))
    found = [may_hold_values(file, contract("bronze.events"), "problem") for file in files_of_bronze(shop)]
    assert found == [True, True]
    shop = under(shop, 2)
    for reason in reasons:
        before = {file.location for file in files_of_bronze(shop)}
        assert replay(shop, reason).passed == 1
    assert_is(shop, 2)
    assert broken(shop.lake) == []
    entries = shop.lake.ledger().entries
    drop(shop.lake, "bronze.ingested_files")
    expire(shop.lake, "bronze.events")
    shop.run()
    assert shop.lake.ledger().entries == entries
    # What remains of the notes is the older one.
    compact(shop.lake, "bronze.events", Random(1), but=before)
    assert broken(shop.lake) == []
