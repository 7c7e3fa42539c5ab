"""Replay: the quarantine judged again by today's contract, a batch of its own like one of new files.

Each file of bronze that holds lines which are judged otherwise now is written again with the same rows, so
that no line is ever in two places or in none. Silver and gold follow by their ordinary stages, and what a
crash cuts off is completed by the next run like any other batch (ADR 0017).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

from eventmint.bronze.rejudge import (
    Change,
    Rejudged,
    Rejudging,
    Rewriting,
    entries_after,
    rejudge,
    rewrite,
)
from eventmint.errors import LawBroken
from eventmint.maintenance.merge import damaged_of
from eventmint.pipeline import (
    Run,
    batches,
    ledger_of,
    load_ledger,
    replan_on_conflict,
    take_in,
    write_ledger,
)
from eventmint.storage import shrink_downloads
from eventmint.tables.commit import Stamp
from eventmint.tables.plan import LiveFile, bytes_of, live_files, may_hold_values, seq_of
from eventmint.values import LedgerEntry, Replay


def plan_replay(run: Run, reason: str | None) -> Replay:
    """Return what a replay would do; nothing is written."""
    run.ledger = ledger_of(run.catalog)
    found, damaged = _look(run, reason)
    return replace(_sum_of(found.values(), damaged), dry_run=True)


def replay(run: Run, reason: str | None, batch_bytes: int) -> Replay:
    """Judge again, and take through all stages what passes.

    Args:
        reason: only the lines that have this reason; None for all.
        batch_bytes: so much of bronze is written again in one batch, at least one file.
    """
    found, damaged = _look(run, reason)
    done = [made for made in found.values() if not made.changes]
    for files in batches([file for file, made in found.items() if made.changes], batch_bytes):
        run.progress.start("replay", 0, 0)
        wanted = {file.location: found[file] for file in files}
        replan_on_conflict(run, partial(_rewrite_some, run, reason, wanted, done))
        take_in(run, [])
        shrink_downloads()
    return _sum_of(done, damaged)


def _look(run: Run, reason: str | None) -> tuple[dict[LiveFile, Rejudged], set[str]]:
    """Judge the lines of every file that holds quarantined ones.

    Returns: the verdicts by file; locations of files that are damaged: they are left alone, for what is
        written anew would be called sound.
    """
    bronze, events = run.open("bronze.events")
    held = [file for file in live_files(bronze, events) if may_hold_values(file, events, "problem")]
    damaged = damaged_of(run, held)
    sound = [file for file in held if file.location not in damaged]
    tasks = [_judging(run, reason, file.location) for file in sound]
    verdicts = [*run.engine.map(rejudge, tasks, bytes_of(sound))]
    shrink_downloads()
    return dict(zip(sound, verdicts, strict=True)), damaged


def _rewrite_some(run: Run, reason: str | None, wanted: Mapping[str, Rejudged], done: list[Rejudged]) -> None:
    """Write some files again in one commit, then the ledger; one that another program has just replaced is
    left for the next replay."""
    bronze, events = run.open("bronze.events")
    if seq_of(bronze) != run.ledger.seq:
        load_ledger(run)  # planning again after a conflict: the commit on bronze may be ours
    files = [file for file in live_files(bronze, events) if file.location in wanted]
    if not files:
        return
    files.sort(key=lambda file: file.location)
    stamp = _stamp_of(files, seq_of(bronze) + 1)
    entries = _entries(run, [wanted[file.location] for file in files], stamp)
    tasks = [
        Rewriting(
            _judging(run, reason, file.location),
            tuple(entry for content in wanted[file.location].changes for entry in entries[content]),
            run.staging,
            f"replayed-{stamp.seq:08d}-{stamp.batch[:12]}-{number}",
        )
        for number, file in enumerate(files)
    ]
    made = [*run.engine.map(rewrite, tasks, bytes_of(files))]
    run.commit(bronze, events, stamp, add=made, remove=files)
    done += [wanted[file.location] for file in files]
    table, shape = run.open("bronze.ingested_files")
    write_ledger(run, table, shape, [e for pair in entries.values() for e in pair], stamp.seq, stamp.batch)
    passed = sum(entry.valid for _, entry in entries.values())
    run.progress.finish("replay", f"{passed:,} lines passed")


def _entries(run: Run, found: Iterable[Rejudged], stamp: Stamp) -> dict[str, tuple[LedgerEntry, LedgerEntry]]:
    """The ledger's entries after a batch, by content: another program may have laid one into many files."""
    changes: dict[str, Change] = {}
    for made in found:
        for content, change in made.changes.items():
            changes.setdefault(content, Change(change.path)).add(change)
    for content, change in changes.items():
        if not run.ledger.has_content(content):
            raise LawBroken(
                f"bronze.events: there are lines of {change.path} that the ledger does not know.",
                "Nothing was changed; see `eventmint verify --deep`.",
            )
    return {
        content: entries_after(run.ledger.entry_of(content), change, stamp.seq, stamp.batch)
        for content, change in changes.items()
    }


def _judging(run: Run, reason: str | None, location: str) -> Rejudging:
    return Rejudging(location, run.rules_in_force, run.latest_us, reason)


def _stamp_of(files: Iterable[LiveFile], seq: int) -> Stamp:
    """The batch that judges these files again; a repeat after a crash is the same one."""
    names = "\n".join(file.location.rpartition("/")[2] for file in files)
    return Stamp(seq, hashlib.sha256(f"replay {seq}\n{names}".encode()).hexdigest())


def _sum_of(found: Iterable[Rejudged], damaged: Iterable[str]) -> Replay:
    verdicts = list(found)
    changes = [change for made in verdicts for change in made.changes.values()]
    judged = sum((made.by_reason for made in verdicts), Counter[str]())
    passed = sum((made.passed_by_reason for made in verdicts), Counter[str]())
    return Replay(
        judged=sum(made.judged for made in verdicts),
        passed=sum(change.passed for change in changes),
        other_reasons=sum(change.other_reasons for change in changes),
        cut=sum(made.cut for made in verdicts),
        by_reason={
            reason: {"judged": count, "passed": passed[reason]}
            for reason, count in sorted(judged.items(), key=lambda item: (-item[1], item[0]))
        },
        files=tuple(sorted({change.path for change in changes})),
        days=tuple(sorted({day for made in verdicts for day in made.days})),
        damaged=tuple(sorted(damaged)),
    )
