"""A month on AWS: from what was measured on a lake and what is assumed of the month to dollars by line.

Pure. Every assumption is a field of `Plan` with a default, and every default can be told to a reader.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from eventmint.aws.cost import (
    GIB,
    athena_cost,
    glue_cost,
    glue_dpu_seconds,
    lambda_cost,
    load_prices,
    storage_cost,
)
from eventmint.aws.metrics import UNITS

MILLION = 1_000_000
_PART_BYTES = 8 << 20  # from this size on a file is uploaded in parts

# Requests that a run makes of the lake's metadata, counted at the storage while runs of one to six batches
# went over lakes of up to 72 batches; tests/aws/test_month.py counts again. They do not grow with history:
# manifests are merged (tables.manifests), snapshots trimmed.
_METADATA_OF_RUN, _METADATA_OF_BATCH = 120, 120
# Not counted, estimated: a Parquet file is read by its footer and two ranges, once to refine, once to check.
READS_OF_DATA_FILE = 6
_LISTED_AT_ONCE = 1_000


@dataclass(frozen=True)
class Measured:
    """What a lake shows.

    Attributes:
        gzip_bytes, lake_bytes: bytes of a million lines, as they arrive and as they lie in all layers.
        lines_per_second: of the largest run on record.
        query_bytes: for each statement the bytes it reads over the day that has most.
        commit_metadata, commit_files: objects that one batch writes besides bronze's files: metadata, data.
    """

    gzip_bytes: Decimal
    lake_bytes: Decimal
    lines_per_second: Decimal
    query_bytes: tuple[int, ...]
    commit_metadata: int
    commit_files: int


@dataclass(frozen=True)
class Plan:
    """What is assumed of the month.

    Attributes:
        run_seconds: billed time of a run; None: the start and what the measured speed makes of the lines.
        lambda_seconds, lambda_memory_mb: of one call that generates a file.
    """

    days: int = 30
    files_per_day: int = 288
    events_per_file: int = 625_000
    runs_per_day: int = 24
    queries_per_day: int = 100
    workers: int = 2
    worker_type: str = "G.1X"
    is_flex: bool = False
    start_seconds: int = 60
    run_seconds: Decimal | None = None
    lambda_seconds: Decimal = Decimal(10)
    lambda_memory_mb: int = 1769
    batch_mb: int = 100
    source_days: int = 30
    log_mb_per_run: int = 5
    alarms: int = 3
    metrics: int = len(UNITS)
    keys: int = 0

    @property
    def files(self) -> int:
        return self.days * self.files_per_day

    @property
    def events(self) -> int:
        return self.files * self.events_per_file

    @property
    def runs(self) -> int:
        return self.days * self.runs_per_day

    @property
    def files_per_run(self) -> int:
        return _parts(self.files_per_day, self.runs_per_day)


# Why each value is what it is, in the words of the bill.
WHY = {
    "days": "days of a month",
    "files_per_day": "one every five minutes, as specified",
    "events_per_file": "500,000 to 750,000 are specified",
    "runs_per_day": "Glue runs; hourly",
    "queries_per_day": "Athena queries; assumed",
    "workers": "Glue workers, the driver among them; the fewest",
    "worker_type": "their size: 4 vCPU, 16 GB a DPU",
    "is_flex": "Glue's cheaper class, which may wait for its machines",
    "start_seconds": "of a run before it reads: Spark, our packages; assumed, never measured on Glue",
    "run_seconds": "a run: its start, then its lines at the speed below, unless told",
    "lambda_seconds": "a call of the generator; assumed",
    "lambda_memory_mb": "its memory; 1,769 MB are one vCPU",
    "batch_mb": "run.batch_mb of the configuration",
    "source_days": "source files expire after so many days",
    "log_mb_per_run": "written by a run; assumed",
    "alarms": "job failed, no fresh data, quarantine",
    "metrics": "of our own, which each run sends",
    "keys": "customer managed KMS keys",
    "lines_per_second": "the largest run on record here: this machine, this engine, not Glue",
    "batches_per_run": "by the size of the source files",
}


@dataclass(frozen=True)
class Line:
    """One line of the bill: so much of something, and how the quantity was come by."""

    name: str
    quantity: Decimal
    unit: str
    dollars: Decimal
    how: str


def month(plan: Plan, measured: Measured) -> tuple[Line, ...]:
    """Return the first month's bill by line; it ends with all of the month's data held."""
    return (*_storage(plan, measured), *_requests(plan, measured), *_compute(plan, measured), *_watch(plan))


def run_seconds(plan: Plan, measured: Measured) -> Decimal:
    """Return how long a run takes: as told, or the start and the lines at the measured speed."""
    if plan.run_seconds is not None:
        return plan.run_seconds
    return plan.start_seconds + plan.files_per_run * plan.events_per_file / measured.lines_per_second


def batches_per_run(plan: Plan, measured: Measured) -> int:
    run_bytes = plan.files_per_run * plan.events_per_file * measured.gzip_bytes / MILLION
    # A batch never ends inside a file.
    return min(plan.files_per_run, max(1, _parts(run_bytes, plan.batch_mb << 20)))


def lake_reads(runs: int, batches: int) -> int:
    """Return the reads of metadata by so many runs of so many batches each."""
    return runs * (_METADATA_OF_RUN + batches * _METADATA_OF_BATCH)


def _storage(plan: Plan, measured: Measured) -> tuple[Line, ...]:
    source_events = plan.events * min(plan.days, plan.source_days) // plan.days
    source = source_events * measured.gzip_bytes / MILLION
    lake = plan.events * measured.lake_bytes / MILLION
    return (
        Line(
            "S3 storage, source files",
            source / GIB,
            "GiB",
            storage_cost(source),
            f"gzip files of {plan.source_days} days; older ones expire",
        ),
        Line(
            "S3 storage, lake",
            lake / GIB,
            "GiB",
            storage_cost(lake),
            "every further month adds as much, for every month after it",
        ),
    )


def _requests(plan: Plan, measured: Measured) -> tuple[Line, ...]:
    prices = load_prices()
    batches = batches_per_run(plan, measured)
    file_bytes = plan.events_per_file * measured.gzip_bytes / MILLION
    parts = _parts(file_bytes, _PART_BYTES)
    uploads = plan.files * (parts + 2 if parts > 1 else 1)
    commits = plan.runs * batches * (measured.commit_metadata + measured.commit_files) + plan.files
    lists = plan.runs * _parts(plan.source_days * plan.files_per_day, _LISTED_AT_ONCE)
    writes = uploads + commits + lists
    data_files = plan.files + plan.runs * batches * measured.commit_files
    reads = lake_reads(plan.runs, batches) + plan.files + READS_OF_DATA_FILE * data_files
    return (
        Line(
            "S3 requests, writing and listing",
            Decimal(writes),
            "requests",
            prices["s3_write_request"].dollars * writes,
            f"{uploads:,} to upload files, {commits:,} to commit {plan.runs * batches:,} batches "
            f"({measured.commit_metadata + measured.commit_files} objects each, as this lake's newest), "
            f"{lists:,} to list the source",
        ),
        Line(
            "S3 requests, reading",
            Decimal(reads),
            "requests",
            prices["s3_read_request"].dollars * reads,
            "counted per run and per batch; they do not grow with history",
        ),
    )


def _compute(plan: Plan, measured: Measured) -> tuple[Line, ...]:
    calls = plan.files
    seconds = run_seconds(plan, measured)
    dpu_seconds = plan.runs * glue_dpu_seconds(seconds, plan.workers, plan.worker_type)
    queries = plan.days * plan.queries_per_day
    return (
        Line(
            "Lambda, event generator",
            Decimal(calls),
            "calls",
            lambda_cost(calls, plan.lambda_seconds, plan.lambda_memory_mb),
            f"{plan.lambda_seconds} s with {plan.lambda_memory_mb:,} MB each",
        ),
        Line(
            "EventBridge, schedule",
            Decimal(calls),
            "events",
            load_prices()["eventbridge_scheduled_event"].dollars * calls,
            "events of scheduled rules are free",
        ),
        Line(
            "Glue job",
            dpu_seconds / 3600,
            "DPU-hours",
            glue_cost(dpu_seconds, is_flex=plan.is_flex),
            f"{plan.runs:,} runs of {seconds:.0f} s, {plan.workers} workers {plan.worker_type}"
            f"{', FLEX' if plan.is_flex else ''}",
        ),
        Line(
            "Athena",
            Decimal(queries),
            "queries",
            queries * _mean([athena_cost(day * plan.days) for day in measured.query_bytes]),
            f"the statements above in turn, over {plan.days} days like the largest",
        ),
    )


def _watch(plan: Plan) -> tuple[Line, ...]:
    prices = load_prices()
    logs = Decimal(plan.runs * plan.log_mb_per_run) / 1024
    per_log_gb = prices["cloudwatch_log_gb"].dollars + prices["cloudwatch_log_gb_month"].dollars
    watched = (
        plan.alarms * prices["cloudwatch_alarm"].dollars + plan.metrics * prices["cloudwatch_metric"].dollars
    )
    return (
        Line(
            "CloudWatch logs", logs, "GiB", logs * per_log_gb, f"{plan.log_mb_per_run} MB a run, kept a month"
        ),
        Line(
            "CloudWatch alarms and metrics",
            Decimal(plan.alarms + plan.metrics),
            "of them",
            watched,
            f"{plan.alarms} alarms, {plan.metrics} metrics of our own",
        ),
        Line(
            "KMS keys",
            Decimal(plan.keys),
            "keys",
            plan.keys * prices["kms_key"].dollars,
            "S3's own encryption needs none",
        ),
    )


def _parts(whole: Decimal | int, size: int) -> int:
    return math.ceil(whole / size) if isinstance(whole, Decimal) else -(-whole // size)


def _mean(values: list[Decimal]) -> Decimal:
    return sum(values, Decimal(0)) / len(values) if values else Decimal(0)
