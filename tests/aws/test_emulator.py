"""The emulator: its life, and that what its CloudFormation leaves out is made up for by the template."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

import pytest
from deployments import NAMES, REGION, REPOSITORY, client, deployed, template_text, with_entry_script

from eventmint.aws import replay
from eventmint.aws.emulator import ACCOUNT
from eventmint.aws.intrinsics import load_template
from eventmint.aws.stack import Stack

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(autouse=True)
def _entry_script(monkeypatch: pytest.MonkeyPatch) -> None:
    with_entry_script(monkeypatch)


# ---- its life ----------------------------------------------------------------------------------------------


def in_a_process(code: str, **environment: str) -> subprocess.Popen[str]:
    surroundings = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), **environment}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=surroundings,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def answers(endpoint: str) -> bool:
    try:
        with OPENER.open(f"{endpoint}/moto-api/", timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False


def test_a_process_that_starts_it_works_with_it_and_with_no_credentials_of_a_person() -> None:
    code = """
import boto3, os
from eventmint.aws import emulator
from eventmint.storage.session import account_id
running = emulator.start("eu-central-1")
print(running.endpoint, account_id("eu-central-1"))
print(os.environ["AWS_ACCESS_KEY_ID"], "AWS_PROFILE" in os.environ)
"""
    process = in_a_process(code, AWS_PROFILE="somebody", AWS_ACCESS_KEY_ID="real")
    out, _ = process.communicate(timeout=60)
    endpoint, account, key, has_profile = out.split()
    assert (process.returncode, account, key, has_profile) == (0, ACCOUNT, "emulator", "False")
    assert not answers(endpoint)


def test_it_ends_with_a_process_that_is_killed() -> None:
    code = """
import time
from eventmint.aws import emulator
print(emulator.start("eu-central-1").endpoint, flush=True)
time.sleep(600)
"""
    process = in_a_process(code)
    assert process.stdout is not None
    endpoint = process.stdout.readline().strip()
    assert answers(endpoint)

    process.kill()
    process.communicate(timeout=30)

    deadline = time.monotonic() + 30
    while answers(endpoint) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not answers(endpoint)


def test_it_forgets_everything_when_told_to() -> None:
    code = """
import boto3
from eventmint.aws import emulator
running = emulator.start("us-east-1")
s3 = boto3.client("s3")
s3.create_bucket(Bucket="a-bucket")
before = len(s3.list_buckets()["Buckets"])
running.reset()
print(before, len(s3.list_buckets()["Buckets"]))
"""
    out, _ = in_a_process(code).communicate(timeout=60)
    assert out.split() == ["1", "0"]


def test_without_moto_it_names_what_to_install() -> None:
    code = """
import sys
sys.modules["moto"] = None
from eventmint.aws import emulator
try:
    emulator.start("us-east-1")
except Exception as err:
    print(type(err).__name__, err)
"""
    out, _ = in_a_process(code).communicate(timeout=60)
    assert out == "FixSettings The emulator is not installed. Install it with `pip install moto[server]`.\n"


# ---- what is made up for -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("aws")
def test_every_resource_of_the_template_is_made_or_told() -> None:
    template = load_template(template_text())

    done = deployed({"AlertEmail": "a@example.org"})

    stack = Stack(NAMES.stack, REGION)
    made = {resource.logical_id for resource in stack.resources()}
    again = replay.replay(stack, NAMES, template_text(), has_changed=False)
    accounted = made | {resource.logical_id for resource in again.created} | set(again.left_to_the_run)
    accounted |= {text.partition(" ")[0] for text in again.not_emulated}
    assert accounted == set(template["Resources"])
    # What can't be held at all, in full: a new one must be looked at by somebody.
    assert {text.partition("(")[2].rstrip(")") for text in again.not_emulated} <= {
        "AWS::Glue::TableOptimizer",
        "AWS::SQS::QueuePolicy",
        "AWS::SNS::TopicPolicy",
        "AWS::SNS::Subscription",
        "AWS::S3::BucketPolicy: TLS only, which it does not speak",
    }
    assert done.is_complete


@pytest.mark.usefixtures("aws")
def test_the_replayed_job_is_that_of_the_template() -> None:
    done = deployed({"GlueWorkers": "4"})

    job = client("glue").get_job(JobName=NAMES.job)["Job"]
    properties = load_template(template_text())["Resources"]["Job"]["Properties"]
    assert (job["NumberOfWorkers"], job["Timeout"], job["MaxRetries"]) == (
        4,
        properties["Timeout"],
        properties["MaxRetries"],
    )
    assert job["ExecutionProperty"] == {"MaxConcurrentRuns": 1}
    assert set(job["DefaultArguments"]) == set(properties["DefaultArguments"])
    assert job["DefaultArguments"]["--lake"] == NAMES.lake
    assert job["Role"].startswith("arn:aws:iam::123456789012:role/")
    assert job["Command"]["ScriptLocation"].endswith(f"{done.artifacts}/glue_job.py")


@pytest.mark.usefixtures("aws")
def test_buckets_have_the_settings_that_cloudformation_forgets() -> None:
    deployed({"RetentionDays": "11"})

    s3 = client("s3")
    for bucket in (NAMES.source_bucket, NAMES.analytics_bucket, NAMES.log_bucket):
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert set(blocked.values()) == {True}
    rules = s3.get_bucket_lifecycle_configuration(Bucket=NAMES.source_bucket)["Rules"]
    (expiring,) = [rule for rule in rules if rule.get("Expiration", {}).get("Days")]
    assert (expiring["Filter"]["Prefix"], expiring["Expiration"]["Days"]) == ("events/", 11)
    assert any(rule.get("AbortIncompleteMultipartUpload") for rule in rules)


@pytest.mark.usefixtures("aws")
def test_the_named_queries_are_there_once_however_often_it_is_deployed() -> None:
    deployed()
    deployed({"GlueWorkers": "6"})

    athena = client("athena")
    ids = athena.list_named_queries(WorkGroup=NAMES.workgroup)["NamedQueryIds"]
    queries = [athena.get_named_query(NamedQueryId=id_)["NamedQuery"] for id_ in ids]
    assert sorted(query["Name"] for query in queries) == [
        "category_performance",
        "conversion_funnel",
        "hourly_revenue",
        "top_products",
        "user_activity",
    ]
    assert {query["Database"] for query in queries} == {"gold_dev_1"}
    assert all("SELECT" in query["QueryString"] for query in queries)


@pytest.mark.usefixtures("aws")
def test_a_given_role_is_used_and_none_is_made() -> None:
    trusted = {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [trusted]})
    given = client("iam").create_role(RoleName="LabRole", AssumeRolePolicyDocument=policy)["Role"]["Arn"]

    done = deployed({"ExistingRoleArn": given})

    assert done.is_complete
    assert [role["Arn"] for role in client("iam").list_roles()["Roles"]] == [given]
    assert client("glue").get_job(JobName=NAMES.job)["Job"]["Role"] == given


@pytest.mark.usefixtures("aws")
def test_without_a_schedule_there_is_no_trigger() -> None:
    deployed({"Schedule": "DISABLED"})
    assert client("glue").get_triggers()["Triggers"] == []


@pytest.mark.usefixtures("aws")
def test_the_budget_is_that_of_the_template() -> None:
    deployed({"AlertEmail": "a@example.org", "MonthlyBudget": "12"})

    (budget,) = client("budgets").describe_budgets(AccountId=NAMES.account)["Budgets"]
    assert (budget["BudgetName"], budget["BudgetLimit"]["Amount"]) == ("capstone-dev-1", "12")


@pytest.mark.usefixtures("aws")
def test_arguments_take_the_types_of_the_service() -> None:
    told = replay.as_told(
        client("glue"),
        "create_job",
        {
            "Name": 7,
            "MaxRetries": "1",
            "NumberOfWorkers": "2",
            "MaxCapacity": "0.5",
            "DefaultArguments": {"--on": True},
            "Command": {"Name": "glueetl"},
        },
    )
    assert json.loads(json.dumps(told)) == {
        "Name": "7",
        "MaxRetries": 1,
        "NumberOfWorkers": 2,
        "MaxCapacity": 0.5,
        "DefaultArguments": {"--on": "true"},
        "Command": {"Name": "glueetl"},
    }


def test_policies_keep_all_but_what_only_tls_may_do() -> None:
    tls = {"Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    other: dict[str, Any] = {"Effect": "Allow", "Condition": {"StringEquals": {"a": "b"}}}
    assert replay._without_tls_only({"Statement": [tls, other]}) == {"Statement": [other]}
