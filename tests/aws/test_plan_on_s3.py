"""A plan of a lake in S3: nothing there is written, the run does it, and who comes between makes it stale."""

from __future__ import annotations

import gzip
from typing import Any

import boto3
import pytest
from deliveries import Row, event, text_of, view

import eventmint
from eventmint.aws.names import Names
from eventmint.errors import StalePlan
from eventmint.lake import report_to_dict
from eventmint.run_plan import deviations

NAMES = Names("dev", "123456789012")


def deliver(client: Any, name: str, *lines: Row) -> None:
    body = gzip.compress(text_of(*lines))
    client.put_object(Bucket=NAMES.source_bucket, Key=f"events/{name}.jsonl.gz", Body=body)


def everything(client: Any) -> dict[str, str]:
    """Return every object of the lake and every table of its catalog."""
    objects = client.list_objects_v2(Bucket=NAMES.analytics_bucket, MaxKeys=1000)
    assert not objects["IsTruncated"]
    glue = boto3.client("glue")
    databases = [database["Name"] for database in glue.get_databases()["DatabaseList"]]
    tables = [table for name in databases for table in glue.get_tables(DatabaseName=name)["TableList"]]
    return {
        **{item["Key"]: item["ETag"] for item in objects.get("Contents", ())},
        **{f"{table['DatabaseName']}.{table['Name']}": str(table["Parameters"]) for table in tables},
    }


def test_a_plan_over_s3_and_glue_is_what_the_run_does(client: Any) -> None:
    lake = eventmint.open_lake(
        source__path=NAMES.source, lake__root=NAMES.lake, lake__database="", aws__id=NAMES.id, run__workers=1
    )
    for number in range(2):
        deliver(client, f"f{number}", event(), view(user_id=f"u{number}"))
        before = everything(client)
        planned = lake.plan()
        assert everything(client) == before
        assert planned.expected["totals"]["events"] == 2 - number
        record = report_to_dict(lake.run_planned(planned))
        assert deviations(planned.expected, record) == []
        assert record["laws_hold"]
    deliver(client, "f2", event(user_id="u9"))
    planned = lake.plan()
    deliver(client, "f3", event())
    before = everything(client)
    with pytest.raises(StalePlan, match=r"f3\.jsonl\.gz is new"):
        lake.run_planned(planned)
    assert everything(client) == before
