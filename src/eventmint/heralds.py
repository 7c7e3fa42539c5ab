"""Heralds: what a run tells the world beside its result: a line of the log, lineage, notices.

None of it can stop a run: what it has done is done, and what cannot be told is a warning.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime, timedelta

from eventmint.bronze.ledger import Ledger
from eventmint.config import Settings
from eventmint.contracts import ANSWERS, contract
from eventmint.errors import Bug, EventmintError, LockHeld
from eventmint.outlook import judge_hours
from eventmint.pipeline import ledger_of
from eventmint.run_log import counted, fields, run_name
from eventmint.serve.documents import quarantine_complaint, staleness
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.plan import live_files
from eventmint.values import LedgerEntry, RunReport
from eventmint.watching import figures, notices, series
from eventmint.watching.anomalies import Anomalies
from eventmint.watching.lineage import RunLineage
from eventmint.watching.tell import tell

log = logging.getLogger(__name__)


class Heralds:
    """What tells of one run, from before it begins."""

    def __init__(self, settings: Settings, catalog: LakeCatalog, source: str, moment: datetime) -> None:
        self._settings, self._catalog, self._moment = settings, catalog, moment
        self._started = time.perf_counter()
        self._lineage = RunLineage(settings.lineage, settings.home, catalog.location, source, moment)
        self._complete_before: datetime | None = None
        if self._wants_anomalies:
            with suppress(Exception):  # whatever is wrong with the lake, the run says it
                self._complete_before = figures.complete_until(ledger_of(catalog).entries, moment)

    def begin(self) -> None:
        """There is something to take in."""
        with _warning():
            self._lineage.begin()

    def end(self, report: RunReport) -> None:
        _log_run(report)
        with _warning():
            if self._settings.lineage.has_anybody and (report.changed or self._lineage.has_begun):
                took, rows = report.totals.lines, rows_written(self._catalog, report)
                self._lineage.complete(self._now, report.files_landed, took, rows)
        self._tell(lambda: self._notices(report), report.run_id, is_over=True)

    def fail(self, err: Exception) -> None:
        if isinstance(err, LockHeld):  # its turn comes
            return
        error = err if isinstance(err, EventmintError) else Bug(f"{type(err).__name__}: {err}.")
        with _warning():
            self._lineage.fail(self._now, error)
        self._tell(lambda: [notices.of_error(error)], run_name(self._moment), is_over=False)

    @property
    def _now(self) -> datetime:
        return self._moment + timedelta(seconds=time.perf_counter() - self._started)

    @property
    def _wants_anomalies(self) -> bool:
        return self._settings.notify.has_anybody and "anomaly" in self._settings.notify.on

    def _tell(self, made: Callable[[], list[notices.Notice]], run_id: str, *, is_over: bool) -> None:
        notify = self._settings.notify
        if notify.has_anybody:
            source = notices.Source(self._catalog.location, run_id, self._moment)
            with _warning():
                tell(made(), notify, source, is_over=is_over)

    def _notices(self, report: RunReport) -> list[notices.Notice]:
        settings, entries = self._settings, ledger_of(self._catalog).entries
        found = {"totals": vars(report.totals), "quarantined_by_reason": report.quarantined_by_reason}
        made = notices.of_report(report, quarantine_complaint(found, settings.quality.max_quarantine))
        allowed = settings.report.late_after
        newest = Ledger(entries).newest_event
        if allowed and (complaint := staleness(newest, self._moment, allowed)):
            made.append(notices.of_staleness(complaint, newest, allowed))
        if self._wants_anomalies:
            made += notices.of_anomalies(self._anomalies_of_new_hours(entries).found)
        return made

    def _anomalies_of_new_hours(self, entries: Sequence[LedgerEntry]) -> Anomalies:
        """Judge each hour once, when it has become complete; of a backlog the last day."""
        before, complete = self._complete_before, figures.complete_until(entries, self._moment)
        if complete is None or (before and complete <= before):
            return Anomalies()
        hours = (complete - before) // figures.HOUR if before else series.DAY
        return judge_hours(self._catalog, entries, complete, min(hours, series.DAY))


def rows_written(catalog: LakeCatalog, report: RunReport) -> dict[str, int]:
    """Return the rows that a run wrote, by table: new ones, and of the answers those of the days it made."""
    rows = {
        "bronze.events": report.totals.valid + report.totals.quarantined,
        "silver.events_cleaned": max(0, report.totals.events),
    }
    for answer in ANSWERS:
        shape = contract(f"gold.{answer}")
        files = live_files(catalog.load(shape), shape, days=set(report.days))
        rows[shape.table] = sum(file.rows for file in files)
    return rows


def _log_run(report: RunReport) -> None:
    took = report.totals
    counts = f"{counted(report.files_landed, 'file')}, {counted(took.lines, 'line')}"
    said = counts if report.changed else "nothing new"
    log.info(
        "run ended: %s",
        said,
        extra=fields(
            changed=report.changed,
            files_landed=report.files_landed,
            files_set_aside=report.files_set_aside,
            **asdict(took),
            laws_hold=report.laws_hold,
            seconds=round(report.seconds, 3),
        ),
    )


@contextmanager
def _warning() -> Iterator[None]:
    try:
        yield
    except Exception as err:  # noqa: BLE001 - whatever it is
        log.warning("what happened was not told: %s: %s", type(err).__name__, err)
