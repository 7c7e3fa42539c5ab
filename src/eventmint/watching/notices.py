"""Notices: what happened that somebody may want to be told. Pure; docs/watching.md says what is in each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from eventmint.errors import EventmintError, LawBroken
from eventmint.values import RunReport
from eventmint.watching.anomalies import Anomaly

SCHEMA_VERSION = 1
FILES_NAMED = 5


@dataclass(frozen=True)
class Notice:
    """One thing that happened.

    Attributes:
        happening: one of `config.HAPPENINGS`.
        message: one sentence.
        details: numbers and names, by happening.
        lasting: what it is about where it lasts from run to run: that is told when it begins.
    """

    happening: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)
    lasting: str = ""


def of_error(error: EventmintError) -> Notice:
    """A run that failed, for whatever reason."""
    kind = type(error).__name__
    details = {"kind": kind, "hint": error.hint, "exit_code": error.exit_code}
    if isinstance(error, LawBroken):
        return Notice("law_broken", str(error), details, f"law_broken {error.message}")
    return Notice("run_failed", str(error), details, f"run_failed {kind}")


def of_report(report: RunReport, complaint: str | None) -> list[Notice]:
    """What a run left aside: lines beyond the limit (the complaint says so) and files."""
    notices = []
    if complaint:
        details = {
            "quarantined": report.totals.quarantined,
            "judged": report.totals.valid + report.totals.quarantined,
            "by_reason": report.quarantined_by_reason,
        }
        notices.append(Notice("quarantine", complaint, details))
    if report.set_aside:
        count = len(report.set_aside)
        named = [f"{path} ({reason})" for path, reason in [*report.set_aside.items()][:FILES_NAMED]]
        more = f" and {count - FILES_NAMED:,} more" if count > FILES_NAMED else ""
        words = "1 file was" if count == 1 else f"{count:,} files were"
        message = f"{words} set aside: {', '.join(named)}{more}."
        # What cannot be read for the moment is tried, and found to be so, at every run.
        lasting = f"set_aside {', '.join(sorted(report.set_aside))}"
        notices.append(Notice("set_aside", message, {"files": report.set_aside}, lasting))
    return notices


def of_anomalies(found: Iterable[Anomaly]) -> list[Notice]:
    return [
        Notice(
            "anomaly",
            f"An hour is unlike the weeks before: {anomaly}.",
            {
                "hour": anomaly.hour.isoformat(),
                "deviations": [{**asdict(item), "change": item.change} for item in anomaly.deviations],
            },
        )
        for anomaly in found
    ]


def of_staleness(complaint: str, newest: datetime | None, allowed: timedelta) -> Notice:
    details = {
        "newest_event": newest.isoformat() if newest else None,
        "allowed_minutes": allowed.total_seconds() / 60,
    }
    return Notice("stale", complaint, details, "stale")


@dataclass(frozen=True)
class Source:
    """Who tells: the address of the lake, the run, and when it began (UTC)."""

    lake: str
    run_id: str
    at: datetime


def document(notice: Notice, source: Source) -> dict[str, Any]:
    """Return what is sent: the same fields for every happening; `text` is what a chat shows."""
    return {
        "schema_version": SCHEMA_VERSION,
        "program": "eventmint",
        "happening": notice.happening,
        "lake": source.lake,
        "run_id": source.run_id,
        "at": source.at.isoformat(),
        "text": f"eventmint, {notice.happening.replace('_', ' ')}: {notice.message} ({source.lake})",
        "details": notice.details,
    }
