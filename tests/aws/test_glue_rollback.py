"""Glue's bookmark knows nothing of a rollback; the next run of the job takes in again what it took back."""

from __future__ import annotations

import gzip
import os
from typing import Any

import pytest
from deliveries import event, text_of

import eventmint
from eventmint import glue_job
from eventmint.aws.names import Names

NAMES = Names("dev", "123456789012")


class NothingNew(glue_job.Bookmark):
    """What Glue says of files that it has told of before."""

    def new_files(self, _source: str) -> set[str] | None:
        return set()


def deliver(client: Any, name: str) -> None:
    body = gzip.compress(text_of(event(user_id=name)))
    client.put_object(Bucket=NAMES.source_bucket, Key=f"events/{name}.jsonl.gz", Body=body)


def test_files_that_were_rolled_back_are_taken_in_though_the_bookmark_does_not_name_them(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "AWS_REGION", "us-west-2")
    given = {
        "--source": NAMES.source,
        "--lake": NAMES.lake,
        "--deployment-id": NAMES.id,
        "--engine": "duckdb",
    }
    options = glue_job.parser().parse_args([word for pair in given.items() for word in pair])
    lake = eventmint.open_lake(lake__root=NAMES.lake, lake__database="", aws__id=NAMES.id)
    for name in "ab":
        deliver(client, name)
        glue_job.run(options, glue_job.Bookmark())
    before = lake.totals()
    lake.rollback(lake.runs()[0]["run_id"])
    assert lake.totals() != before
    deliver(client, "c")
    glue_job.run(options, NothingNew())
    assert lake.totals().events == before.events + 1
    deliver(client, "d")
    glue_job.run(options, NothingNew())  # and from then on the bookmark spares the listing again
    assert lake.totals().events == before.events + 1
