"""Deploying against moto: from nothing, again, with changes, without consent, from states that forbid it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber
from deployments import (
    NAMES,
    REGION,
    REPOSITORY,
    account,
    client,
    deployed,
    keys_in,
    template_file,
    template_text,
    with_entry_script,
)

from eventmint import cli
from eventmint.aws import artifacts
from eventmint.aws.deploy import Deployment, deploy
from eventmint.aws.examine import examine
from eventmint.aws.stack import Stack
from eventmint.errors import FixData, FixSettings, TryAgain

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture(autouse=True)
def _entry_script(monkeypatch: pytest.MonkeyPatch) -> None:
    with_entry_script(monkeypatch)


def job() -> dict[str, Any]:
    return dict(client("glue").get_job(JobName=NAMES.job)["Job"])


# ---- from nothing, and again -------------------------------------------------------------------------------


def test_deploying_from_nothing_makes_every_resource() -> None:
    done = deployed()

    assert (done.action, done.is_done) == ("create", True)
    assert [verdict for verdict in done.verdicts if verdict.state != "ok"] == []
    seen = {(verdict.type, verdict.name) for verdict in done.verdicts}
    assert {
        ("AWS::S3::Bucket", "capstone-events-dev-1-123456789012"),
        ("AWS::S3::Bucket", "capstone-analytics-dev-1-123456789012"),
        ("AWS::Lambda::Function", "capstone-event-generator-dev-1"),
        ("AWS::Glue::Database", "bronze_dev_1"),
        ("AWS::Glue::Database", "silver_dev_1"),
        ("AWS::Glue::Database", "gold_dev_1"),
        ("AWS::Glue::Database", "ops_dev_1"),
        ("AWS::Glue::Job", "capstone-etl-dev-1"),
        ("AWS::Athena::WorkGroup", "capstone-analytics-dev-1"),
    } <= seen
    # And not by the words of deploying alone.
    there = account()
    assert there["glue.get_databases"] == ["bronze_dev_1", "gold_dev_1", "ops_dev_1", "silver_dev_1"]
    assert there["lambda.list_functions"] == ["capstone-event-generator-dev-1"]
    assert there["cloudformation.describe_stacks"] == ["capstone-dev-1"]


def test_every_file_that_the_job_names_is_in_the_bucket() -> None:
    done = deployed()

    made = client("glue").get_job(JobName=NAMES.job)["Job"]
    arguments = made["DefaultArguments"]
    named = {
        made["Command"]["ScriptLocation"],
        arguments["--extra-py-files"],
        arguments["--additional-python-modules"],
    }
    assert named == {f"s3://{NAMES.analytics_bucket}/{key}" for key in keys_in(NAMES.analytics_bucket)}
    assert sorted(done.uploaded) == keys_in(NAMES.analytics_bucket)
    assert arguments["--python-modules-installer-option"] == "-r"
    assert arguments["--job-bookmark-option"] == "job-bookmark-enable"


def test_a_second_deployment_changes_nothing_and_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    deployed()
    before = account()

    again = deployed()

    assert (again.action, again.uploaded, again.is_complete) == ("nothing", (), True)
    assert account() == before
    assert cli.main(["deploy", "--id", "dev-1", "--region", REGION, "--template", str(template_file())]) == 0
    assert "nothing changes" in capsys.readouterr().out
    assert account() == before


def test_new_code_moves_the_job_and_leaves_the_old_files(monkeypatch: pytest.MonkeyPatch) -> None:
    first = deployed()
    monkeypatch.setattr(artifacts, "script", lambda: b"print('new')\n")

    second = deployed()

    assert (second.action, len(second.uploaded), second.is_complete) == ("update", 3, True)
    assert second.artifacts != first.artifacts
    assert set(first.uploaded) < set(keys_in(NAMES.analytics_bucket))
    location = f"s3://{NAMES.analytics_bucket}/{second.artifacts}/glue_job.py"
    assert client("glue").get_job(JobName=NAMES.job)["Job"]["Command"]["ScriptLocation"] == location


def test_a_parameter_that_is_not_given_keeps_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    deployed({"GlueWorkers": "5"})
    monkeypatch.setattr(artifacts, "script", lambda: b"print('new')\n")

    deployed()

    assert job()["NumberOfWorkers"] == 5
    deployed({"GlueWorkers": "3"})
    assert job()["NumberOfWorkers"] == 3


def test_the_report_is_asked_for_once_and_its_modules_stay_until_it_is_not() -> None:
    def pins(done: Deployment) -> str:
        key = f"{done.artifacts}/{artifacts.REQUIREMENTS}"
        found = client("s3").get_object(Bucket=NAMES.analytics_bucket, Key=key)
        return str(found["Body"].read())

    assert "plotly" not in pins(deployed())
    assert job()["DefaultArguments"]["--report"] == "false"
    args = ["deploy", "--id", "dev-1", "--region", REGION, "--template", str(template_file()), "--yes", "-q"]
    assert cli.main([*args, "--report"]) == 0
    assert job()["DefaultArguments"]["--report"] == "true"
    kept = deployed()
    assert (kept.action, "plotly" in pins(kept)) == ("nothing", True)
    assert "plotly" not in pins(deployed({"Report": "false"}))


def test_files_lost_from_the_bucket_come_back_though_the_stack_does_not_change() -> None:
    done = deployed()
    script = f"{done.artifacts}/glue_job.py"
    client("s3").delete_object(Bucket=NAMES.analytics_bucket, Key=script)

    again = deployed()

    assert (again.action, again.uploaded) == ("nothing", (script,))


# ---- without consent ---------------------------------------------------------------------------------------


def test_a_dry_run_from_nothing_changes_nothing() -> None:
    before = account()

    plan = deploy(NAMES, REGION, template_text(), {}, consent=None)

    assert (plan.action, plan.is_done, len(plan.uploaded)) == ("create", False, 3)
    assert {change.action for change in plan.plan.changes} == {"Add"}
    assert {change.logical_id for change in plan.plan.changes} >= {"Generator", "SourceBucket"}
    assert account() == before


def test_a_dry_run_over_a_deployment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    deployed()
    before = account()
    monkeypatch.setattr(artifacts, "script", lambda: b"print('new')\n")

    plan = deploy(NAMES, REGION, template_text(), {"GlueWorkers": "7"}, consent=None)

    assert (plan.action, plan.is_done, len(plan.uploaded)) == ("update", False, 3)
    assert account() == before
    assert client("cloudformation").list_change_sets(StackName=NAMES.stack)["Summaries"][1:] == []


def test_without_consent_no_trace_stays() -> None:
    before = account()

    refused = deploy(NAMES, REGION, template_text(), {}, consent=lambda _: False)

    assert not refused.is_done
    assert account() == before


def test_an_interrupted_question_leaves_no_trace() -> None:
    before = account()

    def interrupted(_: object) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deploy(NAMES, REGION, template_text(), {}, consent=interrupted)

    assert account() == before


def test_without_a_terminal_it_wants_a_yes(capsys: pytest.CaptureFixture[str]) -> None:
    before = account()
    args = ["deploy", "--id", "dev-1", "--region", REGION, "--template", str(template_file())]

    assert cli.main(args) == 2

    *_, error = capsys.readouterr().err.splitlines()
    assert error.startswith("error: Nothing was changed: nobody can be asked. Give --yes")
    assert account() == before
    assert cli.main([*args, "--yes"]) == 0


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("y", 0)])
def test_at_a_terminal_it_asks(answer: str, code: int, tmp_path: Path) -> None:
    package = resources.files("eventmint").joinpath(artifacts.SCRIPT)
    if not package.is_file():
        pytest.skip("needs the entry script of the job in the package")
    before = account()
    terminal, own = pty.openpty()
    args = ["deploy", "--id", "dev-1", "--region", REGION, "--template", str(template_file())]
    process = subprocess.Popen(
        [sys.executable, "-m", "eventmint.cli", *args],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src")},
        stdin=own,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(own)
    os.write(terminal, f"{answer}\n".encode())
    out, err = process.communicate(timeout=120)
    os.close(terminal)

    assert process.returncode == code
    assert "Carry this out? [y/N]" in err
    assert "Add     SourceBucket" in err
    assert ("nothing was changed" in out) == (answer == "n")
    assert (account() == before) == (answer == "n")


def test_json_is_one_document_and_silent(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["deploy", "--id", "dev-1", "--region", REGION, "--template", str(template_file())]

    assert cli.main([*args, "--yes", "--json"]) == 0

    out, err = capsys.readouterr()
    document = json.loads(out)
    assert err == ""
    assert (document["action"], document["done"], document["complete"]) == ("create", True, True)
    assert document["outputs"]["AnalyticsBucketName"] == NAMES.analytics_bucket


def test_options_become_parameters_of_the_template() -> None:
    args = ["deploy", "--id", "dev-1", "--region", REGION, "--template", str(template_file()), "--yes", "-q"]

    assert cli.main([*args, "--workers", "4", "--no-schedule", "--parameter", "CreateTables=false"]) == 0

    held = Stack(NAMES.stack, REGION).parameters()
    assert (held["GlueWorkers"], held["Schedule"], held["CreateTables"]) == ("4", "DISABLED", "false")
    rules = client("events").list_rules()["Rules"]
    assert {rule["State"] for rule in rules if "ScheduleExpression" in rule} == {"DISABLED"}


# ---- what is not as it must be -----------------------------------------------------------------------------


def test_a_resource_that_is_missing_is_named_and_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    deployed()
    client("lambda").delete_function(FunctionName=NAMES.generator)

    code = cli.main(["deploy", "--id", "dev-1", "--region", REGION, "--template", str(template_file())])

    assert code == 1
    out = capsys.readouterr().out
    assert "missing  Lambda::Function capstone-event-generator-dev-1: Deploy again" in out


def test_a_job_that_is_not_as_it_must_be_is_wrong() -> None:
    done = deployed()
    glue, made = client("glue"), job()
    kept = {name: made[name] for name in ("Name", "Role", "Command")}
    glue.delete_job(JobName=NAMES.job)
    glue.create_job(**kept, DefaultArguments={"--job-bookmark-option": "job-bookmark-disable"})

    found = {verdict.type: verdict for verdict in examine(NAMES, REGION, [], done.artifacts)}
    assert found["AWS::Glue::Job"].state == "wrong"
    assert found["AWS::Glue::Job"].note == "--job-bookmark-option is job-bookmark-disable"

    found = {verdict.type: verdict for verdict in examine(NAMES, REGION, [], "artifacts/other")}
    assert "not s3://capstone-analytics-dev-1-123456789012/artifacts/other/glue_job.py" in (
        found["AWS::Glue::Job"].note
    )
    assert not found["AWS::Glue::Job"].holds


def test_a_kept_bucket_is_told_before_anything_is_made() -> None:
    client("s3").create_bucket(
        Bucket=NAMES.source_bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    before = account()

    with pytest.raises(FixData, match="is there already, kept when an earlier stack") as err:
        deployed()

    assert "destroy --id dev-1 --delete-data" in err.value.hint
    assert account() == before


@pytest.mark.parametrize(
    ("text", "parameters", "words"),
    [
        ("#" * 51_200, {}, "The template has 51,200 bytes, 51,200 are too many."),
        ("", {"NoSuch": "1"}, "The template has no parameter NoSuch."),
    ],
)
def test_a_template_that_cannot_be_is_refused(text: str, parameters: dict[str, str], words: str) -> None:
    before = account()

    with pytest.raises(FixSettings, match=words):
        deployed(parameters, text)

    assert account() == before


def test_a_missing_template_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["deploy", "--id", "dev-1", "--template", "nowhere.yaml"]) == 2
    assert "nowhere.yaml: there is no such template." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("state", "kind", "words", "hint"),
    [
        ("UPDATE_IN_PROGRESS", TryAgain, "somebody is changing it", "Wait"),
        ("ROLLBACK_COMPLETE", FixData, "its creation failed", "eventmint destroy"),
        ("ROLLBACK_FAILED", FixData, "its creation failed", "eventmint destroy"),
        ("DELETE_FAILED", FixData, "its deletion failed", "eventmint destroy"),
        ("UPDATE_ROLLBACK_FAILED", FixData, "could not be taken back", "continue-update-rollback"),
    ],
)
def test_a_state_that_nothing_can_be_built_on_is_told_with_its_causes(
    state: str, kind: type[Exception], words: str, hint: str
) -> None:
    # moto never fails: botocore's own stub answers in its place, checked against the service's description.
    stack = Stack(NAMES.stack, REGION)
    now = "2026-11-25T10:00:00Z"
    event = {
        "StackId": "id",
        "EventId": "1",
        "StackName": NAMES.stack,
        "LogicalResourceId": "Job",
        "ResourceType": "AWS::Glue::Job",
        "Timestamp": now,
        "ResourceStatus": "CREATE_FAILED",
        "ResourceStatusReason": "no such role",
    }
    called_off = event | {
        "LogicalResourceId": "Hourly",
        "ResourceStatusReason": "Resource creation cancelled",
    }
    with Stubber(stack.cloudformation) as stub:
        described = {"StackName": NAMES.stack, "CreationTime": now, "StackStatus": state}
        stub.add_response("describe_stacks", {"Stacks": [described]})
        stub.add_response("describe_stack_events", {"StackEvents": [called_off, event]})

        with pytest.raises(kind, match=words) as err:
            stack.kind_of_change()

    assert hint in str(err.value)
    if kind is FixData:
        assert "Job (AWS::Glue::Job): no such role" in str(err.value)
        assert "Hourly" not in str(err.value)


def test_a_failed_update_names_its_cause() -> None:
    stack = Stack(NAMES.stack, REGION)
    now = "2026-11-25T10:00:00Z"
    from eventmint.aws.stack import Plan

    with Stubber(stack.cloudformation) as stub:
        stub.add_response("execute_change_set", {})
        for state in ("UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"):
            described = {"StackName": NAMES.stack, "CreationTime": now, "StackStatus": state}
            stub.add_response("describe_stacks", {"Stacks": [described]})
        stub.add_response("describe_stack_events", {"StackEvents": []})

        with pytest.raises(FixData, match="update failed \\(UPDATE_ROLLBACK_COMPLETE\\)"):
            stack.apply(Plan("arn:change-set", "UPDATE", ()))
        stub.assert_no_pending_responses()


def test_the_template_is_found_beside_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "capstone-starter.cfn.yaml").write_text(template_text(), encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    assert cli.main(["deploy", "--id", "dev-1", "--region", REGION, "--dry-run", "-q"]) == 0
