"""The data that everybody gets: made by our generator, the right answers beside it, kept between sittings."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.answers import Answers, answers_of_truth
from eventmint.sources.sample import FILE_PATH, SampleSettings, generate

START = datetime(2026, 1, 15, 10, tzinfo=UTC)
MADE_AT = START.timestamp()


@dataclass(frozen=True)
class DataSet:
    """Files of one kind: how many lines and bytes, and what follows from them."""

    folder: Path

    @property
    def source(self) -> Path:
        return self.folder / "data"

    @property
    def files(self) -> list[Path]:
        """Oldest first: the names are times."""
        return sorted(self.source.rglob("*.jsonl.gz"))

    @cached_property
    def truth(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "truth.json").read_text(encoding="utf-8"))
        return found

    @cached_property
    def answers(self) -> Answers:
        return answers_of_truth(self.folder / "truth.json")

    @property
    def lines(self) -> int:
        return int(self.truth["totals"]["lines"])

    @property
    def gz_bytes(self) -> int:
        return sum(file.stat().st_size for file in self.files)


def data_set(
    shelf: Path,
    files: int,
    events: int,
    *,
    bad_rate: float = 0.0,
    start: datetime = START,
    truth: bool = True,
) -> DataSet:
    """Return the data set of these settings; made once, then taken from the shelf."""
    settings = SampleSettings(num_files=files, events_per_file=events, bad_rate=bad_rate, start=start)
    key = hashlib.sha256(json.dumps(settings.as_json(), sort_keys=True).encode()).hexdigest()[:12]
    folder = shelf / f"{files}x{events}-{bad_rate:g}-{key}{'' if truth else '-without-truth'}"
    if not folder.exists():
        making = folder.with_name(f"{folder.name}.making")
        shutil.rmtree(making, ignore_errors=True)
        right = making / "truth.json" if truth else None
        generate(replace(settings, output_dir=making / "data", truth=right))
        for file in DataSet(making).files:
            os.utime(file, (MADE_AT, MADE_AT))  # a file that has just been written is left for the next run
        making.rename(folder)
    return DataSet(folder)


def path_of(moment: datetime) -> str:
    """Return where the file of a window lies, relative to the source."""
    return moment.strftime(FILE_PATH)


def link(file: Path, source: Path, target: Path) -> None:
    """Deliver a file of one source folder into another one, without copying its bytes."""
    place = target / file.relative_to(source)
    place.parent.mkdir(parents=True, exist_ok=True)
    os.link(file, place)
