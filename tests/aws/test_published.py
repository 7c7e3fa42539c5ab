"""The report in the bucket: a run of the job that brings something new publishes it, where that is wanted."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from eventmint import glue_job
from eventmint.aws import published
from eventmint.aws.names import Names
from eventmint.errors import FixSettings
from eventmint.serve import answers

NAMES = Names("dev", "123456789012")
EVENT = (
    '{"timestamp":"2026-01-15T11:30:00Z","user_id":"%s","session_id":"s","event_type":"page_view",'
    '"product_id":"p","category":null}\n'
)
KEYS = {"lake/published/analytics.duckdb", "lake/published/report.html"}


@pytest.fixture(autouse=True)
def region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "AWS_REGION", "us-west-2")


def deliver(client: Any, name: str) -> None:
    body = gzip.compress((EVENT % name).encode())
    client.put_object(Bucket=NAMES.source_bucket, Key=f"events/{name}.jsonl.gz", Body=body)


def run(*more: str) -> int:
    given = {
        "--source": NAMES.source,
        "--lake": NAMES.lake,
        "--deployment-id": NAMES.id,
        "--engine": "duckdb",
    }
    return glue_job.main([*(word for pair in given.items() for word in pair), *more])


def published_objects(client: Any) -> dict[str, str]:
    """The objects by key, with what names their content."""
    found = client.list_objects_v2(Bucket=NAMES.analytics_bucket, Prefix="lake/published/")
    return {item["Key"]: item["ETag"] for item in found.get("Contents", ())}


def users(client: Any, folder: Path) -> int:
    file = folder / "analytics.duckdb"
    client.download_file(NAMES.analytics_bucket, "lake/published/analytics.duckdb", str(file))
    return int(answers.answer(file, "user_activity", None, None).column("unique_users")[0].as_py())


def test_a_run_that_brings_something_new_publishes_the_report(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(client, "a")
    assert run() == 0
    assert published_objects(client) == {}
    deliver(client, "b")
    assert run("--report", "true") == 0
    first = published_objects(client)
    assert set(first) == KEYS
    assert users(client, tmp_path) == 2
    page = client.get_object(Bucket=NAMES.analytics_bucket, Key="lake/published/report.html")["Body"].read()
    assert page.startswith(b"<!doctype html>")
    assert run("--report", "true") == 0
    assert published_objects(client) == first  # nothing new
    built: list[bool] = []
    monkeypatch.setattr(shutil, "copyfile", _noting(built, shutil.copyfile))
    deliver(client, "c")
    assert run("--report", "true") == 0
    assert users(client, tmp_path) == 3
    assert built == [True]  # from the file of the run before


def _noting(built: list[bool], copy: Any) -> Any:
    def copyfile(*arguments: Any) -> Any:
        built.append(True)
        return copy(*arguments)

    return copyfile


def test_a_report_that_cannot_be_put_is_told_and_the_run_is_well(
    client: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> str:
        raise FixSettings("s3://bucket: access denied.", "Grant s3:PutObject.")

    monkeypatch.setattr(published, "put_report", refuse)
    deliver(client, "a")
    assert run("--report", "true") == 0
    assert "the report was not published: s3://bucket: access denied. Grant s3:PutObject." in caplog.text
    assert published_objects(client) == {}
