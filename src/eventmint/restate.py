"""Restate: silver and gold of some days made anew from bronze, a batch of its own that brings no line.

Only the intent is written here, into the ledger. From then on silver and gold are behind, and the stages
bring them up by the rule that they have: a restatement that is cut off is finished by the next run
(ADR 0018).
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date
from functools import partial

from eventmint.errors import FixData, FixSettings
from eventmint.maintenance.merge import damaged_of
from eventmint.pipeline import (
    MODELLED,
    Run,
    books_in,
    ledger_of,
    lines_of,
    replan_on_conflict,
    require_time_in_key,
    write_ledger,
)
from eventmint.storage import shrink_downloads
from eventmint.tables.plan import bytes_of, live_files, seq_of
from eventmint.values import DayRange, LedgerEntry, Restatement


def plan_restatement(run: Run, asked: DayRange) -> Restatement:
    """Return what a restatement would do; nothing is written.

    Raises: FixSettings: the dedup key does not allow it.
    """
    run.ledger = ledger_of(run.catalog)
    return replace(_look(run, asked), dry_run=True)


def begin_restatement(run: Run, asked: DayRange) -> Restatement:
    """Note in the ledger which days are to be made anew, unless that is noted and not done yet.

    Returns: what the stages will do when they bring the tables up.
    Raises: FixSettings: the dedup key does not allow it. FixData: a file that would be read is damaged.
    """
    found = _look(run, asked)
    if found.changed:
        _require_sound(run, asked)
        replan_on_conflict(run, partial(_note, run, _intended(run, asked)))
    return found


def _note(run: Run, days: DayRange) -> None:
    pending = run.ledger.restatements(seq_of(run.open("silver.events_cleaned")[0]))
    if pending and pending[-1].seq == run.ledger.seq and pending[-1].restated_days == days:
        return
    table, shape = run.open("bronze.ingested_files")
    seq = max(seq_of(table), run.ledger.seq) + 1
    batch = hashlib.sha256(f"restate {seq}\n{days}".encode()).hexdigest()
    entry = LedgerEntry(
        path=str(days),
        version="",
        size_bytes=0,
        sha256=None,
        received_at=run.now,
        status="restated",
        batch=batch,
        seq=seq,
        restated_from=days.start,
        restated_to=days.end,
    )
    write_ledger(run, table, shape, [entry], seq, batch)


def _look(run: Run, asked: DayRange) -> Restatement:
    require_time_in_key(run)
    _require_lines(run, asked)
    _intended(run, asked)
    lines = lines_of(run, asked, run.ledger.live_contents())
    replaced = {
        name: [f for f in live_files(*run.open(name)) if f.day in asked and not run.is_closed(f.day)]
        for name in MODELLED
    }
    held = {file.day for files in replaced.values() for file in files if file.day}
    noted = {day for day in _days_of_books(run) if day in asked and not run.is_closed(day)}
    return Restatement(
        range=str(asked),
        days=tuple(sorted({day for day, _ in lines} | held | noted)),
        lines=sum(lines.values()),
        bytes_read=bytes_of(live_files(*run.open("bronze.events"), between=asked.instants)),
        replaced={name: {"files": len(files), "bytes": bytes_of(files)} for name, files in replaced.items()},
    )


def _require_lines(run: Run, asked: DayRange) -> None:
    """Raises: FixSettings: retention has removed the lines of the first days; an open range begins after."""
    if asked.start and run.is_closed(asked.start):
        first = run.ledger.closed_before
        raise FixSettings(
            f"{asked}: retention has removed the lines of before {first}.", f"Begin with --from {first}."
        )


def _intended(run: Run, asked: DayRange) -> DayRange:
    """The days to note: under another key all days, which the range must hold.

    Raises: FixSettings: some days would be counted by one key and some by the other.
    """
    if run.refined_under == run.dedup_name:
        return asked
    if all(day in asked for day in _days_of_lake(run)):
        return DayRange()
    raise FixSettings(
        f"quality.dedup is `{run.dedup_name}`, but this lake was refined under `{run.refined_under}`.",
        "Use that key, or restate --all days: some would be counted by one key and some by the other.",
    )


def _require_sound(run: Run, asked: DayRange) -> None:
    """Raises: FixData: what is made anew from a damaged file would be called sound."""
    files = live_files(*run.open("bronze.events"), between=asked.instants)
    damaged = sorted(damaged_of(run, files))
    shrink_downloads()
    if damaged:
        raise FixData(
            f"{damaged[0]}: damaged, and {asked} would be made anew from it; {len(damaged):,} such in all.",
            "See `eventmint verify --deep`; restore it from a backup.",
        )


def _days_of_lake(run: Run) -> set[date]:
    """The days of the first and the last event of each file, and all that have a row."""
    times = [(entry.first_event_time, entry.last_event_time) for entry in run.ledger.entries]
    of_files = {moment.date() for pair in times for moment in pair if moment}
    return of_files | {file.day for name in MODELLED for file in live_files(*run.open(name)) if file.day}


def _days_of_books(run: Run) -> set[date]:
    return {day for day, _ in books_in(live_files(*run.open("silver.event_hours")))}
