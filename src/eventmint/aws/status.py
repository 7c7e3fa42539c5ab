"""How a deployment does: job runs, freshness, the laws, the workgroup, and what this month has cost so far.

Reads only. The cost is by the price list from what AWS counted, without storage, requests and free tiers: the
bill has the last word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from eventmint.aws.cost import WORKER_DPU, athena_cost, glue_cost, glue_dpu_seconds
from eventmint.aws.names import Names
from eventmint.aws.stack import Stack
from eventmint.errors import EventmintError, FixData, FixSettings
from eventmint.storage.session import client, error_code, is_emulator, telling

RUNS_SHOWN = 5
_RUNS_AT_ONCE = 200
# A workgroup that was asked more often is summed up to here, and the status says so.
MOST_QUERIES = 5000

Run = Mapping[str, Any]
LastRun = Callable[[], Mapping[str, Any] | None]


def status(names: Names, region: str, now: datetime, last_run: LastRun | None = None) -> dict[str, Any]:
    """Return the state of a deployment as plain data.

    Args:
        now: its UTC month is the one whose cost is summed up.
        last_run: gives the record of the lake's newest run; what it raises is told as the lake's trouble.
    Raises: FixSettings: there is no such deployment.
    """
    stack = Stack(names.stack, region)
    state = stack.state()
    if not state:
        raise FixSettings(
            f"There is no stack {names.stack} in {region}.",
            f"Make it with `eventmint deploy --id {names.id}`.",
        )
    month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    glue = client("glue", region)
    runs = _missing_as_none(lambda: _runs(glue, names.job)) or []
    return {
        "id": names.id,
        "stack": names.stack,
        "state": state,
        "region": region,
        "runs": [_told(run) for run in runs[:RUNS_SHOWN]],
        "freshness": {
            "newest_event_file": _missing_as_none(lambda: newest_object(names, region)),
            "gold_committed_at": _missing_as_none(lambda: _newest_commit(glue, names.database("gold"))),
        },
        "laws": _laws(last_run),
        "workgroup": _missing_as_none(lambda: _workgroup(names, region)),
        "cost": _cost(names, region, runs, month),
    }


# ---- the job -----------------------------------------------------------------------------------------------


def _runs(glue: Any, job: str) -> list[Run]:
    """Return the runs that Glue remembers, the newest first: it promises no order."""
    with telling():
        pages = glue.get_paginator("get_job_runs").paginate(
            JobName=job, PaginationConfig={"PageSize": _RUNS_AT_ONCE}
        )
        runs = [run for page in pages for run in page["JobRuns"]]
    return sorted(runs, key=lambda run: run["StartedOn"], reverse=True)


def _told(run: Run) -> dict[str, Any]:
    error = (run.get("ErrorMessage") or "").strip()
    return {
        "run": run["Id"],
        "state": run["JobRunState"],
        "started_at": _utc(run["StartedOn"]),
        "seconds": run.get("ExecutionTime", 0),
        "dpu_hours": (_dpu_seconds(run) / 3600).quantize(Decimal("0.0001")),
        "error": error.splitlines()[0] if error else None,
    }


def _dpu_seconds(run: Run) -> Decimal:
    """Return what a run is billed for: as Glue counted it, else all its workers for all its time."""
    if run.get("DPUSeconds"):  # where workers come and go
        return Decimal(str(run["DPUSeconds"]))
    seconds = run.get("ExecutionTime", 0)
    if not seconds:
        return Decimal(0)
    workers, kind = run.get("NumberOfWorkers", 0), run.get("WorkerType", "")
    if kind in WORKER_DPU:
        billed: Decimal = glue_dpu_seconds(seconds, workers, kind)
        return billed
    # A kind of worker that the price list does not know: Glue says how many DPU it has.
    return Decimal(str(run.get("MaxCapacity", 0))) * int(seconds)


# ---- freshness ---------------------------------------------------------------------------------------------


def newest_object(names: Names, region: str) -> dict[str, Any] | None:
    """Return the newest file of events; None where there is none.

    Folders are named by time, in order: the last of the last of the last, a few calls for any history.
    """
    s3, prefix = client("s3", region), "events/"
    with telling():
        while True:
            folders, objects = _level(s3, names.source_bucket, prefix)
            if not folders:
                break
            prefix = max(folders)
    if not objects:
        return None
    newest = max(objects, key=lambda entry: (entry["LastModified"], entry["Key"]))
    return {
        "path": f"s3://{names.source_bucket}/{newest['Key']}",
        "bytes": newest["Size"],
        "written_at": _utc(newest["LastModified"]),
    }


def _level(s3: Any, bucket: str, prefix: str) -> tuple[list[str], list[Mapping[str, Any]]]:
    folders: list[str] = []
    objects: list[Mapping[str, Any]] = []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
        folders += [entry["Prefix"] for entry in page.get("CommonPrefixes", ())]
        objects += page.get("Contents", ())
    return folders, objects


def _newest_commit(glue: Any, database: str) -> datetime | None:
    """Return when a table of gold was last committed to: a commit moves its pointer in the catalog."""
    with telling():
        pages = list(glue.get_paginator("get_tables").paginate(DatabaseName=database))
    times = [
        _utc(table.get("UpdateTime") or table["CreateTime"])
        for page in pages
        for table in page["TableList"]
        if table.get("Parameters", {}).get("metadata_location")
    ]
    return max(times, default=None)


# ---- laws, workgroup, cost ---------------------------------------------------------------------------------


def _laws(last_run: LastRun | None) -> dict[str, Any]:
    """Return what the newest run's record says of the laws, or why it can't be read."""
    if last_run is None:
        return {"hold": None, "run": None, "trouble": "not looked at"}
    try:
        record = last_run()
    except EventmintError as err:
        return {"hold": None, "run": None, "trouble": str(err)}
    if record is None:
        return {"hold": None, "run": None, "trouble": "no run yet"}
    laws: Sequence[Mapping[str, Any]] = record.get("laws", ())
    broken = [law["text"] for law in laws if not law["holds"]]
    return {"hold": not broken, "run": record.get("run_id"), "checked": len(laws), "broken": broken}


def _workgroup(names: Names, region: str) -> dict[str, Any] | None:
    with telling():
        found = client("athena", region).get_work_group(WorkGroup=names.workgroup).get("WorkGroup")
    if found is None:
        return None
    cutoff = found.get("Configuration", {}).get("BytesScannedCutoffPerQuery")
    return {"name": names.workgroup, "state": found.get("State"), "bytes_scanned_cutoff": cutoff}


def _cost(names: Names, region: str, runs: Sequence[Run], month: datetime) -> dict[str, Any]:
    this_month = [run for run in runs if _utc(run["StartedOn"]) >= month]
    glue = [(_dpu_seconds(run), run.get("ExecutionClass") == "FLEX") for run in this_month]
    glue_dollars = sum((glue_cost(seconds, is_flex=is_flex) for seconds, is_flex in glue), Decimal(0))
    scans = _missing_as_none(lambda: list(_scans(names, region, month))) or []
    athena_dollars = sum((athena_cost(scanned) for scanned in scans), Decimal(0))
    return {
        "month": f"{month:%Y-%m}",
        "glue": {
            "runs": len(this_month),
            "dpu_hours": (sum((s for s, _ in glue), Decimal(0)) / 3600).quantize(Decimal("0.0001")),
            "dollars": _cents(glue_dollars),
        },
        "athena": {
            "queries": len(scans),
            "bytes_scanned": sum(scans),
            "dollars": _cents(athena_dollars),
            "is_cut": len(scans) >= MOST_QUERIES,
        },
        "dollars": _cents(glue_dollars + athena_dollars),
        "without": "storage, requests, Lambda, logs, taxes, free tiers",
    }


def _scans(names: Names, region: str, month: datetime) -> Iterator[int]:
    """Yield the bytes that each query of the month scanned: the newest come first."""
    athena = client("athena", region)
    count = 0
    with telling():
        pages = athena.get_paginator("list_query_executions").paginate(WorkGroup=names.workgroup)
        for page in pages:
            for execution in _executions(athena, page["QueryExecutionIds"]):
                submitted = execution["Status"].get("SubmissionDateTime")
                if count >= MOST_QUERIES or (submitted and _utc(submitted) < month):
                    return
                # DDL and what failed before it began scan nothing, and cost nothing.
                if execution.get("StatementType") == "DML" and _is_billed(execution):
                    count += 1
                    yield int(execution.get("Statistics", {}).get("DataScannedInBytes", 0))


def _is_billed(execution: Mapping[str, Any]) -> bool:
    return execution["Status"]["State"] == "SUCCEEDED" or (
        execution["Status"]["State"] == "CANCELLED"
        and bool(execution.get("Statistics", {}).get("DataScannedInBytes"))
    )


def _executions(athena: Any, ids: list[str]) -> list[Mapping[str, Any]]:
    """Return the queries of one page: at most fifty, as many as one call tells of."""
    if not ids:
        return []
    if is_emulator(athena.meta.endpoint_url):  # it can't tell of several at once
        return [athena.get_query_execution(QueryExecutionId=id_)["QueryExecution"] for id_ in ids]
    return list(athena.batch_get_query_execution(QueryExecutionIds=ids)["QueryExecutions"])


def _missing_as_none(read: Callable[[], Any]) -> Any:
    """Return what is read; None where the resource is not there."""
    try:
        return read()
    except FixData as err:
        if error_code(err.__cause__) in ("EntityNotFoundException", "NoSuchBucket", "404") or (
            "not found" in err.message or "does not exist" in err.message
        ):
            return None
        raise


def _cents(dollars: Decimal) -> Decimal:
    return dollars.quantize(Decimal("0.000001"))


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
