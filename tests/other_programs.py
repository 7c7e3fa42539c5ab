"""What other programs do to the tables of a lake between our runs: rewrite files, expire snapshots, drop.

Works on real Iceberg tables and on those of `iceberg_in_memory` alike.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.table.snapshots import Operation, Summary

from eventmint.contracts import Contract, contract
from eventmint.engine.parquet import write_table
from eventmint.lake import Lake
from eventmint.storage import remove
from eventmint.tables import maintain
from eventmint.tables.commit import _adopt
from eventmint.tables.plan import LiveFile, TableHandle, live_files


def compact(lake: Lake, name: str, rng: Random, *, but: Collection[str] = ()) -> int:
    """Lay the rows of a table into other files, as `rewrite_data_files` and OPTIMIZE do: one or two a day,
    in another order, without our notes in the footers, by a commit that says REPLACE and carries no number.

    Args: but: locations of files that stay as they are.
    Returns: the number of files that were replaced.
    """
    shape = contract(name)
    table = lake._catalog.load(shape)
    days: dict[date | None, list[LiveFile]] = defaultdict(list)
    held = [file for file in live_files(table, shape) if file.location not in but]
    for file in held:
        days[file.day].append(file)
    scratch = Path(lake._catalog.location) / "rewritten"
    scratch.mkdir(exist_ok=True)
    written = [path for files in days.values() for path in _rewritten(files, shape, scratch, rng)]
    if held:
        _replace(table, shape, held, written)
    scratch.rmdir()
    return len(held)


def rewrite(lake: Lake, name: str, change: Callable[[pa.Table, date | None], pa.Table]) -> None:
    """Lay other rows into the files of a table, as only a program with a bug does, by a commit as above.

    Args: change: gets the rows of a file, and its day.
    """
    shape = contract(name)
    table = lake._catalog.load(shape)
    held = live_files(table, shape)
    scratch = Path(lake._catalog.location) / "rewritten"
    scratch.mkdir(exist_ok=True)
    written: list[Path] = []
    for file in held:
        rows = change(pq.read_table(file.location, partitioning=None), file.day)
        parts = [rows]
        if shape.partition:
            column = shape.partition.removeprefix("day(").rstrip(")")
            days = rows["event_date"]
            assert column in {"event_date", "event_time"}
            parts = [rows.filter(pc.equal(days, day)) for day in pc.unique(days)]
        written += [write_table(part, shape, scratch / f"{uuid.uuid4()}.parquet") for part in parts]
    _replace(table, shape, held, written)
    scratch.rmdir()


def _rewritten(files: Sequence[LiveFile], shape: Contract, scratch: Path, rng: Random) -> list[Path]:
    rows = pa.concat_tables(pq.read_table(file.location, partitioning=None) for file in files)
    order = rng.sample(range(rows.num_rows), rows.num_rows)
    cut = rng.choice((0, len(order) // 2))
    parts = [rows.take(part) for part in (order[:cut], order[cut:]) if part]
    return [
        write_table(part, shape, scratch / f"{uuid.UUID(int=rng.getrandbits(128))}.parquet") for part in parts
    ]


def _replace(table: TableHandle, shape: Contract, held: Sequence[LiveFile], written: Sequence[Path]) -> None:
    added = _adopt(table, shape, written)
    transaction = table.transaction()
    with transaction.update_snapshot(snapshot_properties={}).overwrite() as producer:
        _say_replace(producer)
        for data_file in added:
            producer.append_data_file(data_file)
        for file in held:
            producer.delete_data_file(file.data_file)
    transaction.commit_transaction()


def _say_replace(producer: Any) -> None:
    """PyIceberg rewrites nothing itself and so has no such commit."""
    real = producer._summary

    def summary(said: dict[str, str]) -> Summary:
        return Summary(Operation.REPLACE, **real(said).additional_properties)

    producer._summary = partial(summary)


def expire(lake: Lake, name: str) -> None:
    """Forget all snapshots but the newest, and remove what only the others need."""
    table = lake._catalog.load(contract(name))
    snapshots = sorted(table.snapshots(), key=lambda snapshot: snapshot.sequence_number or 0)
    old, kept = snapshots[:-1], snapshots[-1:]
    if old:
        unused = maintain._files_of(table, old) - maintain._files_of(table, kept)
        table.maintenance.expire_snapshots().by_ids([snapshot.snapshot_id for snapshot in old]).commit()
        remove(unused)


def drop(lake: Lake, name: str) -> None:
    """Take a table out of the catalog; its files stay behind, as they do without a purge."""
    lake._catalog._open().drop_table(lake._catalog._identifier(contract(name)))
