"""Judged again, a file of bronze says of each line what the slow oracle says under today's contract."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import hostile
import oracle
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eventmint.bronze.land import Landing, entries_in, land
from eventmint.bronze.rejudge import Rejudged, Rejudging, Rewriting, entries_after, rejudge, rewrite
from eventmint.engine import parquet
from eventmint.storage.digests import digest_in
from eventmint.values import EventRules, LedgerEntry

DAY_US = 86_400_000_000
LATEST_US = oracle.microseconds(hostile.NOW) + DAY_US
WIDER = (*oracle.EVENT_TYPES, "refund")
BATCH, SEQ = "ef" * 32, 9
ENTRY = LedgerEntry(
    path="events/a.jsonl.gz",
    version="1-1",
    size_bytes=1,
    sha256="ab" * 32,
    received_at=hostile.NOW,
    status="landing",
    batch="cd" * 32,
    seq=7,
)
Rules = dict[str, Any]


@dataclass
class Before:
    """A landed file and its entry."""

    location: str
    entry: LedgerEntry
    folder: Path

    def judging(self, rules: Rules, reason: str | None = None, latest_us: int = LATEST_US) -> Rejudging:
        return Rejudging(self.location, EventRules(**rules), latest_us, reason)

    def replayed(self, task: Rejudging) -> tuple[Rejudged, list[LedgerEntry], str]:
        """What was found, the entries after it, and the file as it is then."""
        found = rejudge(task)
        if not found.changes:
            return found, [self.entry], self.location
        (change,) = found.changes.values()
        entries = entries_after(self.entry, change, SEQ, BATCH)
        return found, [*entries], rewrite(Rewriting(task, entries, str(self.folder), "replayed-1"))


def landed(folder: Path, lines: list[bytes], rules: Rules) -> Before:
    landing = Landing(ENTRY, "nowhere", "", EventRules(**rules), LATEST_US)
    done = land(landing, [b"".join(line + b"\n" for line in lines)], folder)
    assert done.parquet is not None
    return Before(done.parquet, done.entry, folder)


def some_lines(rng: Random, count: int) -> list[bytes]:
    """Lines of which many pass under another contract: other types, nobody's, too early, too long."""

    def line() -> bytes:
        event = {**hostile.good_event(rng), **rng.choice(CHANGES)}
        return json.dumps({name: value for name, value in event.items() if value is not None}).encode()

    return [line() if rng.random() < 0.6 else hostile.mutated(rng)[1][:3_000] for _ in range(count)]


CHANGES: tuple[dict[str, Any], ...] = (
    {},
    {"event_type": "refund"},
    {"event_type": "refund", "price": "free"},
    {"user_id": None},
    {"user_id": None, "quantity": 0},
    {"timestamp": "2025-06-17T10:00:00Z"},
    {"event_type": "refund", "colour": "red"},
    {"category": "x" * 900},
)


def judged_as(rules: Rules, latest_us: int = LATEST_US) -> dict[str, Any]:
    now = oracle.EPOCH + timedelta(microseconds=latest_us - DAY_US)
    return {"now": now, **rules}


def expected_rows(lines: list[bytes], before: Rules, after: Rules, reason: str | None, latest_us: int) -> Any:
    rows: Counter[Any] = Counter()
    for number, line in enumerate(lines, 1):
        verdict = oracle.judge(line, **judged_as(before))
        if verdict.problem and reason in (None, *verdict.reasons):
            verdict = oracle.judge(line, **judged_as(after, latest_us))
        if verdict.values is not None:
            rows[tuple(verdict.values[name] for name in oracle.FIELDS)] += 1
        elif not verdict.blank:
            rows[verdict.problem, number, line] += 1
    return rows


def found_rows(location: str) -> Any:
    rows: Counter[Any] = Counter()
    for row in pq.read_table(location).to_pylist():
        if row["problem"] is None:
            moment = oracle.microseconds(row["event_time"])
            rows[moment, *(row[name] for name in oracle.FIELDS[1:])] += 1
            assert row["raw"] is None
        else:
            rows[row["problem"], row["line_number"], row["raw"]] += 1
    return rows


def assert_counts_are(entries: list[LedgerEntry], location: str, lines: list[bytes]) -> None:
    rows = pq.read_table(location).to_pylist()
    assert sum(entry.lines for entry in entries) == len(lines)
    for entry in entries:
        own = [row for row in rows if row["source_sha256"] == entry.sha256]
        valid = [row for row in own if row["problem"] is None]
        times = [row["event_time"] for row in valid]
        reasons = Counter(reason for row in own if row["problem"] for reason in row["problem"].split(", "))
        assert entry.lines == entry.blank + entry.valid + entry.quarantined
        assert (entry.valid, entry.quarantined) == (len(valid), len(own) - len(valid))
        assert (entry.first_event_time, entry.last_event_time) == (
            min(times, default=None),
            max(times, default=None),
        )
        assert json.loads(entry.reasons or "{}") == reasons
        unknown = Counter(name for row in valid for name in json.loads(row["extra"] or "{}"))
        assert json.loads(entry.unknown_fields or "{}") == unknown
    assert {row["source_sha256"] for row in rows} <= {entry.sha256 for entry in entries}


NARROW: Rules = {}
RULES: tuple[Rules, ...] = (
    NARROW,
    {"event_types": WIDER},
    {"optional": frozenset({"user_id"})},
    {"event_types": WIDER, "optional": frozenset({"user_id", "session_id"})},
)


@given(
    seed=st.integers(0, 1 << 32),
    after=st.sampled_from(RULES),
    reason=st.sampled_from((None, None, "event_type_unknown", "user_id_missing", "timestamp_out_of_range")),
    later_days=st.sampled_from((0, 5)),
)
@example(seed=1, after=RULES[3], reason=None, later_days=5)
@settings(max_examples=30, deadline=None)
def test_each_line_is_what_the_oracle_says_of_it_today(
    seed: int, after: Rules, reason: str | None, later_days: int
) -> None:
    rng = Random(seed)
    lines = some_lines(rng, rng.choice((1, 10, 40)))
    if all(oracle.judge(line, **judged_as(NARROW)).blank for line in lines):
        return
    latest_us = LATEST_US + later_days * DAY_US
    with TemporaryDirectory() as folder:
        before = landed(Path(folder), lines, NARROW)
        task = before.judging(after, reason, latest_us)
        found, entries, location = before.replayed(task)
        assert found_rows(location) == expected_rows(lines, NARROW, after, reason, latest_us)
        assert_counts_are(entries, location, lines)
        assert entries_in(location) == entries
        assert found.judged == sum(
            reason in (None, *oracle.judge(line, **judged_as(NARROW)).reasons)
            for line in lines
            if oracle.judge(line, **judged_as(NARROW)).problem
        )
        again = rejudge(dataclasses.replace(task, location=location))
        assert again.changes == {}


def test_a_line_that_moves_keeps_its_place_its_number_and_its_file(tmp_path: Path) -> None:
    lines = some_lines(Random(4), 30)
    before = landed(tmp_path, lines, NARROW)
    rows = pq.read_table(before.location).to_pylist()
    _, (left, replayed), location = before.replayed(before.judging(RULES[3]))
    assert replayed.lines > 2
    for old, new in zip(rows, pq.read_table(location).to_pylist(), strict=True):
        kept = ("line_number", "source_file", "received_at")
        assert [old[name] for name in kept] == [new[name] for name in kept]
        moved = old["problem"] is not None and new["problem"] is None
        assert new["source_sha256"] == (replayed if moved else left).sha256
    assert replayed.replayed_from == left.sha256 == ENTRY.sha256


def test_the_same_replay_again_makes_the_same_file(tmp_path: Path) -> None:
    before = landed(tmp_path, some_lines(Random(4), 30), NARROW)
    first = before.replayed(before.judging(RULES[3]))
    second = before.replayed(before.judging(RULES[3]))
    assert first == second
    assert digest_in(first[2]) is not None


def test_lines_in_many_row_groups_are_all_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 4)
    monkeypatch.setattr("eventmint.bronze.land.BLOCK_LINES", 4)
    monkeypatch.setattr("eventmint.bronze.rejudge.ROW_GROUP_ROWS", 4)
    lines = some_lines(Random(4), 30)
    before = landed(tmp_path, lines, NARROW)
    assert pq.ParquetFile(before.location).num_row_groups > 3
    _, entries, location = before.replayed(before.judging(RULES[3]))
    assert found_rows(location) == expected_rows(lines, NARROW, RULES[3], None, LATEST_US)
    assert_counts_are(entries, location, lines)


def test_a_line_that_was_cut_is_told_and_one_that_is_whole_is_judged(tmp_path: Path) -> None:
    whole = json.dumps({**hostile.good_event(Random(1)), "note": "x" * 500}).encode()
    cut = json.dumps({**hostile.good_event(Random(2)), "note": "x" * 5_000}).encode()
    before = landed(tmp_path, [whole, cut], {"max_line_bytes": 300})
    assert before.entry.reasons == '{"line_too_long": 2}'
    found, entries, location = before.replayed(before.judging({"max_line_bytes": 1 << 20}))
    assert (found.judged, found.cut) == (1, 1)
    (left,) = [row for row in pq.read_table(location).to_pylist() if row["problem"]]
    assert (left["problem"], left["raw"]) == ("line_too_long", cut[:4_096])
    assert json.loads(left["extra"])["raw_bytes"] == len(cut)
    assert [entry.lines for entry in entries] == [1, 1]


def test_a_line_that_is_too_long_by_now_loses_no_byte(tmp_path: Path) -> None:
    line = b"no event " + b"x" * 5_000
    before = landed(tmp_path, [line], NARROW)
    found = rejudge(before.judging({"max_line_bytes": 100}))
    assert (found.judged, found.changes) == (1, {})


def test_a_file_without_a_digest_gets_none(tmp_path: Path) -> None:
    before = landed(tmp_path, some_lines(Random(4), 30), NARROW)
    foreign = Path(before.location).rename(tmp_path / "00000-0-somebody.parquet")
    before = dataclasses.replace(before, location=str(foreign))
    _, entries, location = before.replayed(before.judging(RULES[3]))
    assert digest_in(location) is None
    assert entries_in(location) == entries
