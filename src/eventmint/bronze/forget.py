"""Rows of forgotten people out of bronze: found, counted by content, and left out of a file written anew.

Pure functions of a file and the suppression list: any engine may run them anywhere, and again after a crash.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from eventmint.bronze.losses import LOOKED_AT, Loss, add_losses
from eventmint.engine.parquet import ROW_GROUP_ROWS
from eventmint.storage import local_paths
from eventmint.suppression import Suppression

_LOOKED_AT = (*LOOKED_AT, "user_id", "raw")


@dataclass(frozen=True)
class Search:
    """A file of bronze, and whose rows are looked for."""

    location: str
    suppression: Suppression

    def rows_of(self, rows: pa.Table) -> pa.ChunkedArray:
        """Which rows are theirs."""
        return self.suppression.rows_of(rows, thorough=True)


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


def search(task: Search) -> Found:
    """Look for the rows of forgotten people in a file; nothing is written."""
    (path,) = local_paths([task.location])
    found = Found()
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROW_GROUP_ROWS, columns=[*_LOOKED_AT]):
            rows = pa.Table.from_batches([batch])
            goes = task.rows_of(rows)
            found.hashes |= task.suppression.found_in(rows.filter(goes))
            add_losses(found.losses, rows, goes)
    return found
