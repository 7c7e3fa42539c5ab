"""Forgotten people in S3 and the Glue catalog: in no object of the lake; the job takes none in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from deliveries import NOW, event, gzipped, text_of
from forget.people import ANNA, BEN, delivery, found_in, of_anna
from made_tables import tables_of

import eventmint
from eventmint import glue_job
from eventmint.aws.names import Names
from eventmint.errors import FixSettings
from eventmint.lake import Lake

NAMES = Names("dev", "123456789012")
KEY_FILE = f"s3://{NAMES.analytics_bucket}/keys/forgotten.key"


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "AWS_REGION", "us-west-2")


def lake_in(deployment: str, key_file: str = KEY_FILE) -> Lake:
    return eventmint.open_lake(
        source__path=NAMES.source,
        lake__root=f"s3://{NAMES.analytics_bucket}/{deployment}",
        lake__database="",
        aws__id=deployment,
        run__workers=1,
        privacy__key_file=key_file,
    )


def deliver(client: Any, name: str, text: bytes) -> None:
    client.put_object(Bucket=NAMES.source_bucket, Key=f"events/{name}.jsonl.gz", Body=gzipped(text))


def brought(client: Any, bucket: str, folder: Path) -> Path:
    """Everything in a bucket, in a folder."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for item in page.get("Contents", ()):
            path = folder / item["Key"]
            path.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(bucket, item["Key"], str(path))
    return folder


def test_no_object_holds_a_trace_and_no_source_file_does_either(client: Any, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        deliver(client, name, delivery(seed, with_the_forgotten=True))
        lake_in("with").run(now=NOW)
    assert found_in(brought(client, NAMES.analytics_bucket, tmp_path / "before")) != []
    made = lake_in("with").forget([ANNA, BEN], now=NOW, rewrite_sources=True)
    assert [one.lines for one in made.sources] == [11, 11]
    assert found_in(brought(client, NAMES.analytics_bucket, tmp_path / "after")) == []
    assert found_in(brought(client, NAMES.source_bucket, tmp_path / "source")) == []
    assert not lake_in("with").run(now=NOW).changed
    never = lake_in("sans")  # out of the same source, where nothing of theirs is any more
    never.run(now=NOW)
    assert tables_of(lake_in("with")) == tables_of(never)
    assert [str(law) for law in lake_in("with").verify(deep=True) if not law.holds] == []


def test_the_job_needs_the_key_and_leaves_their_lines_out(client: Any) -> None:
    lake = eventmint.open_lake(
        lake__root=NAMES.lake, lake__database="", aws__id=NAMES.id, privacy__key_file=KEY_FILE
    )
    given = {
        "--source": NAMES.source,
        "--lake": NAMES.lake,
        "--deployment-id": NAMES.id,
        "--engine": "duckdb",
    }
    deliver(client, "a", text_of(event(), of_anna()))
    glue_job.run(options(given), glue_job.Bookmark())
    lake.forget([ANNA])
    deliver(client, "b", text_of(event(user_id="u2"), of_anna(price=7)))
    with pytest.raises(FixSettings, match="is missing"):
        glue_job.run(options(given), glue_job.Bookmark())
    glue_job.run(options({**given, "--privacy-key-file": KEY_FILE}), glue_job.Bookmark())
    totals = lake.totals()
    assert (totals.lines, totals.valid, totals.suppressed) == (4, 2, 2)


def options(given: dict[str, str]) -> Any:
    return glue_job.parser().parse_args([word for pair in given.items() for word in pair])
