"""The plan of a merge: large enough files, no day rewritten for a late event, and an end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventmint.maintenance.plan import TARGET_BYTES, Group, first_commit, groups_of, is_closed
from eventmint.tables.plan import LiveFile

MB = 1 << 20
DAY, NEXT = date(2026, 1, 15), date(2026, 1, 16)


def file(name: str, size_bytes: int, day: date | None = DAY) -> LiveFile:
    entry: Any = SimpleNamespace(file_size_in_bytes=size_bytes)
    return LiveFile(f"/lake/{name}.parquet", 1, day, entry)


def files(sizes: Sequence[int], day: date | None = DAY) -> list[LiveFile]:
    return [file(f"{day}-{number:04d}", size, day) for number, size in enumerate(sizes)]


def name_of(one: LiveFile) -> bytes:
    return one.location.encode()


def plan(held: Sequence[LiveFile]) -> list[Group]:
    return groups_of(held, name_of)


def sizes_of(groups: Sequence[Group]) -> list[int]:
    return [group.size_bytes // MB for group in groups]


def after(held: Sequence[LiveFile], groups: Sequence[Group], parts: int = 1) -> list[LiveFile]:
    """The files after a merge that leaves so many files of each group."""
    gone = {one.location for group in groups for one in group.files}
    made = [
        file(f"{group.stem}-{part}", group.size_bytes // parts, group.files[0].day)
        for group in groups
        for part in range(parts)
    ]
    return [one for one in held if one.location not in gone] + made


@given(st.lists(st.integers(1000, 16 * MB), min_size=2, max_size=300))
def test_small_files_of_a_day_become_files_of_128_to_512_mb(sizes: list[int]) -> None:
    total = sum(sizes)
    groups = plan(files(sizes))
    if groups and total >= 160 * MB and max(sizes) * 4 < total:
        assert all(128 <= size <= 512 for size in sizes_of(groups))
    assert len({one.location for group in groups for one in group.files}) == sum(
        len(group.files) for group in groups
    )


def test_a_small_day_becomes_one_file_and_days_stay_apart() -> None:
    groups = plan([*files([MB] * 288), *files([MB] * 3, NEXT)])
    assert [(group.files[0].day, len(group.files)) for group in groups] == [(DAY, 288), (NEXT, 3)]


def test_each_new_file_covers_a_range_of_its_own() -> None:
    groups = plan(files([7 * MB] * 288)[::-1])
    assert sizes_of(groups) == [252, 252, 252, 252, 252, 252, 252, 252]
    names = [one.location for group in groups for one in group.files]
    assert names == sorted(names)


@pytest.mark.parametrize("sizes", [[], [MB], [200 * MB, 300 * MB], [10_000, 3 * MB], [10_000, 200 * MB]])
def test_where_nothing_is_gained_nothing_is_merged(sizes: list[int]) -> None:
    assert plan(files(sizes)) == []


def test_a_late_file_is_merged_with_other_late_ones_and_not_with_its_day() -> None:
    held = files([100 * MB, 10_000, 20_000])
    assert [len(group.files) for group in plan(held)] == [2]


def test_late_files_for_ever_leave_few_files_and_rewrite_little() -> None:
    held, written = files([100 * MB]), 0
    for number in range(500):
        held.append(file(f"late{number}", 10_000))
        groups = plan(held)
        written += sum(group.size_bytes for group in groups)
        held = after(held, groups)
        assert len(held) <= 8
    assert written < 20 * 500 * 10_000


@given(st.lists(st.integers(1, 200 * MB), max_size=60), st.integers(1, 4))
def test_merging_comes_to_an_end_also_where_a_merge_leaves_several_files(
    sizes: list[int], parts: int
) -> None:
    held = files(sizes)
    for _ in range(20):
        groups = plan(held)
        if not groups:
            return
        held = after(held, groups, parts)
    pytest.fail("it goes on for ever")


def test_a_commit_takes_about_one_full_file_and_always_something() -> None:
    groups = plan(files([7 * MB] * 288))
    assert first_commit(groups) == groups[:1]
    small = plan([one for n in range(1, 28) for one in files([MB] * 10, date(2026, 1, n))])
    taken = first_commit(small)
    assert sum(group.size_bytes for group in taken) <= TARGET_BYTES
    assert 20 < len(taken) < len(small)


@pytest.mark.parametrize(
    ("day", "closed"), [(DAY, True), (NEXT, False), (None, True)], ids=["yesterday", "today", "no day"]
)
def test_a_day_is_closed_six_hours_after_its_end(day: date | None, *, closed: bool) -> None:
    assert is_closed(day, datetime(2026, 1, 16, 6, tzinfo=UTC)) is closed


def test_a_day_is_open_until_then() -> None:
    assert not is_closed(DAY, datetime(2026, 1, 16, 5, 59, 59, tzinfo=UTC))
