"""The pipeline: land, refine, aggregate. Read it top to bottom like the picture.

Each stage brings its tables up to the stage before, by the batch number that every table carries. A stage
that was cut off is simply behind, and the next run brings it up to date: there is no other recovery.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Protocol, TypeVar

from eventmint.bronze.land import Landed, Landing, entries_in
from eventmint.bronze.ledger import (
    Ledger,
    batch_id,
    entries_from_rows,
    entries_to_table,
    horizons_from_json,
    newest,
)
from eventmint.contracts import ANSWERS, Contract, contract
from eventmint.engine.parquet import read_rows, write_table
from eventmint.engine.protocol import Engine, Place, Session
from eventmint.errors import FixSettings
from eventmint.gold import aggregate as gold
from eventmint.landing import Digest, digest_of, land_one
from eventmint.run_log import Progress, counted
from eventmint.silver import hours as books_of
from eventmint.silver.forget import ErasingEvents, Events, erase_events
from eventmint.silver.refine import Intake, Refined, refine
from eventmint.sources.fetch import fetch
from eventmint.sources.gunzip import UnreadableFile
from eventmint.storage import shrink_downloads
from eventmint.suppression import Suppression
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.commit import Conflict, Stamp, commit
from eventmint.tables.plan import (
    BATCH,
    EPOCH,
    Changes,
    LiveFile,
    TableHandle,
    bytes_of,
    changes_since,
    files_landed_since,
    latest_instant,
    live_files,
    seq_of,
)
from eventmint.values import DayRange, EventRules, LedgerEntry, SourceFile, Written

LEDGER_FILES_BEFORE_FOLDING = 32
# The table property that keeps what makes two lines one event.
DEDUP = "eventmint.dedup"
# The property of bronze.events that keeps before which day retention has removed what a layer had: the ledger
# says so, too, but may be lost.
RETAINED = "eventmint.retained"
# Nothing is known of such a file, so the ledger says nothing of it and the next run tries again.
TRANSIENT = frozenset({"vanished", "unreadable", "changed_while_reading"})
BLOCKS = ("gold.product_hours", "gold.daily_users", "gold.daily_sessions")
# What the SQL models make, from bronze on.
MODELLED = ("silver.events_cleaned", *BLOCKS, *(f"gold.{answer}" for answer in ANSWERS))
# So many files of one day make every run slower that extends its set.
_CROWDED_FILES = 32
_REPLANS = 3
_REFINE_ROWS = 6_000_000


@dataclass
class Run:
    """One run's tools and what it has found out so far."""

    catalog: LakeCatalog
    engine: Engine
    scratch: Path
    rules: EventRules
    dedup_key: tuple[str, ...] | None
    now: datetime
    progress: Progress
    ledger: Ledger = field(default_factory=Ledger)
    entries: list[LedgerEntry] = field(default_factory=list)
    not_read: dict[str, str] = field(default_factory=dict)
    replaced: int = 0
    days: set[date] = field(default_factory=set)
    hours: set[books_of.Hour] = field(default_factory=set)
    # Days whose sets of users or sessions lie in many files, by table.
    crowded: dict[str, set[date]] = field(default_factory=dict)
    # Whose lines are left out; None while nobody was forgotten.
    suppression: Suppression | None = None
    wrote: dict[str, Written] = field(default_factory=dict)
    # The bytes of each file that was read, by its address: of each table, and of the `source`.
    read: dict[str, dict[str, int]] = field(default_factory=dict)
    commits: int = 0
    # The time by which events lie too far ahead, where that is not the run's own.
    judged_at: datetime | None = None

    def begun_anew(self) -> Run:
        """The same tools, for a run of its own that has found out and written nothing yet."""
        return Run(
            self.catalog,
            self.engine,
            self.scratch,
            self.rules,
            self.dedup_key,
            self.now,
            self.progress,
            self.ledger,
            suppression=self.suppression,
        )

    @property
    def fetched(self) -> Path:
        """Where source files come to that lie elsewhere."""
        return self.scratch / "fetched"

    @property
    def staging(self) -> str:
        """Where the engine leaves finished files, to be moved to their tables."""
        return str(self.scratch) if self.engine.shares_disk else staging_of(self.catalog)

    @property
    def latest_us(self) -> int:
        """The latest instant that an event may have, UTC microseconds."""
        return ((self.judged_at or self.now) + timedelta(hours=24) - EPOCH) // timedelta(microseconds=1)

    @property
    def rules_in_force(self) -> EventRules:
        """The shop's rules, and the day from which on events are taken in."""
        earliest = max(day_span(self.ledger.closed_before)[0] - EPOCH, timedelta())
        return dataclasses.replace(self.rules, earliest_us=earliest // timedelta(microseconds=1))

    @property
    def dedup_name(self) -> str:
        """What makes two lines one event, as `quality.dedup` says it."""
        return ", ".join(self.dedup_key or ("content",))

    @property
    def refined_under(self) -> str:
        """What made two lines one event when silver was made; the same where there is no silver yet."""
        return self.open("silver.events_cleaned")[0].properties.get(DEDUP, self.dedup_name)

    def is_closed(self, day: date | None) -> bool:
        """Whether retention has removed the lines of a day, so that nothing can be made of them any more."""
        return day is not None and day < self.ledger.closed_before

    @property
    def key_has_time(self) -> bool:
        """Whether equal events have equal times, so that only files around that time can hold them."""
        return self.dedup_key is None or "event_time" in self.dedup_key

    def open(self, table: str) -> tuple[TableHandle, Contract]:
        return self.catalog.load(contract(table)), contract(table)

    def commit(
        self,
        table: TableHandle,
        shape: Contract,
        stamp: Stamp,
        *,
        add: Sequence[Place] = (),
        remove: Sequence[LiveFile] = (),
    ) -> None:
        """Commit, and note what that has written. Raises: as `tables.commit.commit`."""
        added = commit(table, shape, stamp, add=add, remove=remove)
        self.commits += 1
        if added or remove:
            noted = self.wrote.get(shape.table, Written())
            days = {file.day for file in (*added, *remove) if file.day}
            self.wrote[shape.table] = Written(
                files=noted.files + len(added),
                size_bytes=noted.size_bytes + bytes_of(added),
                removed_files=noted.removed_files + len(remove),
                removed_bytes=noted.removed_bytes + bytes_of(remove),
                days=tuple(sorted(days.union(noted.days))),
            )

    def reading(self, table: str, files: Iterable[LiveFile]) -> list[str]:
        """Return where files of a table lie, and note that they are read."""
        found = {file.location: file.size_bytes for file in files}
        self.read.setdefault(table, {}).update(found)
        return [*found]


def staging_of(catalog: LakeCatalog) -> str:
    """Where workers leave files that do not see our disk; nobody else writes there while we hold the lock."""
    return f"{catalog.location}/.scratch"


def take_in(run: Run, files: Sequence[SourceFile]) -> None:
    """Take one batch of files through all stages; no file: only bring every table up to date."""
    for stage in STAGES:
        replan_on_conflict(run, partial(stage, run, files))


class Sized(Protocol):
    """What a batch is measured by."""

    @property
    def size_bytes(self) -> int: ...


File = TypeVar("File", bound=Sized)


def batches(files: Sequence[File], batch_bytes: int, batch_files: int = 1000) -> Iterator[list[File]]:
    """Cut a backlog into batches that fit into memory whatever its length."""
    batch: list[File] = []
    size = 0
    for file in files:
        if batch and (size + file.size_bytes > batch_bytes or len(batch) >= batch_files):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size_bytes
    if batch:
        yield batch


def ledger_of(catalog: LakeCatalog) -> Ledger:
    """Return what became of every file, as runs have noted it."""
    shape = contract("bronze.ingested_files")
    table = catalog.load(shape)
    return ledger_in(live_files(table, shape), seq_of(table))


def ledger_in(files: Iterable[LiveFile], seq: int) -> Ledger:
    return Ledger(entries_from_rows(read_rows(file.location for file in files)), seq)


def load_ledger(run: Run) -> None:
    """Read the ledger and complete it from bronze where a crash had come between the two."""
    table, shape = run.open("bronze.ingested_files")
    bronze, events = run.open("bronze.events")
    run.ledger = ledger_in(live_files(table, shape), seq_of(table))
    if seq_of(bronze) <= seq_of(table):
        return
    landed = files_landed_since(bronze, events, seq_of(table))
    files = live_files(bronze, events) if landed is None else landed
    noted = newest(entry for file in files for entry in entries_in(file.location))
    entries = [entry for entry in noted if entry.seq > seq_of(table) or run.ledger.has_content(entry.sha256)]
    entries += _retentions_noted(run, bronze)
    write_ledger(run, table, shape, entries, seq_of(bronze), bronze.properties[BATCH])


def _retentions_noted(run: Run, bronze: TableHandle) -> list[LedgerEntry]:
    """What bronze knows of retention and the ledger does not."""
    noted = horizons_from_json(bronze.properties.get(RETAINED, "{}")).items()
    known = run.ledger.horizons
    missing = {layer: before for layer, before in noted if known.get(layer, date.min) < before}
    return retention_entries(missing, Stamp(seq_of(bronze), bronze.properties[BATCH]), run.now)


def is_retention_cut_off(catalog: LakeCatalog, ledger: Ledger) -> bool:
    """Whether rows may still be in bronze that the ledger says are gone."""
    last = ledger.last_retention
    return last is not None and seq_of(catalog.load(contract("bronze.events"))) < last.seq


def retention_entries(horizons: Mapping[str, date], stamp: Stamp, now: datetime) -> list[LedgerEntry]:
    """The entries of a batch that removes what some layers have of before some days."""
    return [
        LedgerEntry(
            path=layer,
            version="",
            size_bytes=0,
            sha256=None,
            received_at=now,
            status="retained",
            batch=stamp.batch,
            seq=stamp.seq,
            retained_before=before,
        )
        for layer, before in horizons.items()
    ]


# land ------------------------------------------------------------------------------------------------


def land_files(run: Run, files: Sequence[SourceFile]) -> None:
    """Bronze: every line of the new files, one commit for the batch; then the ledger."""
    bronze, events = run.open("bronze.events")
    if _is_ahead(run.ledger, seq_of(bronze)):
        run.commit(bronze, events, _stamp(run, run.ledger.seq))
    elif seq_of(bronze) != run.ledger.seq:
        load_ledger(run)  # planning again after a conflict: somebody else has landed files
    files = [file for file in files if not run.ledger.knows(file.path, file.version)]
    if not files:
        return
    table, shape = run.open("bronze.ingested_files")
    stamp = Stamp(seq_of(bronze) + 1, batch_id(files))
    run.progress.start("bronze", len(files), sum(file.size_bytes for file in files))
    run.read.setdefault("source", {}).update((file.path, file.size_bytes) for file in files)
    outcomes = []
    for landed in _land_all(run, files, stamp):
        if landed.entry.reason in TRANSIENT:
            run.not_read[landed.entry.path] = landed.entry.reason
        else:
            outcomes.append(landed)
    if not outcomes:
        return
    run.commit(bronze, events, stamp, add=[landed.parquet for landed in outcomes if landed.parquet])
    entries = [landed.entry for landed in outcomes]
    run.replaced += sum(_replaces(run.ledger, entry) for entry in entries)
    write_ledger(run, table, shape, entries, stamp.seq, stamp.batch)
    run.entries += entries
    run.progress.finish("bronze", counted(sum(e.lines for e in entries), "line"))


def _is_ahead(ledger: Ledger, seq: int) -> bool:
    """Whether the ledger has batches that bronze has not seen: restatements, of which it has no line."""
    newer = [entry for entry in ledger.entries if entry.seq > seq]
    return bool(newer) and all(entry.restated_days for entry in newer)


def _replaces(ledger: Ledger, entry: LedgerEntry) -> bool:
    """Whether a readable version of a path ends another one that counted."""
    before = ledger.content_of(entry.path)
    return before is not None and entry.status != "set_aside" and entry.sha256 != before


def _land_all(run: Run, files: Sequence[SourceFile], stamp: Stamp) -> Iterator[Landed]:
    landings: list[Landing] = []
    copies: list[LedgerEntry] = []
    outcome_of: dict[str, LedgerEntry] = {}
    rules = run.rules_in_force
    for file, location, digest in _arrivals(run, files):
        entry = _new_entry(file, digest, stamp)
        if entry.sha256 is None:
            run.progress.advance(1, file.size_bytes, 0)
            yield Landed(entry)
        elif entry.sha256 in outcome_of or run.ledger.has_content(entry.sha256):
            copies.append(entry)
        else:
            outcome_of[entry.sha256] = entry
            landings.append(
                Landing(entry, location, run.staging, rules, run.latest_us, suppression=run.suppression)
            )
    size_bytes = sum(landing.entry.size_bytes for landing in landings)
    threads = run.engine.threads_a_task(len(landings), size_bytes)
    landings = [dataclasses.replace(landing, threads=threads) for landing in landings]
    for landing, landed in zip(landings, run.engine.map(land_one, landings, size_bytes), strict=True):
        run.progress.advance(1, landing.entry.size_bytes, landed.entry.lines)
        outcome_of[str(landing.entry.sha256)] = landed.entry
        yield landed
    for entry in copies:
        run.progress.advance(1, entry.size_bytes, 0)
        first = outcome_of.get(str(entry.sha256))
        if first is not None and first.status == "set_aside":
            yield Landed(dataclasses.replace(entry, status="set_aside", reason=first.reason))
        else:
            yield Landed(dataclasses.replace(entry, status="same_content"))
    shutil.rmtree(run.fetched, ignore_errors=True)


def _arrivals(run: Run, files: Sequence[SourceFile]) -> Iterator[tuple[SourceFile, str, Digest]]:
    """Each file with where a worker finds it and the hash of its bytes.

    Workers that see our disk find the files there, fetched once; others fetch for themselves.
    """
    if not run.engine.shares_disk:
        size_bytes = sum(file.size_bytes for file in files)
        for file, digest in zip(files, run.engine.map(digest_of, files, size_bytes), strict=True):
            yield file, file.location, digest
        return
    for file, near in zip(files, fetch(files, run.fetched), strict=True):
        if isinstance(near, UnreadableFile):
            yield file, "", Digest(None, near.reason)
        else:
            yield file, near.location, digest_of(near)


def _new_entry(file: SourceFile, digest: Digest, stamp: Stamp) -> LedgerEntry:
    return LedgerEntry(
        path=file.path,
        version=file.version,
        size_bytes=file.size_bytes,
        sha256=digest.sha256,
        received_at=file.received_at,
        status="set_aside" if digest.reason else "landing",
        reason=digest.reason,
        batch=stamp.batch,
        seq=stamp.seq,
    )


def write_ledger(
    run: Run, table: TableHandle, shape: Contract, entries: Sequence[LedgerEntry], seq: int, batch: str
) -> None:
    """Add entries to the ledger; one of a content that it has takes the place of that content's entry."""
    held = live_files(table, shape)
    is_correction = any(entry.has_lines and run.ledger.has_content(entry.sha256) for entry in entries)
    # Many small files would make every start slower: fold them into one now and then.
    fold = is_correction or len(held) >= LEDGER_FILES_BEFORE_FOLDING
    ledger = run.ledger.corrected(entries) if fold else run.ledger
    rows = entries_to_table(ledger.entries if fold else entries)
    add = [write_table(rows, shape, run.scratch / f"{seq:08d}-{batch[:12]}.parquet")] if rows.num_rows else []
    run.commit(table, shape, Stamp(seq, batch), add=add, remove=held if fold else [])
    if fold:
        run.ledger = ledger
    else:
        for entry in entries:
            run.ledger.add(entry)


# refine ----------------------------------------------------------------------------------------------


def refine_events(run: Run, _files: Sequence[SourceFile]) -> None:
    """Silver: the events that the new lines bring; a step at a time, so that any backlog fits into memory."""
    while seq_of(run.open("silver.events_cleaned")[0]) < run.ledger.seq:
        replan_on_conflict(run, partial(_refine_step, run))
    _keep_books(run)


def _refine_step(run: Run) -> None:
    silver, shape = run.open("silver.events_cleaned")
    target = _next_seq(run.ledger, seq_of(silver))
    stamp = dataclasses.replace(_stamp(run, target), properties={DEDUP: run.dedup_name})
    restated = run.ledger.days_restated(target - 1, target)
    goes_over = run.key_has_time and any(days.is_all for days in restated)
    if run.refined_under != run.dedup_name and not goes_over:
        other = " go over to the new one with `eventmint restate --all`," if run.key_has_time else ""
        raise FixSettings(
            f"quality.dedup is `{run.dedup_name}`, but this lake was refined under `{run.refined_under}`.",
            f"Use that key,{other} or run into a new lake folder.",
        )
    if restated:
        _restate_days(run, silver, shape, restated, stamp)
        return
    before, after = run.ledger.live_contents(seq_of(silver)), run.ledger.live_contents(target)
    came, gone = after - before, before - after
    previous = seq_of(silver)
    intake = _intake(run, silver, shape, came, gone, after - came)
    if not intake.fresh and not intake.gone:
        run.commit(silver, shape, stamp, remove=_too_old(run, silver, shape, "silver"))
        _commit_books(run, {}, previous, stamp)
        return
    run.progress.start("silver", 0, 0)
    with run.engine.session(run.scratch) as session:
        refined = refine(session, intake, run.dedup_key, run.staging, _stem(stamp))
    held = {file.location: file for file in live_files(silver, shape)} if refined.remove else {}
    run.commit(silver, shape, stamp, add=refined.add, remove=[held[location] for location in refined.remove])
    _commit_books(run, refined.books, previous, stamp)
    run.progress.finish("silver", _describe(refined))


def _restate_days(
    run: Run, silver: TableHandle, shape: Contract, ranges: Sequence[DayRange], stamp: Stamp
) -> None:
    """Make the events of some days anew from all lines that count: what was there goes in the same step."""
    if not run.ledger.is_forgetting(stamp.seq):
        require_time_in_key(run)
    run.progress.start("silver", 0, 0)
    bronze, events = run.open("bronze.events")
    live = run.ledger.live_contents(stamp.seq)
    add: list[Place] = []
    books: books_of.Books = {}
    for number, between in enumerate(_spans_of(run, ranges, live)):
        files = run.reading("bronze.events", live_files(bronze, events, between=between))
        intake = Intake(files, held=[], fresh_contents=live, between=between)
        with run.engine.session(run.scratch) as session:
            made = refine(session, intake, run.dedup_key, run.staging, f"{_stem(stamp)}-{number}")
        add += made.add
        books |= made.books
        shrink_downloads()
    erased = _closed_days_of(run, silver, shape, run.ledger.days_forgotten(stamp.seq - 1, stamp.seq))
    add += _erase_closed(run, erased, stamp)
    previous = seq_of(silver)
    gone = [f for f in live_files(silver, shape) if _is_in(f.day, ranges) and not run.is_closed(f.day)]
    run.commit(silver, shape, stamp, add=add, remove=[*gone, *erased])
    table, book_shape = run.open("silver.event_hours")
    if seq_of(table) == previous:  # else a crash had come between silver and its books: see _keep_books
        held = books_in(live_files(table, book_shape))
        kept = {h: book for h, book in held.items() if not _is_in(h[0], ranges) or run.is_closed(h[0])}
        kept = _recount_closed(run, kept, {file.day for file in erased if file.day})
        _replace_books(run, table, book_shape, held, kept | books, stamp)
    run.progress.finish("silver", _describe(Refined(books=books)))


def _spans_of(
    run: Run, ranges: Sequence[DayRange], live: frozenset[str]
) -> Iterator[tuple[datetime, datetime] | None]:
    """The spans of some days that are made anew one after the other; None for all of time at once."""
    if not run.key_has_time:
        yield None  # which line survives is decided over all days
        return
    for days in ranges:
        yield from _chunks(lines_of(run, days, live))


def _closed_days_of(
    run: Run, silver: TableHandle, shape: Contract, ranges: Sequence[DayRange]
) -> list[LiveFile]:
    """The files of the days that nothing can be made of any more, but whose events of some people go."""
    return [f for f in live_files(silver, shape) if run.is_closed(f.day) and _is_in(f.day, ranges)]


def _erase_closed(run: Run, files: Sequence[LiveFile], stamp: Stamp) -> list[Place]:
    if not files:
        return []
    assert run.suppression is not None  # noqa: S101 - for the type checker: a forgetting has a list
    tasks = [
        ErasingEvents(Events(file.location, run.suppression), run.staging, f"{_stem(stamp)}-closed{number}")
        for number, file in enumerate(sorted(files, key=lambda file: file.location))
    ]
    made = run.engine.map(erase_events, tasks, bytes_of(files))
    return [place for place in made if place]


def _recount_closed(run: Run, held: books_of.Books, days: Collection[date]) -> books_of.Books:
    """The books with the events of some closed days counted again; of their repeats nobody knows more."""
    if not days:
        return held
    counted = count_books(run, sorted(days))
    nothing = books_of.HourBook()
    recounted = {
        hour: dataclasses.replace(
            (events := counted.get(hour, nothing)),
            valid=events.events + book.duplicates,
            duplicates=book.duplicates,
        )
        for hour, book in held.items()
        if hour[0] in days
    }
    return {hour: book for hour, book in (held | recounted).items() if book}


def _too_old(run: Run, table: TableHandle, shape: Contract, layer: str) -> list[LiveFile]:
    """The files of a table of which retention keeps nothing."""
    horizon = run.ledger.horizons.get(layer)
    return [f for f in live_files(table, shape) if f.day and f.day < horizon] if horizon else []


def _is_in(day: date | None, ranges: Iterable[DayRange]) -> bool:
    return any(day in days for days in ranges)


def require_time_in_key(run: Run) -> None:
    """Raises: FixSettings: which line survives is decided over all days, so that none can be made alone."""
    if not run.key_has_time:
        raise FixSettings(
            f"quality.dedup is `{run.dedup_name}`: without event_time it is decided over "
            "all days at once, and no day can be made anew by itself.",
            "Add event_time to the key, or run into a new lake folder.",
        )


def lines_of(run: Run, days: DayRange, contents: frozenset[str]) -> dict[books_of.Hour, int]:
    """Return the number of valid lines of some contents in each hour of some days, oldest first."""
    bronze, events = run.open("bronze.events")
    files = live_files(bronze, events, between=days.instants)
    with run.engine.session(run.scratch) as session:
        session.scan("bronze_files", events, run.reading("bronze.events", files))
        found = books_of.lines_per_hour(session, "bronze_files", contents)
    return {hour: lines for hour, lines in found.items() if hour[0] in days}


def _chunks(lines: Mapping[books_of.Hour, int]) -> Iterator[tuple[datetime, datetime]]:
    """Cut hours into closed ranges of instants whose lines fit into memory, at least one hour each."""
    first: datetime | None = None
    last = first
    rows = 0
    for (day, hour), count in lines.items():
        begin = day_span(day)[0] + timedelta(hours=hour)
        if first and last and rows + count > _REFINE_ROWS:
            yield first, last
            first, rows = None, 0
        first, last = first or begin, begin + timedelta(hours=1) - timedelta(microseconds=1)
        rows += count
    if first and last:
        yield first, last


def _describe(refined: Refined) -> str:
    events = sum(book.events for book in refined.books.values())
    duplicates = sum(book.duplicates for book in refined.books.values())
    return f"{counted(events, 'event')}, {counted(duplicates, 'duplicate')}"


def _next_seq(ledger: Ledger, seq: int) -> int:
    """The last batch of the next step: as many as fit, at least one; a restatement, a forgetting and a
    retention are steps of their own."""
    pending = ledger.restatements(seq)
    # What all days are made anew from has all that came before.
    if everything := [entry.seq for entry in pending if entry.restated_days and entry.restated_days.is_all]:
        return everything[-1]
    rows = 0
    target = seq
    for entry in ledger.entries:
        if entry.seq <= seq:
            continue
        if entry.restated_days or entry.status in ("forgotten", "retained"):
            return entry.seq if target == seq else target
        rows += entry.valid
        if rows > _REFINE_ROWS and target > seq and entry.seq > target:
            return target
        target = entry.seq
    return ledger.seq


def _intake(
    run: Run,
    silver: TableHandle,
    shape: Contract,
    came: frozenset[str],
    gone: frozenset[str],
    stayed: frozenset[str],
) -> Intake:
    bronze, events = run.open("bronze.events")
    ledger = run.ledger
    span = _span_of(ledger, came | gone)
    if not span:
        return Intake([], [])
    timed = span if run.key_has_time else None
    held_files = live_files(silver, shape, between=timed)
    held = run.reading("silver.events_cleaned", held_files)
    until = latest_instant(held_files, shape, "event_time")
    found, fresh_contents = _files_of(bronze, events, came, ledger, seq_of(silver))
    fresh = run.reading("bronze.events", found)
    if not gone:
        return Intake(fresh, held, until, fresh_contents)
    around = run.reading("bronze.events", live_files(bronze, events, between=timed))
    return Intake(fresh, held, until, fresh_contents, around, gone, around, stayed)


def _span_of(ledger: Ledger, contents: frozenset[str]) -> tuple[datetime, datetime] | None:
    """The first and last time of the events in some file contents; None where they have none."""
    entries = [ledger.entry_of(sha) for sha in contents]
    firsts = [entry.first_event_time for entry in entries if entry.first_event_time]
    lasts = [entry.last_event_time for entry in entries if entry.last_event_time]
    return (min(firsts), max(lasts)) if firsts and lasts else None


def _files_of(
    bronze: TableHandle, events: Contract, contents: frozenset[str], ledger: Ledger, since: int
) -> tuple[Sequence[LiveFile], frozenset[str] | None]:
    """The bronze files with these contents, and the contents again where the files hold others too."""
    wanted = {sha for sha in contents if ledger.entry_of(sha).valid}
    if all(ledger.entry_of(sha).seq > since for sha in wanted):
        changes = changes_since(bronze, events, since)
        if changes is not None:
            own = [file for file in changes.added if file.stem in wanted]
            if len(own) == len(wanted):
                return own, None
            # Laid together with others, or replayed: what came since lies in files that came since.
            return changes.added, contents
    return live_files(bronze, events) if wanted else [], contents


def _commit_books(run: Run, change: books_of.Books, previous: int, stamp: Stamp) -> None:
    table, shape = run.open("silver.event_hours")
    if seq_of(table) != previous:
        return  # a crash came between silver and its books: _keep_books counts the days again
    if not change:
        run.commit(table, shape, stamp)
        return
    held = books_in(live_files(table, shape))
    _replace_books(run, table, shape, held, books_of.merge(held, change), stamp)


def books_in(files: Iterable[LiveFile]) -> books_of.Books:
    return books_of.books_from_rows(read_rows(file.location for file in files))


def _replace_books(
    run: Run,
    table: TableHandle,
    shape: Contract,
    held: books_of.Books,
    books: books_of.Books,
    stamp: Stamp,
) -> None:
    run.hours |= {hour for hour in held.keys() | books.keys() if held.get(hour) != books.get(hour)}
    rows = books_of.books_to_table(books)
    path = run.scratch / f"{_stem(stamp)}.parquet"
    add = [write_table(rows, shape, path)] if books else []
    run.commit(table, shape, stamp, add=add, remove=live_files(table, shape))


def _keep_books(run: Run) -> None:
    """Count the hours again whose books a crash had left behind."""
    silver, events = run.open("silver.events_cleaned")
    table, shape = run.open("silver.event_hours")
    if seq_of(table) == seq_of(silver):
        return
    changes = changes_since(silver, events, seq_of(table))
    held = books_in(live_files(table, shape))
    before, after = (run.ledger.live_contents(seq_of(one)) for one in (table, silver))
    # Lines that only repeat what silver has changed nothing there, but are lines of their day all the same.
    if changes:
        days = {*changes.days, *_days_of_lines(run, before ^ after)}
    else:
        days = {file.day for file in live_files(silver, events) if file.day} | _days_of_lines(run, after)
    restated = run.ledger.days_restated(seq_of(table), seq_of(silver))
    kept = {
        hour: book
        for hour, book in held.items()
        if run.is_closed(hour[0]) or (changes and hour[0] not in days and not _is_in(hour[0], restated))
    }
    erased = _closed_days_of(run, silver, events, run.ledger.days_forgotten(seq_of(table), seq_of(silver)))
    kept = _recount_closed(run, kept, {file.day for file in erased if file.day})
    counted = count_books(run, sorted(day for day in days if not run.is_closed(day)))
    _replace_books(run, table, shape, held, {**kept, **counted}, _stamp(run, seq_of(silver)))


def _days_of_lines(run: Run, contents: frozenset[str]) -> set[date]:
    bronze, lines = run.open("bronze.events")
    span = _span_of(run.ledger, contents)
    if not span:
        return set()
    files = live_files(bronze, lines, between=span)
    with run.engine.session(run.scratch) as session:
        session.scan("bronze_files", lines, run.reading("bronze.events", files))
        return books_of.days_of_lines(session, "bronze_files", contents)


def count_books(run: Run, days: Sequence[date]) -> books_of.Books:
    """Return the books of some days as they follow from the rows of bronze and silver, counted afresh."""
    silver, events = run.open("silver.events_cleaned")
    bronze, lines = run.open("bronze.events")
    live = run.ledger.live_contents(seq_of(silver))
    counted: books_of.Books = {}
    with run.engine.session(run.scratch) as session:
        for day in days:
            held = run.reading("silver.events_cleaned", live_files(silver, events, days=[day]))
            session.scan("silver_files", events, held)
            around = live_files(bronze, lines, between=day_span(day) if run.key_has_time else None)
            session.scan("bronze_files", lines, run.reading("bronze.events", around))
            counted |= books_of.recount_day(session, "bronze_files", "silver_files", day, live, run.dedup_key)
    return counted


def day_span(day: date) -> tuple[datetime, datetime]:
    start = datetime.fromisoformat(f"{day.isoformat()}T00:00:00+00:00")
    return start, start + timedelta(days=1) - timedelta(microseconds=1)


# aggregate -------------------------------------------------------------------------------------------


def aggregate_answers(run: Run, _files: Sequence[SourceFile]) -> None:
    """Gold: building blocks first, then the five answers of the days they touch."""
    silver, _ = run.open("silver.events_cleaned")
    names = (*BLOCKS, *(f"gold.{answer}" for answer in ANSWERS))
    behind = [name for name in names if seq_of(run.catalog.load(contract(name))) < seq_of(silver)]
    if not behind:
        return
    run.progress.start("gold", 0, 0)
    with run.engine.session(run.scratch) as session:
        inputs = _GoldInputs(run, silver)
        for name in behind:
            replan_on_conflict(run, partial(_aggregate_table, run, session, name, inputs))
    run.progress.finish("gold", counted(len(run.days), "day"))


class _GoldInputs:
    """What several tables of gold are made from, planned once."""

    def __init__(self, run: Run, silver: TableHandle) -> None:
        self._run = run
        self.silver = silver
        self.seq = seq_of(silver)
        self.changes = cache(self._changes)
        self.blocks = cache(self._blocks)

    def _changes(self, seq: int) -> tuple[Changes, bool]:
        """What came and went in silver after a batch, and whether that is everything: a rebuild."""
        events = contract("silver.events_cleaned")
        found = changes_since(self.silver, events, seq)
        return (found, False) if found else (Changes(tuple(live_files(self.silver, events))), True)

    def events(self, days: Collection[date]) -> list[str]:
        """The files of silver of some days."""
        files = live_files(self.silver, contract("silver.events_cleaned"), days=days) if days else []
        return self._run.reading("silver.events_cleaned", files)

    def _blocks(self, days: tuple[date, ...]) -> dict[str, list[str]]:
        return {
            block: self._run.reading(block, live_files(*self._run.open(block), days=days)) for block in BLOCKS
        }

    def made_anew(self, table: TableHandle, shape: Contract) -> frozenset[date]:
        """The days of a table that were restated since its batch: not brought up from what is there."""
        run, since = self._run, seq_of(table)
        restated = run.ledger.days_restated(since, self.seq)
        if not restated:
            return frozenset()
        forgotten = run.ledger.days_forgotten(since, self.seq)
        files = (*live_files(self.silver, contract("silver.events_cleaned")), *live_files(table, shape))
        found = {file.day for file in files if file.day and _is_in(file.day, restated)}
        return frozenset(day for day in found if not run.is_closed(day) or _is_in(day, forgotten))


def _aggregate_table(run: Run, session: Session, name: str, inputs: _GoldInputs) -> None:
    table, shape = run.open(name)
    stamp = _stamp(run, inputs.seq)
    changes, rebuild = inputs.changes(seq_of(table))
    old_days = {file.day for file in live_files(table, shape) if file.day} if rebuild else set()
    restated = inputs.made_anew(table, shape)
    # What silver no longer has is not made anew: closed days stay as they are until they go.
    touched = {day for day in changes.days | old_days if not run.is_closed(day)}
    days = tuple(sorted(touched | restated))
    too_old = _too_old(run, table, shape, "silver" if name in BLOCKS else "gold")
    run.days.update(days)
    if not days:
        run.commit(table, shape, stamp, remove=too_old)
        return
    held = live_files(table, shape, days=days)
    place = run.staging, _stem(stamp)
    if name == "gold.product_hours":
        came, went, kept = (
            run.reading(source, (file for file in some if file.day in days and file.day not in restated))
            for source, some in (
                ("silver.events_cleaned", changes.added),
                ("silver.events_cleaned", changes.removed),
                (name, () if rebuild else held),
            )
        )
        gold.open_changes(session, [*came, *inputs.events(restated)], went)
        made = gold.merge_product_hours(session, kept, *place)
        replaced = held
    elif name in BLOCKS:
        # Where events went, nobody but silver can tell who is still there: the day's set is made anew.
        anew = rebuild or bool(changes.removed or restated)
        added = (file for file in changes.added if file.day in days)
        events = inputs.events(days) if anew else run.reading("silver.events_cleaned", added)
        gold.open_changes(session, events, [])
        made = gold.extend_set(session, name, [] if anew else run.reading(name, held), *place)
        replaced = held if anew else []
        _note_crowded(run, name, () if anew else held)
    else:
        made = gold.answer_days(session, name, inputs.blocks(days), *place)
        replaced = held
    run.commit(table, shape, stamp, add=made, remove=[*replaced, *too_old])


def _note_crowded(run: Run, name: str, held: Iterable[LiveFile]) -> None:
    counts = Counter(file.day for file in held if file.day)
    if days := {day for day, count in counts.items() if count >= _CROWDED_FILES}:
        run.crowded[name] = days


STAGES: tuple[Callable[[Run, Sequence[SourceFile]], None], ...] = (
    land_files,
    refine_events,
    aggregate_answers,
)


def _stamp(run: Run, seq: int) -> Stamp:
    """The stamp of a table brought up to batch `seq`."""
    batch = next((entry.batch for entry in reversed(run.ledger.entries) if entry.seq <= seq), "")
    return Stamp(seq, batch)


def _stem(stamp: Stamp) -> str:
    return f"{stamp.seq:08d}-{stamp.batch[:12]}"


def replan_on_conflict(run: Run, step: Callable[[], None]) -> None:
    """Run a step that plans and commits; plan again from scratch where another writer came first."""
    for attempt in range(1, _REPLANS + 1):
        try:
            step()
        except Conflict:
            run.catalog.forget()
            if attempt == _REPLANS:
                raise
        else:
            return
