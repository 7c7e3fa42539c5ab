"""What contents lose when rows of bronze go: counted by content, so that the ledger can tell it."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from eventmint.bronze.land import counts_to_json, reasons_of, unknown_fields_of
from eventmint.values import LedgerEntry

# The columns that a loss is counted from.
LOOKED_AT = ("event_time", "received_at", "extra", "problem", "source_sha256")


@dataclass
class Loss:
    """What a content loses, and the times of what it keeps.

    Attributes:
        valid, quarantined: rows that go.
        unknown_fields, reasons: what these had.
        days: how many of the events that go are of which UTC day.
        received: how many of the quarantined lines that go were received on which UTC day.
        kept: rows that stay.
        first, last: times of the events among them.
    """

    valid: int = 0
    quarantined: int = 0
    unknown_fields: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    days: Counter[date] = field(default_factory=Counter)
    received: Counter[date] = field(default_factory=Counter)
    kept: int = 0
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
        self.days.update(other.days)
        self.received.update(other.received)
        self.kept += other.kept
        self.first = min(filter(None, (self.first, other.first)), default=None)
        self.last = max(filter(None, (self.last, other.last)), default=None)


def add_losses(losses: dict[str, Loss], rows: pa.Table, goes: pa.ChunkedArray) -> None:
    """Add what each content among some rows loses, also those that lose nothing.

    Args:
        losses: by content.
        rows: of bronze, with the columns LOOKED_AT.
        goes: which of them go.
    """
    for content in pc.unique(rows["source_sha256"]).to_pylist():
        is_its = pc.equal(rows["source_sha256"], content)
        lost = rows.filter(pc.and_(is_its, goes))
        kept = rows.filter(pc.and_not(is_its, goes))
        losses.setdefault(content, Loss()).add(_loss(lost, kept))


def sum_by_content(found: Iterable[Mapping[str, Loss]]) -> dict[str, Loss]:
    """Return what each content loses over all files, of those that lose something."""
    sums: dict[str, Loss] = {}
    for one in found:
        for content, loss in one.items():
            sums.setdefault(content, Loss()).add(loss)
    return {content: loss for content, loss in sums.items() if loss.rows}


def entry_without(before: LedgerEntry, loss: Loss, seq: int) -> LedgerEntry:
    """Return the entry of a content that has lost rows in a batch; why is for the caller to tell.

    Args: loss: over all files that hold rows of the content.
    """
    return dataclasses.replace(
        before,
        valid=before.valid - loss.valid,
        quarantined=before.quarantined - loss.quarantined,
        first_event_time=loss.first,
        last_event_time=loss.last,
        unknown_fields=_without(before.unknown_fields, loss.unknown_fields),
        reasons=_without(before.reasons, loss.reasons),
        judged_seq=seq,
    )


def _loss(lost: pa.Table, kept: pa.Table) -> Loss:
    is_valid = pc.is_null(lost["problem"])
    valid = lost.filter(is_valid)
    bounds = pc.min_max(kept["event_time"]).as_py()
    return Loss(
        valid=valid.num_rows,
        quarantined=lost.num_rows - valid.num_rows,
        unknown_fields=unknown_fields_of(lost),
        reasons=reasons_of(lost),
        days=_days(valid["event_time"]),
        received=_days(lost.filter(pc.invert(is_valid))["received_at"]),
        kept=kept.num_rows,
        first=bounds["min"],
        last=bounds["max"],
    )


def _days(times: pa.ChunkedArray) -> Counter[date]:
    counted = pc.value_counts(times.cast(pa.timestamp("us")).cast(pa.date32()))
    return Counter({one["values"]: one["counts"] for one in counted.to_pylist()})


def _without(counts: str | None, gone: Counter[str]) -> str | None:
    left = Counter(json.loads(counts or "{}"))
    left.subtract(gone)
    return counts_to_json(+left)
