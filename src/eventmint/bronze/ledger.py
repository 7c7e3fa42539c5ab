"""The ledger: what became of every version of every source file, and which contents count today.

Held in bronze.ingested_files; an index over bronze.events, from whose files it can be rebuilt.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pyarrow as pa

from eventmint.contracts import contract
from eventmint.engine.parquet import arrow_schema
from eventmint.values import LedgerEntry, SourceFile


class Ledger:
    """All entries, oldest batch first, with the questions that a run asks of them."""

    def __init__(self, entries: Iterable[LedgerEntry] = ()) -> None:
        self.entries: list[LedgerEntry] = []
        self._latest: dict[str, LedgerEntry] = {}
        self._content: dict[str, str] = {}
        self._landed: dict[str, LedgerEntry] = {}
        for entry in sorted(entries, key=lambda e: (e.seq, e.path)):
            self.add(entry)

    def add(self, entry: LedgerEntry) -> None:
        self.entries.append(entry)
        self._latest[entry.path] = entry
        if entry.status == "landed" and entry.sha256:
            self._landed[entry.sha256] = entry
        if entry.status != "set_aside" and entry.sha256:
            self._content[entry.path] = entry.sha256

    @property
    def seq(self) -> int:
        return self.entries[-1].seq if self.entries else 0

    @property
    def newest_event(self) -> datetime | None:
        """The time of the latest event that any file has brought."""
        return max((e.last_event_time for e in self.entries if e.last_event_time), default=None)

    def knows(self, path: str, version: str) -> bool:
        """Whether this version was dealt with: landed, found to be a copy, or set aside as unreadable."""
        entry = self._latest.get(path)
        return entry is not None and entry.version == version

    def content_of(self, path: str) -> str | None:
        """The content that counts for a path: that of its latest readable version."""
        return self._content.get(path)

    def has_content(self, sha256: str) -> bool:
        return sha256 in self._landed

    def landed(self, sha256: str) -> LedgerEntry:
        """The entry under which a content was landed. Raises: KeyError: it never was."""
        return self._landed[sha256]

    def live_contents(self, seq: int | None = None) -> frozenset[str]:
        """The contents that count: of each path the latest readable version's, as after batch `seq`.

        An unreadable new version does not end the one before it.
        """
        if seq is None:
            return frozenset(self._content.values())
        return Ledger(entry for entry in self.entries if entry.seq <= seq).live_contents()


def batch_id(files: Iterable[SourceFile]) -> str:
    """Hash of the sorted file versions: the same files make the same batch."""
    names = sorted(f"{file.path}\0{file.version}" for file in files)
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def entries_to_table(entries: Iterable[LedgerEntry]) -> pa.Table:
    schema = arrow_schema(contract("bronze.ingested_files"))
    return pa.Table.from_pylist([dataclasses.asdict(entry) for entry in entries], schema=schema)


def entries_from_rows(rows: Iterable[dict[str, Any]]) -> list[LedgerEntry]:
    return [LedgerEntry(**row) for row in rows]
