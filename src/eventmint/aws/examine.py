"""Is everything there? Each resource of a deployment asked for at its own service, none taken on trust."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from eventmint.aws.names import Names
from eventmint.aws.stack import Resource
from eventmint.errors import FixData, FixSettings
from eventmint.storage.session import client, error_code, telling

OK, MISSING, WRONG, UNSEEN = "ok", "missing", "wrong", "unseen"
BOOKMARK, BOOKMARK_ON = "--job-bookmark-option", "job-bookmark-enable"
SCHEMAS = ("bronze", "silver", "gold", "ops")
_NOT_FOUND = ("404", "NotFound", "NoSuch", "NonExist", "does not exist", "doesn't exist", "is not found")
_DEPLOY_AGAIN = "Deploy again; if it stays away, see the stack's events in the console."


@dataclass(frozen=True)
class Verdict:
    """What became of one resource.

    Attributes:
        state: `ok`; `missing`; `wrong`: there, but not as it must be; `unseen`: nobody may look.
        note: what was seen.
        hint: what to do; empty where all is well.
    """

    type: str
    name: str
    state: str
    note: str = ""
    hint: str = ""

    @property
    def holds(self) -> bool:
        return self.state in (OK, UNSEEN)


def examine(names: Names, region: str, resources: Iterable[Resource], artifacts: str) -> list[Verdict]:
    """Return a verdict on each resource.

    Args:
        resources: those of the stack; what every deployment has is looked at even where it is not among them.
        artifacts: the key prefix that the job must take its files from.
    """
    look = _Look(names, region, artifacts)
    told = {
        (resource.type, resource.physical_id or resource.logical_id): resource.status
        for resource in resources
    }
    return [
        look.at(kind, name) if kind in look.ways else _as_told(kind, name, told[kind, name])
        for kind, name in dict.fromkeys([*_always_there(names), *told])
    ]


def _as_told(kind: str, name: str, status: str) -> Verdict:
    """A kind that has no way of its own to be looked at: CloudFormation's word, marked as such."""
    note = f"CloudFormation says {status}"
    return Verdict(kind, name, OK if status.endswith("_COMPLETE") else MISSING, note)


def _always_there(names: Names) -> list[tuple[str, str]]:
    return [
        ("AWS::S3::Bucket", names.source_bucket),
        ("AWS::S3::Bucket", names.analytics_bucket),
        ("AWS::Lambda::Function", names.generator),
        *(("AWS::Glue::Database", names.database(schema)) for schema in SCHEMAS),
        ("AWS::Glue::Job", names.job),
        ("AWS::Athena::WorkGroup", names.workgroup),
    ]


class _Wrong(Exception):
    """There, but not as it must be."""


class _Look:
    def __init__(self, names: Names, region: str, artifacts: str) -> None:
        self._names, self._region, self._artifacts = names, region, artifacts
        self._clients: dict[str, Any] = {}
        self.ways: Mapping[str, Callable[[str], str]] = {
            "AWS::S3::Bucket": self._bucket,
            "AWS::S3::BucketPolicy": self._bucket_policy,
            "AWS::Lambda::Function": self._function,
            "AWS::Events::Rule": self._rule,
            "AWS::Glue::Database": self._database,
            "AWS::Glue::Job": self._job,
            "AWS::Glue::Trigger": self._trigger,
            "AWS::Glue::SecurityConfiguration": self._security,
            "AWS::KMS::Key": self._key,
            "AWS::Athena::WorkGroup": self._workgroup,
            "AWS::Athena::NamedQuery": self._named_query,
            "AWS::IAM::Role": self._role,
            "AWS::SNS::Topic": self._topic,
            "AWS::SQS::Queue": self._queue,
            "AWS::Logs::LogGroup": self._log_group,
            "AWS::CloudWatch::Alarm": self._alarm,
            "AWS::Budgets::Budget": self._budget,
        }

    def at(self, kind: str, name: str) -> Verdict:
        try:
            with telling():
                return Verdict(kind, name, OK, self.ways[kind](name))
        except _Wrong as err:
            return Verdict(kind, name, WRONG, str(err), _DEPLOY_AGAIN)
        except FixSettings as err:
            if "denied" not in err.message:
                raise
            return Verdict(kind, name, UNSEEN, err.message, err.hint)
        except FixData as err:
            said = f"{error_code(err.__cause__)} {err.message}"
            if not any(words in said for words in _NOT_FOUND):
                raise
            return Verdict(kind, name, MISSING, "", _DEPLOY_AGAIN)

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = client(service, self._region)
        return self._clients[service]

    # Each way returns what it saw, or raises: the service's own error, or _Wrong.

    def _bucket(self, name: str) -> str:
        s3, owner = self._client("s3"), self._names.account
        s3.head_bucket(Bucket=name, ExpectedBucketOwner=owner)
        versions = s3.get_bucket_versioning(Bucket=name, ExpectedBucketOwner=owner).get("Status", "off")
        if name in (self._names.source_bucket, self._names.analytics_bucket) and versions != "Enabled":
            raise _Wrong(f"versioning is {versions}")
        return f"versioning {versions}"

    def _bucket_policy(self, name: str) -> str:
        self._client("s3").get_bucket_policy(Bucket=name, ExpectedBucketOwner=self._names.account)
        return ""

    def _function(self, name: str) -> str:
        found = self._client("lambda").get_function(FunctionName=name)["Configuration"]
        state = found.get("State", "Active")
        if state == "Failed":
            raise _Wrong(f"{state}: {found.get('StateReason', '')}")
        return f"{found['Runtime']}, {found['MemorySize']} MB, {found['Timeout']} s"

    def _rule(self, name: str) -> str:
        # Ref gives the name; on a bus of its own `bus|name`.
        found = self._client("events").describe_rule(Name=name.rpartition("|")[2])
        return f"{found.get('ScheduleExpression', 'by event')}, {found['State'].lower()}"

    def _database(self, name: str) -> str:
        self._client("glue").get_database(Name=name)
        return ""

    def _job(self, name: str) -> str:
        job = self._client("glue").get_job(JobName=name)["Job"]
        script = f"s3://{self._names.analytics_bucket}/{self._artifacts}/glue_job.py"
        location = job["Command"].get("ScriptLocation", "")
        if location != script:
            raise _Wrong(f"its script is {location or 'nowhere'}, not {script}")
        bookmark = job.get("DefaultArguments", {}).get(BOOKMARK, "not set")
        if bookmark != BOOKMARK_ON:
            raise _Wrong(f"{BOOKMARK} is {bookmark}")
        return f"Glue {job.get('GlueVersion', '?')}, {BOOKMARK_ON}"

    def _trigger(self, name: str) -> str:
        found = self._client("glue").get_trigger(Name=name)["Trigger"]
        return f"{found.get('Schedule', found['Type'])}, {found.get('State', '?').lower()}"

    def _security(self, name: str) -> str:
        self._client("glue").get_security_configuration(Name=name)
        return ""

    def _key(self, id_: str) -> str:
        state = str(self._client("kms").describe_key(KeyId=id_)["KeyMetadata"]["KeyState"])
        if state != "Enabled":
            raise _Wrong(f"state {state}")
        return state.lower()

    def _workgroup(self, name: str) -> str:
        found = self._client("athena").get_work_group(WorkGroup=name).get("WorkGroup")
        if found is None:  # moto's word for it
            raise FixData(f"workgroup {name} does not exist.")
        if found.get("State", "ENABLED") != "ENABLED":
            raise _Wrong(f"state {found['State']}")
        cutoff = found.get("Configuration", {}).get("BytesScannedCutoffPerQuery")
        return f"at most {cutoff:,} bytes a query" if cutoff else "no limit of bytes scanned"

    def _named_query(self, id_: str) -> str:
        return str(self._client("athena").get_named_query(NamedQueryId=id_)["NamedQuery"]["Name"])

    def _role(self, name: str) -> str:
        self._client("iam").get_role(RoleName=name)
        return ""

    def _topic(self, name: str) -> str:
        self._client("sns").get_topic_attributes(TopicArn=name)
        return ""

    def _queue(self, name: str) -> str:
        self._client("sqs").get_queue_attributes(QueueUrl=name, AttributeNames=["QueueArn"])
        return ""

    def _log_group(self, name: str) -> str:
        found = self._client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        for group in found:
            if group["logGroupName"] == name:
                return f"{group.get('retentionInDays', 'endless')} days"
        raise FixData(f"log group {name} does not exist.")

    def _alarm(self, name: str) -> str:
        found = self._client("cloudwatch").describe_alarms(AlarmNames=[name])
        for alarm in [*found.get("MetricAlarms", ()), *found.get("CompositeAlarms", ())]:
            return f"state {alarm['StateValue']}"
        raise FixData(f"alarm {name} does not exist.")

    def _budget(self, name: str) -> str:
        found = self._client("budgets").describe_budget(AccountId=self._names.account, BudgetName=name)
        limit = found["Budget"].get("BudgetLimit", {})
        return f"{limit.get('Amount', '?')} {limit.get('Unit', '')}".strip()
