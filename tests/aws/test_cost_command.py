"""`eventmint cost` as a person and a program see it, on the lake of sample-data/."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from eventmint import cli
from eventmint.aws.cost import WORKER_DPU, athena_cost
from eventmint.aws.month import Plan
from eventmint.cli.cost import WORKER_TYPES
from eventmint.cli.cost import cost as command
from eventmint.lake import open_lake

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SOURCES = sorted((REPOSITORY / "sample-data").rglob("*.gz"))
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def eventmint(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    monkeypatch.chdir(tmp_path)

    def run(*args: object) -> tuple[int, str, str]:
        code = cli.main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def _document(eventmint: Call, *args: object) -> dict[str, Any]:
    code, out, err = eventmint("--json", *args)
    assert (code, err) == (0, "")
    return dict(json.loads(out))


def _line(document: dict[str, Any], name: str) -> dict[str, Any]:
    (line,) = [line for line in document["month"]["lines"] if line["name"] == name]
    return dict(line)


def test_storage_is_that_of_the_files_on_disk_and_of_the_unpacked_source(
    eventmint: Call, sample_lake: Path
) -> None:
    storage = _document(eventmint, "-C", sample_lake, "cost", "--measure", "1000")["storage"]
    raw_bytes = sum(len(gzip.decompress(path.read_bytes())) for path in SOURCES)
    assert storage["raw"]["measured_bytes"] == raw_bytes
    assert storage["raw"]["measured_files"] == storage["raw"]["files"] == len(SOURCES)
    assert storage["gzip"]["bytes"] == sum(path.stat().st_size for path in SOURCES)
    for layer in storage["layers"][:-1]:
        on_disk = sum(
            path.stat().st_size for path in (sample_lake / "lake" / layer["layer"]).rglob("*.parquet")
        )
        assert layer["bytes"] == on_disk, layer["layer"]
    *parts, whole = storage["layers"]
    assert whole["bytes"] == sum(part["bytes"] for part in parts)
    every = sum(path.stat().st_size for path in (sample_lake / "lake").rglob("*") if path.is_file())
    assert storage["other_bytes"] + whole["bytes"] == every
    bronze = storage["layers"][0]
    assert Decimal(bronze["reduction"]) == round(1 - Decimal(bronze["bytes"]) / raw_bytes, 4)


def test_the_specifications_figure_stands_beside_ours(eventmint: Call, sample_lake: Path) -> None:
    _, out, _ = eventmint("-C", sample_lake, "cost")
    assert re.search(
        r"^bronze against raw JSON: \d\d\.\d% less, \d+\.\d MB per million; "
        r"the specification says 87\.0% and 75\.0 MB$",
        out,
        re.MULTILINE,
    )
    assert f"raw JSON: measured over 12 of {len(SOURCES)} files by unpacking them" in out


def test_each_of_the_five_queries_costs_a_tenth_of_a_cent_at_most(eventmint: Call, sample_lake: Path) -> None:
    queries = _document(eventmint, "-C", sample_lake, "cost")["queries"]
    assert len(queries) == 5
    for query in queries:
        assert query["ok"]
        assert Decimal(query["dollars"]) == athena_cost(query["bytes"]) <= Decimal("0.001")
        assert 0 < query["bytes"] <= query["bytes_of_whole_files"]


def test_a_query_touches_the_chunks_of_its_columns(eventmint: Call, sample_lake: Path) -> None:
    query = _document(eventmint, "-C", sample_lake, "cost")["queries"][2]
    assert query["title"].startswith("3. Top products")
    chunks = footers = 0
    for path in (sample_lake / "lake" / "gold" / "conversion_funnel").rglob("*.parquet"):
        footer = pq.read_metadata(path)
        footers += footer.serialized_size + 8
        for name in ("product_id", "views"):
            column = footer.row_group(0).column(footer.schema.names.index(name))
            chunks += column.total_compressed_size
        assert footer.num_row_groups == 1
    assert query["bytes"] == chunks + footers


def test_a_query_stays_cheap_for_as_many_days_as_the_largest_fits_in(
    eventmint: Call, sample_lake: Path
) -> None:
    lake = open_lake(sample_lake / "eventmint.toml")
    size = lake.column_size("gold.conversion_funnel", ["product_id", "views"])
    query = _document(eventmint, "-C", sample_lake, "cost")["queries"][2]
    assert query["bytes_of_largest_day"] == size.largest_day_bytes < query["bytes"]
    assert query["ok_for_days"] == 200_000_000 // size.largest_day_bytes


def test_a_dear_statement_is_told_to_be_over(eventmint: Call, sample_lake: Path, tmp_path: Path) -> None:
    # The same table again and again, as a larger one would take too long to make.
    whole = open_lake(sample_lake / "eventmint.toml").column_size("silver.events_cleaned", ["session_id"])
    times = 200_000_000 // whole.column_bytes + 1
    statement = " UNION ALL ".join(["SELECT session_id FROM silver.events_cleaned"] * times)
    (tmp_path / "dear.sql").write_text(f"{statement};\n", encoding="utf-8")
    (query,) = _document(eventmint, "-C", sample_lake, "cost", "-f", tmp_path / "dear.sql")["queries"]
    assert not query["ok"]
    _, out, _ = eventmint("-C", sample_lake, "cost", "-f", tmp_path / "dear.sql")
    assert re.search(r"^silver\.events_cleaned.* OVER ", out, re.MULTILINE)


def test_a_run_is_told_as_a_glue_run_with_its_own_seconds(eventmint: Call, sample_lake: Path) -> None:
    document = _document(eventmint, "-C", sample_lake, "cost", "--workers", "4", "--worker-type", "G.2X")
    (run,) = document["runs"]["last"]
    recorded = open_lake(sample_lake / "eventmint.toml").last_run()
    assert recorded is not None
    assert (run["run_id"], run["seconds"]) == (recorded["run_id"], recorded["seconds"])
    dpu_seconds = 8 * max(Decimal(60), Decimal(str(recorded["seconds"])))
    assert Decimal(run["dpu_seconds"]) == round(dpu_seconds, 9)
    assert Decimal(run["dollars"]) == round(dpu_seconds * Decimal("0.44") / 3600, 9)


def test_the_bill_adds_up_and_tells_every_assumption(eventmint: Call, sample_lake: Path) -> None:
    month = _document(eventmint, "-C", sample_lake, "cost")["month"]
    total = sum(Decimal(line["dollars"]) for line in month["lines"])
    assert abs(total - Decimal(month["dollars"])) < Decimal("0.00000001")
    told = {assumption["name"] for assumption in month["assumptions"]}
    assert {field.name for field in dataclasses.fields(Plan)} <= told
    assert all(line["how"] for line in month["lines"])


def test_options_change_what_is_assumed(eventmint: Call, sample_lake: Path) -> None:
    document = _document(
        eventmint, "-C", sample_lake, "cost", "--runs-per-day", "48", "--run-seconds", "90.5",
        "--queries-per-day", "10", "--events-per-file", "750000", "--flex",
        "--lambda-seconds", "3", "--lambda-memory-mb", "512",
    )  # fmt: skip
    glue = Decimal(1440 * 181) * Decimal("0.29") / 3600
    assert Decimal(_line(document, "Glue job")["dollars"]) == round(glue, 9)
    assert Decimal(_line(document, "Athena")["quantity"]) == 300
    generator = 8640 * (Decimal("0.0000002") + Decimal("1.5") * Decimal("0.0000166667"))
    assert Decimal(_line(document, "Lambda, event generator")["dollars"]) == round(generator, 9)
    values = {assumption["name"]: assumption["value"] for assumption in document["month"]["assumptions"]}
    assert (values["events_per_file"], values["run_seconds"]) == (750_000, "90.5")


def test_defaults_of_options_are_those_of_the_plan() -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(Plan)}
    given = command.make_context("cost", [], resilient_parsing=True).params
    shared = {name: value for name, value in given.items() if name in defaults}
    assert len(shared) == 9
    assert shared == {name: defaults[name] for name in shared}
    assert [*WORKER_DPU] == [*WORKER_TYPES]


@pytest.mark.parametrize(
    "args",
    [
        ("--workers", "1"),
        ("--runs-per-day", "0"),
        ("--runs-per-day", "289"),
        ("--run-seconds", "-1"),
        ("--run-seconds", "soon"),
        ("--run-seconds", "nan"),
        ("--lambda-memory-mb", "64"),
        ("--worker-type", "G.3X"),
        ("--flex", "--worker-type", "G.4X"),
    ],
)
def test_what_glue_and_lambda_do_not_have_is_refused(
    eventmint: Call, sample_lake: Path, args: tuple[str, ...]
) -> None:
    code, out, err = eventmint("-C", sample_lake, "cost", *args)
    assert (code, out) == (2, "")
    assert args[0] in err


def test_without_a_lake_it_says_what_to_do(eventmint: Call) -> None:
    code, out, err = eventmint("cost")
    assert (code, out) == (1, "")
    assert "there is no lake here yet. Run `eventmint run SOURCE` first." in err


def test_a_lake_without_a_line_says_what_to_do(eventmint: Call, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert eventmint("-q", "run", "data")[0] == 0
    code, out, err = eventmint("cost")
    assert (code, out) == (1, "")
    assert "The lake holds no line yet. Run `eventmint run SOURCE` first." in err


def test_where_the_source_is_gone_the_reduction_is_not_known_and_the_rest_is(
    eventmint: Call, sample_lake: Path, tmp_path: Path
) -> None:
    shutil.copytree(REPOSITORY / "sample-data" / "events", tmp_path / "data" / "events")
    (tmp_path / "eventmint.toml").write_text(
        '[source]\npath = "data"\nsettle_seconds = 0\n[run]\nworkers = 1\n', encoding="utf-8"
    )
    assert eventmint("-q", "run")[0] == 0
    shutil.rmtree(tmp_path / "data")
    code, out, _ = eventmint("cost")
    assert code == 0
    assert "raw JSON: not known: the source files are gone, or not on this machine\n" in out
    assert "bronze against raw JSON: - less" in out
    document = _document(eventmint, "cost")
    there = _document(eventmint, "-C", sample_lake, "cost")
    assert document["storage"]["raw"]["bytes_per_million"] is None
    assert document["storage"]["gzip"] == there["storage"]["gzip"]
    assert Decimal(document["month"]["dollars"]) > 0


def test_nothing_is_unpacked_where_nothing_is_asked(eventmint: Call, sample_lake: Path) -> None:
    _, out, _ = eventmint("-C", sample_lake, "cost", "--measure", "0")
    assert "raw JSON: not known: no file was to be unpacked\n" in out


def test_a_small_lake_is_told_to_be_small(eventmint: Call, sample_lake: Path) -> None:
    _, _, err = eventmint("-C", sample_lake, "cost")
    assert re.search(r"hint: \d\d,\d{3} lines are few", err)


def test_a_price_that_nobody_has_seen_is_named(eventmint: Call, sample_lake: Path) -> None:
    _, out, _ = eventmint("-C", sample_lake, "cost")
    document = _document(eventmint, "-C", sample_lake, "cost")
    unseen = [price["name"] for price in document["prices"]["list"] if price["seen"] == "nowhere"]
    assert f"not confirmed by any page: {', '.join(unseen)}\n" in out


def test_tables_fit_80_columns(eventmint: Call, sample_lake: Path) -> None:
    _, out, _ = eventmint("-C", sample_lake, "cost")
    for start, end in (
        ("storage", "raw JSON: "),
        ("queries", "ok is"),
        ("runs", "\n\n"),
        ("a month", "S3 storage, source files: "),
    ):
        table = out[out.index(start) :]
        assert max(map(len, table[: table.index(end)].splitlines())) <= 80, start


def test_the_month_is_headed_by_the_events_that_it_was_made_for(eventmint: Call, sample_lake: Path) -> None:
    _, out, _ = eventmint("-C", sample_lake, "cost", "--events-per-file", "50000")
    assert "a month  of 432,000,000 events, without free tiers\n" in out
