"""Which files of a table are laid together. Decided from metadata alone, and the same files always give the
same plan."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from eventmint.tables.plan import LiveFile

# Files of 128 to 512 MB: large enough that opening them costs nothing, small enough to be read in parallel.
TARGET_BYTES = 256 << 20
# A file is left alone that is more than so many times as large as all the smaller ones together: a late
# event must not cost its whole day.
_OUTWEIGHS = 4
# Late events have mostly come by then.
_CLOSED_AFTER = timedelta(hours=6)
_GROUPS_PER_COMMIT = 64
_MERGED = re.compile(r"merged-[0-9a-f]{16}")


@dataclass(frozen=True)
class Group:
    """Files of one partition whose rows go into one new file (on Spark perhaps a few)."""

    files: tuple[LiveFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def stem(self) -> str:
        """A name that says what was merged: a repeat after a crash gives it again."""
        names = "\n".join(sorted(file.location.rpartition("/")[2] for file in self.files))
        return f"merged-{hashlib.sha256(names.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class _Unit:
    """A file, or the files that one merge has left: they are only merged again together."""

    files: tuple[LiveFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def is_closed(day: date | None, now: datetime) -> bool:
    """Whether hardly anything comes for a UTC day any more; a table without days is always ready."""
    if day is None:
        return True
    return now >= datetime.combine(day + timedelta(days=1), time(), UTC) + _CLOSED_AFTER


def groups_of(
    files: Iterable[LiveFile], first: Callable[[LiveFile], bytes], target_bytes: int = TARGET_BYTES
) -> list[Group]:
    """Return what is to be merged, oldest day first; nothing where a merge would gain nothing.

    Args:
        first: what puts the files of a partition into order, so that each new file covers a range of its own.
    """
    by_day: dict[date | None, list[LiveFile]] = defaultdict(list)
    for file in files:
        by_day[file.day].append(file)
    found = []
    for day in sorted(by_day, key=lambda day: day or date.min):
        units = _worth_merging(_units(by_day[day]), target_bytes)
        units.sort(key=lambda unit: min((first(file), file.location) for file in unit.files))
        found += [Group(files) for files in _cut(units, target_bytes)]
    return found


def first_commit(groups: Sequence[Group], target_bytes: int = TARGET_BYTES) -> list[Group]:
    """Return the groups that one commit takes: the next ones, up to about one file of full size."""
    taken: list[Group] = []
    for group in groups[:_GROUPS_PER_COMMIT]:
        if taken and sum(one.size_bytes for one in (*taken, group)) > target_bytes:
            break
        taken.append(group)
    return taken


def _units(files: Iterable[LiveFile]) -> list[_Unit]:
    together: dict[str, list[LiveFile]] = defaultdict(list)
    for file in files:
        merged = _MERGED.match(file.stem)
        together[merged.group() if merged else file.location].append(file)
    return [_Unit(tuple(files)) for files in together.values()]


def _worth_merging(units: Iterable[_Unit], target_bytes: int) -> list[_Unit]:
    """The small ones, without those that outweigh all that are smaller."""
    small = sorted(
        (unit for unit in units if unit.size_bytes < target_bytes // 2), key=lambda u: u.size_bytes
    )
    count = total = 0
    for number, unit in enumerate(small):
        if number and unit.size_bytes <= _OUTWEIGHS * total:
            count = number + 1
        total += unit.size_bytes
    return small[:count]


def _cut(units: Sequence[_Unit], target_bytes: int) -> Iterable[tuple[LiveFile, ...]]:
    """Cut a row of units into parts of about equal size, none far from the target."""
    total = sum(unit.size_bytes for unit in units)
    share = total / max(1, round(total / target_bytes))
    part: list[_Unit] = []
    done, boundary = 0, share
    for unit in units:
        part.append(unit)
        done += unit.size_bytes
        if done >= boundary:
            yield from _merged(part)
            part, boundary = [], boundary + share
    yield from _merged(part)


def _merged(part: Sequence[_Unit]) -> Iterable[tuple[LiveFile, ...]]:
    if len(part) > 1:
        yield tuple(file for unit in part for file in unit.files)
