"""Metrics of a run in CloudWatch, which the stack's alarms look at."""

from __future__ import annotations

from collections.abc import Mapping

from eventmint.storage.session import client, telling

NAMESPACE = "eventmint"
UNITS = {"FreshnessMinutes": "None", "QuarantineRate": "None"}


def put_metrics(deployment: str, region: str, values: Mapping[str, float]) -> None:
    """Send values by name: counts, but for FreshnessMinutes and QuarantineRate (0 to 1).

    Raises: FixSettings, FixData, TryAgain: CloudWatch refuses or does not answer.
    """
    data = [
        {
            "MetricName": name,
            "Dimensions": [{"Name": "Deployment", "Value": deployment}],
            "Unit": UNITS.get(name, "Count"),
            "Value": value,
        }
        for name, value in values.items()
    ]
    cloudwatch = client("cloudwatch", region)
    with telling():
        cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=data)
