"""The notebook's steps for an account: nothing without consent, and nothing taken for done that is not.

The account is moto's, whose job says SUCCEEDED and runs nothing, whose Athena answers with no rows: the very
things that must not pass.
"""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest

from eventmint import walkthrough
from eventmint.errors import FixData, FixSettings
from eventmint.storage import s3
from eventmint.walkthrough import Place

REPOSITORY = Path(__file__).resolve().parents[2]
FILE = min((REPOSITORY / "sample-data" / "events").rglob("*.gz"))


def quiet(_: str) -> None:
    """Say nothing."""


@pytest.fixture
def work(aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    del aws
    s3.s3_client.cache_clear()
    s3.downloads.cache_clear()
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("EVENTMINT_AWS__ID", "dev")
    return tmp_path


def prepared(work: Path, say: walkthrough.Say = quiet, *, confirm: bool) -> Place:
    return walkthrough.prepare("aws", work, engine="spark", confirm=confirm, say=say)


def test_without_consent_the_plan_is_shown_and_nothing_is_made(work: Path) -> None:
    said: list[str] = []
    with pytest.raises(FixSettings, match="Set `confirm = True` in the first cell"):
        prepared(work, said.append, confirm=False)
    assert any(line.startswith("plan       Add: ") and "3 AWS::S3::Bucket" in line for line in said)
    assert boto3.client("s3").list_buckets()["Buckets"] == []
    stacks = boto3.client("cloudformation").list_stacks()["StackSummaries"]
    assert {stack["StackStatus"] for stack in stacks} == {"DELETE_COMPLETE"}


def test_without_an_id_it_says_what_is_missing(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVENTMINT_AWS__ID")
    with pytest.raises(FixSettings, match="aws.id"):
        prepared(work, confirm=True)


def test_a_new_stack_has_its_clock_off_and_one_that_is_there_keeps_its_own(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walkthrough, "_require_events", lambda *_: None)  # moto runs no Lambda
    prepared(work, confirm=True)
    events = boto3.client("events")
    assert {
        rule["State"]
        for rule in events.list_rules(NamePrefix="capstone-")["Rules"]
        if "ScheduleExpression" in rule
    } == {"DISABLED"}
    # There already: no consent is needed where nothing changes.
    prepared(work, confirm=False)


def test_a_job_that_only_says_it_succeeded_is_no_run_and_no_rows_are_no_answer(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(walkthrough, "_require_events", lambda *_: None)
        place = prepared(work, confirm=True)
    boto3.client("s3").upload_file(str(FILE), place.names.source_bucket, f"events/{FILE.name}")
    said: list[str] = []
    place = prepared(work, said.append, confirm=False)
    assert f"events     newest file: s3://{place.names.source_bucket}/events/{FILE.name}" in said
    with pytest.raises(FixData, match="there is no lake here yet"):
        walkthrough.run(place, quiet)
    with pytest.raises(FixSettings, match="an empty answer says nothing"):
        walkthrough.answers(place, quiet)


def test_at_the_end_nothing_is_removed_and_it_says_how_to(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walkthrough, "_require_events", lambda *_: None)
    place = prepared(work, confirm=True)
    said: list[str] = []
    walkthrough.finish(place, said.append)
    assert [line.split()[0] for line in said] == ["watch", "schedule", "remove"]
    assert len(boto3.client("s3").list_buckets()["Buckets"]) == 3
