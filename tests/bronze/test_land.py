"""Landing: every line of a file becomes a row or a count, wherever the bytes happened to be cut."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import hostile
import oracle
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eventmint.bronze import land as landing_module
from eventmint.bronze.land import (
    FOOTER_KEY,
    Landed,
    Landing,
    TooLongLine,
    blocks_of_lines,
    entry_from_json,
    entry_to_json,
    land,
)
from eventmint.contracts import contract
from eventmint.engine import parquet
from eventmint.engine.parquet import arrow_schema, footer
from eventmint.sources.gunzip import UnreadableFile
from eventmint.storage.digests import stem_in
from eventmint.values import EventRules, LedgerEntry

BOM = b"\xef\xbb\xbf"
KEPT_BYTES = 4_096  # of a line that is too long
RECEIVED_AT = datetime(2025, 6, 15, 12, 5, tzinfo=UTC)
LATEST_US = oracle.microseconds(hostile.NOW) + 86_400_000_000
ENTRY = LedgerEntry(
    path="events/a.jsonl.gz",
    version="1-1",
    size_bytes=1,
    sha256="ab" * 32,
    received_at=RECEIVED_AT,
    status="landing",
    batch="cd" * 32,
    seq=7,
)
EVENT_COLUMNS = ("event_time", *oracle.FIELDS[1:])
Row = tuple[object, ...]
Land = Callable[..., Landed]


@pytest.fixture
def land_chunks(tmp_path: Path) -> Land:
    def run(chunks: Iterable[bytes], threads: int = 1, **rules: Any) -> Landed:
        landing = Landing(ENTRY, "nowhere", "", EventRules(**rules), LATEST_US, threads)
        return land(landing, chunks, tmp_path)

    return run


def cut(text: bytes, sizes: Iterable[int]) -> list[bytes]:
    """Cut a text into chunks of these sizes; the last takes the rest."""
    chunks = []
    for size in sizes:
        chunks.append(text[:size])
        text = text[size:]
    return [*chunks, text]


def random_chunks(rng: Random, text: bytes, largest: int) -> list[bytes]:
    return cut(text, [rng.randint(0, largest) for _ in range(2 * len(text) // largest)])


# --- Blocks of lines -------------------------------------------------------------------------------------


def lines_of(chunks: Iterable[bytes], max_line_bytes: int) -> list[bytes | TooLongLine]:
    found: list[bytes | TooLongLine] = []
    for block in blocks_of_lines(chunks, max_line_bytes):
        found += block.split(b"\n") if isinstance(block, bytes) else [block]
    return found


def assert_cut_like_the_oracle(chunks: list[bytes], max_line_bytes: int) -> None:
    expected = oracle.split_lines(b"".join(chunks))
    found = lines_of(chunks, max_line_bytes)
    assert len(found) == len(expected)
    for line, text in zip(found, expected, strict=True):
        if isinstance(line, TooLongLine):
            assert len(text) > max_line_bytes
            is_blank = not text.strip(b" \t\r")
            sha256 = hashlib.sha256(text).hexdigest()
            assert line == TooLongLine(text[:KEPT_BYTES], len(text), sha256, is_blank)
        else:
            assert line == text


@pytest.mark.parametrize("first", [b"", b"x" * 500])
def test_a_block_has_few_lines_and_no_line_is_cut(monkeypatch: pytest.MonkeyPatch, first: bytes) -> None:
    monkeypatch.setattr(landing_module, "BLOCK_LINES", 8)
    text = b"\n".join([first, *(b"%d" % number for number in range(100)), b""])
    blocks = list(blocks_of_lines([text], 1_000))
    assert b"\n".join(block for block in blocks if isinstance(block, bytes)) + b"\n" == text
    assert max(block.count(b"\n") for block in blocks if isinstance(block, bytes)) < 8


PIECES = st.sampled_from([b"\n", b"\n", b"\n\n", b"a", b"bc", b"\r\n", BOM, BOM[:1], BOM[:2], b"\x00", b" "])


@settings(max_examples=400, deadline=None)
@given(
    pieces=st.lists(PIECES | st.binary(max_size=6), max_size=25),
    sizes=st.lists(st.integers(0, 9), max_size=25),
    max_line_bytes=st.integers(1, 12),
)
@example(pieces=[], sizes=[], max_line_bytes=1)
@example(pieces=[BOM], sizes=[1, 1], max_line_bytes=1)
@example(pieces=[BOM[:2]], sizes=[1], max_line_bytes=1)
@example(pieces=[BOM, BOM, b"\n"], sizes=[2, 2], max_line_bytes=9)
@example(pieces=[b"\n"], sizes=[], max_line_bytes=1)
@example(pieces=[b"a\n", b"long" * 5, b"\n\nb"], sizes=[4, 4, 4], max_line_bytes=5)
@example(pieces=[b"long" * 5], sizes=[4, 4, 4], max_line_bytes=5)
@example(pieces=[b"long" * 5, b"\n"], sizes=[4, 4, 12], max_line_bytes=5)
def test_lines_are_those_of_a_plain_split_however_the_bytes_are_cut(
    pieces: list[bytes], sizes: list[int], max_line_bytes: int
) -> None:
    assert_cut_like_the_oracle(cut(b"".join(pieces), sizes), max_line_bytes)


@settings(max_examples=60, deadline=None)
@given(text=st.binary(max_size=60), block_bytes=st.integers(1, 30), max_line_bytes=st.integers(1, 80))
def test_the_size_of_a_block_changes_no_line(text: bytes, block_bytes: int, max_line_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(landing_module, "BLOCK_BYTES", block_bytes)
        assert_cut_like_the_oracle(cut(text, [3] * 20), max_line_bytes)


@pytest.mark.parametrize("size", [4_095, 4_096, 4_097, 5_000, 70_000])
@pytest.mark.parametrize("chunk", [1_000, 4_096, 100_000])
def test_of_a_line_too_long_start_size_and_hash_are_kept(size: int, chunk: int) -> None:
    text = b"first\n" + Random(size).randbytes(size).replace(b"\n", b"_") + b"\nlast"
    assert_cut_like_the_oracle(cut(text, [chunk] * 80), 2_000)


def test_a_line_of_any_length_passes_in_bounded_memory() -> None:
    chunks = (bytes(10_000) for _ in range(5_000))
    tracemalloc.start()
    try:
        (line,) = blocks_of_lines(chunks, 50_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(line, TooLongLine)
    assert (len(line.start), line.size) == (KEPT_BYTES, 50_000_000)
    assert peak < 1 << 20


# --- Rows ------------------------------------------------------------------------------------------------


def rows_found(landed: Landed) -> Counter[Row]:
    """Return the rows of the Parquet file, valid and quarantined told apart."""
    rows: Counter[Row] = Counter()
    if landed.parquet is None:
        return rows
    for row in pq.read_table(landed.parquet).to_pylist():
        origin = (row["source_file"], row["source_sha256"], row["received_at"])
        assert origin == (ENTRY.path, ENTRY.sha256, RECEIVED_AT)
        if row["problem"] is None:
            assert (row["line_number"], row["raw"]) == (None, None)
            values = (oracle.microseconds(row["event_time"]), *(row[name] for name in EVENT_COLUMNS[1:]))
            extra = None if row["extra"] is None else oracle.canonical_json(oracle.parse_json(row["extra"]))
            rows["valid", *values, extra] += 1
        else:
            assert {row[name] for name in EVENT_COLUMNS} == {None}
            rows["quarantined", row["problem"], row["line_number"], row["raw"], row["extra"]] += 1
    return rows


def rows_expected(lines: list[bytes], verdicts: list[oracle.OracleVerdict]) -> Counter[Row]:
    rows: Counter[Row] = Counter()
    for number, (line, verdict) in enumerate(zip(lines, verdicts, strict=True), 1):
        if verdict.values is not None:
            extra = verdict.values["extra"]
            values = (verdict.values[field] for field in oracle.FIELDS)
            rows["valid", *values, None if extra is None else oracle.canonical_json(extra)] += 1
        elif verdict.problem == "line_too_long":
            kept = json.dumps({"raw_bytes": len(line), "raw_sha256": hashlib.sha256(line).hexdigest()})
            rows["quarantined", verdict.problem, number, line[:KEPT_BYTES], kept] += 1
        elif not verdict.blank:
            rows["quarantined", verdict.problem, number, line, None] += 1
    return rows


def assert_landed_like_the_oracle(landed: Landed, text: bytes, **rules: Any) -> None:
    lines = oracle.split_lines(text)
    verdicts = [oracle.judge(line, now=hostile.NOW, **rules) for line in lines]
    valid = [verdict.values for verdict in verdicts if verdict.values is not None]
    times = [oracle.EPOCH + timedelta(microseconds=values["timestamp"]) for values in valid]
    unknown = Counter(name for values in valid for name in values["extra"] or ())
    assert rows_found(landed) == rows_expected(lines, verdicts)
    assert landed.reasons == Counter(reason for verdict in verdicts for reason in verdict.reasons)
    entry = landed.entry
    assert (entry.status, entry.reason) == ("landed", None)
    assert entry.lines == len(lines)
    assert entry.blank == sum(verdict.blank for verdict in verdicts)
    assert entry.valid == len(valid)
    assert entry.quarantined == sum(bool(verdict.reasons) for verdict in verdicts)
    assert (entry.first_event_time, entry.last_event_time) == (
        min(times, default=None),
        max(times, default=None),
    )
    assert json.loads(entry.unknown_fields or "{}") == unknown


def mixed_lines(rng: Random, count: int) -> list[bytes]:
    """Return good lines and lines of every light class, one line for three."""
    light = [make for name, make in hostile.CLASSES.items() if name not in hostile.HEAVY]
    return [hostile.good_line(rng) if rng.random() < 0.67 else rng.choice(light)(rng) for _ in range(count)]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("seed", range(6))
def test_a_file_lands_like_the_oracle_says_however_its_bytes_are_cut(
    land_chunks: Land, monkeypatch: pytest.MonkeyPatch, seed: int, threads: int
) -> None:
    rng = Random(seed)
    monkeypatch.setattr(landing_module, "BLOCK_BYTES", rng.choice((500, 20_000, 8 << 20)))
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", rng.choice((7, 131_072)))
    text = b"\n".join(mixed_lines(rng, 500)) + rng.choice((b"", b"\n"))
    landed = land_chunks(random_chunks(rng, text, rng.choice((300, 30_000, 1_000_000))), threads)
    assert_landed_like_the_oracle(landed, text)


@pytest.mark.parametrize(("chunk", "threads"), [(100, 1), (2_000, 1), (100, 3)])
def test_the_cap_on_a_line_is_a_setting(land_chunks: Land, chunk: int, threads: int) -> None:
    rng = Random(chunk)
    text = b"\n".join(line for line in mixed_lines(rng, 200) if line.strip(b" \t\r") or len(line) < 50)
    landed = land_chunks(cut(text, [chunk] * 500), threads, max_line_bytes=180)
    assert landed.reasons["line_too_long"] > 20
    assert_landed_like_the_oracle(landed, text, max_line_bytes=180)


@pytest.mark.parametrize("chunk", [1_000, 10])
def test_a_blank_line_is_blank_whatever_its_length_and_wherever_it_is_cut(
    land_chunks: Land, chunk: int
) -> None:
    text = hostile.good_line(Random(1)) + b"\n" + b" \t\r" * 200 + b"\n" + hostile.good_line(Random(2))
    assert_landed_like_the_oracle(land_chunks(cut(text, [chunk] * 200), max_line_bytes=400), text)


def test_a_line_of_the_largest_size_lands_and_one_byte_more_does_not(land_chunks: Land) -> None:
    rng = Random(3)
    names = ("length_at_the_cap", "length_one_above_the_cap", "length_at_the_cap_with_cr")
    text = b"\n".join(hostile.CLASSES[name](rng) for name in names)
    landed = land_chunks(cut(text, [1 << 19] * 8))
    assert_landed_like_the_oracle(landed, text)
    assert landed.reasons == {"line_too_long": 1}


def test_a_mark_at_the_start_of_the_file_is_dropped_once(land_chunks: Land) -> None:
    good = hostile.good_line(Random(4))
    for text in (BOM + good, BOM + BOM + good, good + b"\n" + BOM + good, BOM, BOM + b"\n" + good):
        for sizes in ([], [1, 1, 1], [2], [3], [4]):
            assert_landed_like_the_oracle(land_chunks(cut(text, sizes)), text)


@pytest.mark.parametrize("text", [b"", b"\n", b"\n\n\n", b" \t\r\n\r\n ", BOM, BOM + b"\n", b"\n" * 10_000])
def test_a_file_without_a_line_to_keep_makes_no_parquet_file(
    land_chunks: Land, tmp_path: Path, text: bytes
) -> None:
    landed = land_chunks([text] if text else [])
    assert landed.parquet is None
    assert list(tmp_path.iterdir()) == []
    assert_landed_like_the_oracle(landed, text)


def test_the_parquet_file_has_the_columns_and_ids_of_the_contract(land_chunks: Land) -> None:
    landed = land_chunks([hostile.good_line(Random(5)) + b"\n{"])
    assert landed.parquet is not None
    expected = arrow_schema(contract("bronze.events"))
    found = pq.read_schema(landed.parquet)
    assert [(f.name, f.type, f.nullable, f.metadata[b"PARQUET:field_id"]) for f in found] == [
        (f.name, f.type, f.nullable, f.metadata[b"PARQUET:field_id"]) for f in expected
    ]


@pytest.mark.parametrize("threads", [1, 3])
def test_the_same_bytes_make_the_same_file_byte_for_byte(
    land_chunks: Land, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr(landing_module, "BLOCK_BYTES", 2_000)
    text = b"\n".join(mixed_lines(Random(6), 200))
    contents = set()
    for _ in range(4):
        landed = land_chunks(cut(text, [500] * 200), threads)
        assert landed.parquet is not None
        assert stem_in(landed.parquet) == ENTRY.sha256
        contents.add(Path(landed.parquet).read_bytes())
    assert len(contents) == 1


# --- The entry in the footer -----------------------------------------------------------------------------


def test_the_footer_of_the_parquet_file_holds_the_ledger_entry(land_chunks: Land) -> None:
    landed = land_chunks([b"\n".join(mixed_lines(Random(7), 50))])
    assert landed.entry.unknown_fields
    text = footer(str(landed.parquet), FOOTER_KEY)
    assert text is not None
    assert entry_from_json(text) == landed.entry


@given(
    entry=st.builds(
        LedgerEntry,
        sha256=st.none() | st.text(max_size=5),
        received_at=st.datetimes(timezones=st.just(UTC)),
        first_event_time=st.none() | st.datetimes(timezones=st.just(UTC)),
        last_event_time=st.none() | st.datetimes(timezones=st.just(UTC)),
    )
)
def test_an_entry_survives_its_journey_through_json(entry: LedgerEntry) -> None:
    assert entry_from_json(entry_to_json(entry)) == entry


# --- Files that turn out to be corrupt -------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("rows_written", [0, 40])
def test_a_file_that_is_corrupt_at_its_end_leaves_nothing_behind(
    land_chunks: Land, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_written: int, threads: int
) -> None:
    monkeypatch.setattr(landing_module, "BLOCK_BYTES", 100)
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 5)
    seen_on_disk: list[Path] = []

    def chunks() -> Iterator[bytes]:
        rng = Random(8)
        for _ in range(rows_written):
            yield hostile.good_line(rng) + b"\n"
        seen_on_disk.extend(tmp_path.iterdir())
        raise UnreadableFile("gzip_corrupt")

    with pytest.raises(UnreadableFile, match=r"^gzip_corrupt$"):
        land_chunks(chunks(), threads)
    assert bool(seen_on_disk) == bool(rows_written)
    assert not any(path.name.endswith(".parquet") for path in seen_on_disk)
    assert list(tmp_path.iterdir()) == []
