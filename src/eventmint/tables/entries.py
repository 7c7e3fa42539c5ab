"""Entries: what the manifests of a snapshot hold, each read once through a handle however often it is asked.

A manifest never changes, and a run plans over the same ones again and again: for some days, for some hours,
for what came and went. What was read is forgotten with the handle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pyiceberg.manifest import ManifestContent, ManifestEntry, ManifestFile
from pyiceberg.table import Table

if TYPE_CHECKING:
    from pyiceberg.table.snapshots import Snapshot

# By the handle's own access to its files, then by path: a path never holds anything else.
_read: WeakKeyDictionary[Any, dict[str, Sequence[Any]]] = WeakKeyDictionary()


def manifests_of(table: Table, snapshot: Snapshot) -> Sequence[ManifestFile]:
    known = _read.setdefault(table.io, {})
    path = snapshot.manifest_list
    if path not in known:
        known[path] = snapshot.manifests(table.io)
    return known[path]


def entries_of(table: Table, manifest: ManifestFile) -> Sequence[ManifestEntry]:
    """Return all entries of a manifest, also those of files that it says are gone."""
    known = _read.setdefault(table.io, {})
    path = manifest.manifest_path
    if path not in known:
        known[path] = [*manifest.fetch_manifest_entry(table.io, discard_deleted=False)]
    return known[path]


def holds_files(manifest: ManifestFile) -> bool:
    """Whether a manifest has files in force; where a writer gave no counts, nobody knows."""
    return manifest.added_files_count != 0 or manifest.existing_files_count != 0


def is_of_data(manifest: ManifestFile) -> bool:
    """Whether its files hold rows; those of others hold which rows no longer count."""
    return manifest.content == ManifestContent.DATA
