"""A month's bill: by hand where it can be worked out, and held to what a lake's runs really ask for."""

from __future__ import annotations

import dataclasses
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyiceberg.io.pyarrow
import pytest

from eventmint.aws.month import WHY, Measured, Plan, batches_per_run, lake_reads, month, run_seconds
from eventmint.lake import open_lake
from eventmint.sources.sample import SampleSettings, generate

MEASURED = Measured(
    gzip_bytes=Decimal(16 * 2**20),  # a million lines are two uploads' parts
    lake_bytes=Decimal(2**30) / 100,
    lines_per_second=Decimal(100_000),
    query_bytes=(1000, 2_000_000),
    commit_metadata=50,
    commit_files=10,
)
PLAN = Plan(events_per_file=1_000_000)


def _bill(plan: Plan = PLAN, measured: Measured = MEASURED) -> dict[str, Any]:
    return {line.name: line for line in month(plan, measured)}


def test_storage_is_a_month_of_source_files_and_of_every_layer() -> None:
    bill = _bill()
    assert bill["S3 storage, source files"].quantity == Decimal(8640 * 16) / 1024
    assert bill["S3 storage, source files"].dollars == Decimal(135) * Decimal("0.023")
    assert bill["S3 storage, lake"].dollars == pytest.approx(Decimal("86.40") * Decimal("0.023"))


def test_source_files_that_expire_sooner_are_paid_for_fewer_days() -> None:
    bill = _bill(dataclasses.replace(PLAN, source_days=10))
    assert bill["S3 storage, source files"].dollars == Decimal(45) * Decimal("0.023")


def test_a_run_takes_its_start_and_its_lines_unless_its_time_is_told() -> None:
    assert run_seconds(PLAN, MEASURED) == 60 + 120  # twelve files of a million lines, 100,000 a second
    assert run_seconds(dataclasses.replace(PLAN, run_seconds=Decimal(30)), MEASURED) == 30


def test_glue_is_paid_for_every_run_by_time_and_workers() -> None:
    assert _bill()["Glue job"].dollars == Decimal(720 * 180 * 2) * Decimal("0.44") / 3600
    short = _bill(dataclasses.replace(PLAN, run_seconds=Decimal(5)))
    assert short["Glue job"].dollars == Decimal(720 * 60 * 2) * Decimal("0.44") / 3600


def test_queries_cost_the_mean_of_the_statements_over_a_month_of_data() -> None:
    # 30 kB are billed as 10 MB, 60 MB as they are
    assert _bill()["Athena"].dollars == 3000 * (Decimal("0.00005") + Decimal("0.0003")) / 2


def test_writes_are_uploads_in_parts_commits_and_lists() -> None:
    # Twelve files of 16 MiB are 192 MiB: two batches a run. Two parts, a start and an end make four requests.
    assert batches_per_run(PLAN, MEASURED) == 2
    expected = 8640 * 4 + (720 * 2 * 60 + 8640) + 720 * 9
    assert _bill()["S3 requests, writing and listing"].quantity == expected


def test_a_batch_is_never_less_than_a_file() -> None:
    assert batches_per_run(dataclasses.replace(PLAN, batch_mb=1), MEASURED) == 12


def test_the_schedule_itself_is_free_and_no_key_is_needed() -> None:
    bill = _bill()
    assert (bill["EventBridge, schedule"].dollars, bill["KMS keys"].dollars) == (0, 0)
    assert _bill(dataclasses.replace(PLAN, keys=2))["KMS keys"].dollars == 2


@pytest.mark.parametrize(
    "change",
    [
        {"events_per_file": 1_100_000},
        {"runs_per_day": 48},
        {"queries_per_day": 200},
        {"workers": 3},
        {"worker_type": "G.2X"},
        {"lambda_seconds": Decimal(11)},
        {"lambda_memory_mb": 2048},
        {"alarms": 4},
    ],
)
def test_more_of_anything_costs_more(change: dict[str, Any]) -> None:
    def total(plan: Plan) -> Decimal:
        return sum((line.dollars for line in month(plan, MEASURED)), Decimal(0))

    assert total(dataclasses.replace(PLAN, **change)) > total(PLAN)


def test_every_assumption_has_its_reason() -> None:
    names = {field.name for field in dataclasses.fields(Plan)}
    assert set(WHY) == names | {"lines_per_second", "batches_per_run"}


def test_runs_do_not_read_more_metadata_than_the_bill_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(SampleSettings(num_files=6, events_per_file=50_000, workers=1, output_dir=tmp_path / "made"))
    (tmp_path / "eventmint.toml").write_text(
        '[source]\npath = "data"\nsettle_seconds = 0\n[run]\nworkers = 1\nbatch_mb = 1\n', encoding="utf-8"
    )
    reads = []
    opening = pyiceberg.io.pyarrow.PyArrowFile.open

    def count(file: Any, *args: Any, **kwargs: Any) -> Any:
        reads.append(file.location)
        return opening(file, *args, **kwargs)

    monkeypatch.setattr(pyiceberg.io.pyarrow.PyArrowFile, "open", count)
    files = sorted((tmp_path / "made").rglob("*.gz"))
    per_run = 2
    for first in range(0, len(files), per_run):
        for path in files[first : first + per_run]:
            target = tmp_path / "data" / path.relative_to(tmp_path / "made")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        open_lake(tmp_path / "eventmint.toml").run()
    batches = max(entry.seq for entry in open_lake(tmp_path / "eventmint.toml").ledger().entries)
    told = lake_reads(len(files) // per_run, batches // (len(files) // per_run))
    assert len(reads) <= told
    assert told <= 2 * len(reads)
