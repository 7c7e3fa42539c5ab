"""Errors of AWS: each one clear line and exit code; and whose settings a run on AWS has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, SSOTokenLoadError, UnauthorizedSSOTokenError
from deployments import REGION

from eventmint import cli
from eventmint.aws.target import settings_on_aws
from eventmint.config import load_settings
from eventmint.errors import FixData, FixSettings, TryAgain
from eventmint.storage.session import account_id, client, is_emulator, told_of

STATUS = ["aws", "status", "--id", "dev", "--region", REGION]


def the_error(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_without_credentials_it_says_where_they_come_from(
    aws: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aws
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)

    assert cli.main(STATUS) == 2

    assert the_error(capsys) == (
        "error: AWS: no credentials were found. "
        "Set AWS_PROFILE, run `aws sso login` or `aws configure`, or export AWS_ACCESS_KEY_ID."
    )


def test_an_endpoint_that_does_not_answer_is_told(
    aws: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aws
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    assert cli.main(STATUS) == 1

    assert the_error(capsys) == (
        'error: AWS cannot be reached: Could not connect to the endpoint URL: "http://127.0.0.1:9/". '
        "Check the network, aws.region and AWS_ENDPOINT_URL."
    )


def test_an_error_is_one_json_document_where_json_is_wanted(
    aws: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aws
    monkeypatch.setenv("AWS_PROFILE", "nobody")

    assert cli.main([*STATUS, "--json"]) == 2

    error = json.loads(the_error(capsys))["error"]
    assert (error["kind"], error["exit_code"]) == ("FixSettings", 2)
    assert error["message"] == "AWS: The config profile (nobody) could not be found."


@pytest.mark.usefixtures("aws")
def test_a_region_that_cannot_be_is_told() -> None:
    with pytest.raises(FixSettings, match="us west 2") as err:
        client("s3", "us west 2")
    assert err.value.hint == "Set aws.region, such as us-west-2."


@pytest.mark.usefixtures("aws")
def test_a_deployment_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(STATUS) == 2
    assert the_error(capsys) == (
        "error: There is no stack capstone-dev in eu-central-1. Make it with `eventmint deploy --id dev`."
    )


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("AccessDenied", FixSettings, "AWS denied CreateJob: You may not. Ask for this permission"),
        ("AccessDeniedException", FixSettings, "AWS denied CreateJob"),
        ("ExpiredToken", FixSettings, "the credentials have expired"),
        ("InvalidClientTokenId", FixSettings, "AWS does not accept the credentials"),
        ("SignatureDoesNotMatch", FixSettings, "AWS does not accept the credentials"),
        ("PermanentRedirect", FixSettings, "this lies in another region"),
        ("IllegalLocationConstraintException", FixSettings, "this lies in another region"),
        ("ThrottlingException", TryAgain, "AWS is busy: CreateJob"),
        ("SlowDown", TryAgain, "AWS is busy: CreateJob"),
        ("InvalidInputException", FixData, r"AWS refused CreateJob \(InvalidInputException\): You may not\."),
    ],
)
def test_what_aws_refuses_is_told_by_what_helps(code: str, kind: type[Exception], words: str) -> None:
    refused = ClientError({"Error": {"Code": code, "Message": "You may\n not"}}, "CreateJob")
    with pytest.raises(kind, match=words):
        raise told_of(refused) or AssertionError


@pytest.mark.parametrize("err", [UnauthorizedSSOTokenError(), SSOTokenLoadError(error_msg="gone")])
def test_an_ended_sign_in_is_told(err: Exception) -> None:
    told = told_of(err)
    assert isinstance(told, FixSettings)
    assert told.hint == "Run `aws sso login` again."


def test_an_error_of_somebody_else_stays_what_it_is() -> None:
    assert told_of(ValueError("x")) is None


def test_a_command_about_a_lake_in_a_folder_does_not_load_what_talks_to_aws(sample_lake: Path) -> None:
    told = (
        "import sys; from eventmint.cli import main; "
        "sys.exit(main(['verify', '--json']) or 10 * ('botocore' in sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", told], cwd=sample_lake, capture_output=True, check=False)
    assert ended.returncode == 0, ended


def test_without_boto3_it_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)  # as the interpreter marks what cannot be imported

    assert cli.main(STATUS) == 2

    assert the_error(capsys).endswith("Install it with `pip install 'eventmint[aws]'`.")


@pytest.mark.usefixtures("aws")
def test_the_account_is_that_of_the_credentials() -> None:
    assert account_id(REGION) == "123456789012"


def test_an_emulator_is_told_from_aws(aws: str) -> None:
    assert is_emulator(aws)
    assert not is_emulator("https://s3.eu-central-1.amazonaws.com")
    assert not is_emulator("http://127.0.0.1:9")


# ---- the target --------------------------------------------------------------------------------------------


def test_a_run_on_aws_works_in_the_buckets_of_the_stack() -> None:
    flags = {"run.target": "aws", "aws.id": "dev-1", "aws.account": "123456789012"}
    settings = settings_on_aws(load_settings(flags=flags))
    assert settings.source_location == "s3://capstone-events-dev-1-123456789012/events"
    assert settings.lake_location == "s3://capstone-analytics-dev-1-123456789012/lake"
    assert settings.lake.database == "analytics-dev-1.duckdb"  # never the file of a local lake
    unpublished = settings_on_aws(load_settings(flags={**flags, "lake.database": ""}))
    assert unpublished.lake.database == ""


@pytest.mark.usefixtures("aws")
def test_the_account_that_is_not_set_is_asked_for() -> None:
    flags = {"run.target": "aws", "aws.id": "dev-1", "aws.region": REGION}
    settings = settings_on_aws(load_settings(flags=flags))
    assert settings.aws.account == "123456789012"
    assert settings.source_location == "s3://capstone-events-dev-1-123456789012/events"


def test_a_local_run_is_left_alone() -> None:
    settings = load_settings(flags={"aws.id": "dev-1"})
    assert settings_on_aws(settings) is settings


@pytest.mark.parametrize(
    ("id_", "words"), [("", "`aws.id` is empty"), ("A_b", "`A_b` cannot name a deployment")]
)
def test_without_an_id_that_can_be_there_is_no_deployment(id_: str, words: str) -> None:
    with pytest.raises(FixSettings, match=words):
        settings_on_aws(load_settings(flags={"run.target": "aws", "aws.id": id_}))
