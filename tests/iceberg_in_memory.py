"""Iceberg in memory: stands in for PyIceberg's catalog, tables and snapshots, never for code of ours.

Real commits cost most of a run on a small lake. Where a proof plays thousands of histories it gives the lake
this catalog (`lake._catalog._catalog = IcebergInMemory()`): everything of ours, plans and commits included,
runs as it is, over real Parquet files with real statistics. What stands in promises what Iceberg promises: a
commit is taken whole or not at all, and only on the head that it was made from. That PyIceberg keeps the
same promises is what the histories in real lakes are for.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, Self

from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.manifest import DataFile, ManifestContent, ManifestEntryStatus
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.snapshots import Operation, Summary

Identifier = tuple[str, str]


@dataclass(frozen=True)
class Snapshot:
    snapshot_id: int
    parent_snapshot_id: int | None
    sequence_number: int
    summary: Summary
    files: tuple[DataFile, ...]
    added: tuple[DataFile, ...] = ()
    removed: tuple[DataFile, ...] = ()
    timestamp_ms: int = 0

    @property
    def manifest_list(self) -> str:
        return f"memory:{self.snapshot_id}"

    def manifests(self, _io: object) -> list[Manifest]:
        came = {id(file) for file in self.added}
        kept = tuple(file for file in self.files if id(file) not in came)
        return [
            Manifest(f"{self.manifest_list}/changes", self.snapshot_id, self.added, self.removed),
            Manifest(f"{self.manifest_list}/kept", self.parent_snapshot_id, kept),
        ]


@dataclass(frozen=True)
class Manifest:
    manifest_path: str
    added_snapshot_id: int | None
    added: tuple[DataFile, ...]
    removed: tuple[DataFile, ...] = ()
    content: ManifestContent = ManifestContent.DATA
    partitions: tuple[()] = ()  # as of a writer that gave no summary

    def fetch_manifest_entry(self, _io: object, *, discard_deleted: bool) -> Iterator[Any]:
        kinds = [(ManifestEntryStatus.ADDED, self.added)]
        if not discard_deleted:
            kinds.append((ManifestEntryStatus.DELETED, self.removed))
        for status, files in kinds:
            for file in files:
                yield SimpleNamespace(snapshot_id=self.added_snapshot_id, status=status, data_file=file)


@dataclass(frozen=True)
class State:
    """A table as it is between two commits."""

    identity: uuid.UUID
    place: str
    schema: Schema
    spec: PartitionSpec
    properties: Mapping[str, str]
    snapshots: tuple[Snapshot, ...] = ()

    @property
    def head(self) -> Snapshot | None:
        return self.snapshots[-1] if self.snapshots else None

    @property
    def head_id(self) -> int | None:
        return self.head.snapshot_id if self.head else None


@dataclass
class IcebergInMemory:
    """The catalog: for each table the state that counts."""

    states: dict[Identifier, State] = field(default_factory=dict)
    commits: int = 0

    def load_table(self, identifier: Identifier) -> Table:
        if identifier not in self.states:
            raise NoSuchTableError(".".join(identifier))
        return Table(self, identifier, self.states[identifier])

    def namespace_exists(self, _name: str) -> bool:
        return True

    def create_table(
        self,
        identifier: Identifier,
        *,
        schema: Schema,
        location: str,
        partition_spec: PartitionSpec,
        properties: Mapping[str, str],
    ) -> None:
        assert identifier not in self.states
        self.states[identifier] = State(uuid.uuid4(), location, schema, partition_spec, properties)

    def drop_table(self, identifier: Identifier) -> None:
        del self.states[identifier]

    def swap(self, identifier: Identifier, seen: State, made: State) -> None:
        """Take a commit, if the head is still the one that it was made from."""
        current = self.states.get(identifier)
        if current is None or (current.identity, current.head_id) != (seen.identity, seen.head_id):
            raise CommitFailedException(f"{'.'.join(identifier)}: the head has moved")
        self.states[identifier] = made
        self.commits += 1


class FileIO:
    """Opens nothing: what a table knows is in memory."""


class Table:
    """A handle: the table as it was loaded, or as its own last commit left it."""

    def __init__(self, catalog: IcebergInMemory, identifier: Identifier, state: State) -> None:
        self.io = FileIO()
        self.catalog = catalog
        self.identifier = identifier
        self.state = state

    @property
    def properties(self) -> Mapping[str, str]:
        return self.state.properties

    @property
    def metadata(self) -> Any:
        return SimpleNamespace(
            table_uuid=self.state.identity,
            current_snapshot_id=self.state.head_id,
            default_spec_id=self.state.spec.spec_id,
            last_column_id=self.state.schema.highest_field_id,
            metadata_log=(),
            statistics=(),
            partition_statistics=(),
        )

    @property
    def metadata_location(self) -> str:
        return f"memory:{self.state.identity}"

    @property
    def maintenance(self) -> Any:
        return SimpleNamespace(expire_snapshots=lambda: SimpleNamespace(by_ids=self._expiry))

    def name(self) -> Identifier:
        return self.identifier

    def location(self) -> str:
        return self.state.place

    def schema(self) -> Schema:
        return self.state.schema

    def spec(self) -> PartitionSpec:
        return self.state.spec

    def snapshots(self) -> list[Snapshot]:
        return list(self.state.snapshots)

    def current_snapshot(self) -> Snapshot | None:
        return self.state.head

    def snapshot_by_id(self, wanted: int) -> Snapshot | None:
        return next((one for one in self.state.snapshots if one.snapshot_id == wanted), None)

    def refresh(self) -> None:
        self.state = self.catalog.states[self.identifier]

    def transaction(self) -> Transaction:
        return Transaction(self)

    def _expiry(self, ids: Sequence[int]) -> Any:
        def commit() -> None:
            kept = tuple(
                # As PyIceberg does: whose parent has expired has none.
                replace(one, parent_snapshot_id=None) if one.parent_snapshot_id in ids else one
                for one in self.state.snapshots
                if one.snapshot_id not in ids
            )
            made = replace(self.state, snapshots=kept)
            self.catalog.swap(self.identifier, self.state, made)
            self.state = made

        return SimpleNamespace(commit=commit)


class Transaction:
    """Properties and one snapshot, taken together."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._seen = table.state
        self._made = table.state

    def set_properties(self, properties: Mapping[str, str]) -> None:
        self._made = replace(self._made, properties={**self._made.properties, **properties})

    def update_snapshot(self, snapshot_properties: Mapping[str, str]) -> Any:
        def producer(operation: Operation) -> Callable[[], Producer]:
            return lambda: Producer(self.take, self._made, operation, dict(snapshot_properties))

        return SimpleNamespace(
            fast_append=producer(Operation.APPEND), overwrite=producer(Operation.OVERWRITE)
        )

    def take(self, snapshot: Snapshot) -> None:
        self._made = replace(self._made, snapshots=(*self._made.snapshots, snapshot))

    def commit_transaction(self) -> None:
        self._table.catalog.swap(self._table.identifier, self._seen, self._made)
        self._table.state = self._made


class Producer:
    """A snapshot in the making."""

    def __init__(
        self, take: Callable[[Snapshot], None], state: State, operation: Operation, said: dict[str, str]
    ) -> None:
        self._take = take
        self._state = state
        self._operation = operation
        self._said = said
        self._added: list[DataFile] = []
        self._removed: list[DataFile] = []

    def __enter__(self) -> Self:
        return self

    def append_data_file(self, file: DataFile) -> None:
        self._added.append(file)

    def delete_data_file(self, file: DataFile) -> None:
        self._removed.append(file)

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._take(self._snapshot())

    def _summary(self, said: dict[str, str]) -> Summary:
        return Summary(self._operation, **said)

    def _snapshot(self) -> Snapshot:
        head = self._state.head
        held = {file.file_path: file for file in (head.files if head else ())}
        for file in self._removed:
            del held[file.file_path]
        for file in self._added:
            assert file.file_path not in held, f"{file.file_path}: the table has this file already"
            held[file.file_path] = file
        rows = sum(file.record_count for file in held.values())
        return Snapshot(
            snapshot_id=uuid.uuid4().int >> 65,
            parent_snapshot_id=self._state.head_id,
            sequence_number=head.sequence_number + 1 if head else 1,
            summary=self._summary({**self._said, "total-records": str(rows)}),
            files=tuple(held.values()),
            added=tuple(self._added),
            removed=tuple(self._removed),
        )
