"""The ledger: what became of every version of every source file, and which contents count today.

Held in bronze.ingested_files; an index over bronze.events, from whose files it can be rebuilt.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from eventmint.contracts import contract
from eventmint.engine.parquet import arrow_schema
from eventmint.values import DayRange, LedgerEntry, SourceFile


class Ledger:
    """All entries, oldest batch first, with the questions that a run asks of them.

    Args:
        entries: in any order.
        seq: the last batch that it includes, where that has no entry: a rollback leaves none.
    """

    def __init__(self, entries: Iterable[LedgerEntry] = (), seq: int = 0) -> None:
        self._seq = seq
        self.entries: list[LedgerEntry] = []
        self._latest: dict[str, LedgerEntry] = {}
        self._content: dict[str, str] = {}
        self._counted: dict[str, LedgerEntry] = {}
        self._replays: defaultdict[str, list[str]] = defaultdict(list)
        self._retentions: list[LedgerEntry] = []
        for entry in sorted(entries, key=lambda e: (e.seq, e.path)):
            self.add(entry)

    def add(self, entry: LedgerEntry) -> None:
        """Take in an entry of the newest batch."""
        self.entries.append(entry)
        if entry.has_lines and entry.sha256:
            self._counted[entry.sha256] = entry
        if entry.replayed_from and entry.sha256:
            self._replays[entry.replayed_from].append(entry.sha256)
            return  # nothing came from outside: what is known of the path stays as it is
        if entry.status == "retained":
            self._retentions.append(entry)
        self._latest[entry.path] = entry
        if entry.status != "set_aside" and entry.sha256:
            self._content[entry.path] = entry.sha256

    @property
    def seq(self) -> int:
        """The last batch that it includes."""
        return max(self._seq, self.entries[-1].seq if self.entries else 0)

    @property
    def newest_event(self) -> datetime | None:
        """The time of the latest event that any file has brought."""
        return max((e.last_event_time for e in self.entries if e.last_event_time), default=None)

    def knows(self, path: str, version: str) -> bool:
        """Whether this version was dealt with: landed, found to be a copy, or set aside as unreadable."""
        entry = self._latest.get(path)
        return entry is not None and entry.version == version

    @property
    def newest_versions(self) -> list[LedgerEntry]:
        """Of each path the version that was last dealt with."""
        return [entry for entry in self._latest.values() if entry.is_of_file]

    def newest_version(self, path: str) -> LedgerEntry | None:
        """The version of a path that was last dealt with; None for an unknown path."""
        return self._latest.get(path)

    def content_of(self, path: str) -> str | None:
        """The content that counts for a path: that of its latest readable version."""
        return self._content.get(path)

    def corrected(self, entries: Iterable[LedgerEntry]) -> Ledger:
        """The ledger with these entries, each in place of an older one of the same content."""
        return Ledger(newest((*self.entries, *entries)), self._seq)

    def has_content(self, sha256: str | None) -> bool:
        """Whether the lines of a content are counted."""
        return sha256 in self._counted

    def entry_of(self, sha256: str) -> LedgerEntry:
        """The entry where the lines of a content are counted. Raises: KeyError: it never came."""
        return self._counted[sha256]

    def restatements(self, since: int, until: int | None = None) -> list[LedgerEntry]:
        """The batches after `since`, up to `until`, that make days anew."""
        last = self.seq if until is None else until
        return [entry for entry in self.entries if entry.restated_days and since < entry.seq <= last]

    def days_restated(self, since: int, until: int) -> list[DayRange]:
        """The days that the batches after `since`, up to `until`, make anew."""
        return [entry.restated_days for entry in self.restatements(since, until) if entry.restated_days]

    @property
    def versions(self) -> set[tuple[str, str]]:
        """Path and version of each file that is known."""
        return {(entry.path, entry.version) for entry in self.entries if entry.is_of_file}

    def days_forgotten(self, since: int, until: int) -> list[DayRange]:
        """Those of them that are made anew because people were taken out of them."""
        found = self.restatements(since, until)
        return [e.restated_days for e in found if e.restated_days and self.is_forgetting(e.seq)]

    def is_forgetting(self, seq: int) -> bool:
        """Whether a batch takes people out of everything."""
        return any(entry.status == "forgotten" and entry.seq == seq for entry in self.entries)

    @property
    def horizons(self) -> dict[str, date]:
        """The day before which retention has removed what a layer had, of each layer that it has touched."""
        found: dict[str, date] = {}
        for entry in self._retentions:
            assert entry.retained_before is not None  # noqa: S101 - for the type checker: each has one
            found[entry.path] = max(entry.retained_before, found.get(entry.path, date.min))
        return found

    @property
    def closed_before(self) -> date:
        """The first day that lines are taken in for: of those before bronze has no line any more, so that
        they stay in silver and gold as they are."""
        return self.horizons.get("bronze", date.min)

    @property
    def last_retention(self) -> LedgerEntry | None:
        """An entry of the last batch that removed what is too old."""
        return self._retentions[-1] if self._retentions else None

    def replays_of(self, sha256: str) -> list[LedgerEntry]:
        """What has left the quarantine of a content, oldest first."""
        return [self._counted[replay] for replay in self._replays.get(sha256, ())]

    def live_contents(self, seq: int | None = None) -> frozenset[str]:
        """The contents that count: of each path the latest readable version's, as after batch `seq`, and
        what was replayed from them by then.

        An unreadable new version does not end the one before it.
        """
        if seq is None:
            contents = frozenset(self._content.values())
            return contents.union(*(self._replays.get(sha256, ()) for sha256 in contents))
        return Ledger(entry for entry in self.entries if entry.seq <= seq).live_contents()


def newest(entries: Iterable[LedgerEntry]) -> Iterable[LedgerEntry]:
    """Return the entries, of each content the one that was judged last: notes of bronze may be older."""
    found: dict[object, LedgerEntry] = {}
    for entry in entries:
        # Lines are counted once, and a batch has each version of a path once.
        key = entry.sha256 if entry.has_lines else (entry.path, entry.version, entry.seq)
        if key not in found or not is_newer(found[key], entry):
            found[key] = entry
    return found.values()


def is_newer(entry: LedgerEntry, other: LedgerEntry) -> bool:
    """Whether of two entries of one content the first one was made after the second."""
    return (entry.judged_seq or 0) > (other.judged_seq or 0)


def batch_id(files: Iterable[SourceFile]) -> str:
    """Hash of the sorted file versions: the same files make the same batch."""
    names = sorted(f"{file.path}\0{file.version}" for file in files)
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def horizons_to_json(horizons: Mapping[str, date]) -> str:
    return json.dumps({layer: day.isoformat() for layer, day in sorted(horizons.items())})


def horizons_from_json(text: str) -> dict[str, date]:
    return {layer: date.fromisoformat(day) for layer, day in json.loads(text).items()}


def entries_to_table(entries: Iterable[LedgerEntry]) -> pa.Table:
    schema = arrow_schema(contract("bronze.ingested_files"))
    return pa.Table.from_pylist([dataclasses.asdict(entry) for entry in entries], schema=schema)


def entries_from_rows(rows: Iterable[dict[str, Any]]) -> list[LedgerEntry]:
    return [LedgerEntry(**row) for row in rows]
