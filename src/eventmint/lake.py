"""The lake: the public Python API, and the only file that names concrete engines and catalogs.

```python
import eventmint

lake = eventmint.open_lake("eventmint.toml")
report = lake.run()
table = lake.answer("hourly_revenue", start=date(2026, 1, 15))
```
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from eventmint import audit, laws
from eventmint import forget as forgetting
from eventmint import retain as retaining
from eventmint.bronze.ledger import Ledger
from eventmint.config import Settings, load_settings
from eventmint.contracts import ANSWERS, all_contracts, contract
from eventmint.engine.duckdb_engine import DuckDBEngine
from eventmint.engine.parquet import arrow_schema, read_rows, write_table
from eventmint.engine.protocol import Engine
from eventmint.errors import FixData, FixSettings, LawBroken, LockHeld, TryAgain
from eventmint.heralds import Heralds
from eventmint.maintenance.everything import maintain, merge_crowded, plan_maintenance
from eventmint.outlook import judge_hours
from eventmint.pipeline import Run, batches, ledger_of, load_ledger, replan_on_conflict, take_in
from eventmint.recheck.everything import recheck
from eventmint.replay import plan_replay, replay
from eventmint.restate import begin_restatement, plan_restatement
from eventmint.retain import finish_retention, plan_retention
from eventmint.rollback import finish_rollback, is_cut_off, kept_run, noted_in, plan_rollback, roll_back
from eventmint.run_log import Progress, Silent, run_name, run_named
from eventmint.run_plan import (
    Basis,
    Rehearsal,
    RunPlan,
    basis_of,
    behind,
    cost_of,
    heads_of,
    noted_files,
    planned_files,
    require_basis,
    require_files,
    unknown_fields,
    without_its_own,
)
from eventmint.serve import analytics_db, answers, journeys, quarantine
from eventmint.serve.documents import books, file_outcomes
from eventmint.serve.follow import Follower, Told, writing
from eventmint.serve.limits import Limits
from eventmint.serve.pages.trust import as_facts, trust
from eventmint.serve.published import NOT_YET, published_database
from eventmint.serve.quarantine import Export
from eventmint.sources.discover import Listing, list_source
from eventmint.storage import is_s3, list_folder, lock, remove, shrink_downloads
from eventmint.storage.local import fresh_folder, write_whole
from eventmint.storage.trouble import telling_trouble
from eventmint.suppressed import key_of, list_to_purge, suppression_of, suppression_to_extend
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.commit import Stamp, commit, note
from eventmint.tables.maintain import trim
from eventmint.tables.plan import live_files, newest_files, row_count, seq_of
from eventmint.tables.shadow import shadow_of
from eventmint.tables.sizes import ColumnSize, TableSize, column_size, table_size
from eventmint.values import (
    Backfill,
    DayRange,
    Forgetting,
    Law,
    LedgerEntry,
    Maintenance,
    Replay,
    Restatement,
    Retention,
    Rollback,
    RunReport,
    SourceFile,
    Totals,
)
from eventmint.watching import figures, series
from eventmint.watching.anomalies import Anomalies

if TYPE_CHECKING:
    from eventmint.serve.dashboard.guard import Guard

log = logging.getLogger(__name__)
# The property of ops.runs that keeps the day on which maintenance was last complete.
MAINTAINED = "eventmint.maintained"
# How often a backfill looks whether the run that it waits for has ended.
_ASK_AGAIN_SECONDS = 0.5


def open_lake(config: str | os.PathLike[str] | None = None, **overrides: Any) -> Lake:
    """Return the lake that a configuration describes; nothing is created or read yet.

    Args:
        config: path of an `eventmint.toml`; None takes the one in the current folder, else the defaults.
        overrides: settings by key with two underscores for the dot, such as `lake__root="lake"`.
    Raises:
        FixSettings: the file or an override is wrong.
    """
    flags = {name.replace("__", ".", 1): value for name, value in overrides.items()}
    settings = load_settings(Path(config) if config else None, flags=flags, environment=os.environ)
    return Lake(settings)


class Lake:
    """A folder of Iceberg tables with the pipeline that fills it and the answers it gives."""

    def __init__(
        self, settings: Settings, progress: Progress | None = None, catalog: LakeCatalog | None = None
    ) -> None:
        self.settings = settings
        self._progress = progress or Silent()
        location = settings.lake_location
        if is_s3(location):
            # Where the region is not said, it is ours; worker processes inherit it.
            os.environ.setdefault("AWS_REGION", settings.aws.region)
        else:
            location = str(Path(location).resolve())
        self._catalog = catalog or LakeCatalog(location, settings.aws.id if is_s3(location) else "")
        self._follower = Follower(self._catalog, settings.database_path, self._told)

    # --- running ------------------------------------------------------------------------------------------

    def run(
        self,
        source: str | os.PathLike[str] | None = None,
        *,
        now: datetime | None = None,
        only: Collection[str] | None = None,
    ) -> RunReport:
        """Take in what is new and bring the five answers up to date.

        Args:
            source: folder, file or `s3://` address to take in; default: `source.path` of the configuration.
            now: the run's time, UTC; events more than 24 hours later are quarantined.
            only: look at these addresses of an `s3://` source instead of listing it.
        Returns: the terms of the laws for this run and for the lake; `changed` is False when nothing was new.
        Raises:
            FixSettings: no such source. LockHeld: another run is at work. FixData, TryAgain: see the message.
            LawBroken: the books do not balance; table, day and difference are named.
        """
        root = os.fspath(source) if source is not None else self.settings.source_location
        return self._told_run(root, now, partial(self._list, root, only))

    @telling_trouble()
    def plan(self, source: str | os.PathLike[str] | None = None, *, now: datetime | None = None) -> RunPlan:
        """Return what a run would do now: the run is played in a shadow of the lake (docs/planning.md).

        Nothing is written but a temporary folder, as large as what the run writes; no lock is taken.

        Args:
            source: as of `run`.
            now: the time by which lines are judged, UTC, and by which `run_planned` judges them.
        Raises: as `run`, but no LawBroken, see `expected`; TryAgain: a run has changed the lake meanwhile.
        """
        started = time.perf_counter()
        moment = now or datetime.now(UTC)
        root = os.fspath(source) if source is not None else self.settings.source_location
        root = root if is_s3(root) else str(Path(root).absolute())
        _require_source(root)
        with tempfile.TemporaryDirectory(prefix="eventmint-plan-") as folder, self._at_rest() as basis:
            stage = Lake(self.settings, self._progress, shadow_of(self._catalog, Path(folder)))
            rehearsed = stage._rehearse(root, moment)
            drift = self._catalog.lacking()
            is_due = rehearsed.report.changed and all(drift.values()) and self._is_maintenance_due(moment)
            due = maintenance_to_dict(self._planned_maintenance(moment, stage)) if is_due else None
            seconds = time.perf_counter() - started
            return RunPlan(
                source=root,
                made_at=moment,
                files=planned_files(rehearsed),
                expected=without_its_own(report_to_dict(rehearsed.report)),
                unknown_fields=unknown_fields(rehearsed.run.entries),
                drift=drift,
                behind=behind(basis.tables),
                maintenance=due,
                cost=cost_of(rehearsed, self.settings.run.batch_mb, seconds),
                basis=basis,
                recovered=tuple(sorted(rehearsed.known - noted_files(self._catalog).versions)),
                seconds=seconds,
            )

    @telling_trouble()
    def run_planned(self, plan: RunPlan, *, now: datetime | None = None) -> RunReport:
        """Do what was planned: the files of the plan and no other, judged by the time of the plan.

        Raises: StalePlan: a file, the lake, the configuration or the version is another now; nothing was
            done. Else as `run`.
        """
        listing = self._require_fresh(plan)  # before anything is touched, the lock included
        return self._told_run(plan.source, now, lambda _: listing, plan)

    @telling_trouble()
    def backfill(
        self,
        source: str | os.PathLike[str],
        days: DayRange,
        *,
        now: datetime | None = None,
        dry_run: bool = False,
        wait: timedelta = timedelta(minutes=10),
        pause: timedelta = timedelta(seconds=2),
    ) -> Backfill:
        """Take in the files of a source that were received on some days, in runs of one batch each; between
        them other runs have their turn. What is known already is left out, so that it can be repeated.

        Args:
            source: folder, file or `s3://` address.
            days: by the time in a file's path, else the file's own.
            now: the time of all its runs, UTC; default: each one's own.
            dry_run: only say what would be taken in.
            wait: so long a batch waits while another run is at work.
            pause: so long the lake is left to others after each batch.
        Raises: as `run`; LockHeld: another run was at work for longer than `wait`.
        """
        started = time.perf_counter()
        root = os.fspath(source)
        known = self.ledger() if self._catalog.exists() else Ledger()
        files = [file for file in self._list(root, None, known).files if file.received_at.date() in days]
        sums = Backfill(root, str(days), len(files), sum(file.size_bytes for file in files), dry_run=dry_run)
        for number, batch in enumerate([] if dry_run else batches(files, self.settings.run.batch_mb << 20)):
            if number:
                time.sleep(pause.total_seconds())
            take = partial(self._told_run, root, now, partial(_not_known, batch))
            sums = _with_run(sums, _when_free(take, wait))
        return dataclasses.replace(sums, seconds=time.perf_counter() - started)

    def _told_run(
        self,
        root: str,
        now: datetime | None,
        list_files: Callable[[Ledger], Listing],
        plan: RunPlan | None = None,
    ) -> RunReport:
        moment = now or datetime.now(UTC)
        with run_named(run_name(moment)):
            heralds = Heralds(self.settings, self._catalog, root, moment)
            try:
                report = self._run(root, moment, list_files, heralds.begin, plan)
            except Exception as err:
                heralds.fail(err)
                raise
            heralds.end(report)
            return report

    @telling_trouble()
    def _run(
        self,
        root: str,
        moment: datetime,
        list_files: Callable[[Ledger], Listing],
        begin: Callable[[], None],
        plan: RunPlan | None,
    ) -> RunReport:
        started = time.perf_counter()
        _require_source(root)
        with lock(self._catalog.location):
            if plan:
                self._require_fresh(plan)  # once more, for nobody else can write now
            with self._open_run(moment) as run:
                run.judged_at = plan.made_at if plan else None
                listing = list_files(run.ledger)
                if listing.files:
                    begin()
                with self._concluding(run, listing, started, root) as reports:
                    self._take_in_all(run, listing)
        return reports[0]

    def _take_in_all(self, run: Run, listing: Listing) -> None:
        for batch in batches(listing.files, self.settings.run.batch_mb << 20):
            take_in(run, batch)
            shrink_downloads()

    def _rehearse(self, root: str, moment: datetime) -> Rehearsal:
        """Run, but leave out what follows a run: nothing is published, recorded or maintained."""
        with self._open_run(moment) as run:
            known = frozenset(run.ledger.versions)
            listing = self._list(root, None, run.ledger)
            contents = {file.path: run.ledger.content_of(file.path) for file in listing.files}
            seqs = self._seqs()
            take_in(run, [])
            self._take_in_all(run, listing)
            last = self.last_run()
            news = self._seqs() != seqs or _is_unchecked(run, last)
            report = self._report(run, listing, moment, last, check=news)
            return Rehearsal(run, dataclasses.replace(report, source=root), listing.files, contents, known)

    @contextmanager
    def _at_rest(self) -> Iterator[Basis]:
        """Hold every table as it is now. Raises: TryAgain: a run has changed one when this ends."""
        with self._catalog.hold():
            basis = basis_of(self._catalog, self.settings)
            try:
                yield basis
            finally:
                self._catalog.forget()
                if heads_of(self._catalog) != basis.tables:
                    raise TryAgain(f"{self._catalog.location}: a run has changed the lake.", "Plan again.")

    def _require_fresh(self, plan: RunPlan) -> Listing:
        """Return the files of a plan. Raises: StalePlan: something that it rests on is another now."""
        with self._catalog.hold():
            require_basis(plan, basis_of(self._catalog, self.settings))
            noted = noted_files(self._catalog)
        return require_files(plan, noted, self.settings.source)

    def _list(self, root: str, only: Collection[str] | None, ledger: Ledger) -> Listing:
        """Return the files of a source that a ledger does not know."""
        source = self.settings.source
        return list_source(
            root, source.pattern, is_known=ledger.knows, settle_seconds=source.settle_seconds, only=only
        )

    @telling_trouble()
    def replay_quarantine(
        self, reason: str | None = None, *, now: datetime | None = None, dry_run: bool = False
    ) -> Replay:
        """Judge quarantined lines again by today's contract; what passes leaves the quarantine for the
        answers, what fails for other reasons than before gets those.

        Args:
            reason: only the lines that have this reason; None for all.
            now: the time by which events lie too far ahead, UTC.
            dry_run: only say what would be done.
        Raises: FixData: there is no lake. LockHeld: a run is at work. LawBroken: as for a run.
        """
        self._require_lake()
        started = time.perf_counter()
        moment = now or datetime.now(UTC)
        if dry_run:
            with lock(self._catalog.location), self._open_tools(moment) as run:
                made = plan_replay(run, reason)
        else:
            with (
                lock(self._catalog.location),
                self._open_run(moment) as run,
                self._concluding(run, Listing(()), started),
            ):
                made = replay(run, reason, self.settings.run.batch_mb << 20)
        return dataclasses.replace(made, seconds=time.perf_counter() - started)

    @telling_trouble()
    def restate(self, days: DayRange, *, now: datetime | None = None, dry_run: bool = False) -> Restatement:
        """Make silver and gold of some days anew from bronze; of each table readers see old or new.

        All days also go over to another `quality.dedup`.

        Args:
            now: the time that the record tells, UTC.
            dry_run: only say what would be done.
        Raises:
            FixSettings: the dedup key does not allow it. FixData: there is no lake, or bronze is damaged.
            LockHeld: a run is at work. LawBroken: as for a run.
        """
        self._require_lake()
        started = time.perf_counter()
        moment = now or datetime.now(UTC)
        if dry_run:
            with lock(self._catalog.location), self._open_tools(moment) as run:
                made = plan_restatement(run, days)
        else:
            with lock(self._catalog.location), self._open_run(moment) as run:
                made = begin_restatement(run, days)
                with self._concluding(run, Listing(()), started) as reports:
                    pass  # the stages are behind, and have been brought up
                made = dataclasses.replace(made, events=reports[0].totals.events if made.changed else 0)
        return dataclasses.replace(made, seconds=time.perf_counter() - started)

    @telling_trouble()
    def rollback(self, to: str, *, now: datetime | None = None, dry_run: bool = False) -> Rollback:
        """Bring every table, and so all answers, back to what an earlier run had left.

        The next run takes in again what was rolled back, where it is still there.

        Args:
            to: id of the run, or a beginning of it that no other has.
            now: the time of the rollback, UTC.
            dry_run: only say what would be done.
        Raises:
            FixSettings: no such run, or its state is not kept any more. FixData: there is no lake, or a file
                of then is missing. LockHeld: a run is at work. LawBroken: as for a run.
        """
        self._require_lake()
        started = time.perf_counter()
        with lock(self._catalog.location), self._open_tools(now or datetime.now(UTC)) as run:
            made = plan_rollback(self._catalog, self.runs(), to)
            if not dry_run:
                if made.changed:  # before anything is finished that is cut off: it may be what is undone
                    roll_back(run, made)
                with self._prepared(run), self._concluding(run, Listing(()), started):
                    pass
        return dataclasses.replace(made, dry_run=dry_run, seconds=time.perf_counter() - started)

    @telling_trouble()
    def forget(
        self,
        users: Iterable[str],
        *,
        rewrite_sources: bool = False,
        now: datetime | None = None,
        dry_run: bool = False,
    ) -> Forgetting:
        """Take people out of every table, file and earlier state; their lines never come in again.

        Args:
            users: ids, as events say them in `user_id`.
            rewrite_sources: write the source files that hold their lines again without these; otherwise the
                files are only named.
            now: the time that is noted, UTC.
            dry_run: only say what would be done.
        Raises:
            FixSettings: nobody is named, or the key to the list of forgotten people is missing or another
                one. FixData: there is no lake, or a file is damaged. LockHeld: a run is at work.
            LawBroken: as for a run.
        """
        self._require_lake()
        asked = set(users)
        if not asked or "" in asked:
            raise FixSettings("No user is named.", "Give ids, or a file with one on each line.")
        started = time.perf_counter()
        moment = now or datetime.now(UTC)
        catalog, settings = self._catalog, self.settings
        if dry_run:
            with lock(catalog.location), self._open_tools(moment) as run:
                run.ledger = ledger_of(catalog)
                known = suppression_to_extend(catalog, settings, may_make_key=False)
                made = forgetting.plan_forgetting(run, asked, known)
        else:
            with (
                lock(catalog.location),
                self._open_run(moment) as run,
                self._concluding(run, Listing(()), started),
            ):
                known = suppression_to_extend(catalog, settings)
                made = forgetting.forget(run, asked, known, rewrites_sources=rewrite_sources)
        return dataclasses.replace(made, seconds=time.perf_counter() - started)

    @telling_trouble()
    def retain(self, *, purge: bool = False, now: datetime | None = None, dry_run: bool = False) -> Retention:
        """Remove from every layer what is older than `[retention]` allows; its counts stay in the books.

        Args:
            purge: remove every earlier state, too, which still has the rows; else they go as old states do.
            now: the time that the record tells, UTC.
            dry_run: only say what would be done.
        Raises:
            FixData: there is no lake, a file that would be written again is damaged, or a run has left
                something undone. LockHeld: a run is at work. LawBroken: as for a run.
        """
        self._require_lake()
        started = time.perf_counter()
        moment = now or datetime.now(UTC)
        if dry_run:
            with lock(self._catalog.location), self._open_tools(moment) as run:
                run.ledger = ledger_of(self._catalog)
                made = plan_retention(run, self.settings.retention.days)
        else:
            with lock(self._catalog.location), self._open_run(moment) as run:
                self._require_settled(run)
                made = self._retain(run)
                if made.damaged:
                    raise FixData(
                        f"{made.damaged[0]}: damaged, so what stays of it cannot be kept; "
                        f"{len(made.damaged):,} such in all.",
                        "Nothing was removed; see `eventmint verify --deep`; restore it from a backup.",
                    )
                if purge:
                    self._publish(anew=True)
                    retaining.purge(self._catalog)
        return dataclasses.replace(made, purged=purge and not dry_run, seconds=time.perf_counter() - started)

    def sign(self, receipt: bytes) -> str:
        """Return the signature of a receipt. Raises: FixSettings: there is no key."""
        return key_of(self.settings).sign(receipt)

    @telling_trouble()
    def verify(self, *, deep: bool = False) -> tuple[Law, ...]:
        """Prove the laws again from the rows of every file, not from what runs have noted.

        Args:
            deep: prove every value of every table again, from the files alone: each file by its digest and
                its footer, each row by making it again from bronze. Damage is a broken law, never an error.
        Returns: every law; look at `holds`.
        Raises:
            FixData: there is no lake, or a rollback was cut off. LawBroken: a file is missing.
            LockHeld: a run is at work.
        """
        self._require_lake()
        if deep:
            with lock(self._catalog.location), self._open_tools(datetime.now(UTC)) as run:
                return recheck(run, self._require_nothing_cut_off)
        with lock(self._catalog.location), self._open_run(datetime.now(UTC)) as run:
            return audit.laws_of_everything(run)

    @telling_trouble()
    def maintain(
        self, *, now: datetime | None = None, dry_run: bool = False, max_seconds: float | None = None
    ) -> Maintenance:
        """Remove what `[retention]` no longer allows, lay the files of closed days together, forget old
        snapshots, remove orphans; no other row changes.

        Args:
            now: the time by which days are closed and files old, UTC.
            dry_run: only say what would be done.
            max_seconds: begin nothing new after so long; None for no limit.
        Raises:
            FixData: there is no lake, or a run has left something undone. LockHeld: a run is at work.
        """
        self._require_lake()
        moment = now or datetime.now(UTC)
        if dry_run:
            return self._planned_maintenance(moment, self)
        with lock(self._catalog.location), self._open_run(moment) as run:
            self._require_settled(run)
            retained = self._retain(run)
            made = self._maintain(run, max_seconds)
            made = dataclasses.replace(made, rows_retained=retained.rows if retained.seq else 0)
            if made.is_complete:
                note(self._catalog.load(contract("ops.runs")), {MAINTAINED: moment.date().isoformat()})
            return made

    # --- reading ------------------------------------------------------------------------------------------

    def published(self) -> Path:
        """Return the file of the published tables; of a lake in S3 it is brought up to date first, once a
        minute at most.

        Raises: FixData: nothing has been published yet.
        """
        self._follow()
        return published_database(self.settings)

    def _follow(self) -> None:
        if is_s3(self._catalog.location) and self.settings.lake.database:
            self._follower.follow()

    @contextmanager
    def state(self, as_of: str | None = None) -> Iterator[answers.State]:
        """Open one state of the lake for several questions, by `answer` and `sql`.

        Args: as_of: the run that left it, by its id or the beginning of it; None for what is published.
        Raises: FixSettings: no such run, or its state is not kept. FixData: nothing has been published yet.
        """
        if as_of is None:
            self._follow()
            yield answers.published_state(self.settings)
            return
        self._require_lake()
        seq = kept_run(self._catalog, self.runs(), as_of)["seq"]
        with tempfile.TemporaryDirectory(prefix="eventmint-") as folder:
            database = Path(folder) / "analytics.duckdb"
            with telling_trouble():
                analytics_db.show_past(self._catalog, database, seq)
            yield answers.State(database, answers.limits_of(self.settings))

    def answer(
        self, name: str, *, start: date | None = None, end: date | None = None, as_of: str | None = None
    ) -> pa.Table:
        """Return one of the five answers.

        Args:
            name: conversion_funnel, hourly_revenue, top_products, category_performance or user_activity.
            start, end: UTC days, half-open: `start` is in, `end` is not.
            as_of: as this run left it (see `state`).
        Returns: an Arrow table with the columns of the contract, in a total order.
        Raises: FixSettings: no such answer or run. FixData: nothing has been published yet.
        """
        if name not in ANSWERS:
            raise FixSettings(f"{name}: no such answer.", f"The answers are {', '.join(ANSWERS)}.")
        with self.state(as_of) as state:
            return state.answer(name, start, end)

    def sql(self, statement: str, *, limit: int | None = None, as_of: str | None = None) -> pa.Table:
        """Return the rows of one SELECT over `gold.*` (also by unqualified name), `silver.*` and `bronze.*`.

        Args:
            limit: at most so many rows; None for all.
            as_of: as this run left the tables (see `state`).
        Raises:
            FixSettings: not exactly one SELECT, one that fails, one that takes too much (`query.*`), or no
                such run.
        """
        with self.state(as_of) as state:
            return state.sql(statement, limit)

    @telling_trouble()
    def funnel(
        self,
        steps: Sequence[str],
        window: timedelta,
        *,
        who: str = "session",
        by: str | None = None,
        start: date | None = None,
        end: date | None = None,
    ) -> pa.Table:
        """Return how many journeys reach each step, one after the other: see docs/journeys.md.

        Args:
            steps: two or more event types, each once.
            window: how long after its first step a journey may go on; 30 days at most.
            who: `session` or `user`: whose journeys are counted.
            by: `product` or `category`: all steps are of the same one.
            start, end: UTC days, half-open, in which journeys begin.
        Returns: a row per step: `step`, `event_type`, `journeys`, `of_first`, `of_previous`, `open`.
        Raises: FixSettings: what is asked for is none. FixData: nothing has been published yet.
        """
        asked = journeys.Funnel(tuple(steps), window, who, by, start, end)
        with answers.asking(self.published(), self._memory) as ask:
            return journeys.funnel(ask, asked, self.settings.contract.event_types)

    @telling_trouble()
    def retention(self, by: str = "week") -> pa.Table:
        """Return how many users of each `day`, `week` or `month` come again: see docs/journeys.md.

        Returns: a row per first period and later one: `cohort`, `users`, `period`, `number`, `returned`,
            `share`, `is_over`.
        Raises: FixSettings: no such period. FixData: nothing has been published yet.
        """
        with answers.asking(self.published(), self._memory) as ask:
            return journeys.retention(ask, by)

    @telling_trouble()
    def report(self, file: str | os.PathLike[str], *, now: datetime | None = None) -> Path:
        """Write the answers as one HTML file that opens anywhere without a network; return its path.

        A file that is there is replaced, in one step.

        Args:
            now: the time that the page says it was made at, UTC.
        Raises: FixData: nothing has been published yet. FixSettings: the file cannot be written.
        """
        from eventmint.serve.pages.report import report

        settings = self.settings.report
        with answers.asking(self.published()) as ask:
            made_at = now or datetime.now(UTC)
            text = report(ask, settings.title, made_at, settings.products, settings.late_after)
        return write_whole(Path(file), text)

    def dashboard(self, host: str = "127.0.0.1", token: str | None = None) -> Guard:
        """Return the live pages and their API as an ASGI application, for a server of yours.

        It answers from what was published last, and follows when a run publishes.

        Args:
            host: where your server listens: the name by which it is called, beside those of this machine.
            token: what every request must show; None where only this machine can reach it.
        Raises: FixData: nothing has been published yet.
        """
        from eventmint.serve.dashboard import require_http

        require_http()
        from eventmint.serve.dashboard.app import Dashboard

        self.published()
        return Dashboard(self.settings, self.published).application(host, token)

    def ledger(self) -> Ledger:
        """Return what became of every source file."""
        self._require_lake()
        return ledger_of(self._catalog)

    def last_run(self) -> dict[str, Any] | None:
        """Return the record of the newest run as plain data; None before the first."""
        self._require_lake()
        shape = contract("ops.runs")
        rows = read_rows(file.location for file in newest_files(self._catalog.load(shape), shape))
        rows.sort(key=lambda row: str(row["run_id"]))
        return json.loads(str(rows[-1]["report"])) if rows else None

    def was_rolled_back(self) -> bool:
        """Whether a rollback is the last that changed the lake: then files that it had taken in are new."""
        last = self.last_run() if self._catalog.exists() else None
        return bool(last and last.get("rolled_back_to"))

    def layers(self) -> list[dict[str, Any]]:
        """Return for each table its rows and the batch it includes."""
        self._require_lake()
        found = []
        for name in ("bronze.events", "silver.events_cleaned", *(f"gold.{answer}" for answer in ANSWERS)):
            table = self._catalog.load(contract(name))
            found.append({"table": name, "rows": row_count(table), "batch": seq_of(table)})
        return found

    def sizes(self) -> list[TableSize]:
        """Return for each table, books included, the bytes of its live files."""
        self._require_lake()
        return [table_size(self._catalog.load(shape), shape) for shape in all_contracts()]

    def snapshots(self) -> dict[str, int | None]:
        """Return for each table, books included, the id of its newest snapshot: equal ids, equal rows."""
        self._require_lake()
        tables = ((shape.table, self._catalog.load(shape)) for shape in all_contracts())
        return {name: table.metadata.current_snapshot_id for name, table in tables}

    def column_size(self, table: str, columns: Collection[str]) -> ColumnSize:
        """Return the bytes that reading some columns of a table takes, from the footers of its files."""
        self._require_lake()
        shape = contract(table)
        return column_size(self._catalog.load(shape), shape, columns)

    def runs(self) -> list[dict[str, Any]]:
        """Return the records of all runs that changed something as plain data, oldest first."""
        self._require_lake()
        shape = contract("ops.runs")
        rows = list(read_rows(file.location for file in live_files(self._catalog.load(shape), shape)))
        return [json.loads(str(row["report"])) for row in sorted(rows, key=lambda row: str(row["run_id"]))]

    def anomalies(self, last: timedelta = timedelta(days=1), *, now: datetime | None = None) -> Anomalies:
        """Return the hours that are unlike the same hours of the weeks before: see docs/watching.md.

        Args:
            last: how far back to look from the last hour that is complete, in full hours; 28 days at most.
            now: UTC; what claims to be later completes no hour.
        Raises: FixSettings: `last` is too short or too long. FixData: there is no lake.
        """
        self._require_lake()
        count = last // figures.HOUR
        if not 1 <= count <= series.MOST_OTHERS:
            raise FixSettings(
                f"{last} is no time to look back for anomalies.", "It may be one hour to 28 days, such as 2d."
            )
        entries = self.ledger().entries
        complete = figures.complete_until(entries, now or datetime.now(UTC))
        return judge_hours(self._catalog, entries, complete, count)

    def totals(self) -> Totals:
        """Return the terms of the laws for the whole lake."""
        return audit.lake_totals(self.ledger(), audit.read_books(self._catalog))

    def quarantine(self, reason: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """Return quarantined lines with file, line number, every reason and raw bytes.

        Args:
            reason: only lines that have this reason; None for all.
            limit: at most so many lines, in order of file and line.
        """
        self._require_lake()
        return quarantine.quarantined_lines(self._catalog, reason, limit)

    @telling_trouble()
    def export_quarantine(
        self, file: str | os.PathLike[str], reason: str | None = None, *, with_cut: bool = False
    ) -> Export:
        """Write the bytes of quarantined lines to a file, a line each, as they came.

        Args:
            file: replaced in one step; compressed where its name ends with `.gz`.
            reason: only lines that have this reason; None for all.
            with_cut: also the first bytes of lines that were too long to be kept.
        Raises: FixData: there is no lake. FixSettings: the file cannot be written.
        """
        self._require_lake()
        memory_mb = self.settings.run.memory_mb
        return quarantine.export_lines(
            self._catalog, Path(file), reason, with_cut=with_cut, memory_mb=memory_mb
        )

    def quarantine_by_reason(self) -> dict[str, int]:
        """Return for each reason the number of lines that have it, most frequent first."""
        self._require_lake()
        return quarantine.quarantine_by_reason(self._catalog)

    # --- inside -------------------------------------------------------------------------------------------

    @contextmanager
    def _open_run(self, now: datetime) -> Iterator[Run]:
        with self._open_tools(now) as run, self._prepared(run):
            yield run

    @contextmanager
    def _prepared(self, run: Run) -> Iterator[None]:
        """Every table is there, at no state that was rolled back; the ledger knows what bronze holds, and
        that is nothing of whom was forgotten."""
        self._catalog.create_missing()
        finish_rollback(run)
        run.suppression = suppression_of(self._catalog, self.settings)
        load_ledger(run)
        with _clean_staging(run):
            finish_retention(run)
            forgetting.finish_forgetting(run)
            yield

    @contextmanager
    def _open_tools(self, now: datetime) -> Iterator[Run]:
        settings = self.settings
        with self._scratch() as scratch, closing(_engine(settings, scratch)) as engine, self._catalog.hold():
            yield Run(self._catalog, engine, scratch, settings.rules, settings.dedup_key, now, self._progress)

    @contextmanager
    def _concluding(
        self, run: Run, listing: Listing, started: float, source: str = "", *, maintains: bool = True
    ) -> Iterator[list[RunReport]]:
        """Finish what an earlier run had left undone; then, after what is done here, check the laws, publish
        and record.

        Args:
            started: by the performance counter.
            maintains: maintain the lake afterwards, where that is due.
        Yields: a list that has the report at the end. Raises: LawBroken: see `run`.
        """
        reports: list[RunReport] = []
        seqs = self._seqs()
        take_in(run, [])
        yield reports
        changed = self._seqs() != seqs
        last = self.last_run()
        unchecked = _is_unchecked(run, last)
        report = self._report(run, listing, run.now, last, check=changed or unchecked)
        report = dataclasses.replace(report, source=source)
        broken = laws.first_broken(report.laws)
        record = report_to_dict(report) if report.changed else last
        facts = self._facts(run.ledger, report.lake, record)
        # Readers keep the last state whose books balanced, and are told when they no longer do.
        has_past = list_to_purge(self._catalog) is not None
        if not broken:
            self._publish(facts, anew=has_past)
        elif self.settings.lake.database:
            self._tell(facts)
        report = dataclasses.replace(report, seconds=time.perf_counter() - started)
        if changed or (unchecked and not broken):
            replan_on_conflict(run, partial(self._record, run, report))
            for shape in all_contracts():
                trim(self._catalog.load(shape))
        if not broken:
            forgetting.purge(self._catalog)
            if maintains and (changed or unchecked):
                self._maintain_when_due(run)
        if broken:
            raise _law_broken(broken)
        reports.append(report)

    def _scratch(self) -> AbstractContextManager[Path]:
        """Where files are made: beside the tables, where moving one is a rename; for S3, on this machine."""
        if is_s3(self._catalog.location):
            return fresh_folder(Path(tempfile.mkdtemp(prefix="eventmint-scratch-")))
        return fresh_folder(self._catalog.root / ".scratch")

    def _maintain(self, run: Run, max_seconds: float | None) -> Maintenance:
        started = time.perf_counter()

        def is_time_up() -> bool:
            return max_seconds is not None and time.perf_counter() - started > max_seconds

        made = maintain(run, is_time_up, self._publish)
        for location in made.damaged:
            log.warning("damaged, left alone: %s; see `eventmint verify --deep`", location)
        return dataclasses.replace(made, seconds=time.perf_counter() - started)

    def _planned_maintenance(self, now: datetime, lake: Lake) -> Maintenance:
        """What maintenance would do, where retention finds what `lake` holds."""
        made = plan_maintenance(self._catalog, now)
        if not self.settings.retention.days:
            return made
        return dataclasses.replace(made, rows_retained=lake.retain(now=now, dry_run=True).rows)

    def _maintain_when_due(self, run: Run) -> None:
        """Maintain once a day, or go on where the time was up; and thin out what this run found crowded."""
        limit = self.settings.run.maintain_seconds
        if not limit:
            return
        if merge_crowded(run, lambda: False):
            self._publish()
        if not self._is_maintenance_due(run.now):
            return
        self._retain(run)
        if self._maintain(run, limit).is_complete:
            note(self._catalog.load(contract("ops.runs")), {MAINTAINED: run.now.date().isoformat()})

    def _retain(self, run: Run) -> Retention:
        """Remove what is too old, as a run of its own that is checked, published and recorded."""
        days = self.settings.retention.days
        made = plan_retention(run, days)
        for location in made.damaged:
            log.warning("damaged, so retention removes nothing: %s; see `eventmint verify --deep`", location)
        if made.damaged or not made.changed:
            return dataclasses.replace(made, dry_run=False)
        own = run.begun_anew()
        with self._concluding(own, Listing(()), time.perf_counter(), maintains=False):
            made = retaining.retain(own, days)
        run.ledger = own.ledger
        return made

    def _is_maintenance_due(self, now: datetime) -> bool:
        """Whether a run maintains the lake now: once a day, from the day after the first run on."""
        today = now.date().isoformat()
        done = self._catalog.load(contract("ops.runs")).properties.get(MAINTAINED, today)
        return bool(self.settings.run.maintain_seconds) and done < today

    def _require_nothing_cut_off(self) -> None:
        if forgetting.is_cut_off(self._catalog):
            raise FixData(
                f"{self._catalog.location}: a forgetting was cut off.", "Run `eventmint run`: it finishes it."
            )
        if is_cut_off(self._catalog):
            raise FixData(
                f"{self._catalog.location}: a rollback was cut off.",
                "Roll back again, or run `eventmint run`: either finishes it.",
            )

    def _require_settled(self, run: Run) -> None:
        """Touch nothing while a stage is behind, or while the books do not balance."""
        if not self._is_settled(run.ledger, self.last_run()):
            raise FixData(
                f"{self._catalog.location}: the last run was cut off, or its books did not balance.",
                "Run `eventmint run` first, then `eventmint maintain`.",
            )

    def _is_settled(self, ledger: Ledger, last: dict[str, Any] | None) -> bool:
        return len(self._batches()) == 1 and (last["checked_seq"] if last else 0) == ledger.seq

    def _batches(self) -> set[int]:
        """The batches that the tables include: one, unless a run is at work or was cut off."""
        return {seq_of(self._catalog.load(shape)) for shape in all_contracts()}

    def _told(self) -> Told | None:
        """What became of every line, of a lake that others write. Raises: TryAgain: a run is at work."""
        if not self._catalog.exists():
            return None
        ledger, last = self.ledger(), self.last_run()
        is_recorded = (last["seq"] if last else 0) == ledger.seq
        if not is_recorded or len(self._batches()) > 1:
            raise TryAgain(
                f"{self._catalog.location}: a run is at work, or was cut off.",
                "Ask again when a run has ended.",
            )
        facts = self._facts(ledger, audit.lake_totals(ledger, audit.read_books(self._catalog)), last)
        return Told(facts, last is None or bool(last["laws_hold"]))

    def _publish(self, facts: str | None = None, *, anew: bool = False) -> None:
        """Args: anew: nothing of the file that is there may stay, not even what it has deleted."""
        database = self.settings.database_path
        if not self.settings.lake.database:
            return
        if not anew and analytics_db.is_current(self._catalog, database, facts):
            return
        if not is_s3(self._catalog.location):
            analytics_db.publish(self._catalog, database, facts, anew=anew)
            return
        with suppress(LockHeld), writing(database):  # a reader on this machine is bringing it up itself
            analytics_db.publish(self._catalog, database, facts, anew=anew)

    def _tell(self, facts: str) -> None:
        """Tell of a broken law beside the tables of before; that may fail, the law is told all the same."""
        try:
            analytics_db.tell(self.settings.database_path, facts)
        except Exception as err:  # noqa: BLE001 - whatever is wrong with that file
            log.warning("%s does not tell that a law was broken: %s", self.settings.database_path, err)

    def _facts(self, ledger: Ledger, totals: Totals, last_run: dict[str, Any] | None) -> str:
        """What became of every line, as pages tell it."""
        return as_facts(
            trust(
                books(totals, ledger.entries, ledger.live_contents()),
                _reasons(entry for entry in ledger.entries if entry.has_lines),
                file_outcomes(ledger.entries),
                last_run,
                ledger.newest_event,
            )
        )

    @property
    def _memory(self) -> Limits:
        """For statements of our own, which end by themselves."""
        return Limits(seconds=0, memory_mb=self.settings.query.memory_mb)

    def _require_lake(self) -> None:
        if not self._catalog.exists():
            raise FixData(f"{self._catalog.location}: there is no lake here yet.", NOT_YET)

    def _seqs(self) -> list[int]:
        names = ("bronze.ingested_files", "silver.event_hours", *(f"gold.{answer}" for answer in ANSWERS))
        return [seq_of(self._catalog.load(contract(name))) for name in names]

    def _report(
        self, run: Run, listing: Listing, started: datetime, last: dict[str, Any] | None, *, check: bool
    ) -> RunReport:
        lake = audit.lake_totals(run.ledger, audit.read_books(self._catalog))
        checked_seq = last["checked_seq"] if last else 0
        found = audit.laws_of_run(run, checked_seq) if check else ()
        before = Totals(**last["lake"]) if last else Totals()
        noted = noted_in(self._catalog)
        # Also what a run took in that was cut off before it could report.
        run.entries = [e for e in run.ledger.entries if e.seq > (last["seq"] if last else 0)]
        by_status = Counter(entry.status for entry in run.entries)
        new = [entry for entry in run.entries if entry.has_lines]
        return RunReport(
            run_id=f"{run_name(started)}-{run.ledger.seq:08d}",
            started_at=started,
            seq=run.ledger.seq,
            checked_seq=checked_seq if laws.first_broken(found) else run.ledger.seq,
            files_landed=by_status["landed"],
            files_same_content=by_status["same_content"],
            files_set_aside=by_status["set_aside"] + len(run.not_read),
            files_replaced=run.replaced,
            files_unsettled=len(listing.unsettled),
            lines_replayed=sum(entry.lines for entry in new if entry.replayed_from),
            restated=tuple(str(entry.restated_days) for entry in run.entries if entry.restated_days),
            rolled_back_to=noted.run_id if noted and noted.seq > (last["seq"] if last else 0) else "",
            forgotten=by_status["forgotten"],
            retained=tuple(
                f"{e.path} before {e.retained_before}" for e in run.entries if e.status == "retained"
            ),
            totals=audit.changed_totals(before, lake),
            lake=lake,
            quarantined_by_reason=_reasons(run.entries),
            set_aside={e.path: e.reason or "" for e in run.entries if e.status == "set_aside"} | run.not_read,
            skipped=dict(listing.skipped),
            days=tuple(sorted(run.days)),
            hours=tuple(f"{day}T{hour:02d}" for day, hour in sorted(run.hours)),
            wrote=dict(sorted(run.wrote.items())),
            read_bytes=_read_bytes(run),
            laws=found,
            changed=check,
        )

    def _record(self, run: Run, report: RunReport) -> None:
        shape = contract("ops.runs")
        table = self._catalog.load(shape)
        row = {
            "run_id": report.run_id,
            "started_at": report.started_at,
            "seconds": report.seconds,
            "seq": report.seq,
            "laws_hold": report.laws_hold,
            "report": json.dumps(report_to_dict(report)),
        }
        rows = pa.Table.from_pylist([row], schema=arrow_schema(shape))
        path = write_table(rows, shape, run.scratch / f"{report.run_id}.parquet")
        # A lake that is new, or that this version has not seen before, is due tomorrow.
        due = {} if MAINTAINED in table.properties else {MAINTAINED: run.now.date().isoformat()}
        commit(table, shape, Stamp(report.seq, report.run_id, properties=due), add=[path])


def _require_source(root: str) -> None:
    """Refuse what cannot be a source, before anything is made. Raises: FixSettings."""
    if is_s3(root):
        from eventmint.storage.s3 import s3_client

        s3_client()
    elif not Path(root).exists():
        raise FixSettings(f"{root}: no such source.", "Name a folder with *.jsonl.gz files.")


def _is_unchecked(run: Run, last: dict[str, Any] | None) -> bool:
    return run.ledger.seq > (last["checked_seq"] if last else 0)


def _not_known(files: Sequence[SourceFile], ledger: Ledger) -> Listing:
    return Listing(tuple(file for file in files if not ledger.knows(file.path, file.version)))


def _when_free(take: Callable[[], RunReport], wait: timedelta) -> RunReport:
    """Run as soon as no other run is at work. Raises: LockHeld: one was for longer than `wait`."""
    end = time.monotonic() + wait.total_seconds()
    while True:
        try:
            return take()
        except LockHeld:
            if time.monotonic() >= end:
                raise
            time.sleep(_ASK_AGAIN_SECONDS)


def _with_run(sums: Backfill, report: RunReport) -> Backfill:
    """Return a backfill's sums with those of one more run."""
    reasons = Counter(sums.quarantined_by_reason)
    reasons.update(report.quarantined_by_reason)
    return dataclasses.replace(
        sums,
        batches=sums.batches + 1,
        files_landed=sums.files_landed + report.files_landed,
        files_same_content=sums.files_same_content + report.files_same_content,
        files_set_aside=sums.files_set_aside + report.files_set_aside,
        files_replaced=sums.files_replaced + report.files_replaced,
        totals=sums.totals + report.totals,
        quarantined_by_reason=dict(sorted(reasons.items())),
        days=tuple(sorted({*sums.days, *report.days})),
    )


@contextmanager
def _clean_staging(run: Run) -> Iterator[None]:
    """Leave nothing where workers stage files: neither what a killed run had left, nor our own."""
    if run.engine.shares_disk:
        yield  # it is the scratch folder, which goes anyway
        return
    remove(list_folder(run.staging))
    yield
    remove(list_folder(run.staging))


def _engine(settings: Settings, scratch: Path) -> Engine:
    if settings.run.engine == "spark":
        from eventmint.engine.spark_engine import SparkEngine

        return SparkEngine(settings.workers, settings.run.memory_mb, scratch)
    return DuckDBEngine(settings.workers, settings.run.memory_mb)


def report_to_dict(report: RunReport) -> dict[str, Any]:
    """Return a report as plain data for JSON: decimals and dates as text, laws with their verdict."""
    body = dataclasses.asdict(report)
    body["started_at"] = report.started_at.isoformat()
    body["days"] = [day.isoformat() for day in report.days]
    body["restated"] = list(report.restated)
    body["retained"] = list(report.retained)
    body["hours"] = list(report.hours)
    for written in body["wrote"].values():
        written["days"] = [day.isoformat() for day in written["days"]]
    body["laws_hold"] = report.laws_hold
    body["laws"] = [law_to_dict(law) for law in report.laws]
    return body


def maintenance_to_dict(made: Maintenance) -> dict[str, Any]:
    """Return what maintenance did as plain data for JSON."""
    return {**dataclasses.asdict(made), "changed": made.changed}


def replay_to_dict(made: Replay) -> dict[str, Any]:
    """Return what a replay did as plain data for JSON."""
    return {**_as_plain(made), "changed": made.changed}


def restatement_to_dict(made: Restatement) -> dict[str, Any]:
    """Return what a restatement did as plain data for JSON."""
    return {**_as_plain(made), "changed": made.changed}


def backfill_to_dict(made: Backfill) -> dict[str, Any]:
    """Return what a backfill did as plain data for JSON."""
    return _as_plain(made)


def rollback_to_dict(made: Rollback) -> dict[str, Any]:
    """Return what a rollback did as plain data for JSON."""
    return _as_plain(made)


def forgetting_to_dict(made: Forgetting) -> dict[str, Any]:
    """Return what forgetting people did as plain data for JSON."""
    of_its_own = {"at": made.at.isoformat(), "hashes": list(made.hashes), "changed": made.changed}
    return {**_as_plain(made), **of_its_own}


def retention_to_dict(made: Retention) -> dict[str, Any]:
    """Return what retention did as plain data for JSON."""
    body = dataclasses.asdict(made)
    body["newest_day"] = made.newest_day and made.newest_day.isoformat()
    for layer in body["layers"]:
        layer["before"] = layer["before"].isoformat()
        layer["days"] = {day.isoformat(): rows for day, rows in layer["days"].items()}
    return {**body, "rows": made.rows, "changed": made.changed}


def _as_plain(made: Replay | Restatement | Backfill | Rollback | Forgetting) -> dict[str, Any]:
    return {**dataclasses.asdict(made), "days": [day.isoformat() for day in made.days]}


def anomalies_to_dict(found: Anomalies) -> dict[str, Any]:
    """Return what came of looking for anomalies as plain data for JSON."""
    return {
        "start": found.start,
        "end": found.end,
        "hours": found.hours,
        "judged": found.judged,
        "anomalies": [
            {
                "hour": anomaly.hour,
                "text": str(anomaly),
                "deviations": [
                    {**dataclasses.asdict(item), "change": item.change} for item in anomaly.deviations
                ],
            }
            for anomaly in found.found
        ],
    }


def law_to_dict(law: Law) -> dict[str, Any]:
    def plain(value: int | Decimal) -> int | str:
        return value if isinstance(value, int) else str(value)

    return {
        "name": law.name,
        "subject": law.subject,
        "terms": law.terms,
        "left": plain(law.left),
        "right": plain(law.right),
        "holds": law.holds,
        "detail": law.detail,
        "text": str(law),
    }


def _reasons(entries: Iterable[LedgerEntry]) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for entry in entries:
        counted.update(json.loads(entry.reasons or "{}"))
    return dict(sorted(counted.items()))


def _read_bytes(run: Run) -> dict[str, int]:
    return {place: sum(files.values()) for place, files in sorted(run.read.items()) if files}


def _law_broken(law: Law) -> LawBroken:
    return LawBroken(
        f"{law.subject}: {law.terms} does not hold: {law.left} against {law.right} "
        f"(difference {law.left - law.right}).",
        "Nothing was published; see `eventmint verify`.",
    )
