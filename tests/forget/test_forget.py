"""Forgotten people are in no file, whatever it is read with; all else is as if they had never come."""

from __future__ import annotations

import gzip
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from deliveries import NOW, Shop, event, state_of
from forget.people import (
    ANNA,
    BEN,
    REFUNDS,
    TRACES,
    delivery,
    found_in,
    of_anna,
    shop_in,
    what_it_holds,
)
from made_tables import tables_of

from eventmint.contracts import all_contracts
from eventmint.errors import FixData, FixSettings
from eventmint.tables.plan import seqs_kept
from eventmint.values import DayRange, Forgetting

LATER = NOW + timedelta(days=2)


def lived(shop: Shop, *, with_the_forgotten: bool) -> Shop:
    """Several runs: files, one replaced, a compaction, a replay, another file after it."""

    def deliver(name: str, seed: int) -> None:
        shop.deliver_text(name, delivery(seed, with_the_forgotten=with_the_forgotten))

    deliver("a", 1)
    deliver("b", 2)
    shop.run()
    deliver("c", 3)
    shop.run()
    shop.lake.maintain(now=LATER)
    deliver("a", 4)
    shop.run()
    wide = Shop(shop.folder, {**shop.settings, **REFUNDS}, texts=shop.texts)
    wide.lake.replay_quarantine(now=NOW)
    wide.deliver_text("d", delivery(5, with_the_forgotten=with_the_forgotten))
    wide.run()
    return wide


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A shop that people are forgotten by, and one that has never seen them, in folders of one length."""
    place = tmp_path_factory.mktemp("shops")
    for name, with_the_forgotten in (("with", True), ("sans", False)):
        lived(shop_in(place / name / "shop"), with_the_forgotten=with_the_forgotten)
        shutil.copytree(place / name / "shop", place / name / "image")
    return place / "with", place / "sans"


def shop_of(place: Path) -> Shop:
    shutil.rmtree(place / "shop")
    shutil.copytree(place / "image", place / "shop")
    return shop_in(place / "shop", **REFUNDS)


@pytest.fixture
def shop(images: tuple[Path, Path]) -> Shop:
    return shop_of(images[0])


@pytest.fixture
def never(images: tuple[Path, Path]) -> Shop:
    return shop_of(images[1])


def forget(shop: Shop, *users: str, rewrite_sources: bool = False) -> Forgetting:
    return shop.lake.forget(users or (ANNA, BEN), now=NOW, rewrite_sources=rewrite_sources)


def left(shop: Shop) -> list[str]:
    return [place for place in found_in(shop.folder) if not place.startswith("source/")]


def assert_as_if_never(shop: Shop, never: Shop) -> None:
    held, expected = what_it_holds(shop), what_it_holds(never)
    for name in expected:
        assert held[name] == expected[name], name
    for deep in (False, True):
        assert [str(law) for law in shop.lake.verify(deep=deep) if not law.holds] == []


def test_after_it_no_file_holds_a_trace_and_all_else_is_as_if_they_had_never_come(
    shop: Shop, never: Shop
) -> None:
    before = left(shop)
    assert {place.rpartition(": ")[2] for place in before} >= {ANNA, BEN, "s-anna-1", "annas shoes"}
    assert any(place.endswith(f".parquet: {ANNA}") for place in before)
    made = forget(shop)
    assert left(shop) == []
    assert_as_if_never(shop, never)
    assert (made.users, made.new, made.unknown, made.changed) == (2, 2, 0, True)
    # Five deliveries, each once: a replaced one is still in bronze.
    assert (made.valid, made.quarantined) == (5 * 5, 5 * 6)
    assert made.rows["bronze.events"] == 5 * 11
    # Of four live ones: a purchase of each, and three events that are the same in all.
    assert made.rows["silver.events_cleaned"] == 4 + 3
    assert all(ANNA not in text and BEN not in text for text in map(repr, (made, shop.lake.runs())))


def test_a_plan_changes_nothing_and_is_what_is_done(shop: Shop) -> None:
    before = state_of(shop.folder)
    plan = shop.lake.forget([ANNA], now=NOW, dry_run=True)
    assert state_of(shop.folder) == before
    made = forget(shop, ANNA)
    same = replace(
        plan,
        dry_run=False,
        hashes=made.hashes,
        seq=made.seq,
        batch=made.batch,
        rows=made.rows,
        seconds=made.seconds,
    )
    assert same == made
    assert made.lines > 0


def test_twice_changes_nothing_and_an_unknown_person_is_suppressed_all_the_same(shop: Shop) -> None:
    forget(shop)
    before = state_of(shop.folder)
    again = forget(shop)
    assert (again.changed, again.new, again.lines) == (False, 0, 0)
    assert state_of(shop.folder) == before
    unknown = forget(shop, "nobody-yet")
    assert (unknown.changed, unknown.new, unknown.unknown, unknown.lines) == (True, 1, 1, 0)
    rows = shop.lake.layers()
    shop.deliver("late", event(user_id="nobody-yet"))
    report = shop.run()
    assert (report.totals.lines, report.totals.valid, report.totals.suppressed) == (1, 0, 1)
    assert [one["rows"] for one in shop.lake.layers()] == [one["rows"] for one in rows]


def test_no_late_file_replay_restatement_or_rollback_brings_them_back(shop: Shop, never: Shop) -> None:
    runs = [run["run_id"] for run in shop.lake.runs()]
    forget(shop)
    for one, with_the_forgotten in ((shop, True), (never, False)):
        one.deliver_text("late", delivery(6, with_the_forgotten=with_the_forgotten))
        one.deliver_text("b", delivery(7, with_the_forgotten=with_the_forgotten))
        one.run()
    assert shop.lake.totals().suppressed == 7 * 11
    shop.lake.replay_quarantine(now=LATER)
    never.lake.replay_quarantine(now=LATER)
    shop.lake.restate(DayRange())
    assert left(shop) == []
    assert_as_if_never(shop, never)
    for run in runs:
        with pytest.raises(FixSettings, match="people were forgotten after this run"):
            shop.lake.rollback(run)
        with pytest.raises(FixSettings, match="people were forgotten after this run"), shop.lake.state(run):
            pass
    last = shop.lake.runs()[-2]["run_id"]
    assert shop.lake.rollback(last).changed
    assert left(shop) == []


def test_every_state_of_before_is_gone_with_its_files(shop: Shop) -> None:
    files = set(shop.folder.rglob("*.parquet"))
    forget(shop)
    for shape in all_contracts():
        assert len(seqs_kept(shop.lake._catalog.load(shape))) == 1, shape.table
    kept = set(shop.folder.rglob("*.parquet"))
    assert not any("bronze/events" in str(path) for path in files & kept)


def test_an_orphan_of_a_killed_writer_goes_however_young(shop: Shop) -> None:
    (written,) = list(shop.folder.glob("lake/silver/events_cleaned/data/*/*.parquet"))[:1]
    orphan = written.with_name("left-behind.parquet")
    shutil.copyfile(written, orphan)
    forget(shop)
    assert not orphan.exists()


# --- Source files ----------------------------------------------------------------------------------------


def test_source_files_are_named_where_they_hold_lines_of_theirs(shop: Shop) -> None:
    (shop.source / "events" / "c.jsonl.gz").unlink()
    made = forget(shop)
    assert [Path(one.path).name for one in made.sources] == ["a.jsonl.gz", "b.jsonl.gz", "d.jsonl.gz"]
    assert {one.lines for one in made.sources} == {None}


def test_source_files_are_rewritten_without_their_lines_and_are_not_taken_in_again(
    shop: Shop, never: Shop
) -> None:
    forget(shop)
    made = forget(shop, rewrite_sources=True)
    assert [one.lines for one in made.sources] == [11] * 4
    assert found_in(shop.folder) == []
    for name in "abcd":
        path = Path("events") / f"{name}.jsonl.gz"
        assert gzip.decompress((shop.source / path).read_bytes()) == gzip.decompress(
            (never.source / path).read_bytes()
        )
    before = state_of(shop.folder)
    report = shop.run()
    assert (report.changed, report.totals.lines) == (False, 0)
    assert state_of(shop.folder) == before
    assert forget(shop, rewrite_sources=True).sources == ()
    assert_as_if_never(shop, never)


def test_a_source_file_that_is_damaged_stops_it_before_anything_is_changed(shop: Shop) -> None:
    path = shop.source / "events" / "a.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-9])
    before = state_of(shop.folder / "lake")
    with pytest.raises(FixData, match="gzip_truncated"):
        forget(shop, rewrite_sources=True)
    assert state_of(shop.folder / "lake") == before


# --- The key ---------------------------------------------------------------------------------------------


def test_without_its_key_or_with_another_nothing_is_taken_in(shop: Shop) -> None:
    forget(shop)
    key = shop.folder / "kept" / "forgotten.key"
    assert (key.stat().st_mode & 0o777, len(bytes.fromhex(key.read_text().strip()))) == (0o600, 32)
    text = key.read_text()
    before = state_of(shop.folder / "lake")
    shop.deliver("late", of_anna())
    for other, words in ((None, "missing"), (f"{'ab' * 32}\n", "not the key"), ("short", "is no key")):
        key.unlink(missing_ok=True)
        if other:
            key.write_text(other)
        with pytest.raises(FixSettings, match=words):
            shop.run()
    assert state_of(shop.folder / "lake") == before
    key.unlink()
    assert replace_key(shop, text.strip()).run().totals.suppressed == 1


def replace_key(shop: Shop, key: str) -> Shop:
    return Shop(shop.folder, {**shop.settings, "privacy__key": key}, texts=shop.texts)


def test_neither_the_key_nor_an_id_is_in_the_lake(shop: Shop) -> None:
    forget(shop)
    key = (shop.folder / "kept" / "forgotten.key").read_text().strip()
    assert found_in(shop.folder / "lake", (key, *TRACES)) == []


# --- Other keys of deduplication -------------------------------------------------------------------------


@pytest.mark.parametrize("key", [["event_time", "product_id"], ["product_id", "event_type"]])
def test_what_one_of_theirs_had_hidden_comes_to_light(tmp_path: Path, key: list[str]) -> None:
    """Of lines with one key the smallest counts: where that was theirs, the next one does."""
    shops = [shop_in(tmp_path / name, quality__dedup=key) for name in ("with", "sans")]
    for shop, theirs in zip(shops, ([of_anna(category="a"), of_anna(product_id="p9")], []), strict=True):
        shop.deliver("a", *theirs, event(category="b"), event(category="c", product_id="p2"))
        shop.run()
        shop.deliver("b", *theirs, event(user_id="u9", category="d", timestamp="2025-06-16T10:00:00Z"))
        shop.run()
    assert tables_of(shops[0].lake) != tables_of(shops[1].lake)
    forget(shops[0], ANNA)
    assert tables_of(shops[0].lake) == tables_of(shops[1].lake)
    assert [str(law) for law in shops[0].lake.verify(deep=True) if not law.holds] == []


def test_a_file_that_was_theirs_alone_leaves_nothing(tmp_path: Path) -> None:
    shop = shop_in(tmp_path / "shop")
    shop.deliver("a", of_anna(), of_anna(quantity=7))
    shop.run()
    forget(shop, ANNA)
    assert left(shop) == []
    assert [one["rows"] for one in shop.lake.layers()] == [0] * 7
    assert [str(law) for law in shop.lake.verify(deep=True) if not law.holds] == []
    assert not shop.run().changed
