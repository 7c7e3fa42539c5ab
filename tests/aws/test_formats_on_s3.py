"""Another format in a bucket: the job takes it as the command line takes it from a folder."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from deliveries import MADE_TABLES, rows_of

from eventmint import glue_job
from eventmint.aws.names import Names
from eventmint.lake import Lake, open_lake

NAMES = Names("dev", "123456789012")
SAMPLE = REPOSITORY / "tests" / "formats" / "ga4.jsonl"


@pytest.fixture
def local(tmp_path: Path) -> Lake:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "export.gz").write_bytes(gzip.compress(SAMPLE.read_bytes()))
    lake = open_lake(
        source__path=str(tmp_path / "data"),
        source__pattern="**/*.gz",
        source__format="ga4",
        source__settle_seconds=0,
        lake__root=str(tmp_path / "lake"),
        lake__database="",
    )
    lake.run()
    return lake


def test_the_job_makes_of_another_format_the_lake_of_a_folder(local: Lake, client: Any) -> None:
    body = gzip.compress(SAMPLE.read_bytes())
    client.put_object(Bucket=NAMES.source_bucket, Key="events/export.gz", Body=body)
    arguments = ["--source", NAMES.source, "--lake", NAMES.lake, "--deployment-id", NAMES.id]
    arguments += ["--engine", "duckdb", "--format", "ga4", "--pattern", "**/*.gz"]
    assert glue_job.main(arguments) == 0
    lake = open_lake(source__path=NAMES.source, lake__root=NAMES.lake, lake__database="", aws__id=NAMES.id)
    assert lake.totals() == local.totals()
    assert lake.totals().events == 9
    for table in MADE_TABLES:
        assert rows_of(lake, table) == rows_of(local, table), table
    assert all(law.holds for law in lake.verify())


def test_a_format_that_the_job_does_not_know_touches_nothing(
    client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = ["--source", NAMES.source, "--lake", NAMES.lake, "--deployment-id", NAMES.id]
    assert glue_job.main([*arguments, "--format", "mixpanel"]) == 2
    assert "`mixpanel` is no format" in caplog.text
    assert client.list_objects_v2(Bucket=NAMES.analytics_bucket)["KeyCount"] == 0
