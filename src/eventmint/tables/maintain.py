"""Trimming: old snapshots are forgotten and the files that only they knew are removed; and orphans, which no
snapshot knows.

Without it each commit would rewrite an ever longer list of snapshots, and every replaced day would stay on
disk. What a reader may still have open is spared: the newest snapshots and all their files stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table.snapshots import Snapshot

from eventmint.crash_points import reached
from eventmint.errors import TryAgain
from eventmint.storage import StoredFile, list_files, remove
from eventmint.tables.commit import note
from eventmint.tables.plan import KNOWN_SINCE, TableHandle, address, is_rewrite

# Every commit copies the list of snapshots several times: a long list would soon cost more than the data.
SNAPSHOTS_BEFORE_TRIMMING = 24
SNAPSHOTS_KEPT = 12
# So long after a newer one has come, no query runs any more that began on a snapshot.
SNAPSHOT_AGE = timedelta(days=1)
# A file that nothing names may be a writer's who has not committed yet.
ORPHAN_GRACE = timedelta(days=3)


def trim(table: TableHandle) -> int:
    """Forget all but the newest snapshots once there are too many.

    Compactions do not count: many come at once, and would push out what was read a minute ago.

    Returns: the number of files removed; 0 while there are few snapshots, or when another writer came first.
    """
    snapshots = _oldest_first(table)
    runs = [number for number, snapshot in enumerate(snapshots) if not is_rewrite(snapshot)]
    if len(runs) <= SNAPSHOTS_BEFORE_TRIMMING:
        return 0
    return len(_forget(table, snapshots[: runs[-SNAPSHOTS_KEPT]]) or ())


def expired(table: TableHandle, now: datetime) -> list[Snapshot]:
    """Return the snapshots that nobody reads any more: a day ago each had a newer one already."""
    limit_ms = (now - SNAPSHOT_AGE).timestamp() * 1000
    snapshots = _oldest_first(table)
    return [old for old, newer in pairwise(snapshots) if newer.timestamp_ms < limit_ms]


def expire(table: TableHandle, now: datetime) -> tuple[int, int]:
    """Forget the snapshots that nobody reads any more and remove the files that only they knew.

    Returns: how many snapshots and files; none of either when another writer came first.
    """
    old = expired(table, now)
    removed = _forget(table, old) if old else None
    return (0, 0) if removed is None else (len(old), len(removed))


def keep_newest_alone(table: TableHandle) -> int:
    """Forget every state but the newest, and remove every file that is not of it, however young.

    For one who holds the lake's lock, when nobody may read what was: there is no grace for readers. What is
    older than the table as we know it stays, as for `orphans`.

    Returns: the number of files removed.
    Raises: TryAgain: another program commits to the table.
    """
    current = table.metadata.current_snapshot_id
    old = [snapshot for snapshot in _oldest_first(table) if snapshot.snapshot_id != current]
    removed = _forget(table, old) if old else set()
    if removed is None:
        raise TryAgain(f"{'.'.join(table.name())}: another program committed first.", "Run again.")
    unknown = _unknown_files(table, datetime.max.replace(tzinfo=UTC))
    remove(file.location for file in unknown)
    return len(removed) + len(unknown)


def _oldest_first(table: TableHandle) -> list[Snapshot]:
    return sorted(table.snapshots(), key=lambda snapshot: snapshot.sequence_number or 0)


def _forget(table: TableHandle, old: Sequence[Snapshot]) -> set[str] | None:
    """Return the files that went with some snapshots; None when another writer came first."""
    ids = {snapshot.snapshot_id for snapshot in old}
    kept = [snapshot for snapshot in table.snapshots() if snapshot.snapshot_id not in ids]
    unused = _files_of(table, old) - _files_of(table, kept)
    try:
        table.maintenance.expire_snapshots().by_ids(sorted(ids)).commit()
    except CommitFailedException:
        return None
    # Only now, when no snapshot names them any more; a crash here leaves files that nobody reads.
    reached("trim: old snapshots forgotten")
    remove(sorted(unused))
    reached("trim: their files removed")
    return unused


# --- Orphans ----------------------------------------------------------------------------------------------


def orphans(table: TableHandle, now: datetime) -> list[StoredFile]:
    """Return the files of a table that nothing of it knows, once they are older than the grace period.

    A killed writer leaves them behind, and one at work has some too: it gets the grace period to commit. What
    is older than the table as we know it may belong to one of the same name before it, whose catalog was
    lost: it stays, as does everything that is not named as Iceberg and we name files.
    """
    return _unknown_files(table, now - ORPHAN_GRACE)


def _unknown_files(table: TableHandle, newest: datetime) -> list[StoredFile]:
    since = table.properties.get(KNOWN_SINCE)
    if since is None:
        return []
    place = address(table.location()).rstrip("/")
    oldest = datetime.fromisoformat(since)
    found = [*list_files(place)]
    suspects = [
        file
        for file in found
        if oldest <= file.modified < newest and _is_of_a_table(file.location.removeprefix(f"{place}/"))
    ]
    if not suspects:
        return []
    known = _known_files(table)
    if not known <= {file.location for file in found}:
        return []  # what we list and what the table names do not fit together: then no name proves an orphan
    return [file for file in suspects if file.location not in known]


def remove_orphans(table: TableHandle, now: datetime) -> list[StoredFile]:
    """Remove what `orphans` returns; a table that was never asked before is noted as known from now on."""
    if KNOWN_SINCE not in table.properties:
        note(table, {KNOWN_SINCE: now.isoformat()})
        return []
    found = orphans(table, now)
    remove(file.location for file in found)
    if found:
        reached("orphans: removed")
    return found


def _is_of_a_table(name: str) -> bool:
    """Whether a name below a table's folder is one that Iceberg or we give: data, manifests, metadata."""
    folder, _, rest = name.partition("/")
    if folder == "data":
        return rest.endswith(".parquet")
    return folder == "metadata" and rest.endswith((".avro", ".metadata.json"))


def _known_files(table: TableHandle) -> set[str]:
    """Every file that the table's metadata names, old metadata files included."""
    metadata = table.metadata
    logged = (entry.metadata_file for entry in metadata.metadata_log)
    others = (file.statistics_path for file in (*metadata.statistics, *metadata.partition_statistics))
    found = {address(name) for name in (table.metadata_location, *logged, *others)}
    return found | _files_of(table, table.snapshots())


def _files_of(table: TableHandle, snapshots: Sequence[Snapshot]) -> set[str]:
    """Every file that some snapshots need: manifest lists, manifests, and data."""
    found = set()
    read: set[str] = set()
    for snapshot in snapshots:
        found.add(address(snapshot.manifest_list))
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path in read:
                continue
            read.add(manifest.manifest_path)
            found.add(address(manifest.manifest_path))
            for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
                found.add(address(entry.data_file.file_path))
    return found
