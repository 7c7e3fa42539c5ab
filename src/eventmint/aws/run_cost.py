"""The cost of one run on AWS, by list prices: Glue, S3 requests, and what it adds to the storage. Pure."""

from __future__ import annotations

from decimal import Decimal

from eventmint.aws.cost import GIB, glue_cost, glue_dpu_seconds, load_prices, storage_cost
from eventmint.aws.month import READS_OF_DATA_FILE, Line, Plan, lake_reads

# What a commit writes besides data files: a manifest, the list of manifests, the metadata file.
_OBJECTS_OF_COMMIT = 3
_ASSUMED = Plan()


def run_cost(
    seconds: Decimal | float,
    *,
    batches: int,
    commits: int,
    source_files: int,
    data_files: int,
    new_bytes: int,
) -> tuple[Line, ...]:
    """Return what a run costs, by line.

    Args:
        seconds: that it takes after its start, on workers as `cost` assumes them.
        commits, data_files: that it makes and writes.
        new_bytes: by which the lake grows, once what it replaced has been removed.
    """
    prices = load_prices()
    billed = _ASSUMED.start_seconds + Decimal(str(seconds))
    dpu_seconds = glue_dpu_seconds(billed, _ASSUMED.workers, _ASSUMED.worker_type)
    writes = commits * _OBJECTS_OF_COMMIT + data_files + 1  # and a listing
    reads = lake_reads(1, batches) + source_files + READS_OF_DATA_FILE * data_files
    return (
        Line(
            "Glue job",
            dpu_seconds / 3600,
            "DPU-hours",
            glue_cost(dpu_seconds),
            f"{billed:.0f} s, {_ASSUMED.start_seconds} of them to start; {_ASSUMED.workers} workers "
            f"{_ASSUMED.worker_type}; the rest at the speed of planning, on this machine",
        ),
        Line(
            "S3 requests, writing and listing",
            Decimal(writes),
            "requests",
            prices["s3_write_request"].dollars * writes,
            f"{commits:,} commits of {_OBJECTS_OF_COMMIT} objects each, and {data_files:,} data files",
        ),
        Line(
            "S3 requests, reading",
            Decimal(reads),
            "requests",
            prices["s3_read_request"].dollars * reads,
            "counted per run and per batch, as `cost` does",
        ),
        Line(
            "S3 storage, a month",
            Decimal(new_bytes) / GIB,
            "GiB",
            storage_cost(new_bytes),
            "for every month; what was replaced is removed within days",
        ),
    )
