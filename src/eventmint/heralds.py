"""Heralds: what a run tells the world beside its result: a line of the log."""

from __future__ import annotations

import logging
from dataclasses import asdict

from eventmint.run_log import fields
from eventmint.values import RunReport

log = logging.getLogger(__name__)


def log_run(report: RunReport) -> None:
    took = report.totals
    said = f"{report.files_landed:,} files, {took.lines:,} lines" if report.changed else "nothing new"
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
