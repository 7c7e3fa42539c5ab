"""Events of forgotten people out of silver, of days whose lines bronze no longer has: found, and left out of
a file written anew.

Pure functions of a file and the suppression list: any engine may run them anywhere, and again after a crash.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from eventmint.contracts import contract
from eventmint.crash_points import reached
from eventmint.engine.parquet import ROW_GROUP_ROWS, TableFile
from eventmint.storage import folder_for, leave, local_paths
from eventmint.suppression import Suppression


@dataclass(frozen=True)
class Events:
    """A file of silver, and whose events are looked for."""

    location: str
    suppression: Suppression


@dataclass(frozen=True)
class ErasingEvents:
    """A file of silver that is written without some events.

    Attributes:
        staging: folder for the new file; its name begins with `stem`.
    """

    events: Events
    staging: str
    stem: str


def find_events(task: Events) -> tuple[int, frozenset[str]]:
    """Return how many events are of forgotten people, and the hashes of these; nothing is written."""
    (path,) = local_paths([task.location])
    users = pq.read_table(path, columns=["user_id"], partitioning=None)["user_id"]
    theirs = users.filter(task.suppression.are_hidden(users))
    return len(theirs), frozenset(map(task.suppression.hash_of, pc.unique(theirs).to_pylist()))


def erase_events(task: ErasingEvents) -> str | None:
    """Write the events of others; return where, None where there are none."""
    reached("file: about to be read")
    (near,) = local_paths([task.events.location])
    shape = contract("silver.events_cleaned")
    with folder_for(task.staging) as folder:
        output = TableFile(folder / f"{task.stem}.parquet", shape)
        try:
            with pq.ParquetFile(near) as file:
                for batch in file.iter_batches(ROW_GROUP_ROWS, columns=[*shape.column_names]):
                    rows = pa.Table.from_batches([batch])
                    hidden = task.events.suppression.are_hidden(rows["user_id"])
                    output.write(rows.filter(pc.invert(hidden)))
            if output.rows:
                return leave(output.close(), task.staging)
        except BaseException:
            output.discard()
            raise
        output.discard()
        return None
