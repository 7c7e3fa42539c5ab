"""Runs of small files in one process, through the Python API, as a scheduler would start them."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.data import link
from eventmint.config import load_settings
from eventmint.lake import Lake
from eventmint.run_log import Progress

MINUTE_OF_RUN = timedelta(minutes=6)
_NAME_OF_TIME = "events-%Y%m%d-%H%M%S.jsonl.gz"


@dataclass(frozen=True)
class Delivered:
    """One run: when it would have been, and what it took."""

    moment: datetime
    wall_seconds: float
    cpu_seconds: float


def open_home(home: Path, progress: Progress | None = None, **flags: object) -> Lake:
    """Open the lake of a folder whose source is `data` in it and whose files are never waited for."""
    settings = {"source.path": "data", "source.settle_seconds": 0, **flags}
    return Lake(load_settings(home=home, flags=settings), progress)


def deliver(lake: Lake, files: Sequence[Path], source: Path) -> Iterator[Delivered]:
    """Let one file after another arrive in the lake's source, and run after each."""
    target = lake.settings.source_path
    for file in files:
        link(file, source, target)
        moment = time_of(file) + MINUTE_OF_RUN
        started, cpu = time.perf_counter(), cpu_seconds()
        lake.run(now=moment)
        yield Delivered(moment, time.perf_counter() - started, cpu_seconds() - cpu)


def time_of(file: Path) -> datetime:
    return datetime.strptime(file.name, _NAME_OF_TIME).replace(tzinfo=UTC)


def cpu_seconds() -> float:
    """Return what this process and its ended children have used so far."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def own_peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


class StageClock(Progress):
    """Watches a run and adds up the seconds and the CPU of each stage."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}
        self._since = 0.0, 0.0

    def start(self, stage: str, files: int, size_bytes: int) -> None:  # noqa: ARG002 - the protocol's
        self._since = time.perf_counter(), cpu_seconds()

    def advance(self, files: int, size_bytes: int, lines: int) -> None:
        pass

    def finish(self, stage: str, note: str) -> None:  # noqa: ARG002 - the protocol's
        wall, cpu = self._since
        self.wall[stage] = self.wall.get(stage, 0.0) + time.perf_counter() - wall
        self.cpu[stage] = self.cpu.get(stage, 0.0) + cpu_seconds() - cpu
