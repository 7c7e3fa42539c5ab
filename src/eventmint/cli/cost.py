"""The command `cost`: what this lake would cost on AWS. Joins what the lake measures with the price list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from eventmint.cli.common import OneOf
from eventmint.cli.frame import Call, cli
from eventmint.errors import FixData, FixSettings

if TYPE_CHECKING:
    from eventmint.aws.month import Measured, Plan
    from eventmint.lake import Lake
    from eventmint.tables.sizes import TableSize
    from eventmint.values import LedgerEntry

MILLION = 1_000_000
FLEX_WORKER_TYPES = ("G.1X", "G.2X")
LAYERS = ("bronze", "silver", "gold", "ops")
# As in aws.cost.WORKER_DPU, which is slow to import.
WORKER_TYPES = ("G.1X", "G.2X", "G.4X", "G.8X", "G.12X", "G.16X")
SPECIFIED = {"reduction": Decimal("0.87"), "bronze_bytes_per_million": 75_000_000}
QUERY_LIMIT = Decimal("0.001")
RUNS_SHOWN = 5
SMALL_LAKE_LINES = 500_000
_AT_LEAST_ONE = click.IntRange(min=1)


class Seconds(click.ParamType[Decimal]):
    """A decimal number of seconds, not negative."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        number = Decimal(str(value)) if str(value).replace(".", "", 1).isdecimal() else Decimal(-1)
        return number if number >= 0 else self.fail(f"{value!r} is not a number of seconds.", param, ctx)


def _assumed(
    name: str, value: Any, kind: click.ParamType[Any], metavar: str | None, meaning: str
) -> Callable[[Any], Any]:
    """An option that sets a field of `aws.month.Plan`, with that field's default."""
    return click.option(name, type=kind, default=value, show_default=True, metavar=metavar, help=meaning)


@cli.command()
@_assumed("--events-per-file", 625_000, _AT_LEAST_ONE, "N", "Events of five minutes.")
@_assumed("--runs-per-day", 24, click.IntRange(1, 288), "N", "Glue runs.")
@_assumed("--workers", 2, click.IntRange(min=2), "N", "Glue workers, the driver among them.")
@_assumed("--worker-type", "G.1X", OneOf(WORKER_TYPES), None, "Their size.")
@click.option("--flex", "is_flex", is_flag=True, help="Glue's cheaper class, which may have to wait.")
@click.option(
    "--run-seconds",
    type=Seconds(),
    metavar="S",
    help="Billed time of a Glue run; default: a minute, and the lines at this lake's speed.",
)
@_assumed("--queries-per-day", 100, click.IntRange(min=0), "N", "Queries in Athena.")
@_assumed("--lambda-seconds", Decimal(10), Seconds(), "S", "Time to generate a file.")
@_assumed("--lambda-memory-mb", 1769, click.IntRange(128, 10_240), "MB", "Its memory.")
@click.option("-f", "--file", type=click.File(encoding="utf-8"), help="Other statements than the five.")
@click.option(
    "--measure",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    metavar="N",
    help="Source files to unpack at most, to know the size of raw JSON.",
)
@click.pass_obj
def cost(call: Call, /, file: TextIO | None, measure: int, **assumed: Any) -> None:
    """What this lake costs on AWS: storage, queries, runs, a month.

    Bytes are measured on this lake, which may be local; prices are AWS's list prices of us-west-2. What is
    assumed of the month is shown with its value; the options change it.
    """
    from eventmint.aws.cost import load_prices
    from eventmint.aws.month import Plan, month
    from eventmint.serve.cost_screen import draw_cost

    if assumed["is_flex"] and assumed["worker_type"] not in FLEX_WORKER_TYPES:
        raise click.UsageError(f"--flex has workers of type {' and '.join(FLEX_WORKER_TYPES)} only.")
    lake = call.lake()
    settings = call.settings()
    plan = Plan(batch_mb=settings.run.batch_mb, **assumed)
    entries, sizes = _counted(lake), lake.sizes()
    lines = sum(entry.lines - entry.blank for entry in entries)
    if not lines:
        raise FixData("The lake holds no line yet.", "Run `eventmint run SOURCE` first.")
    storage = _storage(entries, sizes, lines, measure)
    if settings.run.target == "local":
        storage["other_bytes"] = _bytes_below(settings.lake_root) - sum(size.size_bytes for size in sizes)
    queries = _queries(lake, file)
    runs = _runs(lake, plan)
    measured = _measured(storage, sizes, queries, runs)
    bill = month(plan, measured)
    prices = load_prices().values()
    document = {
        "storage": storage,
        "queries": queries,
        "runs": {
            "count": len(runs),
            "worker_type": plan.worker_type,
            "workers": plan.workers,
            "last": runs[-RUNS_SHOWN:],
        },
        "month": {
            "assumptions": _assumptions(plan, measured),
            "lines": [{**asdict(line), "dollars": _told(line.dollars)} for line in bill],
            "dollars": _told(sum((line.dollars for line in bill), Decimal(0))),
        },
        "prices": {"region": "us-west-2", "list": [asdict(price) for price in prices]},
    }
    call.put(document, draw_cost)
    if lines < SMALL_LAKE_LINES:
        call.say(
            f"hint: {lines:,} lines are few: what every file, day and run needs however small it is weighs "
            "more here than it will, most of all in a run's time (--run-seconds)"
        )


def _counted(lake: Lake) -> list[LedgerEntry]:
    """The landed files whose content counts today, with the lines that were replayed from them."""
    ledger = lake.ledger()
    found = []
    for content in sorted(ledger.live_contents()):
        if ledger.has_content(content) and not (entry := ledger.entry_of(content)).replayed_from:
            replayed = sum(replay.lines for replay in ledger.replays_of(content))
            found.append(replace(entry, lines=entry.lines + replayed))
    return found


def _storage(
    entries: Sequence[LedgerEntry], sizes: Sequence[TableSize], lines: int, measure: int
) -> dict[str, Any]:
    from eventmint.sources.raw_size import measure_raw

    raw = measure_raw(entries, measure)
    raw_per_million = _per_million(raw.raw_bytes, raw.lines) if raw.lines else None
    gzip_bytes = sum(entry.size_bytes for entry in entries)
    layers = []
    for name in LAYERS:
        tables = [size for size in sizes if size.table.startswith(f"{name}.")]
        layers.append(_layer(name, tables, lines, raw_per_million))
    layers.append(_layer("all", sizes, lines, raw_per_million))
    return {
        "lines": lines,
        "raw": {
            "measured_files": raw.files,
            "files": raw.known_files,
            "at_most": measure,
            "measured_lines": raw.lines,
            "measured_bytes": raw.raw_bytes,
            "bytes_per_million": raw_per_million,
        },
        "gzip": {"bytes": gzip_bytes, "bytes_per_million": _per_million(gzip_bytes, lines)},
        "layers": layers,
        "specification": SPECIFIED,
    }


def _layer(
    name: str, tables: Sequence[TableSize], lines: int, raw_per_million: Decimal | None
) -> dict[str, Any]:
    from eventmint.aws.cost import storage_cost

    size_bytes = sum(table.size_bytes for table in tables)
    per_million = _per_million(size_bytes, lines)
    return {
        "layer": name,
        "files": sum(table.files for table in tables),
        "rows": sum(table.rows for table in tables),
        "bytes": size_bytes,
        "bytes_per_million": per_million,
        "reduction": round(1 - per_million / raw_per_million, 4) if raw_per_million else None,
        "dollars_per_month": _told(storage_cost(size_bytes)),
    }


def _queries(lake: Lake, file: TextIO | None) -> list[dict[str, Any]]:
    from eventmint.serve.answers import titled_statements
    from eventmint.serve.touched import five_statements

    try:
        text = file.read() if file else five_statements()
    except UnicodeDecodeError:
        raise FixSettings(f"{file.name if file else ''}: is not UTF-8 text.") from None
    return [_query(lake, title, statement) for title, statement in titled_statements(text)]


def _query(lake: Lake, title: str, statement: str) -> dict[str, Any]:
    from eventmint.aws.cost import athena_cost, bytes_within
    from eventmint.serve.touched import touched

    scans, read, whole, per_day = [], 0, 0, 0
    for scan in touched(statement):
        size = lake.column_size(scan.table, scan.columns)
        scans.append({"table": scan.table, "columns": list(scan.columns), **asdict(size)})
        read += size.read_bytes
        whole += size.file_bytes
        per_day += size.largest_day_bytes
    dollars = athena_cost(read)
    return {
        "title": title,
        "scans": scans,
        "bytes": read,
        "bytes_of_whole_files": whole,
        "bytes_of_largest_day": per_day,
        "dollars": _told(dollars),
        "dollars_of_whole_files": _told(athena_cost(whole)),
        "limit": QUERY_LIMIT,
        "ok": dollars <= QUERY_LIMIT,
        "ok_for_days": bytes_within(QUERY_LIMIT) // per_day if per_day else None,
    }


def _runs(lake: Lake, plan: Plan) -> list[dict[str, Any]]:
    """Every run on record, oldest first, as if its time had been that of a Glue job."""
    from eventmint.aws.cost import glue_cost, glue_dpu_seconds

    found = []
    for run in lake.runs():
        dpu_seconds = glue_dpu_seconds(run["seconds"], plan.workers, plan.worker_type)
        found.append(
            {
                "run_id": run["run_id"],
                "lines": run["totals"]["lines"],
                "seconds": run["seconds"],
                "dpu_seconds": _told(dpu_seconds),
                "dollars": _told(glue_cost(dpu_seconds, is_flex=plan.is_flex)),
            }
        )
    return found


def _measured(
    storage: dict[str, Any],
    sizes: Sequence[TableSize],
    queries: Sequence[dict[str, Any]],
    runs: Sequence[dict[str, Any]],
) -> Measured:
    from eventmint.aws.month import Measured

    largest = max(runs, key=lambda run: int(run["lines"]), default=None)
    if not largest or not largest["lines"]:
        raise FixData("No run that took in lines is on record.", "Run `eventmint run SOURCE` first.")
    return Measured(
        gzip_bytes=storage["gzip"]["bytes_per_million"],
        lake_bytes=storage["layers"][-1]["bytes_per_million"],
        lines_per_second=round(largest["lines"] / Decimal(str(largest["seconds"])), 1),
        query_bytes=tuple(query["bytes_of_largest_day"] for query in queries),
        commit_metadata=sum(size.commit_metadata for size in sizes),
        commit_files=sum(size.commit_files for size in sizes if size.table != "bronze.events"),
    )


def _assumptions(plan: Plan, measured: Measured) -> list[dict[str, Any]]:
    """Every field of the plan with its value; a run's time is told even where it was derived."""
    from eventmint.aws.month import WHY, batches_per_run, run_seconds

    values = {field.name: getattr(plan, field.name) for field in fields(plan)}
    values["run_seconds"] = round(run_seconds(plan, measured), 1)
    values["lines_per_second"] = measured.lines_per_second
    values["batches_per_run"] = batches_per_run(plan, measured)
    return [{"name": name, "value": value, "why": WHY[name]} for name, value in values.items()]


def _bytes_below(folder: Path) -> int:
    size_bytes = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a run that is at work may have removed it
            size_bytes += path.stat().st_size if path.is_file() else 0
    return size_bytes


def _per_million(size_bytes: int, lines: int) -> Decimal:
    return round(Decimal(size_bytes) * MILLION / lines, 1)


def _told(amount: Decimal) -> Decimal:
    """Return an amount without the digits that a division leaves over."""
    return round(amount, 9)
