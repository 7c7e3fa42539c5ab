"""The template created as a stack by moto: a second reader of its text, a rehearsal of what moto can make.

moto leaves out Glue, Athena, alarms and bucket policies in silence, and proves nothing about permissions.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import template_text

from eventmint.aws.names import Names

NAMES = Names("anna", "123456789012")


def client(service: str) -> Any:
    boto3 = pytest.importorskip("boto3", reason="needs the extra aws")
    return boto3.client(service)


def create(**parameters: str) -> None:
    cloudformation = client("cloudformation")
    cloudformation.create_stack(
        StackName=NAMES.stack,
        TemplateBody=template_text.TEMPLATE.read_text(encoding="utf-8"),
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in {"StudentId": NAMES.id, **parameters}.items()
        ],
        Capabilities=["CAPABILITY_IAM"],
    )
    (stack,) = cloudformation.describe_stacks(StackName=NAMES.stack)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"


def test_the_stack_makes_buckets_function_schedule_and_roles_under_their_names(aws: str) -> None:
    create()
    buckets = {bucket["Name"] for bucket in client("s3").list_buckets()["Buckets"]}
    logs = f"capstone-logs-{NAMES.id}-{NAMES.account}"
    assert buckets == {NAMES.source_bucket, NAMES.analytics_bucket, logs}, aws
    function = client("lambda").get_function(FunctionName=NAMES.generator)["Configuration"]
    assert (function["Runtime"], function["Handler"]) == ("python3.13", "index.handler")
    assert (function["MemorySize"], function["Timeout"]) == (1769, 240)
    assert function["Environment"]["Variables"] == {"BUCKET": NAMES.source_bucket, "LINES": "625000"}
    events = client("events")
    (rule,) = [rule for rule in events.list_rules()["Rules"] if "ScheduleExpression" in rule]
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(5 minutes)", "ENABLED")
    (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert target["Arn"] == function["FunctionArn"]
    assert len(client("iam").list_roles()["Roles"]) == 3
    groups = {group["logGroupName"]: group for group in client("logs").describe_log_groups()["logGroups"]}
    assert set(groups) == {
        f"/aws/lambda/{NAMES.generator}",
        f"/aws-glue/jobs/{NAMES.job}/error",
        f"/aws-glue/jobs/{NAMES.job}/output",
    }
    assert {group["retentionInDays"] for group in groups.values()} == {30}


def test_with_a_given_role_the_stack_makes_none(aws: str) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    given = client("iam").create_role(RoleName="LabRole", AssumeRolePolicyDocument=policy)["Role"]["Arn"]
    create(ExistingRoleArn=given, Schedule="DISABLED")
    assert [role["Arn"] for role in client("iam").list_roles()["Roles"]] == [given], aws
    function = client("lambda").get_function(FunctionName=NAMES.generator)["Configuration"]
    assert function["Role"] == given
    states = {
        rule["State"] for rule in client("events").list_rules()["Rules"] if "ScheduleExpression" in rule
    }
    assert states == {"DISABLED"}
