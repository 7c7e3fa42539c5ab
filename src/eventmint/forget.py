"""Forget: people out of everything that the lake holds, a batch of its own, and never in again.

The list of who was forgotten goes first, and is the intent: from then on no line of theirs is taken in, and
whatever a crash cuts off is finished by the next run, which needs no id for it. The ledger follows with what
each content loses and the days that are made anew, then bronze without the rows; silver and gold follow by
their stages. At the end every older state goes, and every file that only it knew (ADR 0020).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial

from eventmint.bronze.forget import Found, Search, search
from eventmint.bronze.ledger import Ledger
from eventmint.bronze.losses import Loss, entry_without, sum_by_content
from eventmint.bronze.mapped import judge_of
from eventmint.bronze.rewrite import Removal, write_without
from eventmint.contracts import all_contracts, contract, kept_contracts
from eventmint.errors import FixData, FixSettings
from eventmint.maintenance.merge import damaged_of
from eventmint.pipeline import Run, replan_on_conflict, take_in, write_ledger
from eventmint.silver.forget import Events, find_events
from eventmint.sources.discover import location_of, version_at
from eventmint.sources.gunzip import UnreadableFile
from eventmint.sources.rewrite import rewrite_source
from eventmint.storage import forget_downloads, missing, shrink_downloads
from eventmint.suppressed import forgotten_seq, list_to_purge, note_purged, suppress
from eventmint.suppression import Suppression
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.commit import Stamp, commit
from eventmint.tables.maintain import keep_newest_alone
from eventmint.tables.plan import LiveFile, bytes_of, live_files, row_count, seq_of
from eventmint.values import DayRange, Forgetting, ForgottenSource, LedgerEntry

# What the ledger says of a source file that was written again without lines of forgotten people.
REWRITTEN = "rewritten"


@dataclass(frozen=True)
class _Asked:
    """Who is to be forgotten.

    Attributes:
        users: their ids, each once.
        suppression: everybody who was forgotten, they included.
        new: hashes that are not on the list yet.
    """

    users: tuple[str, ...]
    suppression: Suppression
    new: frozenset[str]

    @property
    def hashes(self) -> tuple[str, ...]:
        return tuple(sorted(map(self.suppression.hash_of, self.users)))


def plan_forgetting(run: Run, users: Iterable[str], known: Suppression) -> Forgetting:
    """Return what forgetting some people would do; nothing is written.

    Args: known: who was forgotten before.
    Raises: FixSettings, FixData: it cannot be done.
    """
    asked = _ask(users, known)
    return replace(_plan(run, asked, *_look(run, asked.suppression)), dry_run=True)


def forget(
    run: Run, users: Iterable[str], known: Suppression, *, rewrites_sources: bool = False
) -> Forgetting:
    """Take people out of every table, and let none of their lines in again; older states are still there.

    Args:
        known: who was forgotten before.
        rewrites_sources: write the source files that hold lines of theirs again without these.
    Raises:
        FixSettings: the lake was refined under another key. FixData: a file of bronze is damaged, or a source
            file cannot be written again: nothing was changed but source files before it.
    """
    asked = _ask(users, known)
    found, closed = _look(run, asked.suppression)
    made = _plan(run, asked, found, closed)
    if rewrites_sources:
        made = replace(made, sources=_rewrite_sources(run, asked.suppression, made.sources))
    rewritten = [source for source in made.sources if source.version]
    if not (made.changed or rewritten):
        return made
    before = _rows(run.catalog)
    seq = run.ledger.seq + (1 if made.lines or rewritten else 0)
    stamp = Stamp(seq, _batch_of(seq, asked.suppression))
    suppress(run.catalog, asked.suppression, asked.new, stamp, run.now, run.scratch)
    run.suppression = asked.suppression
    _take_out(run, stamp, found, closed, rewritten)
    take_in(run, [])
    after = _rows(run.catalog)
    gone = {name: rows - after[name] for name, rows in before.items() if rows != after[name]}
    return replace(made, seq=seq, batch=stamp.batch, rows=gone)


def finish_forgetting(run: Run) -> None:
    """Take out of the ledger and bronze what a forgetting that was cut off has left there."""
    if run.suppression is None or not is_cut_off(run.catalog):
        return
    seq = forgotten_seq(run.catalog)
    stamp = Stamp(seq, _batch_of(seq, run.suppression))
    _take_out(run, stamp, *_look(run, run.suppression), [])


def is_cut_off(catalog: LakeCatalog) -> bool:
    """Whether people are on the list who may still be in bronze."""
    return seq_of(catalog.load(contract("bronze.events"))) < forgotten_seq(catalog)


def purge(catalog: LakeCatalog) -> None:
    """Remove every state but the newest, and every file that is not of it, where people were forgotten since
    that was last done."""
    listed = list_to_purge(catalog)
    if listed is None:
        return
    for shape in kept_contracts():
        keep_newest_alone(catalog.load(shape))
    forget_downloads()
    note_purged(listed)


# --- Looking ---------------------------------------------------------------------------------------------


def _ask(users: Iterable[str], known: Suppression) -> _Asked:
    names = tuple(sorted(set(users)))
    hashes = frozenset(map(known.hash_of, names))
    return _Asked(names, known.with_hashes(hashes), hashes - known.hashes)


@dataclass(frozen=True)
class _Closed:
    """What silver has of forgotten people where retention has removed the lines.

    Attributes:
        days: how many of their events are of which day.
        hashes: of the people.
    """

    days: Counter[date]
    hashes: frozenset[str] = frozenset()


def _look(run: Run, suppression: Suppression) -> tuple[dict[LiveFile, Found], _Closed]:
    """Look for what there is of forgotten people: in every file of bronze, and where that has no lines."""
    bronze, events = run.open("bronze.events")
    held = live_files(bronze, events)
    damaged = sorted(damaged_of(run, held))
    if damaged:
        raise FixData(
            f"{damaged[0]}: damaged, so nobody can say whose lines it holds; {len(damaged):,} such in all.",
            "See `eventmint verify --deep`; restore it from a backup.",
        )
    tasks = [Search(file.location, suppression) for file in held]
    found = [*run.engine.map(search, tasks, bytes_of(held))]
    shrink_downloads()
    return dict(zip(held, found, strict=True)), _look_at_closed_days(run, suppression)


def _look_at_closed_days(run: Run, suppression: Suppression) -> _Closed:
    files = [file for file in live_files(*run.open("silver.events_cleaned")) if run.is_closed(file.day)]
    tasks = [Events(file.location, suppression) for file in files]
    found = [*run.engine.map(find_events, tasks, bytes_of(files))]
    shrink_downloads()
    days: Counter[date] = Counter()
    for file, (count, _) in zip(files, found, strict=True):
        if file.day and count:
            days[file.day] += count
    return _Closed(days, frozenset().union(*(hashes for _, hashes in found)))


def _plan(run: Run, asked: _Asked, found: dict[LiveFile, Found], closed: _Closed) -> Forgetting:
    _require_same_key(run)
    losses = sum_by_content(file.losses for file in found.values())
    named = {one for file in found.values() for one in file.hashes} | closed.hashes
    return Forgetting(
        at=run.now,
        users=len(asked.users),
        hashes=asked.hashes,
        new=len(asked.new),
        unknown=len(set(asked.hashes) - named),
        valid=sum(loss.valid for loss in losses.values()),
        closed=closed.days.total(),
        quarantined=sum(loss.quarantined for loss in losses.values()),
        days=tuple(sorted({day for loss in losses.values() for day in loss.days} | set(closed.days))),
        files=sum(bool(one.contents) for one in found.values()),
        sources=_sources(run.ledger, losses),
    )


def _require_same_key(run: Run) -> None:
    if run.refined_under != run.dedup_name:
        raise FixSettings(
            f"quality.dedup is `{run.dedup_name}`, but this lake was refined under `{run.refined_under}`.",
            "Use that key, or go over to the new one first with `eventmint restate --all`.",
        )


def _sources(ledger: Ledger, losses: Collection[str]) -> tuple[ForgottenSource, ...]:
    """The source files that are still there and hold lines of forgotten people, whoever they are."""
    contents = {entry.replayed_from or entry.sha256 for entry in map(ledger.entry_of, losses)}
    contents |= {entry.sha256 for entry in ledger.entries if entry.lines_suppressed and entry.is_of_file}
    holding = [e for e in ledger.newest_versions if e.sha256 in contents and e.reason != REWRITTEN]
    absent = set(missing(location_of(entry.path) for entry in holding))
    return tuple(ForgottenSource(entry.path) for entry in holding if location_of(entry.path) not in absent)


# --- Taking out ------------------------------------------------------------------------------------------


def _take_out(
    run: Run,
    stamp: Stamp,
    found: dict[LiveFile, Found],
    closed: _Closed,
    rewritten: Sequence[ForgottenSource],
) -> None:
    """Note in the ledger what goes, then write bronze without it: each in one commit, done once."""
    assert run.suppression is not None  # noqa: S101 - for the type checker: the list went first
    if run.ledger.seq < stamp.seq:
        losses = sum_by_content(file.losses for file in found.values())
        replan_on_conflict(run, partial(_note, run, stamp, losses, closed, rewritten))
    if seq_of(run.open("bronze.events")[0]) < stamp.seq:
        replan_on_conflict(run, partial(_erase_rows, run, run.suppression, stamp, found))


def _note(
    run: Run,
    stamp: Stamp,
    losses: dict[str, Loss],
    closed: _Closed,
    rewritten: Sequence[ForgottenSource],
) -> None:
    table, shape = run.open("bronze.ingested_files")
    days = {day for loss in losses.values() for day in loss.days} | set(closed.days)
    entries = [_entry_after(run.ledger.entry_of(sha), loss, stamp.seq) for sha, loss in losses.items()]
    of_batch = LedgerEntry(
        path="people",
        version="",
        size_bytes=0,
        sha256=None,
        received_at=run.now,
        status="forgotten",
        batch=stamp.batch,
        seq=stamp.seq,
        lines_suppressed=closed.days.total() or None,  # with which file they came nobody knows
    )
    entries += [
        of_batch,
        *(
            replace(
                of_batch,
                path=str(some),
                status="restated",
                restated_from=some.start,
                restated_to=some.end,
                lines_suppressed=None,
            )
            for some in _ranges(run, days)
        ),
        *(_entry_of_rewritten(run.ledger, source, stamp) for source in rewritten),
    ]
    write_ledger(run, table, shape, entries, stamp.seq, stamp.batch)


def _entry_after(before: LedgerEntry, loss: Loss, seq: int) -> LedgerEntry:
    suppressed = (before.lines_suppressed or 0) + loss.rows
    return replace(entry_without(before, loss, seq), lines_suppressed=suppressed)


def _ranges(run: Run, days: Collection[date]) -> list[DayRange]:
    """The days as few ranges; all days where one cannot be made anew by itself."""
    if days and not run.key_has_time:
        return [DayRange()]
    ranges: list[DayRange] = []
    for day in sorted(days):
        after = day + timedelta(days=1)
        if ranges and ranges[-1].end == day:
            ranges[-1] = DayRange(ranges[-1].start, after)
        else:
            ranges.append(DayRange(day, after))
    return ranges


def _erase_rows(run: Run, suppression: Suppression, stamp: Stamp, found: dict[LiveFile, Found]) -> None:
    bronze, events = run.open("bronze.events")
    live = {file.location for file in live_files(bronze, events)}
    files = sorted((file for file, one in found.items() if one.contents), key=lambda file: file.location)
    if any(file.location not in live for file in files):  # planning again: another program has laid files
        found, _ = _look(run, suppression)
        files = sorted((file for file, one in found.items() if one.contents), key=lambda file: file.location)
    run.progress.start("forget", 0, 0)
    tasks = [
        Removal(
            Search(file.location, suppression),
            tuple(run.ledger.entry_of(content) for content in sorted(found[file].contents)),
            run.staging,
            f"kept-{stamp.seq:08d}-{stamp.batch[:12]}-{number}",
        )
        for number, file in enumerate(files)
    ]
    made = [*run.engine.map(write_without, tasks, bytes_of(files))]
    commit(bronze, events, stamp, add=[place for place in made if place], remove=files)
    run.progress.finish("forget", f"{sum(len(one.contents) for one in found.values()):,} contents changed")
    shrink_downloads()


def _batch_of(seq: int, suppression: Suppression) -> str:
    names = "\n".join(sorted(suppression.hashes))
    return hashlib.sha256(f"forget {seq}\n{names}".encode()).hexdigest()


def _rows(catalog: LakeCatalog) -> dict[str, int]:
    return {shape.table: row_count(catalog.load(shape)) for shape in all_contracts() if shape.schema != "ops"}


# --- Source files ----------------------------------------------------------------------------------------


def _rewrite_sources(
    run: Run, suppression: Suppression, sources: Sequence[ForgottenSource]
) -> tuple[ForgottenSource, ...]:
    drops = _drops(run, suppression)
    run.progress.start("sources", len(sources), 0)
    made = []
    for source in sources:
        made.append(_rewrite(run, source, drops))
        run.progress.advance(1, 0, 0)
    run.progress.finish("sources", f"{sum(one.lines or 0 for one in made):,} lines removed")
    return tuple(made)


def _drops(run: Run, suppression: Suppression) -> Callable[[bytes], bool]:
    """Whether a line of a source file is of somebody forgotten, by the rule of bronze."""
    judge = judge_of(run.rules_in_force, run.latest_us)

    def drops(line: bytes) -> bool:
        if not line.strip():
            return False
        first = judge(line)[0]
        return (
            suppression.is_in_line(line, thorough=True)
            if first.values is None
            else (suppression.hides(first.values[1]))
        )

    return drops


def _rewrite(run: Run, source: ForgottenSource, drops: Callable[[bytes], bool]) -> ForgottenSource:
    location = location_of(source.path)
    known = run.ledger.newest_version(source.path)
    try:
        made = rewrite_source(location, drops, run.scratch)
    except UnreadableFile as err:
        raise FixData(
            f"{source.path}: cannot be written without lines of forgotten people: {err.reason}.",
            "Mend or remove it, then forget again.",
        ) from err
    except OSError as err:
        raise FixData(
            f"{source.path}: cannot be written: {err.strerror}.", "Grant access, or use --sources report."
        ) from err
    # Of another version than the ledger knows nothing is noted: it is new, and taken in like any other.
    is_known = known is not None and made.sha256 == _bytes_known(known)
    version = version_at(location) if is_known and made.dropped else None
    return ForgottenSource(source.path, made.dropped, version or "")


def _bytes_known(entry: LedgerEntry) -> str | None:
    """The SHA-256 of a version's bytes, where the ledger has that and not the name of what counts instead."""
    return None if entry.reason == REWRITTEN else entry.sha256


def _entry_of_rewritten(ledger: Ledger, source: ForgottenSource, stamp: Stamp) -> LedgerEntry:
    """What the ledger says of the new version: nothing of it is new, what counts is what is in bronze."""
    known = ledger.newest_version(source.path)
    assert known is not None  # noqa: S101 - for the type checker: it was found in the ledger
    return LedgerEntry(
        path=source.path,
        version=source.version,
        size_bytes=int(source.version.split("-")[0]) if source.version.split("-")[0].isdecimal() else 0,
        sha256=known.sha256,
        received_at=known.received_at,
        status="same_content",
        reason=REWRITTEN,
        batch=stamp.batch,
        seq=stamp.seq,
    )
