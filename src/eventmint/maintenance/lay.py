# ruff: noqa: S608 - statements are composed of the contract's own column names and of numbers
"""Laying files together: in their order where that says something, else sorted for pruning and compression.

Bronze keeps the order of its source files, line by line, and the notes of their footers; the sets and silver
are sorted by the engine, a few hours at a time, so that no sort is larger than some hours of events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from eventmint.bronze.land import entries_in, entries_to_footer
from eventmint.contracts import Contract, contract
from eventmint.crash_points import reached
from eventmint.engine.parquet import concatenate
from eventmint.engine.protocol import Place, Session
from eventmint.storage import folder_for, leave, local_paths, shrink_downloads
from eventmint.storage.digests import digest_in, digest_of

# So many rows are sorted at once: about an hour at the specification's volume.
SORTED_ROWS = 4_000_000
_MINUTES = 5


@dataclass(frozen=True)
class Task:
    """Files of one table that a worker lays one after the other.

    Attributes:
        staging: folder for the new file; its name begins with `stem`.
    """

    table: str
    locations: tuple[str, ...]
    staging: str
    stem: str


def is_intact(location: str) -> bool:
    """Whether a file is what was written; of one whose name has no digest nobody knows.

    A damaged file must not be laid into a new one, whose own digest would call it sound.
    """
    wanted = digest_in(location)
    if wanted is None:
        return True
    (path,) = local_paths([location])
    with Path(path).open("rb") as file:
        return digest_of(file) == wanted


def lay_in_order(task: Task) -> str:
    """Write the rows of files one after the other, with the notes of bronze's footers; return where."""
    reached("file: about to be read")
    notes = {}
    if task.table == "bronze.events":
        notes = entries_to_footer(entry for location in task.locations for entry in entries_in(location))
    with folder_for(task.staging) as folder:
        path = concatenate(task.locations, contract(task.table), folder / f"{task.stem}.parquet", notes)
        shrink_downloads()
        return leave(path, task.staging)


def lay_sorted(
    session: Session, shape: Contract, order: str, locations: Sequence[str], folder: Place, stem: str
) -> Sequence[Place]:
    """Write the rows of files in the order of a column of text, or of `event_time`, to five minutes."""
    columns = ", ".join(shape.column_names)
    session.scan("to_merge", shape, locations)
    with session.output(shape, folder, stem) as output:
        if order == "event_time":
            # By person within a few minutes: what a session repeats lies together and takes a quarter less,
            # and a look at a time still skips all but those minutes.
            hour = session.hour_number(order)
            within = f"FLOOR(EXTRACT(MINUTE FROM {order}) / {_MINUTES}), user_id, session_id, {order}"
            for first, last in _spans(session, hour):
                condition = f"{hour} >= {first} AND {hour} <= {last}"
                output.add(f"SELECT {columns} FROM to_merge WHERE {condition} ORDER BY {hour}, {within}")
        else:
            output.add(f"SELECT {columns} FROM to_merge ORDER BY {order}")
        return output.close()


def _spans(session: Session, hour: str) -> Iterator[tuple[int, int]]:
    """Spans of hours, first and last, each with about so many rows."""
    counted = session.rows(
        f"SELECT {hour} AS hour, COUNT(*) AS n FROM to_merge GROUP BY {hour} ORDER BY hour"
    )
    first, rows = None, 0
    for row in counted:
        first = row["hour"] if first is None else first
        rows += row["n"]
        if rows >= SORTED_ROWS or row is counted[-1]:
            yield first, row["hour"]
            first, rows = None, 0
