"""A file of bronze written again: the same rows in the same order, some of them changed or left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from eventmint.bronze.land import entries_in, entries_to_footer
from eventmint.contracts import contract
from eventmint.crash_points import reached
from eventmint.engine.parquet import ROW_GROUP_ROWS, TableFile
from eventmint.storage import folder_for, leave, local_paths
from eventmint.storage.digests import digest_in
from eventmint.values import LedgerEntry


class Selection(Protocol):
    """Some rows of a file of bronze."""

    @property
    def location(self) -> str: ...

    def rows_of(self, rows: pa.Table) -> pa.ChunkedArray:
        """Which of these rows are meant."""


@dataclass(frozen=True)
class Removal:
    """A file of bronze that is written without some rows.

    Attributes:
        gone: the file, and the rows.
        entries: the ledger's entries, as they are then, of the contents that lose rows.
        staging: folder for the new file; its name begins with `stem`.
    """

    gone: Selection
    entries: tuple[LedgerEntry, ...]
    staging: str
    stem: str


def write_without(task: Removal) -> str | None:
    """Write the rows that stay, in their order; return where, None where none stays."""

    def staying(rows: pa.Table) -> pa.Table:
        return rows.filter(pc.invert(task.gone.rows_of(rows)))

    return rewrite_file(task.gone.location, staying, task.entries, task.staging, task.stem)


def rewrite_file(
    location: str,
    change: Callable[[pa.Table], pa.Table],
    entries: Iterable[LedgerEntry],
    staging: str,
    stem: str,
) -> str | None:
    """Write a file anew and return where; None where no row is left.

    The footer notes the entries as they are then, so that the ledger can be completed from it.

    Args:
        change: makes of some rows those that take their place.
        entries: the ledger's entries of the contents that change.
        staging: folder for the new file; its name begins with `stem`.
    """
    reached("file: about to be read")
    (near,) = local_paths([location])
    shape = contract("bronze.events")
    with folder_for(staging) as folder:
        output = TableFile(folder / f"{stem}.parquet", shape)
        try:
            with pq.ParquetFile(near) as file:
                for batch in file.iter_batches(ROW_GROUP_ROWS, columns=[*shape.column_names]):
                    output.write(change(pa.Table.from_batches([batch])))
            if not output.rows:
                output.discard()
                return None
            noted = {entry.sha256: entry for entry in (*entries_in(near), *entries)}
            path = output.close(entries_to_footer(noted.values()))
        except BaseException:
            output.discard()
            raise
        if digest_in(location) is None:
            # Another program wrote it and nobody can prove what it holds: no name of ours may say otherwise.
            path = path.replace(folder / f"{stem}.parquet")
        return leave(path, staging)
