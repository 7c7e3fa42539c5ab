"""Rollback: all tables as an earlier run left them, a batch of its own like one of new files.

History is not rewritten: each table gets a new snapshot that lays the files of then in the place of those of
now. Bronze goes first and notes where to; a table that a crash has left behind is brought there before
anything else is done (ADR 0019).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from eventmint.audit import changed_totals, lake_totals, read_books
from eventmint.bronze.ledger import Ledger, horizons_to_json
from eventmint.contracts import ANSWERS, contract
from eventmint.errors import FixData, FixSettings
from eventmint.pipeline import (
    BLOCKS,
    RETAINED,
    Run,
    books_in,
    ledger_in,
    ledger_of,
    replan_on_conflict,
)
from eventmint.storage import missing
from eventmint.suppressed import forgotten_seq
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.commit import Stamp, commit
from eventmint.tables.plan import (
    ROLLBACK,
    LiveFile,
    changes_since,
    files_after,
    live_files,
    seq_of,
    seqs_kept,
)
from eventmint.values import Rollback

# Every table that is made from the files, bronze first; the records of the runs stay.
TABLES = (
    "bronze.events",
    "bronze.ingested_files",
    "silver.events_cleaned",
    "silver.event_hours",
    *BLOCKS,
    *(f"gold.{answer}" for answer in ANSWERS),
)
# The property of bronze.events that keeps the last rollback.
NOTED = "eventmint.rolled-back"
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Noted:
    """The last rollback of a lake.

    Attributes:
        seq: its own batch.
        to_seq, run_id: the batch and the run whose state it brings back.
    """

    seq: int
    to_seq: int
    run_id: str


def noted_in(catalog: LakeCatalog) -> Noted | None:
    """Return the last rollback; None where there was none."""
    text = catalog.load(contract("bronze.events")).properties.get(NOTED)
    return Noted(**json.loads(text)) if text else None


def is_cut_off(catalog: LakeCatalog) -> bool:
    """Whether a rollback has not reached every table."""
    noted = noted_in(catalog)
    return noted is not None and bool(_left_behind(catalog, noted))


def kept_run(catalog: LakeCatalog, records: Sequence[Record], name: str) -> Record:
    """Return the record of a run whose state is kept.

    Args:
        records: of all runs, oldest first.
        name: the run's id, or a beginning of it that no other has.
    Raises: FixSettings: there is no such run, or its state has been forgotten.
    """
    found = [one for one in records if one["run_id"] == name] or [
        one for one in records if str(one["run_id"]).startswith(name)
    ]
    if len(found) != 1:
        what = "several runs begin so" if found else "no such run"
        raise FixSettings(f"{name}: {what}.", "See `eventmint history`.")
    if found[0]["seq"] < forgotten_seq(catalog):
        raise FixSettings(
            f"{found[0]['run_id']}: people were forgotten after this run, so nothing goes back to it.",
            "Choose a later run; see `eventmint history`.",
        )
    kept = set.intersection(*(seqs_kept(catalog.load(contract(table))) for table in TABLES))
    if found[0]["seq"] not in kept:
        oldest = next((one["run_id"] for one in records if one["seq"] in kept), None)
        hint = f"The oldest run whose state is kept is {oldest}." if oldest else "No run's state is kept."
        raise FixSettings(f"{found[0]['run_id']}: the state that this run left is not kept any more.", hint)
    return found[0]


def plan_rollback(catalog: LakeCatalog, records: Sequence[Record], name: str) -> Rollback:
    """Return what a rollback would do; nothing is written.

    Raises:
        FixSettings: there is no such run, its books did not balance, or its state has been forgotten.
        FixData: a file of that state is missing.
    """
    target = kept_run(catalog, records, name)
    if not target["laws_hold"]:
        raise FixSettings(
            f"{target['run_id']}: the books of this run did not balance.",
            "Choose another one; see `eventmint history`.",
        )
    plan = Rollback(target["run_id"], target["seq"], dry_run=True)
    if plan.seq == _state_of(catalog):
        return plan
    _require_files(catalog, plan.seq)
    now = ledger_of(catalog)
    then = ledger_in(_files_then(catalog, "bronze.ingested_files", plan.seq), plan.seq)
    books_then = books_in(_files_then(catalog, "silver.event_hours", plan.seq))
    before, after = lake_totals(now, read_books(catalog)), lake_totals(then, books_then)
    silver = contract("silver.events_cleaned")
    changes = changes_since(catalog.load(silver), silver, plan.seq)
    return dataclasses.replace(
        plan,
        runs=tuple(one["run_id"] for one in records if one["seq"] > plan.seq),
        files=_only_in(now, then),
        files_back=_only_in(then, now),
        days=tuple(sorted(changes.days)) if changes else (),
        totals=changed_totals(before, after),
        changed=True,
    )


def roll_back(run: Run, plan: Rollback) -> None:
    """Bring every table back as it was planned; every later stage has nothing to do then."""
    # The ledger may be ahead of bronze: by a restatement that was noted and not done.
    newest = max(seq_of(run.open(name)[0]) for name in TABLES)
    noted = Noted(newest + 1, plan.seq, plan.to)
    run.progress.start("rollback", 0, 0)
    _reach(run, noted, TABLES)
    run.progress.finish("rollback", f"to {plan.to}")


def finish_rollback(run: Run) -> None:
    """Bring the tables back that a rollback has not reached; nothing where none was cut off.

    A table that was dropped is made again by the ordinary stages, from what there is before it.
    Raises: FixData: the state of then has been forgotten meanwhile.
    """
    noted = noted_in(run.catalog)
    if noted is not None:
        _reach(run, noted, _left_behind(run.catalog, noted))


def _reach(run: Run, noted: Noted, names: Iterable[str]) -> None:
    for name in names:
        replan_on_conflict(run, partial(_bring_back, run, name, noted))


def _left_behind(catalog: LakeCatalog, noted: Noted) -> list[str]:
    """The tables that hold what a rollback undoes; one that holds less is brought up by its stage."""
    seqs = {name: seq_of(catalog.load(contract(name))) for name in TABLES}
    return [name for name, seq in seqs.items() if noted.to_seq < seq < noted.seq]


def _bring_back(run: Run, name: str, noted: Noted) -> None:
    table, shape = run.open(name)
    then = files_after(table, shape, noted.to_seq)
    if then is None:
        raise FixData(
            f"{name}: a rollback to {noted.run_id} was cut off, and that state has been forgotten since.",
            f"Drop the table {name}: the next run makes it again.",
        )
    now = live_files(table, shape)
    kept = {file.location for file in now} & {file.location for file in then}
    batch = hashlib.sha256(f"rollback {noted.seq} {noted.to_seq}".encode()).hexdigest()
    properties = _noted_in_bronze(run, noted) if name == TABLES[0] else {}
    commit(
        table,
        shape,
        Stamp(noted.seq, batch, ROLLBACK, properties),
        remove=[file for file in now if file.location not in kept],
        bring_back=[file for file in then if file.location not in kept],
    )


def _noted_in_bronze(run: Run, noted: Noted) -> dict[str, str]:
    """The properties of bronze: where the lake goes to, and what retention had removed by then."""
    then = ledger_in(_files_then(run.catalog, "bronze.ingested_files", noted.to_seq), noted.to_seq)
    return {NOTED: json.dumps(dataclasses.asdict(noted)), RETAINED: horizons_to_json(then.horizons)}


def _state_of(catalog: LakeCatalog) -> int:
    """The batch whose state the lake has: where the last one was a rollback, that which it went to."""
    seq = seq_of(catalog.load(contract("bronze.events")))
    noted = noted_in(catalog)
    return noted.to_seq if noted and noted.seq == seq else seq


def _require_files(catalog: LakeCatalog, seq: int) -> None:
    for name in TABLES:
        absent = missing(file.location for file in _files_then(catalog, name, seq))
        if absent:
            raise FixData(f"{name}: the file {absent[0]} is missing.", "Restore it, or choose another run.")


def _files_then(catalog: LakeCatalog, name: str, seq: int) -> list[LiveFile]:
    return files_after(catalog.load(contract(name)), contract(name), seq) or []


def _only_in(one: Ledger, other: Ledger) -> tuple[str, ...]:
    """The paths of the file versions that only one of two ledgers knows."""
    return tuple(sorted({path for path, _ in one.versions - other.versions}))
