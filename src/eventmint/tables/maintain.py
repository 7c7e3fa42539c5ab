"""Trimming: old snapshots are forgotten and the files that only they knew are removed.

Without it each commit would rewrite an ever longer list of snapshots, and every replaced day would stay on
disk. What a reader may still have open is spared: the newest snapshots and all their files stay.
"""

from __future__ import annotations

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table.snapshots import Snapshot

from eventmint.crash_points import reached
from eventmint.storage import remove
from eventmint.tables.plan import TableHandle, address

# Every commit copies the list of snapshots several times: a long list would soon cost more than the data.
SNAPSHOTS_BEFORE_TRIMMING = 24
SNAPSHOTS_KEPT = 12


def trim(table: TableHandle) -> int:
    """Forget all but the newest snapshots once there are too many.

    Returns: the number of files removed; 0 while there are few snapshots, or when another writer came first.
    """
    snapshots = sorted(table.snapshots(), key=lambda snapshot: snapshot.sequence_number or 0)
    if len(snapshots) <= SNAPSHOTS_BEFORE_TRIMMING:
        return 0
    old, kept = snapshots[:-SNAPSHOTS_KEPT], snapshots[-SNAPSHOTS_KEPT:]
    unused = _files_of(table, old) - _files_of(table, kept)
    try:
        table.maintenance.expire_snapshots().by_ids([snapshot.snapshot_id for snapshot in old]).commit()
    except CommitFailedException:
        return 0
    # Only now, when no snapshot names them any more; a crash here leaves files that nobody reads.
    reached("trim: old snapshots forgotten")
    remove(sorted(unused))
    reached("trim: their files removed")
    return len(unused)


def _files_of(table: TableHandle, snapshots: list[Snapshot]) -> set[str]:
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
