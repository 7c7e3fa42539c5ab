"""Retention in S3 and the Glue catalog: no object has what was removed, and no run takes it in again."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import pytest
from deliveries import NOW, event, gzipped, text_of
from made_tables import tables_of
from retention.shops import LIMITS, day, events_of

import eventmint
from eventmint import glue_job
from eventmint.aws.names import Names

NAMES = Names("dev", "123456789012")


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "AWS_REGION", "us-west-2")


def deliver(client: Any, name: str, text: bytes) -> None:
    client.put_object(Bucket=NAMES.source_bucket, Key=f"events/{name}.jsonl.gz", Body=gzipped(text))


def test_old_rows_go_from_the_bucket_and_late_ones_do_not_come_back(client: Any) -> None:
    lake = eventmint.open_lake(
        lake__root=NAMES.lake, source__path=NAMES.source, lake__database="", aws__id=NAMES.id, **LIMITS
    )
    deliver(client, "a", text_of(*(row for ago in (7, 4, 2, 0) for row in events_of(ago, ago))))
    lake.run(now=NOW)
    before = tables_of(lake)
    made = lake.retain(now=NOW + timedelta(hours=1), purge=True)
    assert (made.seq, made.layers[0].rows) == (2, 12)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=NAMES.analytics_bucket)
    keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
    assert [key for key in keys if "events_cleaned" in key and str(day(4)) in key] == []
    given = [
        "--source",
        NAMES.source,
        "--lake",
        NAMES.lake,
        "--deployment-id",
        NAMES.id,
        "--engine",
        "duckdb",
    ]
    deliver(client, "late", text_of(event(timestamp=f"{day(7)}T10:00:00Z")))
    glue_job.run(glue_job.parser().parse_args([*given, "--bronze-days", "1"]), glue_job.Bookmark())
    assert lake.ledger().closed_before == day(1)  # the job's first run of a day does it, too
    assert lake.quarantine_by_reason() == {"past_retention": 1}
    name = "silver.events_cleaned"
    assert tables_of(lake)[name] == [row for row in before[name] if row["event_date"] >= day(3)]
    assert [str(law) for law in lake.verify(deep=True) if not law.holds] == []
