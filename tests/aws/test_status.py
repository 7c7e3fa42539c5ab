"""The state of a deployment, read from what moto keeps; runs of the job as Glue describes them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from deployments import NAMES, REGION, client, deployed, with_entry_script

from eventmint import cli
from eventmint.aws import status as looking
from eventmint.aws.status import newest_object, status
from eventmint.errors import FixData, TryAgain
from eventmint.serve.aws_screens import draw_status
from eventmint.serve.terminal import Page

FOLDER = "events/year={:%Y}/month={:%m}/day={:%d}/hour={:%H}/minute={:%M}/events-{:%Y%m%d-%H%M%S}.jsonl.gz"


@pytest.fixture(autouse=True)
def _entry_script(monkeypatch: pytest.MonkeyPatch) -> None:
    with_entry_script(monkeypatch)


def now() -> datetime:
    return datetime.now(UTC)


def put_events(moment: datetime, body: bytes = b"x") -> str:
    key = FOLDER.format(*[moment] * 6)
    client("s3").put_object(Bucket=NAMES.source_bucket, Key=key, Body=body)
    return key


def run_of(**changes: Any) -> dict[str, Any]:
    """A run as GetJobRuns describes it."""
    return {
        "Id": "jr_1",
        "JobRunState": "SUCCEEDED",
        "StartedOn": datetime(2026, 11, 25, 10, tzinfo=UTC),
        "ExecutionTime": 90,
        "WorkerType": "G.1X",
        "NumberOfWorkers": 2,
        **changes,
    }


# ---- runs and their cost -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "dpu_seconds"),
    [
        ({}, "180"),  # 2 workers of 1 DPU for 90 s
        ({"WorkerType": "G.2X", "NumberOfWorkers": 10}, "1800"),
        ({"ExecutionTime": 20}, "120"),  # a minute at least
        ({"ExecutionTime": 0, "JobRunState": "STARTING"}, "0"),
        ({"DPUSeconds": 151.5}, "151.5"),  # as Glue counted it, where workers come and go
        ({"WorkerType": "R.1X", "MaxCapacity": 4.0}, "360"),  # not in the price list
    ],
)
def test_a_run_is_billed_for_its_workers(changes: dict[str, Any], dpu_seconds: str) -> None:
    assert looking._dpu_seconds(run_of(**changes)) == Decimal(dpu_seconds)


def test_a_failed_run_tells_the_first_line_of_its_error() -> None:
    told = looking._told(run_of(JobRunState="FAILED", ErrorMessage="FixData: no such file\n  at line 3\n"))
    assert (told["state"], told["error"]) == ("FAILED", "FixData: no such file")
    assert (told["seconds"], told["dpu_hours"]) == (90, Decimal("0.0500"))


@pytest.mark.usefixtures("aws")
def test_runs_and_queries_of_this_month_are_summed_up() -> None:
    deployed()
    for _ in range(7):
        client("glue").start_job_run(JobName=NAMES.job, WorkerType="G.1X", NumberOfWorkers=2)
    athena = client("athena")
    for statement in ("SELECT 1", "SELECT 2", "CREATE TABLE x AS SELECT 1"):
        id_ = athena.start_query_execution(QueryString=statement, WorkGroup=NAMES.workgroup)[
            "QueryExecutionId"
        ]
        for _ in range(3):  # moto's queries move on when they are looked at
            athena.get_query_execution(QueryExecutionId=id_)

    found = status(NAMES, REGION, now())

    # Every run of moto takes 123 s: 7 x 246 DPU-seconds at 0.44 dollars an hour.
    assert len(found["runs"]) == 5
    assert {run["dpu_hours"] for run in found["runs"]} == {Decimal("0.0683")}
    assert found["cost"]["glue"] == {
        "runs": 7,
        "dpu_hours": Decimal("0.4783"),
        "dollars": Decimal("0.210467"),
    }
    # Two queries that scanned nothing: ten megabytes each. What defines a table is not charged.
    assert found["cost"]["athena"] == {
        "queries": 2,
        "bytes_scanned": 0,
        "dollars": Decimal("0.000100"),
        "is_cut": False,
    }
    assert found["cost"]["dollars"] == Decimal("0.210567")


@pytest.mark.usefixtures("aws")
def test_another_month_costs_nothing_yet() -> None:
    deployed()
    client("glue").start_job_run(JobName=NAMES.job, WorkerType="G.1X", NumberOfWorkers=2)

    found = status(NAMES, REGION, now() + timedelta(days=32))

    assert len(found["runs"]) == 1
    assert found["cost"]["dollars"] == 0


# ---- freshness, laws, workgroup ----------------------------------------------------------------------------


@pytest.mark.usefixtures("aws")
def test_the_newest_file_is_found_whatever_came_last_into_the_bucket() -> None:
    deployed()
    start = datetime(2026, 11, 25, 23, 50, tzinfo=UTC)
    keys = [put_events(start + timedelta(minutes=5 * n), b"x" * (n + 1)) for n in range(5)]
    put_events(start - timedelta(days=40))

    found = newest_object(NAMES, REGION)

    assert found is not None
    assert found["path"] == f"s3://{NAMES.source_bucket}/{keys[-1]}"
    assert found["bytes"] == 5
    assert abs(found["written_at"] - now()) < timedelta(minutes=5)


@pytest.mark.usefixtures("aws")
def test_nothing_has_happened_after_deploying() -> None:
    deployed()

    found = status(NAMES, REGION, now(), last_run=lambda: None)

    assert found["state"] == "CREATE_COMPLETE"
    assert found["runs"] == []
    assert found["freshness"] == {"newest_event_file": None, "gold_committed_at": None}
    assert found["laws"] == {"hold": None, "run": None, "trouble": "no run yet"}
    assert found["workgroup"] == {
        "name": "capstone-analytics-dev-1",
        "state": "ENABLED",
        "bytes_scanned_cutoff": 1_073_741_824,
    }


@pytest.mark.usefixtures("aws")
def test_a_commit_to_gold_is_seen_in_the_catalog() -> None:
    deployed()
    table = {"Name": "hourly_revenue", "Parameters": {"metadata_location": "s3://x/1.metadata.json"}}
    client("glue").create_table(DatabaseName=NAMES.database("gold"), TableInput=table)

    committed = status(NAMES, REGION, now())["freshness"]["gold_committed_at"]

    assert abs(committed - now()) < timedelta(minutes=5)


LAW = {"name": "rows", "text": "bronze.events: valid + quarantined = rows: 9 = 10", "holds": False}


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (
            {"run_id": "r1", "laws": [LAW | {"holds": True}]},
            {"hold": True, "run": "r1", "checked": 1, "broken": []},
        ),
        (
            {"run_id": "r1", "laws": [LAW]},
            {"hold": False, "run": "r1", "checked": 1, "broken": [LAW["text"]]},
        ),
    ],
)
def test_the_laws_are_those_of_the_newest_run(record: dict[str, Any], told: dict[str, Any]) -> None:
    assert looking._laws(lambda: record) == told


def test_a_lake_that_cannot_be_read_does_not_hide_the_rest() -> None:
    def broken() -> Mapping[str, Any] | None:
        raise TryAgain("The lake is busy.", "Try again.")

    assert looking._laws(broken)["trouble"] == "The lake is busy. Try again."


@pytest.mark.usefixtures("aws")
def test_what_is_missing_is_none_and_other_trouble_is_told() -> None:
    glue = client("glue")

    def denied() -> None:
        raise FixData("AWS refused GetJobRuns (InvalidInputException): no.")

    assert looking._missing_as_none(lambda: looking._runs(glue, "no-such-job")) in (None, [])
    with pytest.raises(FixData):
        looking._missing_as_none(denied)


# ---- on the command line -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("aws")
def test_the_screen_says_it_in_words() -> None:
    deployed()
    key = put_events(datetime(2026, 11, 25, 23, 50, tzinfo=UTC))
    client("glue").start_job_run(JobName=NAMES.job, WorkerType="G.1X", NumberOfWorkers=2)
    record = {"run_id": "r1", "laws": [LAW | {"holds": True}]}

    page = Page(io.StringIO())
    draw_status(page, status(NAMES, REGION, now(), lambda: record))

    out = page.text()
    assert "capstone-dev-1 in eu-central-1: CREATE_COMPLETE" in out
    assert f"s3://{NAMES.source_bucket}/{key}" in out
    assert "1 laws held in run r1" in out
    assert "capstone-analytics-dev-1  ENABLED, at most 1,073,741,824 bytes a query" in out
    assert "0.0683" in out
    assert "0.030067" in out


@pytest.mark.usefixtures("aws")
def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    deployed()

    assert cli.main(["aws", "status", "--id", "dev-1", "--region", REGION, "--json"]) == 0

    out, err = capsys.readouterr()
    document = json.loads(out)
    assert err == ""
    assert document["cost"]["dollars"] == "0.000000"
    assert document["laws"]["hold"] is None
