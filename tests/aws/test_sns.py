"""Notices go to an SNS topic, and one that cannot be reached stops no run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from deliveries import NOW, Shop, view

from eventmint.aws.names import Names
from eventmint.config import NotifySettings
from eventmint.watching.notices import Notice, Source
from eventmint.watching.tell import tell

TOPIC = "arn:aws:sns:us-west-2:123456789012:shop-alerts"


def test_a_topic_gets_the_document_and_what_it_is_about_to_filter_by(aws: str, tmp_path: Path) -> None:
    assert aws
    sns, sqs = boto3.client("sns"), boto3.client("sqs")
    assert sns.create_topic(Name="shop-alerts")["TopicArn"] == TOPIC
    queue = sqs.create_queue(QueueName="alerts")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=TOPIC, Protocol="sqs", Endpoint=arn)

    shop = Shop(tmp_path, {"notify__sns_topic": TOPIC, "report__late_minutes": 0.0})
    shop.deliver("a", view(), b"{")
    report = shop.run()

    (message,) = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    envelope = json.loads(message["Body"])
    document = json.loads(envelope["Message"])
    assert envelope["Subject"] == "eventmint: quarantine"
    assert envelope["MessageAttributes"]["happening"]["Value"] == "quarantine"
    assert (document["happening"], document["run_id"]) == ("quarantine", report.run_id)
    assert document["details"]["quarantined"] == 1


def test_a_topic_that_is_not_there_is_a_warning(
    aws: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert aws
    tell([Notice("quarantine", "Bad.")], NotifySettings(sns_topic=TOPIC), Source(str(tmp_path), "r", NOW))
    assert "a notice (quarantine) was not taken by SNS: AWS refused Publish (NotFound)" in caplog.text


def test_a_lake_in_s3_notes_there_what_was_told(client: Any) -> None:
    boto3.client("sns").create_topic(Name="shop-alerts")
    bucket, settings = Names("dev", "123456789012").analytics_bucket, NotifySettings(sns_topic=TOPIC)
    lake = Source(f"s3://{bucket}/lake", "r", NOW)
    tell([Notice("stale", "Old.", lasting="stale")], settings, lake)
    body = client.get_object(Bucket=bucket, Key="lake/.told.json")["Body"]
    assert json.loads(body.read()) == ["stale"]
    tell([], settings, lake)
    assert json.loads(client.get_object(Bucket=bucket, Key="lake/.told.json")["Body"].read()) == []
