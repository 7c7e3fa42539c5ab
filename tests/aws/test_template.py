"""The committed CloudFormation template: what it makes, how it is named, who may do what."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import template_text
from pyiceberg.types import DecimalType

from eventmint import __version__
from eventmint.aws import lake_resources, permissions, template
from eventmint.aws.names import Names
from eventmint.contracts import TABLES, all_contracts, contract
from eventmint.tables import catalog

REPOSITORY = Path(__file__).resolve().parents[2]
NAMES = Names("anna-2", "123456789012")
PARAMETERS = {"AWS::AccountId": NAMES.account, "AWS::Region": "us-west-2", "StudentId": NAMES.id}
DATA = ("AWS::S3::Bucket", "AWS::KMS::Key", "AWS::Glue::Database", "AWS::Glue::Table")


def resources() -> dict[str, Any]:
    found: dict[str, Any] = template_text.parsed()["Resources"]
    return found


def of_type(kind: str) -> dict[str, Any]:
    return {name: resource for name, resource in resources().items() if resource["Type"] == kind}


def properties(name: str) -> dict[str, Any]:
    found: dict[str, Any] = resources()[name]["Properties"]
    return found


def resolved(value: Any, **given: str) -> Any:
    """A value with its Ref, Sub, Join, Split and GetAtt carried out, as CloudFormation does for NAMES."""
    parameters = {**defaults(), **PARAMETERS, **given}
    if isinstance(value, list):
        return [resolved(item, **given) for item in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"Ref": name}:
            return parameters[name] if name in parameters else name_of(name, given)
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{([^}]+)\}", lambda ref: substituted(ref[1], given), text)
        case {"Fn::Join": [glue, parts]}:
            return glue.join(resolved(parts, **given))
        case {"Fn::Split": [mark, text]}:
            return resolved(text, **given).split(mark)
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::If": [condition, then, otherwise]}:
            return resolved(then if holds(condition, **given) else otherwise, **given)
    return {key: resolved(item, **given) for key, item in value.items()}


def substituted(name: str, given: dict[str, str]) -> str:
    resource, _, attribute = name.partition(".")
    return str(resolved({"Fn::GetAtt": [resource, attribute]} if attribute else {"Ref": name}, **given))


def name_of(resource: str, given: dict[str, str]) -> str:
    """What Ref of a resource gives: its name, where the template names it."""
    found = properties(resource)
    if "DatabaseInput" in found:
        return str(resolved(found["DatabaseInput"]["Name"], **given))
    keys = ("BucketName", "FunctionName", "LogGroupName", "Name")
    return str(next((resolved(found[key], **given) for key in keys if key in found), f"<{resource}>"))


def defaults() -> dict[str, str]:
    return {
        name: str(parameter["Default"])
        for name, parameter in template_text.parsed()["Parameters"].items()
        if "Default" in parameter
    }


def holds(condition: str | dict[str, Any], **given: str) -> bool:
    if isinstance(condition, str):
        condition = template_text.parsed()["Conditions"][condition]
    match condition:
        case {"Condition": str(name)}:
            return holds(name, **given)
        case {"Fn::Equals": [left, right]}:
            return str(resolved(left, **given)) == str(resolved(right, **given))
        case {"Fn::Not": [inner]}:
            return not holds(inner, **given)
        case {"Fn::And": parts}:
            return all(holds(part, **given) for part in parts)
    raise AssertionError(condition)


def exist(**given: str) -> set[str]:
    """The resources of a stack with these parameters."""
    return {
        name
        for name, resource in resources().items()
        if "Condition" not in resource or holds(resource["Condition"], **given)
    }


def statements(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    found = resource["Properties"]
    inline = [policy["PolicyDocument"] for policy in found.get("Policies", [])]
    for document in [*inline, found.get("PolicyDocument"), found.get("KeyPolicy")]:
        for statement in (document or {}).get("Statement", []):
            yield statement["Fn::If"][2] if "Fn::If" in statement else statement


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


# ---- the file -------------------------------------------------------------------------------------------


def test_the_committed_files_are_what_the_generator_writes() -> None:
    for name, text in template.generated(REPOSITORY).items():
        assert (REPOSITORY / name).read_text(encoding="utf-8") == text, f"{name}: {template.__doc__}"


def test_the_template_is_small_enough_to_be_given_as_a_body() -> None:
    size = template_text.TEMPLATE.stat().st_size
    print(f"{size:,} of {template.MOST_BYTES:,} bytes")  # noqa: T201 - shown by `pytest -s`
    assert size < template.MOST_BYTES == 51_200
    assert template_text.TEMPLATE.read_text(encoding="utf-8").isascii()


def test_check_tells_a_stale_file_and_writing_repairs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "queries.sql").write_text((REPOSITORY / "queries.sql").read_text())
    assert template.main(["--check"]) == 1
    assert "stale: capstone-starter.cfn.yaml, docs/aws-permissions.md" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [tmp_path / "queries.sql"]
    assert template.main([]) == 0
    assert template.main(["--check"]) == 0
    assert (tmp_path / template.TEMPLATE).read_text() == template_text.TEMPLATE.read_text()


# ---- names ----------------------------------------------------------------------------------------------


def test_every_name_is_the_one_that_the_programs_use() -> None:
    def name(resource: str, key: str) -> Any:
        return resolved(properties(resource)[key])

    assert name("SourceBucket", "BucketName") == NAMES.source_bucket
    assert name("AnalyticsBucket", "BucketName") == NAMES.analytics_bucket
    assert name("Generator", "FunctionName") == NAMES.generator
    assert name("Job", "Name") == NAMES.job
    assert name("Workgroup", "Name") == NAMES.workgroup
    for schema in TABLES:
        database = resolved(properties(f"{schema.capitalize()}Database")["DatabaseInput"])
        assert database == {"Name": NAMES.database(schema), "LocationUri": f"{NAMES.lake}/{schema}"}


@pytest.mark.parametrize("student", ["a", "anna", "a-1", "a" * 20, "", "-a", "a-", "Anna", "a_b", "a" * 21])
def test_the_template_takes_the_ids_that_the_programs_take(student: str) -> None:
    from eventmint.aws.names import is_id

    pattern = template_text.parsed()["Parameters"]["StudentId"]["AllowedPattern"]
    assert bool(re.match(pattern, student)) == is_id(student)
    assert "Default" not in template_text.parsed()["Parameters"]["StudentId"]


def test_outputs_name_what_a_person_needs_next() -> None:
    outputs = {name: resolved(output["Value"]) for name, output in template_text.parsed()["Outputs"].items()}
    assert outputs["SourceBucketName"] == NAMES.source_bucket
    assert outputs["AnalyticsBucketName"] == NAMES.analytics_bucket
    assert outputs["JobName"] == NAMES.job
    assert outputs["GeneratorName"] == NAMES.generator
    assert outputs["WorkgroupName"] == NAMES.workgroup
    assert [outputs[f"{s}DatabaseName"] for s in ("Bronze", "Silver", "Gold")] == [
        NAMES.database(schema) for schema in ("bronze", "silver", "gold")
    ]
    assert outputs["First"] == f"eventmint deploy --id {NAMES.id}"
    assert outputs["RunNow"] == f"aws glue start-job-run --region us-west-2 --job-name {NAMES.job}"
    assert f"--function-name {NAMES.generator}" in outputs["MoreEvents"]
    assert f"--work-group {NAMES.workgroup}" in outputs["Ask"]
    assert f"Database={NAMES.database('gold')}" in outputs["Ask"]
    assert template_text.parsed()["Outputs"].keys() == outputs.keys()


# ---- buckets --------------------------------------------------------------------------------------------


def test_every_bucket_is_private_versioned_and_clears_what_was_not_finished() -> None:
    assert len(of_type("AWS::S3::Bucket")) == 3
    for bucket in of_type("AWS::S3::Bucket").values():
        found = bucket["Properties"]
        assert found["VersioningConfiguration"] == {"Status": "Enabled"}
        assert set(found["PublicAccessBlockConfiguration"].values()) == {True}
        assert len(found["PublicAccessBlockConfiguration"]) == 4
        assert found["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        rules = found["LifecycleConfiguration"]["Rules"]
        assert {"DaysAfterInitiation": 1} in [rule.get("AbortIncompleteMultipartUpload") for rule in rules]
        assert any("NoncurrentVersionExpiration" in rule for rule in rules)
        assert {rule["Status"] for rule in rules} == {"Enabled"}


def test_data_is_encrypted_with_the_stacks_key_and_its_reads_are_logged() -> None:
    for name in ("SourceBucket", "AnalyticsBucket"):
        (rule,) = properties(name)["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["BucketKeyEnabled"] is True
        assert rule["ServerSideEncryptionByDefault"] == {
            "SSEAlgorithm": "aws:kms",
            "KMSMasterKeyID": {"Fn::GetAtt": ["Key", "Arn"]},
        }
        assert properties(name)["LoggingConfiguration"]["DestinationBucketName"] == {"Ref": "LogBucket"}
    assert properties("Key")["EnableKeyRotation"] is True


def test_source_files_expire_after_thirty_days() -> None:
    rules = properties("SourceBucket")["LifecycleConfiguration"]["Rules"]
    expiring = [rule for rule in rules if "ExpirationInDays" in rule]
    assert [(rule["Prefix"], rule["ExpirationInDays"]) for rule in expiring] == [
        ("events/", {"Ref": "RetentionDays"})
    ]
    assert template_text.parsed()["Parameters"]["RetentionDays"]["Default"] == 30


def test_nothing_in_the_lake_ever_expires_by_itself() -> None:
    rules = properties("AnalyticsBucket")["LifecycleConfiguration"]["Rules"]
    assert {rule["Prefix"] for rule in rules if "ExpirationInDays" in rule} == {"athena-results/", "tmp/"}


def test_every_bucket_refuses_requests_without_tls() -> None:
    policies = of_type("AWS::S3::BucketPolicy").values()
    assert {policy["Properties"]["Bucket"]["Ref"] for policy in policies} == set(of_type("AWS::S3::Bucket"))
    for policy in policies:
        bucket = policy["Properties"]["Bucket"]["Ref"]
        assert {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [{"Fn::GetAtt": [bucket, "Arn"]}, {"Fn::Sub": f"${{{bucket}.Arn}}/*"}],
            "Condition": {"Bool": {"aws:SecureTransport": False}},
        } in list(statements(policy))


def test_what_holds_data_outlives_the_stack() -> None:
    for name, resource in resources().items():
        kept = resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy")
        assert kept == (("Retain", "Retain") if resource["Type"] in DATA else (None, None)), name


# ---- the generator --------------------------------------------------------------------------------------


def test_events_come_every_five_minutes_and_lost_ones_are_kept() -> None:
    rule = properties("EveryFiveMinutes")
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(5 minutes)", {"Ref": "Schedule"})
    (target,) = rule["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": ["Generator", "Arn"]}
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 3}
    dead_letters = {"Fn::GetAtt": ["DeadLetters", "Arn"]}
    assert target["DeadLetterConfig"] == {"Arn": dead_letters}
    function = properties("Generator")
    assert function["DeadLetterConfig"] == {"TargetArn": dead_letters}
    assert (function["Runtime"], function["Handler"]) == ("python3.13", "index.handler")
    assert (function["MemorySize"], function["Timeout"]) == (1769, 240)
    assert properties("GeneratorPermission") == {
        "FunctionName": {"Ref": "Generator"},
        "Action": "lambda:InvokeFunction",
        "Principal": "events.amazonaws.com",
        "SourceArn": {"Fn::GetAtt": ["EveryFiveMinutes", "Arn"]},
        "SourceAccount": {"Ref": "AWS::AccountId"},
    }


def test_one_execution_is_reserved_unless_the_account_has_none_to_spare() -> None:
    reserved = properties("Generator")["ReservedConcurrentExecutions"]
    assert resolved(reserved) == "1"
    assert holds("Reserve", ReservedConcurrency="0") is False


# ---- the job --------------------------------------------------------------------------------------------


def test_the_job_keeps_bookmarks_runs_alone_and_is_bounded() -> None:
    job = properties("Job")
    assert job["DefaultArguments"]["--job-bookmark-option"] == "job-bookmark-enable"
    assert job["ExecutionProperty"] == {"MaxConcurrentRuns": 1}
    assert (job["GlueVersion"], job["Timeout"], job["MaxRetries"]) == ("5.1", 60, 1)
    assert (resolved(job["WorkerType"]), resolved(job["NumberOfWorkers"])) == ("G.1X", "2")
    assert job["SecurityConfiguration"] == {"Ref": "JobEncryption"}
    encryption = properties("JobEncryption")["EncryptionConfiguration"]
    assert encryption["CloudWatchEncryption"]["CloudWatchEncryptionMode"] == "SSE-KMS"
    assert encryption["JobBookmarksEncryption"]["JobBookmarksEncryptionMode"] == "CSE-KMS"


def test_the_jobs_arguments_are_those_of_its_entry() -> None:
    artifacts = f"{NAMES.artifacts}/0123abcd"
    job = resolved(properties("Job"), Artifacts="artifacts/0123abcd")
    assert job["Command"] == {
        "Name": "glueetl",
        "PythonVersion": "3",
        "ScriptLocation": f"{artifacts}/glue_job.py",
    }
    log_prefix = f"/aws-glue/jobs/{NAMES.job}"
    assert job["DefaultArguments"] == {
        "--job-bookmark-option": "job-bookmark-enable",
        "--source": NAMES.source,
        "--lake": NAMES.lake,
        "--deployment-id": NAMES.id,
        "--region": "us-west-2",
        "--engine": "spark",
        "--full-listing-every": "12",
        "--report": "false",
        "--additional-python-modules": f"{artifacts}/requirements.txt",
        "--python-modules-installer-option": "-r",
        "--extra-py-files": f"{artifacts}/eventmint-{__version__}-py3-none-any.whl",
        "--TempDir": f"s3://{NAMES.analytics_bucket}/tmp/",  # noqa: S108 - a prefix of a bucket
        "--custom-logGroup-prefix": log_prefix,
        "--enable-metrics": "true",
        "--enable-observability-metrics": "true",
        "--enable-continuous-cloudwatch-log": "true",
    }
    groups = {
        resolved(group["Properties"]["LogGroupName"]) for group in of_type("AWS::Logs::LogGroup").values()
    }
    assert groups == {f"{log_prefix}/error", f"{log_prefix}/output", f"/aws/lambda/{NAMES.generator}"}


def test_every_log_group_is_encrypted_and_forgets_after_thirty_days() -> None:
    for group in of_type("AWS::Logs::LogGroup").values():
        assert group["Properties"]["RetentionInDays"] == 30
        assert group["Properties"]["KmsKeyId"] == {"Fn::GetAtt": ["Key", "Arn"]}


@pytest.mark.parametrize(
    ("given", "is_scheduled"),
    [
        ({}, False),
        ({"Artifacts": "artifacts/0123abcd"}, True),
        ({"Artifacts": "artifacts/0123abcd", "Schedule": "DISABLED"}, False),
    ],
)
def test_the_job_is_scheduled_once_its_code_is_there(given: dict[str, str], is_scheduled: bool) -> None:
    assert ({"JobTrigger", "NoFreshData"} <= exist(**given)) is is_scheduled
    assert ("JobTrigger" in exist(**given)) is ("NoFreshData" in exist(**given))
    trigger = properties("JobTrigger")
    assert (trigger["Type"], trigger["StartOnCreation"]) == ("SCHEDULED", True)
    assert trigger["Actions"] == [{"JobName": {"Ref": "Job"}}]


# ---- tables ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", lake_resources.MADE)
def test_a_table_of_the_stack_is_the_table_that_the_pipeline_would_make(name: str) -> None:
    table = contract(name)
    found = resolved(properties(lake_resources.logical_id(name)))
    assert (found["DatabaseName"], found["Name"]) == (NAMES.database(table.schema), table.name)
    iceberg = found["OpenTableFormatInput"]["IcebergInput"]
    assert (iceberg["MetadataOperation"], iceberg["Version"]) == ("CREATE", "2")
    table_input = iceberg["IcebergTableInput"]
    assert table_input["Location"] == f"{NAMES.lake}/{table.schema}/{table.name}"

    def kind(field: Any) -> str:
        decimal = field.field_type
        if isinstance(decimal, DecimalType):
            return f"decimal({decimal.precision},{decimal.scale})"
        return str(decimal)

    schema = catalog.iceberg_schema(table)
    assert table_input["Schema"]["Fields"] == [
        {
            "Id": field.field_id,
            "Name": field.name,
            "Type": kind(field),
            "Required": field.required,
            "Doc": str(field.doc).split(";")[0],
        }
        for field in schema.fields
    ]
    spec = catalog._partition_spec(table, schema)
    assert table_input["PartitionSpec"]["Fields"] == [
        {
            "SourceId": field.source_id,
            "FieldId": field.field_id,
            "Transform": str(field.transform),
            "Name": field.name,
        }
        for field in spec.fields
    ]
    assert iceberg["Version"] == "2"
    assert table_input["Properties"] == catalog.table_properties(table)


def test_field_ids_count_from_one_so_that_a_catalog_that_gives_new_ones_gives_the_same() -> None:
    for table in all_contracts():
        assert [column.id for column in table.columns] == list(range(1, len(table.columns) + 1)), table.table


def test_tables_and_optimizers_can_be_left_to_the_job() -> None:
    tables, optimizers = set(of_type("AWS::Glue::Table")), set(of_type("AWS::Glue::TableOptimizer"))
    assert len(tables) == len(lake_resources.MADE)
    assert tables | optimizers <= exist()
    assert exist(OptimizeTables="false") & (tables | optimizers) == tables
    assert not exist(CreateTables="false") & (tables | optimizers)
    assert set(of_type("AWS::Glue::Database")) <= exist(CreateTables="false")


def test_optimizers_leave_the_snapshots_that_the_pipeline_reads() -> None:
    kinds = defaultdict(set)
    for optimizer in of_type("AWS::Glue::TableOptimizer").values():
        found = resolved(optimizer["Properties"])
        kinds[found["DatabaseName"], found["TableName"]].add(found["Type"])
        configuration = found["TableOptimizerConfiguration"]
        assert configuration["Enabled"] is True
        if found["Type"] == "retention":
            retention = configuration["RetentionConfiguration"]["IcebergConfiguration"]
            assert retention["SnapshotRetentionPeriodInDays"] > 5
            assert retention["NumberOfSnapshotsToRetain"] >= 50
        if found["Type"] == "orphan_file_deletion":
            orphans = configuration["OrphanFileDeletionConfiguration"]["IcebergConfiguration"]
            assert orphans["OrphanFileRetentionPeriodInDays"] > 5
    every_kind = {"compaction", "retention", "orphan_file_deletion"}
    assert kinds == {
        (NAMES.database(schema), table): every_kind
        for schema, _, table in (name.partition(".") for name in lake_resources.OPTIMIZED)
    }


# ---- questions ------------------------------------------------------------------------------------------


def test_the_workgroup_holds_every_query_to_its_bounds() -> None:
    configuration = properties("Workgroup")["WorkGroupConfiguration"]
    assert configuration["EnforceWorkGroupConfiguration"] is True
    assert configuration["BytesScannedCutoffPerQuery"] == 1 << 30
    results = configuration["ResultConfiguration"]
    assert resolved(results["OutputLocation"]) == NAMES.athena_results
    assert results["EncryptionConfiguration"]["EncryptionOption"] == "SSE_KMS"
    assert results["EncryptionConfiguration"]["KmsKey"] == {"Fn::GetAtt": ["Key", "Arn"]}


def test_the_named_queries_are_the_statements_of_queries_sql() -> None:
    text = re.sub(r"^--.*\n", "", (REPOSITORY / "queries.sql").read_text(), flags=re.MULTILINE)
    statements_ = [part.strip() for part in text.split(";") if part.strip()]
    queries = list(of_type("AWS::Athena::NamedQuery").values())
    assert [query["Properties"]["QueryString"].strip() for query in queries] == statements_
    assert len(queries) == 5
    for query in queries:
        assert resolved(query["Properties"]["Database"]) == NAMES.database("gold")
        assert resolved(query["Properties"]["WorkGroup"]) == NAMES.workgroup


# ---- alarms and money -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alarm", "metric", "threshold", "silence"),
    [
        ("JobFailed", "RunFailed", 1, "notBreaching"),
        ("NoFreshData", "FreshnessMinutes", 150, "breaching"),
        ("QuarantineRate", "QuarantineRate", 0.01, "notBreaching"),
    ],
)
def test_an_alarm_reads_the_metric_that_the_job_writes(
    alarm: str, metric: str, threshold: float, silence: str
) -> None:
    found = resolved(properties(alarm))
    assert (found["Namespace"], found["MetricName"]) == ("eventmint", metric)
    assert found["Dimensions"] == [{"Name": "Deployment", "Value": NAMES.id}]
    assert (found["Threshold"], found["TreatMissingData"]) == (threshold, silence)
    assert found["AlarmActions"] == ["<Alerts>"]


def test_a_run_that_dies_is_told_by_glue() -> None:
    pattern = resolved(properties("JobDied")["EventPattern"])
    assert pattern["detail"] == {"jobName": [NAMES.job], "state": ["FAILED", "TIMEOUT", "ERROR"]}
    assert properties("JobDied")["Targets"] == [{"Id": "alerts", "Arn": {"Ref": "Alerts"}}]


def test_mail_and_budget_come_with_an_address() -> None:
    assert not exist() & {"AlertsByMail", "Budget"}
    assert {"AlertsByMail", "Budget"} <= exist(AlertEmail="a@example.org")
    assert properties("Budget")["Budget"]["BudgetLimit"] == {
        "Amount": {"Ref": "MonthlyBudget"},
        "Unit": "USD",
    }


# ---- who may do what ------------------------------------------------------------------------------------


def test_with_a_given_role_no_role_is_made_and_every_service_uses_it() -> None:
    given = "arn:aws:iam::123456789012:role/LabRole"
    kinds = {resources()[name]["Type"] for name in exist(ExistingRoleArn=given)}
    assert not {kind for kind in kinds if kind.startswith("AWS::IAM::")}
    assert {kind for kind in {resources()[name]["Type"] for name in exist()} if "::IAM::" in kind} == {
        "AWS::IAM::Role",
        "AWS::IAM::Policy",
    }
    users = {
        name: text
        for name, text in json_of_resources().items()
        if "Role.Arn" in text or 'Role", "Arn' in text
    }
    assert set(users) == {"Generator", "Job", *of_type("AWS::Glue::TableOptimizer")}
    for name in users:
        text = json.dumps(resolved(properties(name), ExistingRoleArn=given))
        assert text.count(given) == 1
        assert "Role.Arn>" not in text


def json_of_resources() -> dict[str, str]:
    return {name: json.dumps(resource) for name, resource in resources().items()}


def test_no_role_has_a_wildcard_action_or_an_open_resource() -> None:
    open_ones = []
    for name in [*of_type("AWS::IAM::Role"), *of_type("AWS::IAM::Policy")]:
        for statement in statements(resources()[name]):
            assert statement["Effect"] == "Allow"
            assert not [action for action in listed(statement["Action"]) if "*" in action]
            for resource in map(resolved, statement["Resource"]):
                if resource.startswith("arn:aws:"):
                    assert ":us-west-2:123456789012:" in resource
                    assert (
                        NAMES.id in resource
                        or NAMES.id.replace("-", "_") in resource
                        or (resource.endswith((":catalog", "log-group:/aws-glue/iceberg-*")))
                    ), resource
                elif resource == "*":
                    open_ones.append((name, statement["Action"], statement["Condition"]))
                else:
                    assert re.fullmatch(r"<\w+\.Arn>(/(events|artifacts|lake|tmp)/\*)?", resource), resource
    # IAM knows no resource for it: the namespaces are the bound.
    namespaces = {"StringEquals": {"cloudwatch:namespace": ["eventmint", "Glue"]}}
    assert open_ones == [("JobMetrics", ["cloudwatch:PutMetricData"], namespaces)]


def test_the_source_is_written_by_the_generator_alone_and_read_by_the_job_alone() -> None:
    source = [
        (name, action)
        for name in exist()
        for statement in (statements(resources()[name]) if "::IAM::" in resources()[name]["Type"] else ())
        for action in statement["Action"]
        if "<SourceBucket.Arn>/events/*" in map(resolved, statement["Resource"])
    ]
    assert sorted(source) == [("GeneratorRole", "s3:PutObject"), ("JobPolicy", "s3:GetObject")]


def test_every_iam_action_is_traced_to_a_call_that_needs_it() -> None:
    granted: dict[str, set[str]] = defaultdict(set)
    for name, resource in resources().items():
        holder = resource["Properties"]["Roles"][0]["Ref"] if resource["Type"] == "AWS::IAM::Policy" else name
        for statement in statements(resource):
            if statement["Effect"] == "Allow":
                granted[holder] |= set(listed(statement["Action"]))
        if resource["Type"] == "AWS::Lambda::Permission":
            granted[name].add(resource["Properties"]["Action"])
    assert granted == {holder: set(actions) for holder, actions in permissions.PERMISSIONS.items()}
    assert all(
        len(call.split()) > 2 for actions in permissions.PERMISSIONS.values() for call in actions.values()
    )


def test_services_act_only_for_this_account() -> None:
    # EventBridge tells neither the key nor a topic for whom it acts.
    silent = [("Key", "events.amazonaws.com"), ("AlertsPolicy", "events.amazonaws.com")]
    unbounded = []
    for name, resource in resources().items():
        for statement in statements(resource):
            if "Service" not in statement.get("Principal", {}) or statement["Effect"] == "Deny":
                continue
            if "Condition" not in statement:
                unbounded.append((name, statement["Principal"]["Service"]))
                continue
            condition = json.dumps(resolved(statement["Condition"]))
            assert NAMES.account in condition or "EveryFiveMinutes" in condition, name
    assert unbounded == silent
