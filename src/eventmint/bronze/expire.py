"""Rows of bronze that are too old: found, and counted by content.

Pure functions of a file and two days: any engine may run them anywhere, and again after a crash.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from eventmint.bronze.losses import LOOKED_AT, Loss, add_losses
from eventmint.engine.parquet import ROW_GROUP_ROWS
from eventmint.storage import local_paths


@dataclass(frozen=True)
class TooOld:
    """A file of bronze, and which of its rows go: both days are the first that stay, UTC.

    Attributes:
        events_before: of valid lines, by the time of the event.
        received_before: of quarantined lines, by the time of receipt.
    """

    location: str
    events_before: date
    received_before: date

    def rows_of(self, rows: pa.Table) -> pa.ChunkedArray:
        """Which rows go."""
        is_valid = pc.is_null(rows["problem"])
        too_old = pc.less(rows["event_time"], _midnight(self.events_before))
        long_ago = pc.less(rows["received_at"], _midnight(self.received_before))
        return pc.if_else(is_valid, too_old, long_ago)


def find_too_old(task: TooOld) -> dict[str, Loss]:
    """Return what each content in a file would lose, also those that lose nothing; nothing is written."""
    (path,) = local_paths([task.location])
    losses: dict[str, Loss] = {}
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROW_GROUP_ROWS, columns=[*LOOKED_AT]):
            rows = pa.Table.from_batches([batch])
            add_losses(losses, rows, task.rows_of(rows))
    return losses


def _midnight(day: date) -> pa.Scalar:
    return pa.scalar(datetime.combine(day, time.min, UTC), pa.timestamp("us", tz="UTC"))
