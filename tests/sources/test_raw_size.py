"""Raw size: what is measured, and what is left out because it is no longer what was landed."""

from __future__ import annotations

import gzip
import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from eventmint.sources.raw_size import RawSize, measure_raw
from eventmint.values import LedgerEntry


def _entry(path: Path, text: bytes) -> LedgerEntry:
    path.write_bytes(gzip.compress(text))
    return LedgerEntry(
        path=str(path),
        version="1",
        size_bytes=path.stat().st_size,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        received_at=datetime(2026, 1, 15, tzinfo=UTC),
        status="landed",
        lines=text.count(b"\n"),
        blank=text.count(b"\n\n"),
    )


@pytest.fixture
def entries(tmp_path: Path) -> list[LedgerEntry]:
    return [_entry(tmp_path / f"{n}.gz", b"x" * (10 * n) + b"\n\n") for n in range(1, 11)]


def test_every_file_is_unpacked_and_counted(entries: list[LedgerEntry]) -> None:
    size = measure_raw(entries, 10)
    assert size == RawSize(
        10, 10, sum(10 * n + 2 for n in range(1, 11)), sum(e.size_bytes for e in entries), 10
    )


def test_only_so_many_are_unpacked_and_they_are_spread(entries: list[LedgerEntry]) -> None:
    size = measure_raw(entries, 3)
    assert (size.files, size.known_files) == (2, 10)  # every fourth of ten
    assert measure_raw(entries, 5).files == 5
    assert measure_raw(entries, 1).files == 1


def test_nothing_is_unpacked_where_nothing_is_asked(entries: list[LedgerEntry]) -> None:
    assert measure_raw(entries, 0) == RawSize(0, 0, 0, 0, 10)
    assert measure_raw([], 5) == RawSize(0, 0, 0, 0, 0)


def test_a_file_that_is_gone_changed_or_broken_is_left_out(entries: list[LedgerEntry]) -> None:
    Path(entries[0].path).unlink()
    Path(entries[1].path).write_bytes(gzip.compress(b"another\n"))
    Path(entries[2].path).write_bytes(b"no gzip")
    size = measure_raw(entries, 10)
    assert (size.files, size.lines) == (7, 7)


def test_a_source_on_s3_is_not_looked_for_on_this_disk() -> None:
    entry = LedgerEntry(
        "s3://bucket/events/a.gz", "1", 5, "00", datetime(2026, 1, 15, tzinfo=UTC), "landed", lines=1
    )
    assert measure_raw([entry], 5).files == 0
