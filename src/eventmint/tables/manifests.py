"""Manifests: how many files must be opened to know a table's files; kept few, whatever the number of commits.

Every commit adds a manifest, and PyIceberg keeps even those whose files have all gone. On S3 each one that is
read costs requests and time, on every run. So each commit leaves out the empty ones and merges those of a day
once there are several: a plan for a few days still opens the manifests of these days only.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any

from pyiceberg.manifest import ManifestFile

from eventmint.tables.entries import holds_files, is_of_data

# Merging rewrites what was merged before: seldom enough to cost little, often enough to keep plans short.
MANIFESTS_BEFORE_MERGING = 16


def keep_few(producer: Any) -> None:
    """Let the snapshot that is being made tidy up the manifests that it takes over.

    Args: producer: what PyIceberg's `update_snapshot().fast_append()` or `.overwrite()` returns.
    """
    producer._process_manifests = partial(_tidied, producer)  # noqa: SLF001 - PyIceberg's own place for it


def _tidied(producer: Any, manifests: Sequence[ManifestFile]) -> list[ManifestFile]:
    kept = []
    groups: dict[Hashable, list[ManifestFile]] = {}
    for manifest in manifests:
        # Delete files are another program's: they stay in force, and readers refuse or apply them.
        if manifest.added_snapshot_id == producer.snapshot_id or not is_of_data(manifest):
            kept.append(manifest)
        elif holds_files(manifest):
            groups.setdefault(_last_day(manifest), []).append(manifest)
    for group in groups.values():
        kept += [_merged(producer, group)] if len(group) >= MANIFESTS_BEFORE_MERGING else group
    return kept


def _last_day(manifest: ManifestFile) -> Hashable:
    """What manifests must share to be merged; late events let one reach back, all end with their own day."""
    partitions = manifest.partitions
    return manifest.partition_spec_id, partitions[0].upper_bound if partitions else None


def _merged(producer: Any, manifests: Sequence[ManifestFile]) -> ManifestFile:
    spec = producer.spec(manifests[0].partition_spec_id)
    with producer.new_manifest_writer(spec) as writer:
        for manifest in manifests:
            for entry in producer.fetch_manifest_entry(manifest, discard_deleted=True):
                writer.existing(entry)
    merged: ManifestFile = writer.to_manifest_file()
    return merged
