"""The lakes under test, each with a history of its own, and what eventmint itself says about them."""

from __future__ import annotations

import gzip
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from eventmint.config import load_settings
from eventmint.contracts import Contract, contract
from eventmint.lake import Lake
from eventmint.serve.answers import titled_statements
from eventmint.sources.sample import SampleSettings, generate
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.plan import TableHandle
from eventmint.values import RunReport
from interop.artifacts import ROOT
from interop.rows import Row, exact_rows

SAMPLE = ROOT / "sample-data" / "events"
# Each up to its semicolon, which Trino refuses, and without the comment of the next.
QUESTIONS = tuple(
    (title, statement.partition(";")[0].strip())
    for title, statement in titled_statements((ROOT / "queries.sql").read_text(encoding="utf-8"))
)
_FILES = sorted(SAMPLE.rglob("*.gz"))
# An older day that comes late; its second version replaces every file of it.
_LATE_DAY = SampleSettings(
    num_files=6, events_per_file=500, start=datetime(2026, 1, 14, 20, tzinfo=UTC), seed=7, bad_rate=0.02
)


@dataclass(frozen=True)
class LakeUnderTest:
    """A folder with a source, a lake and its database."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def source(self) -> Path:
        return self.folder / "source"

    @property
    def catalog_file(self) -> Path:
        return self.folder / "lake" / "catalog.sqlite"

    @property
    def lake(self) -> Lake:
        flags = {"source.settle_seconds": 0.0, "run.workers": 1}
        return Lake(load_settings(home=self.folder, flags=flags))

    def run(self) -> RunReport:
        return self.lake.run(self.source)

    def handle(self, table: str) -> tuple[TableHandle, Contract]:
        return LakeCatalog((self.folder / "lake").resolve()).load(contract(table)), contract(table)

    def metadata_location(self, table: str) -> str:
        return self.handle(table)[0].metadata_location

    def rows(self, table: str) -> list[Row]:
        """Return all rows of a table as PyIceberg reads them, columns in the contract's order."""
        handle, shape = self.handle(table)
        held = handle.scan().to_arrow().select(list(shape.column_names)).to_pylist()
        return exact_rows(row.values() for row in held)

    def answers(self) -> dict[str, list[Row]]:
        """Return what `lake.sql` answers to the five questions."""
        lake = self.lake
        return {
            title: exact_rows(row.values() for row in lake.sql(statement).to_pylist())
            for title, statement in QUESTIONS
        }

    # --- deliveries ---------------------------------------------------------------------------------------

    def deliver(self, path: Path, content: bytes) -> None:
        target = self.source / "events" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def deliver_sample(self, first: int, end: int) -> None:
        for path in _FILES[first:end]:
            self.deliver(path.relative_to(SAMPLE), path.read_bytes())

    def deliver_generated(self, settings: SampleSettings) -> None:
        folder = self.folder / "generated"
        generate(replace(settings, output_dir=folder, workers=1))
        for path in (folder / "events").rglob("*.gz"):
            self.deliver(path.relative_to(folder / "events"), path.read_bytes())
        shutil.rmtree(folder)

    def user_of_most_lines(self) -> str:
        counted = Counter(event.get("user_id") for path in self._sources() for event in _events(path))
        return str(counted.most_common(1)[0][0])

    def deliver_without(self, user: str) -> int:
        """Replace every file that has lines of a user by one without them; return the number of files."""
        replaced = 0
        for path in self._sources():
            lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
            kept = [line for line in lines if user.encode() not in line]
            if kept != lines:
                path.write_bytes(gzip.compress(b"".join(kept), mtime=0))
                replaced += 1
        return replaced

    def _sources(self) -> list[Path]:
        return sorted(self.source.rglob("*.gz"))


def _events(path: Path) -> list[dict[str, Any]]:
    found = []
    for line in gzip.decompress(path.read_bytes()).splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and isinstance(event.get("user_id"), str):
            found.append(event)
    return found


# --- histories --------------------------------------------------------------------------------------------


def _first_files(lake: LakeUnderTest) -> None:
    lake.deliver_sample(0, 8)


def _more_files(lake: LakeUnderTest) -> None:
    lake.deliver_sample(8, 16)


def _late_day_and_a_replaced_file(lake: LakeUnderTest) -> None:
    lake.deliver_sample(16, len(_FILES))
    lake.deliver_generated(_LATE_DAY)
    window = datetime(2026, 1, 15, 10, 10, tzinfo=UTC)
    lake.deliver_generated(SampleSettings(num_files=1, start=window, seed=43))


def _a_replaced_day(lake: LakeUnderTest) -> None:
    lake.deliver_generated(replace(_LATE_DAY, seed=8))


# Deliveries one after the other, a run after each: fresh files, more of the same day, late and replaced ones.
INCREMENTS: tuple[Callable[[LakeUnderTest], None], ...] = (
    _first_files,
    _more_files,
    _late_day_and_a_replaced_file,
    _a_replaced_day,
)


def from_scratch(folder: Path) -> LakeUnderTest:
    lake = LakeUnderTest(folder)
    lake.deliver_sample(0, len(_FILES))
    lake.run()
    return lake


def in_increments(folder: Path, until: int = len(INCREMENTS)) -> LakeUnderTest:
    lake = LakeUnderTest(folder)
    for deliver in INCREMENTS[:until]:
        deliver(lake)
        lake.run()
    return lake


def with_a_user_erased(folder: Path) -> tuple[LakeUnderTest, str, int]:
    """Return a lake whose sources were delivered again without a user, who that was, and how many files."""
    lake = in_increments(folder)
    user = lake.user_of_most_lines()
    replaced = lake.deliver_without(user)
    lake.run()
    return lake, user, replaced


def cut_off_before_the_ledger(folder: Path) -> LakeUnderTest:
    """Return a lake whose second run died between bronze's commit and the ledger's."""
    lake = in_increments(folder, until=1)
    INCREMENTS[1](lake)
    with patch("eventmint.pipeline._write_ledger", side_effect=KeyboardInterrupt):
        try:
            lake.run()
        except KeyboardInterrupt:
            return lake
    raise AssertionError("the run was not cut off")
