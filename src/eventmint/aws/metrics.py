"""Metrics of a run in CloudWatch, which the stack's alarms look at."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from eventmint.storage.session import client, telling
from eventmint.values import RunReport

NAMESPACE = "eventmint"
# Every metric with its unit. Each costs something: see docs/cost.md.
UNITS = {
    "Runs": "Count",
    "RunFailed": "Count",
    "LawsBroken": "Count",
    "Lines": "Count",
    "Events": "Count",
    "Duplicates": "Count",
    "Quarantined": "Count",
    "QuarantineRate": "None",  # 0 to 1
    "FilesSetAside": "Count",
    "FreshnessMinutes": "None",
}


def metrics_of_run(report: RunReport, newest_event: datetime | None, now: datetime) -> dict[str, float]:
    """Return what a run that has ended well tells; nothing of freshness before the first event."""
    took = report.totals
    values = {
        "Runs": 1,
        "RunFailed": 0,
        "LawsBroken": 0,
        "Lines": took.lines,
        "Events": took.events,
        "Duplicates": took.duplicates,
        "Quarantined": took.quarantined,
        "QuarantineRate": report.quarantine_rate,
        "FilesSetAside": report.files_set_aside,
    }
    if newest_event is not None:
        values["FreshnessMinutes"] = (now - newest_event).total_seconds() / 60
    return {name: float(value) for name, value in values.items()}


def metrics_of_failure(*, breaks_law: bool) -> dict[str, float]:
    """Return what a run tells that has failed."""
    return {"Runs": 1.0, "RunFailed": 1.0, "LawsBroken": float(breaks_law)}


def put_metrics(deployment: str, region: str, values: Mapping[str, float]) -> None:
    """Send values by the names of `UNITS`.

    Raises: FixSettings, FixData, TryAgain: CloudWatch refuses or does not answer.
    """
    data = [
        {
            "MetricName": name,
            "Dimensions": [{"Name": "Deployment", "Value": deployment}],
            "Unit": UNITS[name],
            "Value": value,
        }
        for name, value in values.items()
    ]
    cloudwatch = client("cloudwatch", region)
    with telling():
        cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=data)
