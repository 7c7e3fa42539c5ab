"""Starting by hand what else the clock starts: one call of the generator, one run of the Glue job.

Both are awaited, and their failure is ours: what they said goes into the error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from eventmint.aws.names import Names
from eventmint.aws.waiting import wait_until
from eventmint.errors import FixData
from eventmint.storage.session import client, telling

Say = Callable[[str], None]

# As Glue names them; any other state is the end of a run.
AT_WORK = frozenset({"STARTING", "RUNNING", "STOPPING", "WAITING"})
RUN_SECONDS = 3600.0 + 600.0  # the job's own timeout, and a while to start


def generate_events(names: Names, region: str) -> dict[str, Any]:
    """Let the Lambda write one file of events now; return what it says of it.

    Raises: FixData: it failed; its own words are in the message.
    """
    with telling():
        answer = client("lambda", region).invoke(FunctionName=names.generator, Payload=b"{}")
        said = json.loads(answer["Payload"].read() or b"{}")
    if answer.get("FunctionError"):
        words = said.get("errorMessage", said) if isinstance(said, dict) else said
        raise FixData(
            f"{names.generator} failed: {words}", f"See `aws logs tail /aws/lambda/{names.generator}`."
        )
    return dict(said) if isinstance(said, dict) else {}


def run_job(names: Names, region: str, say: Say, limit_seconds: float = RUN_SECONDS) -> Mapping[str, Any]:
    """Run the Glue job once and wait for its end; a run that is at work already is awaited first.

    Raises: FixData: it failed. TryAgain: it is not done within the limit; it goes on without us.
    """
    glue = client("glue", region)
    for run in _runs(glue, names.job):
        if run["JobRunState"] in AT_WORK:
            say(f"job        {run['Id']} is at work already: it goes first")
            _end_of(glue, names.job, run["Id"], say, limit_seconds)
    with telling():
        run_id = glue.start_job_run(JobName=names.job)["JobRunId"]
    run = _end_of(glue, names.job, run_id, say, limit_seconds)
    if run["JobRunState"] != "SUCCEEDED":
        words = (run.get("ErrorMessage") or "it did not say why").strip().splitlines()[0]
        raise FixData(
            f"{names.job}: run {run_id} is {run['JobRunState']}: {words}",
            f"See `aws logs tail --since 2h /aws-glue/jobs/{names.job}/error`.",
        )
    return run


def _runs(glue: Any, job: str) -> list[Mapping[str, Any]]:
    """The newest runs: an older one cannot be at work, for only one may be at a time."""
    with telling():
        return list(glue.get_job_runs(JobName=job, MaxResults=10)["JobRuns"])


def _end_of(glue: Any, job: str, run_id: str, say: Say, limit_seconds: float) -> Mapping[str, Any]:
    told = ""

    def look() -> Mapping[str, Any]:
        nonlocal told
        with telling():
            run: Mapping[str, Any] = glue.get_job_run(JobName=job, RunId=run_id)["JobRun"]
        if run["JobRunState"] != told:
            told = run["JobRunState"]
            say(f"job        {run_id} {told.lower()}, {run.get('ExecutionTime', 0)} s")
        return run

    return wait_until(look, lambda run: run["JobRunState"] not in AT_WORK, f"job run {run_id}", limit_seconds)
