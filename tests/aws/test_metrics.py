"""Metrics: what a run of the Glue job sends to CloudWatch, also of one that failed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest
from deliveries import NOW, event, gzipped, text_of, view
from hypothesis import given
from hypothesis import strategies as st

import eventmint
from eventmint import glue_job
from eventmint.aws.metrics import UNITS, metrics_of_failure, metrics_of_run
from eventmint.aws.names import Names
from eventmint.contracts import contract
from eventmint.storage import s3
from eventmint.tables.plan import live_files
from eventmint.values import RunReport, Totals

NAMES = Names("dev", "123456789012")
COUNTS = st.integers(0, 10**9)


@given(lines=COUNTS, events=COUNTS, duplicates=COUNTS, quarantined=COUNTS, aside=COUNTS)
def test_every_figure_of_a_run_is_sent_under_its_name(
    lines: int, events: int, duplicates: int, quarantined: int, aside: int
) -> None:
    totals = Totals(
        lines=lines, valid=events + duplicates, quarantined=quarantined, events=events, duplicates=duplicates
    )
    report = RunReport("r", NOW, files_set_aside=aside, totals=totals)
    judged = events + duplicates + quarantined
    assert metrics_of_run(report, NOW - timedelta(minutes=90), NOW) == {
        "Runs": 1,
        "RunFailed": 0,
        "LawsBroken": 0,
        "Lines": lines,
        "Events": events,
        "Duplicates": duplicates,
        "Quarantined": quarantined,
        "QuarantineRate": quarantined / judged if judged else 0,
        "FilesSetAside": aside,
        "FreshnessMinutes": 90,
    }
    assert metrics_of_run(report, NOW, NOW).keys() == UNITS.keys()
    assert "FreshnessMinutes" not in metrics_of_run(report, None, NOW)


@pytest.mark.parametrize("breaks_law", [True, False])
def test_a_failure_says_whether_a_law_was_broken(breaks_law: bool) -> None:
    found = metrics_of_failure(breaks_law=breaks_law)
    assert found == {"Runs": 1, "RunFailed": 1, "LawsBroken": int(breaks_law)}
    assert found.keys() <= UNITS.keys()


def sent() -> dict[str, list[float]]:
    """Return what was sent, by name, and check the dimension and the unit."""
    cloudwatch = boto3.client("cloudwatch")
    found = {}
    for name, unit in UNITS.items():
        points: list[dict[str, Any]] = cloudwatch.get_metric_statistics(
            Namespace="eventmint",
            MetricName=name,
            Dimensions=[{"Name": "Deployment", "Value": NAMES.id}],
            StartTime=datetime(2020, 1, 1),  # noqa: DTZ001 - boto3 takes it for UTC
            EndTime=datetime(2100, 1, 1),  # noqa: DTZ001
            Period=86_400 * 365 * 100,
            Statistics=["Sum", "SampleCount"],
        )["Datapoints"]
        assert all(point["Unit"] == unit for point in points)
        found[name] = [value for point in points for value in (point["Sum"], point["SampleCount"])]
    return found


def test_the_job_sends_the_figures_of_its_run_and_that_a_law_was_broken(client: Any) -> None:
    lines = text_of(view(), view(), event(), b"{")
    client.put_object(Bucket=NAMES.source_bucket, Key="events/a.jsonl.gz", Body=gzipped(lines))
    client.put_object(Bucket=NAMES.source_bucket, Key="events/b.jsonl.gz", Body=b"not gzip")
    job = ["--source", NAMES.source, "--lake", NAMES.lake, "--deployment-id", NAMES.id, "--engine", "duckdb"]
    assert glue_job.main(job) == 0
    first = sent()
    assert first.pop("FreshnessMinutes")[0] > 0
    assert first.pop("QuarantineRate") == [0.25, 1]
    assert {name: values[0] for name, values in first.items()} == {
        "Runs": 1,
        "RunFailed": 0,
        "LawsBroken": 0,
        "Lines": 4,
        "Events": 2,
        "Duplicates": 1,
        "Quarantined": 1,
        "FilesSetAside": 1,
    }

    forge_the_books(client)
    client.put_object(
        Bucket=NAMES.source_bucket, Key="events/c.jsonl.gz", Body=gzipped(text_of(view(user_id="u2")))
    )
    assert glue_job.main([*job, "--full-listing-every", "1"]) == 1
    assert {name: sent()[name] for name in ("Runs", "RunFailed", "LawsBroken", "Lines")} == {
        "Runs": [2, 2],
        "RunFailed": [1, 2],
        "LawsBroken": [1, 2],
        "Lines": [4, 1],
    }


def forge_the_books(client: Any) -> None:
    """Add two events to the books of silver, behind Iceberg's back."""
    lake = eventmint.open_lake(lake__root=NAMES.lake, lake__database="", aws__id=NAMES.id)
    shape = contract("silver.event_hours")
    (file,) = live_files(lake._catalog.load(shape), shape)
    (path,) = s3.downloads().paths([file.location]).values()
    rows = pq.read_table(path, partitioning=None)
    column = rows.schema.get_field_index("events")
    more = [[count + 2 for count in rows["events"].to_pylist()]]
    forged = rows.set_column(column, rows.schema.field("events"), more)
    pq.write_table(forged, path, store_schema=False)
    bucket, key = s3.bucket_and_key(file.location)
    client.upload_file(path, bucket, key)
