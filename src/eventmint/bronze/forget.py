"""Rows of forgotten people out of bronze: found, counted by content, and left out of a file written anew.

Pure functions of a file and the suppression list: any engine may run them anywhere, and again after a crash.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from eventmint.bronze.land import counts_to_json, reasons_of, unknown_fields_of
from eventmint.bronze.rewrite import rewrite_file
from eventmint.engine.parquet import ROW_GROUP_ROWS
from eventmint.storage import local_paths
from eventmint.suppression import Suppression
from eventmint.values import LedgerEntry

_LOOKED_AT = ("event_time", "user_id", "extra", "problem", "raw", "source_sha256")


@dataclass(frozen=True)
class Search:
    """A file of bronze, and whose rows are looked for."""

    location: str
    suppression: Suppression


@dataclass
class Found:
    """What a file holds of forgotten people.

    Attributes:
        losses: what each content in it would lose, also those that lose nothing.
        hashes: of the people who are named.
    """

    losses: dict[str, Loss] = field(default_factory=dict)
    hashes: set[str] = field(default_factory=set)

    @property
    def contents(self) -> set[str]:
        """Those that lose rows."""
        return {content for content, loss in self.losses.items() if loss.rows}


@dataclass
class Loss:
    """What a content loses, and the times of what it keeps.

    Attributes:
        valid, quarantined: rows that go.
        unknown_fields, reasons: what these had.
        days: UTC days of the events that go.
        first, last: times of the events that stay.
    """

    valid: int = 0
    quarantined: int = 0
    unknown_fields: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    days: set[date] = field(default_factory=set)
    first: datetime | None = None
    last: datetime | None = None

    @property
    def rows(self) -> int:
        return self.valid + self.quarantined

    def add(self, other: Loss) -> None:
        self.valid += other.valid
        self.quarantined += other.quarantined
        self.unknown_fields.update(other.unknown_fields)
        self.reasons.update(other.reasons)
        self.days |= other.days
        self.first = min(filter(None, (self.first, other.first)), default=None)
        self.last = max(filter(None, (self.last, other.last)), default=None)


def search(task: Search) -> Found:
    """Look for the rows of forgotten people in a file; nothing is written."""
    (path,) = local_paths([task.location])
    found = Found()
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROW_GROUP_ROWS, columns=[*_LOOKED_AT]):
            rows = pa.Table.from_batches([batch])
            goes = task.suppression.rows_of(rows, thorough=True)
            found.hashes |= task.suppression.found_in(rows.filter(goes))
            for content in pc.unique(rows["source_sha256"]).to_pylist():
                is_its = pc.equal(rows["source_sha256"], content)
                lost = rows.filter(pc.and_(is_its, goes))
                kept = rows.filter(pc.and_not(is_its, goes))
                found.losses.setdefault(content, Loss()).add(_loss(lost, kept))
    return found


@dataclass(frozen=True)
class Erasing:
    """A file of bronze that is written without some rows.

    Attributes:
        entries: the ledger's entries, as they are then, of the contents that lose rows.
        staging: folder for the new file; its name begins with `stem`.
    """

    search: Search
    entries: tuple[LedgerEntry, ...]
    staging: str
    stem: str


def erase(task: Erasing) -> str | None:
    """Write the rows that stay, in their order; return where, None where none stays."""

    def staying(rows: pa.Table) -> pa.Table:
        return rows.filter(pc.invert(task.search.suppression.rows_of(rows, thorough=True)))

    return rewrite_file(task.search.location, staying, task.entries, task.staging, task.stem)


def entry_after(before: LedgerEntry, loss: Loss, seq: int) -> LedgerEntry:
    """Return the entry of a content that has lost rows in a batch."""
    return dataclasses.replace(
        before,
        valid=before.valid - loss.valid,
        quarantined=before.quarantined - loss.quarantined,
        lines_suppressed=(before.lines_suppressed or 0) + loss.rows,
        first_event_time=loss.first,
        last_event_time=loss.last,
        unknown_fields=_without(before.unknown_fields, loss.unknown_fields),
        reasons=_without(before.reasons, loss.reasons),
        judged_seq=seq,
    )


def sum_by_content(found: Iterable[Found]) -> dict[str, Loss]:
    """Return what each content loses over all files, of those that lose something."""
    sums: dict[str, Loss] = {}
    for one in found:
        for content, loss in one.losses.items():
            sums.setdefault(content, Loss()).add(loss)
    return {content: loss for content, loss in sums.items() if loss.rows}


def _loss(lost: pa.Table, kept: pa.Table) -> Loss:
    valid = lost["problem"].null_count
    bounds = pc.min_max(kept["event_time"]).as_py()
    days = pc.unique(lost["event_time"].drop_null().cast(pa.timestamp("us")).cast(pa.date32())).to_pylist()
    return Loss(
        valid=valid,
        quarantined=lost.num_rows - valid,
        unknown_fields=unknown_fields_of(lost),
        reasons=reasons_of(lost),
        days=set(days),
        first=bounds["min"],
        last=bounds["max"],
    )


def _without(counts: str | None, gone: Counter[str]) -> str | None:
    left = Counter(json.loads(counts or "{}"))
    left.subtract(gone)
    return counts_to_json(+left)
