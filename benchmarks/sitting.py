"""One sitting: its sizes, its folders, and who takes part."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.candidates import CANDIDATES, Candidate
from benchmarks.data import DataSet, data_set

BAD_RATE = 0.001


@dataclass(frozen=True)
class Sizes:
    """How much of everything. `SMALL` shows that all of it works; only `FULL` says how fast anything is.

    Attributes:
        files, events: the backlog; events are lines per file, 7 % of them second deliveries.
        rounds: of clean data; dirty_rounds: of data with 0.1 % bad lines.
        histories: how many files a lake holds before one more is measured.
        history_events: lines in each file of the history that is more than a day old.
        days: of gold for the answers; products: in that shop.
        repeats: of a warm question; cold_repeats: of a cold one, and of a start.
        memory_files: backlogs whose memory is compared.
        spark_files: files for Spark's landing.
        month_files, month_events: runs of a simulated month, and lines per file.
        files_per_day: of that month; 288 is one per five minutes.
    """

    files: int
    events: int
    rounds: int
    dirty_rounds: int
    histories: tuple[int, ...]
    history_events: int
    days: tuple[int, ...]
    products: int
    repeats: int
    cold_repeats: int
    memory_files: tuple[int, ...]
    spark_files: int
    month_files: int
    month_events: int
    files_per_day: int


SMALL = Sizes(
    files=3,
    events=20_000,
    rounds=3,
    dirty_rounds=1,
    histories=(4, 8),
    history_events=500,
    days=(1, 5),
    products=500,
    repeats=5,
    cold_repeats=2,
    memory_files=(1, 3),
    spark_files=2,
    month_files=12,
    month_events=200,
    files_per_day=4,
)
FULL = Sizes(
    files=24,
    events=625_000,
    rounds=3,
    dirty_rounds=3,
    histories=(23, 287, 2_016),
    history_events=10_000,
    days=(1, 365),
    products=100_000,
    repeats=40,
    cold_repeats=20,
    memory_files=(3, 6, 12, 24),
    spark_files=6,
    month_files=8_640,
    month_events=500,
    files_per_day=288,
)


@dataclass(frozen=True)
class Sitting:
    """What every workload is given."""

    sizes: Sizes
    work: Path
    candidates: tuple[Candidate, ...]

    @cached_property
    def clean(self) -> DataSet:
        return self.data(self.sizes.files, self.sizes.events)

    @cached_property
    def dirty(self) -> DataSet:
        return self.data(self.sizes.files, self.sizes.events, bad_rate=BAD_RATE)

    def data(self, files: int, events: int, *, bad_rate: float = 0.0) -> DataSet:
        self.tell(f"data: {files} files x {events:,} lines")
        return data_set(self.shelf, files, events, bad_rate=bad_rate)

    @property
    def shelf(self) -> Path:
        """Where data sets are kept from sitting to sitting."""
        return self.work / "data"

    @contextmanager
    def fresh(self, name: str) -> Iterator[Path]:
        """An empty folder that is gone afterwards."""
        folder = self.work / "scratch" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def tell(self, text: str) -> None:
        """Say on stderr what is going on: a sitting takes hours."""
        print(f"bench  {text}", file=sys.stderr, flush=True)


def taking_part(names: tuple[str, ...] | None) -> tuple[Candidate, ...]:
    """Return the candidates that are asked for and can run here; eventmint is always among them.

    Raises: ValueError: no candidate has that name.
    """
    known = {candidate.name.lower(): candidate for candidate in CANDIDATES}
    wanted = known if names is None else {CANDIDATES[0].name: 0, **dict.fromkeys(map(str.lower, names))}
    if unknown := wanted.keys() - known.keys():
        raise ValueError(f"no candidate {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return tuple(known[name] for name in wanted if not known[name].missing)
