"""Commits: Parquet files become rows of a table, all at once or not at all.

The protocol: one handle is loaded, the plan is made from it, the commit is made on it. If anybody committed
in between, the commit fails (`Conflict`) and the caller plans again from scratch. Each commit carries the
number and the hash of its batch and a mark of its own, in the snapshot's summary and in the table's
properties, so that after an unknown outcome we look instead of guessing. No file is ever deleted here.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestFile
from pyiceberg.table import Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Operation, Summary

from eventmint.contracts import Contract
from eventmint.crash_points import reached
from eventmint.errors import Bug, TryAgain
from eventmint.storage import open_parquet, put
from eventmint.storage.trouble import machine_trouble
from eventmint.tables.manifests import keep_few
from eventmint.tables.plan import (
    BATCH,
    COMPACTION,
    EPOCH,
    KIND,
    SEQ,
    LiveFile,
    TableHandle,
    address,
    live_file,
    seq_of,
    uri_of,
)

# Names one commit, so that its author can tell it from any other.
MARK = "eventmint.commit"


class Conflict(TryAgain):
    """Another writer committed to the table after we had planned; nothing of ours is in it."""


@dataclass(frozen=True)
class Stamp:
    """What a commit says of itself.

    Attributes:
        seq: number of the last batch that the table includes after this commit.
        batch: hash of that batch's file versions.
        kind: `batch`; `compaction` where the same rows are laid into other files: then the stamp stays,
            and whoever follows the table's changes sees that no row came or went; `rollback` where files of
            an earlier state come back.
        properties: further properties that the table gets in the same step.
    """

    seq: int
    batch: str
    kind: str = "batch"
    properties: dict[str, str] = field(default_factory=dict)


def commit(
    table: TableHandle,
    contract: Contract,
    stamp: Stamp,
    *,
    add: Sequence[Path | str] = (),
    remove: Sequence[LiveFile] = (),
    bring_back: Sequence[LiveFile] = (),
) -> list[LiveFile]:
    """Add and remove files in one atomic step and move the table's stamp.

    Args:
        table: the handle from which the plan was made; never refresh it in between.
        add: Parquet files in a scratch folder; they are moved to their final place under the table.
        remove: files that the plan found.
        bring_back: files of an earlier state, which lie where they lay.
    Returns: the files that were added, as the table has them now.
    Raises:
        Conflict: another commit came first; nothing happened; plan again.
        TryAgain, FixData: the commit failed, and is not to be seen.
    """
    if stamp.seq < seq_of(table):
        # Planned before somebody else went on: a stamp that went back would have batches counted twice.
        raise Conflict(f"{contract.table}: another writer is ahead of batch {stamp.seq}.", "Run again.")
    data_files = _adopt(table, contract, add)
    is_compaction = stamp.kind == COMPACTION
    if is_compaction:
        _require_same_rows(contract, data_files, remove)
    added = [live_file(data_file, contract) for data_file in data_files]
    mark = uuid.uuid4().hex
    transaction = _Staged(table)
    said = {SEQ: str(stamp.seq), BATCH: stamp.batch, MARK: mark}
    transaction.set_properties({**said, **stamp.properties})
    # A snapshot even where no file comes or goes: Iceberg compares snapshots to find a conflict, and who
    # follows the changes needs one to stop at.
    summary = {**said, KIND: stamp.kind}
    update = transaction.update_snapshot(snapshot_properties=summary)
    with update.overwrite() if remove else update.fast_append() as producer:
        keep_few(producer)
        _keep_what_was_written(producer)
        _judge_each_manifest_alone(producer)
        if is_compaction:
            _say_replace(producer)
        for data_file in (*data_files, *(live.data_file for live in bring_back)):
            producer.append_data_file(data_file)
        for live in remove:
            producer.delete_data_file(live.data_file)
    reached(f"commit {contract.table}: before")
    try:
        transaction.commit_transaction()
    except Exception as err:
        # The reply may have been lost after the catalog had taken the commit, and a catalog that was asked
        # again by its client then speaks of a conflict: look, never guess.
        if _is_taken(table, contract, mark):
            table.refresh()  # what follows plans from what we have just learnt
            return added
        if isinstance(err, CommitFailedException | ValidationException):
            raise Conflict(f"{contract.table}: another writer committed first.", "Run again.") from err
        if (trouble := machine_trouble(err)) is not None and trouble.hint:  # something else helps than trying
            raise trouble from err
        raise TryAgain(f"{contract.table}: the commit failed: {err}.", "Run again.") from err
    reached(f"commit {contract.table}: after")
    return added


class _Staged(Transaction):
    """A transaction that works out its metadata once per change; PyIceberg copies all of it at every look."""

    _known: tuple[object, TableMetadata] | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        if self._known is None or self._known[0] is not self._updates:
            self._known = self._updates, super().table_metadata
        return self._known[1]


def _keep_what_was_written(producer: Any) -> None:
    """Let no manifest be deleted, whatever the catalog says of the commit.

    PyIceberg deletes them after a conflict. But a client whose reply was lost asks again, and then the
    conflict is with its own commit: what would be deleted is what the table now consists of.
    """
    producer._clean_all_uncommitted = lambda: None  # noqa: SLF001 - it has no other door


def _judge_each_manifest_alone(producer: Any) -> None:
    """Let each manifest be asked for files to remove by an evaluator of its own.

    PyIceberg's threads share one, which keeps the ranges of the manifest that it looks at: with those of
    another thread's, files that are there go missing, and the commit fails.
    """

    def evaluator(spec_id: int) -> Callable[[ManifestFile], bool]:
        build = type(producer)._build_manifest_evaluator  # noqa: SLF001 - it has no other door
        return lambda manifest: bool(build(producer, spec_id)(manifest))

    producer._build_manifest_evaluator = evaluator  # noqa: SLF001 - see above


def _require_same_rows(contract: Contract, add: Sequence[DataFile], remove: Sequence[LiveFile]) -> None:
    before, after = sum(live.rows for live in remove), sum(file.record_count for file in add)
    if before != after:
        raise Bug(f"{contract.table}: a compaction would make {after:,} rows of {before:,}.")


def _say_replace(producer: Any) -> None:
    """Call the snapshot what Iceberg calls a compaction, for every program that follows the table."""
    summed_up = producer._summary  # noqa: SLF001 - PyIceberg makes no such commit and has no door for it

    def summary(said: dict[str, str]) -> Summary:
        return Summary(Operation.REPLACE, **summed_up(said).additional_properties)

    producer._summary = summary  # noqa: SLF001


def _is_taken(table: TableHandle, contract: Contract, mark: str) -> bool:
    """Whether the catalog has a commit that failed for us. Raises: TryAgain, FixData: it cannot be asked."""
    try:
        return mark in _marks(table)
    except Exception as err:
        if (trouble := machine_trouble(err)) is not None:
            raise trouble from err
        raise TryAgain(
            f"{contract.table}: the commit failed, and the catalog does not say whether it has it: {err}.",
            "Run again: what it has is recognised.",
        ) from err


def _marks(table: TableHandle) -> set[str]:
    """The marks of the commits that the table has taken, as the catalog says now."""
    # Over SQLite, a connection whose COMMIT failed would show what it did not commit: ask on another one.
    with contextlib.suppress(AttributeError):  # the Glue catalog has none
        table.catalog.engine.dispose()  # type: ignore[attr-defined]
    fresh = table.catalog.load_table(table.name())
    summaries = (snapshot.summary for snapshot in fresh.snapshots() if snapshot.summary)
    return {summary.additional_properties.get(MARK, "") for summary in summaries}


def note(table: TableHandle, properties: dict[str, str]) -> None:
    """Set properties of a table that say nothing of its rows; not where another writer came first."""
    transaction = table.transaction()
    transaction.set_properties(properties)
    with contextlib.suppress(CommitFailedException):
        transaction.commit_transaction()


def data_folder(table: TableHandle) -> str:
    return f"{address(table.location()).rstrip('/')}/data"


def _adopt(table: TableHandle, contract: Contract, finished: Sequence[Path | str]) -> list[DataFile]:
    """Move finished files to their final places and describe them for Iceberg.

    A name is a function of the content's inputs (see the stages) and, where we wrote it, of its bytes. So a
    repeat after a crash overwrites its own leftover, and nobody ever puts other bytes where a table knows a
    file.
    """
    described = [_describe(table, contract, str(path)) for path in finished]
    put([(path, address(data_file.file_path)) for path, data_file in zip(finished, described, strict=True)])
    return described


def _describe(table: TableHandle, contract: Contract, finished: str) -> DataFile:
    """Describe a file as it will lie under the table."""
    opened = open_parquet(finished)
    noted = noted_of(table, opened)
    for column in contract.columns:
        if column.required and (nulls := noted["null_value_counts"].get(column.id, 0)):
            raise Bug(f"{contract.table}.{column.name}: {nulls} rows are NULL.")
    folder = data_folder(table)
    if contract.partition:
        value = noted["partition"][0]
        day = value if isinstance(value, date) else EPOCH.date() + timedelta(days=value)
        folder += f"/{table.spec().fields[0].name}={day.isoformat()}"
    size = Path(finished).stat().st_size if isinstance(opened, str) else opened.size()
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=uri_of(f"{folder}/{finished.rpartition('/')[2]}"),
        file_format=FileFormat.PARQUET,
        file_size_in_bytes=size,
        sort_order_id=None,
        spec_id=table.metadata.default_spec_id,
        equality_ids=None,
        key_metadata=None,
        **noted,
    )


def noted_of(table: TableHandle, opened: Any) -> dict[str, Any]:
    """Return what a table's manifest says of a Parquet file, beside its place, from the file's footer."""
    schema = table.schema()
    statistics = data_file_statistics_from_parquet_metadata(
        parquet_metadata=pq.read_metadata(opened),
        stats_columns=compute_statistics_plan(schema, table.properties),
        parquet_column_mapping=parquet_path_to_id_mapping(schema),
    )
    return {"partition": statistics.partition(table.spec(), schema), **statistics.to_serialized_dict()}
