"""Quarantined lines judged again, where they lie: one file of bronze in, the same rows in another file out.

A line that passes becomes a valid row in the place that it has, and is counted from then on as a content of
its own, tied to the one that it came with (ADR 0017); one that fails otherwise than before gets today's
reasons and keeps its bytes. Pure functions of a file, the rules and the time: any engine may run them
anywhere.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from eventmint.bronze.judge import Verdict
from eventmint.bronze.land import counts_to_json
from eventmint.bronze.mapped import judge_of
from eventmint.bronze.rewrite import rewrite_file
from eventmint.engine.parquet import ROW_GROUP_ROWS
from eventmint.storage import local_paths
from eventmint.values import EVENT_COLUMNS, EventRules, LedgerEntry, is_cut

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_JUDGED_COLUMNS = ("problem", "raw", "extra", "source_file", "source_sha256")


@dataclass(frozen=True)
class Rejudging:
    """A file of bronze, and what its lines are judged by.

    Attributes:
        location: where the file lies.
        latest_us: the latest instant an event may have, UTC microseconds.
        reason: judge only the lines that have this reason; None for all.
    """

    location: str
    rules: EventRules
    latest_us: int
    reason: str | None = None


@dataclass
class Change:
    """What happens to the quarantined lines of one content.

    Attributes:
        path: the source file that they came with.
        passed: those that are valid now.
        events, first, last, unknown_fields: what these are now, in a format where a line may be several
            events; their times and unknown fields.
        other_reasons: how many fail for other reasons than before.
        before, after: the reasons that all of these had, and those that are left.
    """

    path: str
    passed: int = 0
    events: int = 0
    other_reasons: int = 0
    first: datetime | None = None
    last: datetime | None = None
    unknown_fields: Counter[str] = field(default_factory=Counter)
    before: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)

    def add(self, other: Change) -> None:
        self.passed += other.passed
        self.events += other.events
        self.other_reasons += other.other_reasons
        self.first = min(filter(None, (self.first, other.first)), default=None)
        self.last = max(filter(None, (self.last, other.last)), default=None)
        self.unknown_fields.update(other.unknown_fields)
        self.before.update(other.before)
        self.after.update(other.after)


@dataclass
class Rejudged:
    """What today's contract says of the quarantined lines of a file.

    Attributes:
        judged: lines that were judged again.
        cut: lines that cannot be, for only their first bytes were kept.
        by_reason, passed_by_reason: judged lines, and those that pass, by the reasons that they had.
        days: UTC days of the events that pass.
        changes: what changes, by content.
    """

    judged: int = 0
    cut: int = 0
    by_reason: Counter[str] = field(default_factory=Counter)
    passed_by_reason: Counter[str] = field(default_factory=Counter)
    days: set[date] = field(default_factory=set)
    changes: dict[str, Change] = field(default_factory=dict)


def rejudge(task: Rejudging) -> Rejudged:
    """Judge the quarantined lines of a file; nothing is written."""
    (path,) = local_paths([task.location])
    made = Rejudged()
    with pq.ParquetFile(path) as file:
        groups = [number for number in range(file.num_row_groups) if _may_have_problems(file, number)]
        for batch in file.iter_batches(ROW_GROUP_ROWS, row_groups=groups, columns=[*_JUDGED_COLUMNS]):
            for _, row, verdicts in _changed(task, pa.Table.from_batches([batch]), made):
                _note(made, row, verdicts)
    return made


@dataclass(frozen=True)
class Rewriting:
    """A file of bronze whose lines change.

    Attributes:
        entries: the ledger's entries of the contents that change, and of what is replayed from them.
        staging: folder for the new file; its name begins with `stem`.
    """

    judging: Rejudging
    entries: tuple[LedgerEntry, ...]
    staging: str
    stem: str


def rewrite(task: Rewriting) -> str:
    """Write the rows of a file in their order, those that are judged otherwise now changed; return where."""
    names = {str(e.replayed_from): str(e.sha256) for e in task.entries if e.replayed_from}

    def judged(rows: pa.Table) -> pa.Table:
        return _rewritten(task.judging, rows, names)

    made = rewrite_file(task.judging.location, judged, task.entries, task.staging, task.stem)
    assert made is not None  # noqa: S101 - no row is left out
    return made


def entries_after(
    before: LedgerEntry, change: Change, seq: int, batch: str
) -> tuple[LedgerEntry, LedgerEntry]:
    """Return the entry of a content after a change, and that of what the batch replays from it.

    The second one also where no line passed: a batch is always somebody's.
    """
    reasons = Counter(json.loads(before.reasons or "{}"))
    reasons.update(change.after)
    reasons.subtract(change.before)
    left = dataclasses.replace(
        before,
        lines=before.lines - change.passed,
        quarantined=before.quarantined - change.passed,
        reasons=counts_to_json(+reasons),
        judged_seq=seq,
    )
    replayed = LedgerEntry(
        path=before.path,
        version=before.version,
        size_bytes=0,
        # The same again after a crash.
        sha256=hashlib.sha256(f"replay\0{before.sha256}\0{batch}".encode()).hexdigest(),
        received_at=before.received_at,
        status="replayed",
        lines=change.events,
        valid=change.events,
        first_event_time=change.first,
        last_event_time=change.last,
        unknown_fields=counts_to_json(change.unknown_fields),
        batch=batch,
        seq=seq,
        replayed_from=before.sha256,
    )
    return left, replayed


def _changed(
    task: Rejudging, rows: pa.Table, made: Rejudged
) -> Iterator[tuple[int, dict[str, Any], list[Verdict]]]:
    """Yield place, row and verdicts of the lines that are judged otherwise than before; count them all."""
    judge = judge_of(task.rules, task.latest_us)
    places = pc.indices_nonzero(pc.is_valid(rows["problem"]))
    for place, row in zip(places.to_pylist(), rows.take(places).to_pylist(), strict=True):
        reasons = row["problem"].split(", ")
        if task.reason is not None and task.reason not in reasons:
            continue
        if is_cut(row["raw"], row["extra"]):
            made.cut += 1
            continue
        made.judged += 1
        made.by_reason.update(reasons)
        verdicts = judge(row["raw"])
        # Too long by now: it would have to be cut, and what is kept is not given away.
        if verdicts[0].problem not in (row["problem"], "line_too_long"):
            yield place, row, verdicts


def _note(made: Rejudged, row: dict[str, Any], verdicts: list[Verdict]) -> None:
    change = made.changes.setdefault(row["source_sha256"], Change(row["source_file"]))
    reasons = row["problem"].split(", ")
    change.before.update(reasons)
    if problem := verdicts[0].problem:
        change.other_reasons += 1
        change.after.update(problem.split(", "))
        return
    made.passed_by_reason.update(reasons)
    change.passed += 1
    for verdict in verdicts:
        assert verdict.values is not None  # noqa: S101 - for the type checker: it has no problem
        moment = _EPOCH + timedelta(microseconds=verdict.values[0])
        made.days.add(moment.date())
        unknown = Counter(verdict.unknown)
        change.add(Change("", events=1, first=moment, last=moment, unknown_fields=unknown))


def _rewritten(task: Rejudging, rows: pa.Table, names: dict[str, str]) -> pa.Table:
    """The rows, in the place of each that is judged otherwise what it is now: one row, or one per event."""
    order: list[list[int]] = [[place] for place in range(rows.num_rows)]
    new: list[dict[str, Any]] = []
    for place, row, verdicts in _changed(task, rows, Rejudged()):
        first = rows.num_rows + len(new)
        order[place] = list(range(first, first + len(verdicts)))
        new += [{**row, **_fields_after(row, verdict, names)} for verdict in verdicts]
    if not new:
        return rows
    places = list(chain.from_iterable(order))
    return pa.concat_tables([rows, pa.Table.from_pylist(new, schema=rows.schema)]).take(places)


def _fields_after(row: dict[str, Any], verdict: Verdict, names: dict[str, str]) -> dict[str, Any]:
    if verdict.values is None:
        return {"problem": verdict.problem, "extra": None}
    values = dict(zip(EVENT_COLUMNS, verdict.values, strict=True))
    name = names[row["source_sha256"]]
    return {**values, "extra": verdict.extra, "problem": None, "raw": None, "source_sha256": name}


def _may_have_problems(file: pq.ParquetFile, number: int) -> bool:
    group = file.metadata.row_group(number)
    statistics = group.column(file.schema_arrow.names.index("problem")).statistics
    return statistics is None or not statistics.has_null_count or statistics.null_count < group.num_rows
