"""Whole runs, from files in a folder to the five answers: each state of the lake is that of the oracle."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import hostile
import oracle
import pytest
from deliveries import (
    NOW,
    TODAY,
    YESTERDAY,
    Row,
    Shop,
    assert_answers_are,
    assert_lake_is,
    days_of,
    event,
    gzipped,
    key_conflicts,
    random_event,
    random_events,
    rows_of,
    state_of,
    text_of,
    view,
)

from eventmint.errors import FixSettings, LockHeld
from eventmint.lake import report_to_dict
from eventmint.run_log import Silent
from eventmint.tables import maintain
from eventmint.values import RunReport, Totals

LATE = "2025-06-13T23:59:59.999999Z"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


# --- The first run ---------------------------------------------------------------------------------------


@dataclass
class FirstRun:
    shop: Shop
    report: RunReport
    expected: oracle.OracleLake


def odd_lines(rng: Random) -> list[bytes]:
    """Return a line of each hostile class that is valid, moved to an ordinary time."""
    found = []
    for name, make in hostile.CLASSES.items():
        time = random_event(rng)["timestamp"].encode()
        line, moved = re.subn(rb'"timestamp":"[^"]*"', b'"timestamp":"' + time + b'"', make(rng))
        if moved == 1 and name not in hostile.HEAVY and oracle.judge(line, now=NOW).values:
            found.append(line)
    return found


def bad_lines(rng: Random) -> list[bytes]:
    """Return lines of each hostile class that is not valid: blank ones, and nearly every reason there is."""
    heavy = [hostile.CLASSES["length_one_above_the_cap"](rng)]
    light = [
        make(rng) for name, make in hostile.CLASSES.items() if name not in hostile.HEAVY for _ in range(3)
    ]
    return heavy + [line for line in light if oracle.judge(line, now=NOW).values is None]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> FirstRun:
    """A lake after one run over three files, only to be read."""
    shop = Shop(tmp_path_factory.mktemp("first"))
    rng = Random(1)
    ordinary = random_events(rng, 80)
    shop.deliver("ordinary", *ordinary)
    shop.deliver("odd", *odd_lines(rng), *ordinary[:20], *ordinary[:5])
    shop.deliver("bad", *bad_lines(rng), event(price=None), *ordinary[20:25])
    return FirstRun(shop, shop.lake.run(shop.source, now=NOW), shop.expected())


def test_the_first_run_gives_the_answers_of_the_oracle(first: FirstRun) -> None:
    assert len(first.expected.events) > 150
    assert first.expected.duplicates >= 30
    assert_lake_is(first.shop.lake, first.expected)


def test_the_report_of_the_first_run_states_what_it_took_in(first: FirstRun) -> None:
    report, expected = first.report, first.expected
    totals = Totals(
        lines=expected.lines,
        blank=expected.blank,
        valid=expected.valid,
        quarantined=expected.quarantined,
        events=len(expected.events),
        duplicates=expected.duplicates,
        key_conflicts=key_conflicts(expected.events),
    )
    assert (report.totals, report.lake) == (totals, totals)
    assert (report.files_landed, report.files_same_content, report.files_set_aside) == (3, 0, 0)
    assert (report.files_replaced, report.files_unsettled, report.set_aside, report.skipped) == (0, 0, {}, {})
    assert report.quarantined_by_reason == expected.quarantined_by_reason
    assert report.quarantine_rate == expected.quarantined / (expected.quarantined + expected.valid)
    assert report.days == days_of(expected) == (YESTERDAY, TODAY)
    assert report.changed
    assert report.laws_hold
    assert {law.name for law in report.laws} == {"lines", "rows", "events", "answers", "money"}


def test_the_record_of_the_run_is_kept(first: FirstRun) -> None:
    assert first.shop.lake.last_run() == {
        **report_to_dict(first.report),
        "seconds": pytest.approx(first.report.seconds, rel=0.2),
    }


def test_every_law_holds_when_it_is_proved_from_the_rows(first: FirstRun) -> None:
    found = first.shop.lake.verify()
    assert [str(law) for law in found if not law.holds] == []
    assert {law.name for law in found} == {"lines", "rows", "events", "answers", "money", "books"}


def quarantine_expected(first: FirstRun) -> list[tuple[str, int, str, bytes]]:
    found = []
    for name in ("bad", "odd", "ordinary"):
        for number, line in enumerate(oracle.split_lines(first.shop.texts[name]), 1):
            problem = oracle.judge(line, now=NOW).problem
            if problem:
                raw = line[:4_096] if problem == "line_too_long" else line
                found.append((f"{name}.jsonl.gz", number, problem, raw))
    return found


def quarantined(lines: list[Row]) -> list[tuple[str, int, str, bytes]]:
    return [(Path(q["source_file"]).name, q["line_number"], q["problem"], q["raw"]) for q in lines]


def test_every_quarantined_line_is_readable_with_its_bytes(first: FirstRun) -> None:
    expected = quarantine_expected(first)
    assert any(b"\xff" in raw for *_, raw in expected)
    assert quarantined(first.shop.lake.quarantine(limit=10_000)) == expected
    assert quarantined(first.shop.lake.quarantine(limit=7)) == expected[:7]


def test_quarantined_lines_can_be_asked_for_by_every_reason(first: FirstRun) -> None:
    counts = first.shop.lake.quarantine_by_reason()
    assert counts == first.expected.quarantined_by_reason
    assert counts.keys() == set(oracle.REASONS)
    assert list(counts.values()) == sorted(counts.values(), reverse=True)
    for reason in ("not_utf8", "line_too_long", "price_out_of_range", "timestamp_no_zone"):
        expected = [line for line in quarantine_expected(first) if reason in line[2].split(", ")]
        assert quarantined(first.shop.lake.quarantine(reason, 10_000)) == expected
    assert first.shop.lake.quarantine("no_such_reason") == []


def test_unknown_fields_are_counted_in_the_ledger(first: FirstRun) -> None:
    for entry in first.shop.lake.ledger().entries:
        name = Path(entry.path).name.removesuffix(".jsonl.gz")
        unknown: dict[str, int] = {}
        for line in oracle.split_lines(first.shop.texts[name]):
            for key in (oracle.judge(line, now=NOW).values or {}).get("extra") or ():
                unknown[key] = unknown.get(key, 0) + 1
        assert json.loads(entry.unknown_fields or "{}") == unknown
        assert bool(unknown) == (name == "odd")


def test_a_second_run_finds_nothing_and_writes_nothing(first: FirstRun) -> None:
    lake, before = first.shop.lake, state_of(first.shop.folder)
    report = lake.run(first.shop.source, now=NOW + timedelta(days=2))
    assert state_of(first.shop.folder) == before
    assert not report.changed
    assert (report.totals, report.days, report.laws) == (Totals(), (), ())
    assert (report.files_landed, report.files_same_content, report.files_set_aside) == (0, 0, 0)
    assert report.lake == first.report.lake
    assert lake.last_run() == {**report_to_dict(first.report), "seconds": pytest.approx(0, abs=1e9)}


def test_layers_tell_rows_and_batch_of_each_table(first: FirstRun) -> None:
    layers = {layer["table"]: (layer["rows"], layer["batch"]) for layer in first.shop.lake.layers()}
    assert layers["bronze.events"] == (first.expected.valid + first.expected.quarantined, 1)
    assert layers["silver.events_cleaned"] == (len(first.expected.events), 1)
    assert layers["gold.user_activity"] == (2, 1)


# --- Files that come later -------------------------------------------------------------------------------


def test_late_and_early_files_in_any_order_give_the_answers_of_the_oracle(shop: Shop) -> None:
    rng = Random(2)
    shop.deliver("b", *random_events(rng, 30))
    shop.run()
    # Days late; and a middle hour after the hours on both sides of it.
    late = [event(timestamp=LATE), view(timestamp=LATE), event(timestamp="2025-06-14T09:30:00Z", quantity=7)]
    shop.deliver("c", *late, *random_events(rng, 20))
    assert shop.run().days == (YESTERDAY - timedelta(days=1), YESTERDAY, TODAY)
    shop.deliver("a", event(timestamp="2025-05-01T00:00:00Z"), *late)
    report = shop.run()
    assert (report.totals.valid, report.totals.events, report.totals.duplicates) == (4, 1, 3)
    assert_lake_is(shop.lake, shop.expected())
    assert report.days == (NOW.replace(month=5, day=1).date(),)


def test_a_content_that_comes_again_brings_no_event(shop: Shop) -> None:
    rng = Random(3)
    events = random_events(rng, 20)
    path = shop.deliver("a", *events)
    shop.deliver("copy in the same batch", *events)
    report = shop.run()
    assert (report.files_landed, report.files_same_content) == (1, 1)
    assert report.totals.valid == 20
    assert_lake_is(shop.lake, shop.expected())

    shop.deliver("another name", *events)
    os.utime(path, (1, 1))  # delivered again: another version of the same content
    report = shop.run()
    assert (report.files_landed, report.files_same_content, report.files_replaced) == (0, 2, 0)
    assert (report.totals, report.days, report.laws_hold) == (Totals(), (), True)
    assert_lake_is(shop.lake, shop.expected())

    # The same lines in other bytes are another content: every line of it is a duplicate.
    path.write_bytes(gzipped(shop.texts["a"][:100]) + gzipped(shop.texts["a"][100:]))
    (shop.source / "events" / "again.jsonl.gz").write_bytes(gzipped(shop.texts["a"] + b"\n"))
    report = shop.run()
    assert (report.files_landed, report.totals.valid, report.totals.duplicates) == (2, 40, 40)
    assert_answers_are(shop.lake, shop.expected())


def test_a_file_that_is_deleted_after_it_was_taken_in_stays_in_the_lake(shop: Shop) -> None:
    path = shop.deliver("a", *random_events(Random(4), 10))
    shop.deliver("b", event())
    shop.run()
    path.unlink()
    assert not shop.run().changed
    shop.deliver("c", event(price=9))
    shop.run()
    assert_lake_is(shop.lake, shop.expected())


def test_many_runs_go_on_when_old_snapshots_are_forgotten(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintain, "SNAPSHOTS_BEFORE_TRIMMING", 2)
    monkeypatch.setattr(maintain, "SNAPSHOTS_KEPT", 1)
    rng = Random(5)
    events = random_events(rng, 10)
    for number in range(4):
        shop.deliver(f"file {number % 3}", *events, *random_events(rng, 5))
        assert shop.run().laws_hold
    assert_answers_are(shop.lake, shop.expected())
    assert [str(law) for law in shop.lake.verify() if not law.holds] == []


def test_a_database_older_than_every_snapshot_is_made_anew(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintain, "SNAPSHOTS_BEFORE_TRIMMING", 2)
    monkeypatch.setattr(maintain, "SNAPSHOTS_KEPT", 1)
    shop.deliver("a", event())
    shop.run()
    backup = shop.database.read_bytes()
    for day in (12, 13, 14):
        shop.deliver(f"of day {day}", event(timestamp=f"2025-06-{day}T10:00:00Z"))
        shop.run()
    shop.database.write_bytes(backup)
    shop.run()
    assert_lake_is(shop.lake, shop.expected())


# --- Files that are replaced -----------------------------------------------------------------------------


def test_a_replaced_file_counts_in_its_latest_version_only_and_may_go_back(shop: Shop) -> None:
    rng = Random(6)
    shared = random_events(rng, 8)  # the other file has these too: they stay whatever happens
    old = text_of(*shared, *random_events(rng, 12), event(timestamp=LATE), b"{old")
    new = text_of(*random_events(rng, 12), *shared[:4], event(), event(quantity=9), b"new", b"")
    shop.deliver("other", *shared, *random_events(rng, 8))
    shop.deliver_text("replaced", old)
    shop.run()
    assert_lake_is(shop.lake, shop.expected())

    shop.deliver_text("replaced", new)
    report = shop.run()
    assert (report.files_landed, report.files_replaced) == (1, 1)
    assert report.laws_hold
    assert_lake_is(shop.lake, shop.expected(), superseded=[old])

    shop.deliver_text("replaced", old)
    report = shop.run()
    assert (report.files_landed, report.files_same_content, report.files_replaced) == (0, 1, 1)
    assert_lake_is(shop.lake, shop.expected(), superseded=[new])
    assert [str(law) for law in shop.lake.verify() if not law.holds] == []


def test_events_of_a_replaced_file_stay_where_a_copy_of_it_lies(shop: Shop) -> None:
    rng = Random(7)
    old, new = text_of(*random_events(rng, 12)), text_of(*random_events(rng, 12), event())
    shop.deliver_text("replaced", old)
    shop.deliver_text("copy", old)
    shop.run()
    shop.deliver_text("replaced", new)
    shop.run()
    assert_lake_is(shop.lake, shop.expected())  # both texts lie in the source
    shop.deliver_text("copy", new)
    shop.run()
    assert_lake_is(shop.lake, shop.expected(), superseded=[old])


def test_a_file_replaced_by_nothing_takes_its_events_along(shop: Shop) -> None:
    old = text_of(*random_events(Random(8), 10), event(timestamp=LATE))
    shop.deliver_text("replaced", old)
    shop.deliver("other", view())
    shop.run()
    shop.deliver_text("replaced", b"\n \n")
    report = shop.run()
    assert report.laws_hold
    assert_lake_is(shop.lake, shop.expected(), superseded=[old])
    assert len(rows_of(shop.lake, "gold.user_activity")) == 1  # days without any event have no row


def test_a_corrupt_replacement_leaves_the_old_version_in_force_until_it_is_mended(shop: Shop) -> None:
    rng = Random(9)
    old, new = text_of(*random_events(rng, 10)), text_of(*random_events(rng, 10))
    shop.deliver_text("a", old)
    shop.run()
    shop.deliver_bytes("a", gzipped(new)[:-1])
    report = shop.run()
    assert (report.files_set_aside, report.files_replaced) == (1, 0)
    assert list(report.set_aside.values()) == ["gzip_truncated"]
    assert_lake_is(shop.lake, shop.expected())
    assert not shop.run().changed  # it is not tried again before it changes

    shop.deliver_text("a", new)
    report = shop.run()
    assert (report.files_landed, report.files_replaced) == (1, 1)
    assert_lake_is(shop.lake, shop.expected(), superseded=[old])


# --- Files that cannot be read ---------------------------------------------------------------------------


def test_unreadable_files_are_set_aside_while_the_others_go_on(shop: Shop) -> None:
    rng = Random(10)
    texts = {name: text_of(*random_events(rng, 6)) for name in "abcdefg"}
    whole = {name: gzipped(text) for name, text in texts.items()}
    flipped = whole["b"][:-20] + bytes([whole["b"][-20] ^ 4]) + whole["b"][-19:]
    damaged = {
        "a": (whole["a"][:-9], "gzip_truncated"),
        "b": (flipped, "gzip_corrupt"),
        "c": (whole["c"] + b"x", "gzip_trailing_garbage"),
        "d": (texts["d"], "not_gzip"),
        "e": (b"", "empty_file"),
        "f": (whole["f"][:-8] + bytes(8), "gzip_corrupt"),
        "g": (gzipped(whole["g"])[:40], "gzip_truncated"),
    }
    for name, (content, _) in damaged.items():
        shop.deliver_bytes(name, content)
    shop.deliver("good", *random_events(rng, 6))
    shop.deliver_text("nothing in it", b"")
    shop.deliver_text("blank lines only", b" \n\r\n\t")
    report = shop.run()
    assert (report.files_landed, report.files_set_aside) == (3, 7)
    assert {Path(path).name: reason for path, reason in report.set_aside.items()} == {
        f"{name}.jsonl.gz": reason for name, (_, reason) in damaged.items()
    }
    assert (report.totals.lines, report.totals.blank, report.totals.valid) == (9, 3, 6)
    assert report.laws_hold
    assert_lake_is(shop.lake, shop.expected())
    assert not shop.run().changed

    for name, text in texts.items():
        shop.deliver_text(name, text)
    report = shop.run()
    assert (report.files_landed, report.files_set_aside, report.files_replaced) == (7, 0, 0)
    assert_lake_is(shop.lake, shop.expected())


def test_a_file_without_lines_is_in_the_ledger_with_none(shop: Shop) -> None:
    shop.deliver_text("empty", b"")
    report = shop.run()
    assert (report.files_landed, report.totals, report.changed) == (1, Totals(), True)
    (entry,) = shop.lake.ledger().entries
    assert (entry.status, entry.lines, entry.blank, entry.valid) == ("landed", 0, 0, 0)
    assert not shop.run().changed
    assert_lake_is(shop.lake, shop.expected())


def test_two_copies_of_a_corrupt_file_are_both_set_aside(shop: Shop) -> None:
    for name in ("a", "copy"):
        shop.deliver_bytes(name, gzipped(text_of(event()))[:-1])
    shop.deliver("good", view())
    report = shop.run()
    assert list(report.set_aside.values()) == ["gzip_truncated", "gzip_truncated"]
    assert_lake_is(shop.lake, shop.expected())
    for name in ("a", "copy"):
        shop.deliver(name, event())
    shop.run()
    assert_lake_is(shop.lake, shop.expected())


class AtTheStartOfLanding(Silent):
    """Does something after the source was listed and before its files are read."""

    def __init__(self, happening: Callable[[], object]) -> None:
        self.happening: Callable[[], object] | None = happening

    def start(self, stage: str, _files: int, _size_bytes: int) -> None:
        if stage == "bronze" and self.happening:
            self.happening()
            self.happening = None


def test_a_file_that_vanishes_before_it_is_read_is_taken_in_when_it_is_back(shop: Shop) -> None:
    path = shop.deliver("a", event())
    shop.deliver("b", view())
    away = path.with_name("away")
    shop.progress = AtTheStartOfLanding(lambda: path.rename(away))
    report = shop.run()
    assert (report.files_landed, list(report.set_aside.values())) == (1, ["vanished"])
    assert report.laws_hold

    away.rename(path)  # the same version: only the name has changed, twice
    assert shop.run().files_landed == 1
    assert_lake_is(shop.lake, shop.expected())


def test_a_file_that_is_rewritten_after_it_was_listed_is_taken_in_as_it_is_or_later(shop: Shop) -> None:
    shop.deliver("a", event())
    shop.progress = AtTheStartOfLanding(lambda: shop.deliver("a", event(), view()))
    shop.run()
    shop.run()
    assert_answers_are(shop.lake, shop.expected())


# --- Rules and keys --------------------------------------------------------------------------------------


def test_honest_twins_stay_and_are_counted_as_key_conflicts(shop: Shop) -> None:
    # Alike in user, session, time, type and product; the first twin came twice.
    shop.deliver("a", event(quantity=1), event(quantity=1), event(quantity=2), event(user_id="u2"))
    report = shop.run()
    assert (report.totals.events, report.totals.duplicates, report.totals.key_conflicts) == (3, 1, 1)
    shop.deliver("b", event(quantity=2), event(quantity=3), event(quantity=1, category="books"), view())
    report = shop.run()
    assert (report.totals.events, report.totals.duplicates, report.totals.key_conflicts) == (3, 1, 2)
    assert report.lake.key_conflicts == 3
    assert_lake_is(shop.lake, shop.expected())
    # Two of the twins are withdrawn again.
    shop.deliver("b", event(quantity=2), view())
    assert shop.run().lake.key_conflicts == 1
    assert [str(law) for law in shop.lake.verify() if not law.holds] == []


def colliding_events(rng: Random, count: int) -> list[Row]:
    """Return events of few users, sessions and times: any key meets itself, hours and days apart."""
    return [
        random_event(rng)
        | {
            "user_id": f"u{rng.randrange(3)}",
            "session_id": f"s{rng.randrange(5)}",
            "timestamp": f"2025-06-{rng.choice((14, 15))}T{rng.choice((9, 10))}:00:0{rng.randrange(3)}Z",
        }
        for _ in range(count)
    ]


KEYS = [("user_id", "event_time"), ("session_id",)]


def as_fields(key: tuple[str, ...]) -> tuple[str, ...]:
    return tuple("timestamp" if column == "event_time" else column for column in key)


@pytest.mark.parametrize("key", KEYS, ids="-".join)
@pytest.mark.parametrize("order", ["ab", "ba"])
def test_of_a_key_of_the_shop_the_smallest_line_survives_in_any_order(
    shop: Shop, key: tuple[str, ...], order: str
) -> None:
    shop.settings["quality__dedup"] = key
    rng = Random(11)
    files = {name: colliding_events(rng, 25) for name in "ab"}
    for name in order:
        shop.deliver(name, *files[name])
        assert shop.run().laws_hold
    assert_lake_is(shop.lake, shop.expected(dedup=as_fields(key)), is_keyed=True)


def test_a_smaller_line_that_comes_later_replaces_the_survivor(shop: Shop) -> None:
    shop.settings["quality__dedup"] = ("user_id", "session_id")
    held, smaller, larger = (
        event(timestamp="2025-06-15T10:00:00Z"),
        event(timestamp="2025-06-14T10:00:00Z"),
        event(timestamp="2025-06-15T11:00:00Z"),
    )
    shop.deliver("a", held)
    shop.run()
    shop.deliver("b", smaller, larger, smaller)
    report = shop.run()
    assert (report.totals.valid, report.totals.events, report.totals.duplicates) == (3, 0, 3)
    assert report.days == (YESTERDAY, TODAY)
    assert [row["event_date"] for row in rows_of(shop.lake, "silver.events_cleaned")] == [YESTERDAY]
    assert_lake_is(shop.lake, shop.expected(dedup=("user_id", "session_id")), is_keyed=True)


@pytest.mark.parametrize("key", KEYS, ids="-".join)
def test_a_replaced_file_gives_the_place_of_its_survivors_to_others(shop: Shop, key: tuple[str, ...]) -> None:
    shop.settings["quality__dedup"] = key
    rng = Random(12)
    for name in "ab":
        shop.deliver(name, *colliding_events(rng, 25))
    shop.run()
    old = shop.texts["a"]
    shop.deliver("a", *colliding_events(rng, 10))
    assert shop.run().laws_hold
    assert_lake_is(shop.lake, shop.expected(dedup=as_fields(key)), is_keyed=True, superseded=[old])


@pytest.mark.parametrize("key", KEYS, ids="-".join)
def test_every_law_of_a_keyed_lake_holds_when_it_is_proved_from_the_rows(
    shop: Shop, key: tuple[str, ...]
) -> None:
    shop.settings["quality__dedup"] = key
    shop.deliver("a", *colliding_events(Random(13), 30))
    shop.run()
    assert_lake_is(shop.lake, shop.expected(dedup=as_fields(key)), is_keyed=True)
    assert [str(law) for law in shop.lake.verify() if not law.holds] == []


def test_users_and_sessions_may_be_made_optional(shop: Shop) -> None:
    shop.settings["contract__optional"] = ("user_id", "session_id")
    rng = Random(14)
    lines = [
        {k: v for k, v in e.items() if k not in ("user_id", "session_id")} for e in random_events(rng, 8)
    ]
    shop.deliver("a", *lines, *lines[:2], *random_events(rng, 8), event(user_id=None), event(session_id=None))
    report = shop.run()
    assert report.totals.quarantined == 0
    assert_lake_is(shop.lake, shop.expected(optional=frozenset({"user_id", "session_id"})))


def test_the_shop_may_name_further_types_of_events(shop: Shop) -> None:
    names = (*oracle.EVENT_TYPES, "wishlist", "gift \u73a9", 'quo"ted')
    shop.settings["contract__event_types"] = names
    events = [view(event_type=name, session_id=f"s{number}") for number, name in enumerate(names[5:])]
    shop.deliver(
        "a", *events, events[0], view(event_type="refund"), view(event_type="wishlist", product_id=None)
    )
    report = shop.run()
    assert report.quarantined_by_reason == {"event_type_unknown": 1, "product_id_missing": 1}
    assert_lake_is(shop.lake, shop.expected(event_types=names))


def test_the_latest_instant_is_24_hours_after_the_run_to_the_microsecond(shop: Shop) -> None:
    now = NOW + timedelta(microseconds=500_000)
    latest = [(now + timedelta(hours=24, microseconds=us)).isoformat() for us in (-1, 0, 1)]
    shop.deliver("a", *(view(timestamp=text) for text in latest))
    report = shop.lake.run(shop.source, now=now)
    assert report.quarantined_by_reason == {"timestamp_out_of_range": 1}
    assert report.totals.valid == 2


# --- Around a run ----------------------------------------------------------------------------------------


def test_files_are_landed_by_several_processes_with_the_same_result(shop: Shop) -> None:
    shop.settings["run__workers"] = 2
    rng = Random(15)
    for name in "abc":
        shop.deliver(name, *random_events(rng, 10), b"{", b"")
    shop.deliver_bytes("corrupt", b"\x1f\x8b")
    report = shop.run()
    assert (report.files_landed, report.files_set_aside, report.totals.quarantined) == (3, 1, 3)
    assert_lake_is(shop.lake, shop.expected())


def test_a_second_run_at_the_same_time_is_refused_and_does_no_harm(shop: Shop) -> None:
    refused: list[str] = []

    def run_as_well() -> None:
        with pytest.raises(LockHeld) as caught:
            Shop(shop.folder).run()
        refused.append(str(caught.value))

    shop.progress = AtTheStartOfLanding(run_as_well)
    shop.deliver("a", *random_events(Random(16), 10))
    shop.run()
    assert len(refused) == 1
    assert_lake_is(shop.lake, shop.expected())


def test_two_runs_at_the_same_time_of_day_leave_two_records(shop: Shop) -> None:
    for number in range(2):
        shop.deliver(f"file {number}", event(quantity=number + 1))
        shop.lake.run(shop.source, now=NOW)
    events = [json.loads(row["report"])["totals"]["events"] for row in rows_of(shop.lake, "ops.runs")]
    assert sorted(events) == [1, 1]
    assert [json.loads(row["report"])["lake"]["events"] for row in rows_of(shop.lake, "ops.runs")] == [1, 2]


def test_a_single_file_is_a_source(shop: Shop) -> None:
    path = shop.deliver("a", event())
    shop.deliver("b", view())
    report = shop.lake.run(path, now=NOW)
    assert report.totals == Totals(lines=1, valid=1, events=1)
    report = shop.run()
    assert (report.files_landed, report.files_same_content) == (1, 0)
    assert_lake_is(shop.lake, shop.expected())


def test_a_source_that_is_not_there_is_refused_before_anything_is_made(shop: Shop) -> None:
    with pytest.raises(FixSettings, match="no such source"):
        shop.run()
    assert not (shop.folder / "lake").exists()


def test_an_empty_source_makes_five_empty_answers(shop: Shop) -> None:
    shop.source.mkdir()
    report: Any = shop.run()
    assert (report.changed, report.totals, report.laws) == (False, Totals(), ())
    assert_lake_is(shop.lake, shop.expected())
