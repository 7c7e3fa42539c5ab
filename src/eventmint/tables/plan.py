"""Plans: which files a table consists of, pruned by day and time, and what changed since a batch.

Reads metadata only; no row is touched here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile, ManifestEntryStatus, ManifestFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Snapshot
from pyiceberg.types import IntegerType, TimestamptzType

from eventmint.contracts import Contract
from eventmint.errors import FixData
from eventmint.storage import is_s3
from eventmint.storage.digests import stem_in
from eventmint.tables.entries import entries_of, holds_files, is_of_data, manifests_of

# A table as it was when it was loaded: plans are made from it and commits on it.
TableHandle = Table
SEQ, BATCH, KIND = "eventmint.seq", "eventmint.batch", "eventmint.kind"
# Since when a table is known to be this one; what lies there from before is not its own.
KNOWN_SINCE = "eventmint.known-since"
# The kind of a commit that lays the same rows into other files. Iceberg calls it REPLACE, and so do we.
COMPACTION = "compaction"
# The kind of a commit that lays the files of an earlier batch in the place of those of now.
ROLLBACK = "rollback"
_DAY_OF_EVENT = "day(event_time)"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class LiveFile:
    """One Parquet file of a table.

    Attributes:
        location: where it lies (a local path, or an `s3://` address).
        rows: records in it, as its footer says.
        day: UTC day of its partition; None in a table without partitions.
        data_file: Iceberg's own entry, needed to remove the file.
    """

    location: str
    rows: int
    day: date | None
    data_file: DataFile = field(compare=False, hash=False, repr=False)

    @property
    def size_bytes(self) -> int:
        return int(self.data_file.file_size_in_bytes)

    @property
    def stem(self) -> str:
        """The name that its author gave it: without its digest and its ending."""
        return stem_in(self.location)


@dataclass(frozen=True)
class Changes:
    """The files that came and went after a batch; a file that did both is in neither list."""

    added: tuple[LiveFile, ...] = ()
    removed: tuple[LiveFile, ...] = ()

    @property
    def days(self) -> frozenset[date]:
        return frozenset(file.day for file in (*self.added, *self.removed) if file.day is not None)


def seq_of(table: TableHandle) -> int:
    """Number of the last batch that the table includes; 0 for none."""
    return int(table.properties.get(SEQ, "0"))


def row_count(table: TableHandle) -> int:
    """Rows of the table by its newest snapshot's summary."""
    snapshot = table.current_snapshot()
    if snapshot is None or snapshot.summary is None:
        return 0
    return int(snapshot.summary.additional_properties.get("total-records", "0"))


def live_files(
    table: TableHandle,
    contract: Contract,
    *,
    days: Collection[date] | None = None,
    between: tuple[datetime, datetime] | None = None,
) -> list[LiveFile]:
    """Return the table's files, oldest commit last.

    Args:
        days: only files of these UTC days (tables partitioned by day).
        between: only files that may hold an `event_time` in this closed range of instants.
    """
    snapshot = table.current_snapshot()
    return [] if snapshot is None else _files_in(table, contract, snapshot, days, between)


def bytes_of(files: Iterable[LiveFile]) -> int:
    return sum(file.size_bytes for file in files)


def files_after(table: TableHandle, contract: Contract, seq: int) -> list[LiveFile] | None:
    """Return the files that the table had after batch `seq`; None where that state is not kept."""
    # The newest one: what was compacted then is the same rows in fewer files.
    found = next((one for one in _newest_first(table) if _snapshot_seq(one) == seq), None)
    return None if found is None else _files_in(table, contract, found)


def seqs_kept(table: TableHandle) -> set[int]:
    """Return the batches whose states are kept."""
    return {_snapshot_seq(one) for one in _newest_first(table)}


def _newest_first(table: TableHandle) -> Iterator[Snapshot]:
    """The snapshots that led to the table's state, as far back as they are kept."""
    snapshot = table.current_snapshot()
    while snapshot is not None:
        yield snapshot
        parent = snapshot.parent_snapshot_id
        snapshot = None if parent is None else table.snapshot_by_id(parent)


def _files_in(
    table: TableHandle,
    contract: Contract,
    snapshot: Snapshot,
    days: Collection[date] | None = None,
    between: tuple[datetime, datetime] | None = None,
) -> list[LiveFile]:
    manifests = manifests_of(table, snapshot)
    _refuse_deleted_rows(table, contract, snapshot, manifests)
    span = _span_of_days(contract, days, between)
    found = []
    for manifest in manifests:
        if not is_of_data(manifest) or not (span is None or _may_have_days(manifest, table, *span)):
            continue
        for entry in entries_of(table, manifest):
            if entry.status != ManifestEntryStatus.DELETED:
                file = live_file(entry.data_file, contract)
                if (days is None or file.day in days) and _may_be_between(file, contract, between):
                    found.append(file)
    return found


def _refuse_deleted_rows(
    table: TableHandle, contract: Contract, snapshot: Snapshot, manifests: Sequence[ManifestFile]
) -> None:
    """Raises: FixData: another program has marked rows as deleted, in files beside those that hold them."""
    if all(is_of_data(manifest) or not holds_files(manifest) for manifest in manifests):
        return
    try:
        is_in_force = any(
            task.delete_files for task in table.scan(snapshot_id=snapshot.snapshot_id).plan_files()
        )
    except ValueError:  # PyIceberg knows no deletes by value
        is_in_force = True
    if is_in_force:
        raise FixData(
            f"{contract.table}: rows were deleted by another program (merge-on-read delete files).",
            "Rewrite the table's data files with that program (OPTIMIZE), then run again.",
        )


def changes_since(table: TableHandle, contract: Contract, seq: int) -> Changes | None:
    """Return what came and went after batch `seq`.

    Returns: None when that can't be told any more (the snapshots have expired): rebuild from all files.
    """
    newer = _snapshots_after(table, seq)
    if newer is None:
        return None
    changes = Changes()
    for snapshot in newer:
        entries = list(_entries(table, contract, snapshot))
        came = {file.location for file in changes.added}
        if is_rewrite(snapshot) and not any(file.location in came for _, file in entries):
            continue  # the rows are those that the table had at `seq` already, in other files
        changes = _and_then(changes, entries)
    return changes


def files_changed_since(table: TableHandle, contract: Contract, snapshot_id: int) -> Changes | None:
    """Return the files that came and went after a snapshot, also where their rows did not.

    Returns: None when that can't be told any more.
    """
    newest_first = []
    snapshot = table.current_snapshot()
    while snapshot is not None and snapshot.snapshot_id != snapshot_id:
        newest_first.append(snapshot)
        parent = snapshot.parent_snapshot_id
        snapshot = None if parent is None else table.snapshot_by_id(parent)
    if snapshot is None:
        return None
    changes = Changes()
    for newer in reversed(newest_first):
        changes = _and_then(changes, list(_entries(table, contract, newer)))
    return changes


def _and_then(changes: Changes, entries: Sequence[tuple[ManifestEntryStatus, LiveFile]]) -> Changes:
    added = {file.location: file for file in changes.added}
    removed = {file.location: file for file in changes.removed}
    for status, file in entries:
        if status == ManifestEntryStatus.ADDED:
            if removed.pop(file.location, None) is None:  # else a rollback has brought it back
                added[file.location] = file
        elif added.pop(file.location, None) is None:
            removed[file.location] = file
    return Changes(tuple(added.values()), tuple(removed.values()))


def files_landed_since(table: TableHandle, contract: Contract, seq: int) -> list[LiveFile] | None:
    """Return the files that batches after `seq` brought, also those that a rewrite has replaced since.

    Returns: None when that can't be told any more, or where a rollback has taken some of them back.
    """
    newer = _snapshots_after(table, seq)
    if newer is None or any(_summary(one).get(KIND) == ROLLBACK for one in newer):
        return None
    entries = (entry for one in newer if not is_rewrite(one) for entry in _entries(table, contract, one))
    return [file for status, file in entries if status == ManifestEntryStatus.ADDED]


def is_ours_since(table: TableHandle, seq: int) -> bool:
    """Whether nobody else has committed after batch `seq`, so that each change is told once and only once."""
    newer = _snapshots_after(table, seq)
    return newer is not None and all(SEQ in _summary(snapshot) for snapshot in newer)


def _snapshots_after(table: TableHandle, seq: int) -> list[Snapshot] | None:
    """The snapshots that came after batch `seq`, oldest first; None where some have expired, or where the
    table has been dropped and made anew since."""
    newest_first = []
    snapshot = table.current_snapshot()
    while snapshot is not None and _snapshot_seq(snapshot) > seq:
        newest_first.append(snapshot)
        if snapshot.parent_snapshot_id is None:
            # Not the first of all: PyIceberg forgets the parent that has expired. The first, but nobody has
            # seen this table at batch `seq`: it was another one.
            if snapshot.sequence_number != 1 or seq > 0:
                return None
            break
        parent = table.snapshot_by_id(snapshot.parent_snapshot_id)
        if parent is None:
            return None
        snapshot = parent
    return newest_first[::-1]


def newest_files(table: TableHandle, contract: Contract) -> list[LiveFile]:
    """Return the files that the newest commit added which brought rows; all, where that can't be told."""
    snapshot = table.current_snapshot()
    rewritten: set[str] = set()
    while snapshot is not None and is_rewrite(snapshot):
        entries = _entries(table, contract, snapshot)
        rewritten |= {file.location for status, file in entries if status == ManifestEntryStatus.DELETED}
        parent = snapshot.parent_snapshot_id
        snapshot = None if parent is None else table.snapshot_by_id(parent)
    if snapshot is not None:
        entries = _entries(table, contract, snapshot)
        added = [file for status, file in entries if status == ManifestEntryStatus.ADDED]
        if not any(file.location in rewritten for file in added):
            return added
    return live_files(table, contract)


def address(uri: str) -> str:
    """A file's address as we write it: a path of this machine, or `s3://bucket/key`."""
    # Hadoop, and so Iceberg on Spark, writes file:/x for what we write as file:///x.
    return uri.removeprefix("file:").removeprefix("//")


def uri_of(place: str) -> str:
    """An address as Iceberg writes it."""
    return place if is_s3(place) else f"file://{place}"


def _summary(snapshot: Snapshot) -> dict[str, str]:
    return dict(snapshot.summary.additional_properties) if snapshot.summary else {}


def _snapshot_seq(snapshot: Snapshot) -> int:
    # A commit by another program carries no number: it belongs to no batch and must not end the walk.
    return int(_summary(snapshot).get(SEQ, "9" * 18))


def is_rewrite(snapshot: Snapshot) -> bool:
    """Whether a commit only laid the same rows into other files, as optimizers and compaction do."""
    return snapshot.summary is not None and snapshot.summary.operation == Operation.REPLACE


def _entries(
    table: TableHandle, contract: Contract, snapshot: Snapshot
) -> Iterator[tuple[ManifestEntryStatus, LiveFile]]:
    for manifest in manifests_of(table, snapshot):
        # A delete file holds positions, not rows: `live_files` refuses it for as long as it is in force.
        if manifest.added_snapshot_id != snapshot.snapshot_id or not is_of_data(manifest):
            continue
        for entry in entries_of(table, manifest):
            if entry.snapshot_id == snapshot.snapshot_id and entry.status != ManifestEntryStatus.EXISTING:
                yield entry.status, live_file(entry.data_file, contract)


def live_file(data_file: DataFile, contract: Contract) -> LiveFile:
    """Return what a manifest says of a file."""
    day = None
    if contract.partition:
        value = data_file.partition[0]
        day = value if isinstance(value, date) else EPOCH.date() + timedelta(days=value)
    return LiveFile(address(data_file.file_path), data_file.record_count, day, data_file)


def _span_of_days(
    contract: Contract, days: Collection[date] | None, between: tuple[datetime, datetime] | None
) -> tuple[date, date] | None:
    """The first and last day whose partitions can matter; None for all."""
    if days:
        return min(days), max(days)
    if between and contract.partition == _DAY_OF_EVENT:
        first, last = (moment.astimezone(UTC).date() for moment in between)
        return first, last
    return None


def _may_have_days(manifest: ManifestFile, table: TableHandle, first: date, last: date) -> bool:
    """Whether a manifest may hold files of some days, by the range of days that it says it has."""
    # Another program may have laid the table out anew; what such a manifest says is not about days.
    if not manifest.partitions or manifest.partition_spec_id != table.metadata.default_spec_id:
        return True
    least, most = manifest.partitions[0].lower_bound, manifest.partitions[0].upper_bound
    return least is None or most is None or (_day(least) <= last and first <= _day(most))


def _day(bound: bytes) -> date:
    return EPOCH.date() + timedelta(days=int(from_bytes(IntegerType(), bound)))


def _may_be_between(file: LiveFile, contract: Contract, between: tuple[datetime, datetime] | None) -> bool:
    """Whether a file may hold an `event_time` in a closed range of instants, by its statistics."""
    if between is None:
        return True
    if not may_hold_values(file, contract, "event_time"):
        return False
    field_id = _field_id(contract, "event_time")
    least, most = (
        bounds.get(field_id) if bounds else None
        for bounds in (file.data_file.lower_bounds, file.data_file.upper_bounds)
    )
    first, last = between
    return (least is None or _instant(least) <= last) and (most is None or first <= _instant(most))


def _instant(bound: bytes) -> datetime:
    return EPOCH + timedelta(microseconds=int(from_bytes(TimestamptzType(), bound)))


def _field_id(contract: Contract, column: str) -> int:
    return next(c.id for c in contract.columns if c.name == column)


def lower_bound(file: LiveFile, contract: Contract, column: str) -> bytes:
    """What sorts files by the least value of a column, as their statistics have it; nothing sorts first."""
    found = next(c for c in contract.columns if c.name == column)
    bound = (file.data_file.lower_bounds or {}).get(found.id, b"")
    # Iceberg writes numbers little-endian; those of ours that sort files are instants after 1970.
    return bound[::-1] if found.type == "timestamptz" else bound


def latest_instant(files: Iterable[LiveFile], contract: Contract, column: str) -> datetime | None:
    """Latest value of a time column over some files, by their statistics; None for no file."""
    field_id = _field_id(contract, column)
    return max((_instant(file.data_file.upper_bounds[field_id]) for file in files), default=None)


def may_hold_values(file: LiveFile, contract: Contract, column: str) -> bool:
    """Whether a column of the file may have a value that is not NULL, by its statistics."""
    nulls = file.data_file.null_value_counts or {}
    return bool(nulls.get(_field_id(contract, column), 0) < file.rows)
