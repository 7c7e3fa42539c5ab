"""A deployment to test with: its template, its names, and what there is in the account around it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import boto3
import pytest

from eventmint.aws import artifacts
from eventmint.aws.deploy import Deployment, deploy
from eventmint.aws.names import Names

REGION = "eu-central-1"
NAMES = Names("dev-1", "123456789012")
REPOSITORY = Path(__file__).resolve().parent.parent
# Resources of each type by a call that lists them all.
LISTINGS = (
    ("s3", "list_buckets", "Buckets", "Name"),
    ("iam", "list_roles", "Roles", "RoleName"),
    ("lambda", "list_functions", "Functions", "FunctionName"),
    ("events", "list_rules", "Rules", "Name"),
    ("sqs", "list_queues", "QueueUrls", ""),
    ("sns", "list_topics", "Topics", "TopicArn"),
    ("logs", "describe_log_groups", "logGroups", "logGroupName"),
    ("kms", "list_keys", "Keys", "KeyId"),
    ("glue", "get_databases", "DatabaseList", "Name"),
    ("glue", "get_jobs", "Jobs", "Name"),
    ("glue", "get_triggers", "Triggers", "Name"),
    ("athena", "list_work_groups", "WorkGroups", "Name"),
    ("athena", "list_named_queries", "NamedQueryIds", ""),
    ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    ("cloudformation", "describe_stacks", "Stacks", "StackName"),
)


def template_text() -> str:
    return template_file().read_text(encoding="utf-8")


def template_file() -> Path:
    return REPOSITORY / "capstone-starter.cfn.yaml"


def with_entry_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let artifacts be built also where the package has no entry script for Glue yet."""
    if not files("eventmint").joinpath(artifacts.SCRIPT).is_file():
        monkeypatch.setattr(artifacts, "script", lambda: b"print('an entry')\n")


def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)


def deployed(parameters: Mapping[str, str] | None = None, text: str = "") -> Deployment:
    return deploy(NAMES, REGION, text or template_text(), parameters or {}, consent=lambda _: True)


def account() -> dict[str, Any]:
    """Return what there is: every resource by name, every object with its versions, every job in full."""
    found: dict[str, Any] = {}
    for service, call, key, name in LISTINGS:
        entries = getattr(client(service), call)().get(key, [])
        found[f"{service}.{call}"] = sorted(entry[name] if name else entry for entry in entries)
    s3 = client("s3")
    for bucket in found["s3.list_buckets"]:
        listed = s3.list_object_versions(Bucket=bucket)
        found[f"s3://{bucket}"] = [
            (entry["Key"], entry["VersionId"])
            for kind in ("Versions", "DeleteMarkers")
            for entry in listed.get(kind, ())
        ]
    jobs = client("glue").get_jobs()["Jobs"]
    found["jobs"] = json.dumps(jobs, default=str, sort_keys=True)
    return found


def keys_in(bucket: str) -> list[str]:
    listed = client("s3").list_objects_v2(Bucket=bucket)
    return sorted(entry["Key"] for entry in listed.get("Contents", ()))
