"""8. A month: a run every five minutes over a small file, day by day: what grows, and what does it cost?

The runs are made one after another in one process, each at the time it would have had. Where the lake can
maintain itself (`Lake.maintain`), it is asked to at the end of each day; else the table shows what grows.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from benchmarks.data import data_set
from benchmarks.deliveries import Delivered, deliver, open_home, own_peak_mb
from benchmarks.report import Section, counted, percentile, ratio
from benchmarks.sitting import Sitting
from eventmint.lake import Lake

FIRST_DAY = datetime(2026, 1, 15, tzinfo=UTC)
PARTITIONED = ("bronze.events", "silver.events_cleaned", "gold.product_hours", "gold.daily_sessions")
HEADS = (
    "", "run p50 s", "run p95 s", "run CPU s", "maintain s", *(f"{name} files/day" for name in PARTITIONED),
    "files", "metadata MB", "lake MB", "process MB"
)  # fmt: skip


def run(sitting: Sitting) -> Section:
    sizes = sitting.sizes
    data = data_set(sitting.shelf, sizes.month_files, sizes.month_events, start=FIRST_DAY)
    section = Section(
        f"8. A month of small runs: {sizes.month_files:,} files of {sizes.month_events:,} lines"
    )
    rows: list[list[str]] = []
    per_part: list[float] = []
    with sitting.fresh("month") as home:
        lake = open_home(home)
        files = data.files
        for start in range(0, len(files), sizes.files_per_day):
            delivered = list(deliver(lake, files[start : start + sizes.files_per_day], data.source))
            maintained = maintain(lake, delivered[-1].moment + timedelta(minutes=1))
            rows.append(row(start + len(delivered), delivered, maintained, lake, home / "lake"))
            per_part.append(median(one.wall_seconds for one in delivered))
            sitting.tell("  ".join(rows[-1]))
        is_right = lake.totals().events == data.truth["totals"]["events"]
    can = (
        "with `maintain` at the end of each day"
        if can_maintain()
        else "without maintenance, which this version lacks"
    )
    section.say(
        f"{counted(len(per_part), 'part')} of {sizes.files_per_day} runs, {can}. Files per day are live "
        "data files over the days that have any; files and MB are everything in the lake's folder. "
        f"Events equal to the generator's truth: {'yes' if is_right else 'NO'}."
    )
    section.require("True", str(is_right), "events equal to the generator's truth")
    section.table(HEADS, rows)
    section.say(f"A run of the last part takes {ratio(per_part[-1], per_part[0])} of one of the first.")
    return section


def can_maintain() -> bool:
    return hasattr(Lake, "maintain")


def maintain(lake: Lake, moment: datetime) -> float | None:
    """Have the lake maintain itself; return the seconds, None where it cannot."""
    act = getattr(lake, "maintain", None)
    if act is None:
        return None
    started = time.perf_counter()
    act(**({"now": moment} if "now" in inspect.signature(act).parameters else {}))
    return time.perf_counter() - started


def row(
    runs: int, delivered: Sequence[Delivered], maintained: float | None, lake: Lake, folder: Path
) -> list[str]:
    walls = [one.wall_seconds for one in delivered]
    sizes = {size.table: size for size in lake.sizes()}
    days = max(1, len(lake.answer("user_activity")))
    everything = [path for path in folder.rglob("*") if path.is_file()]
    metadata = sum(path.stat().st_size for path in everything if path.suffix != ".parquet")
    total = sum(path.stat().st_size for path in everything)
    return [
        f"after {runs:,} runs",
        f"{percentile(walls, 50):.3f}",
        f"{percentile(walls, 95):.3f}",
        f"{median(one.cpu_seconds for one in delivered):.3f}",
        "-" if maintained is None else f"{maintained:.2f}",
        *(f"{sizes[name].files / days:.1f}" for name in PARTITIONED),
        f"{len(everything):,}",
        f"{metadata / 1e6:.2f}",
        f"{total / 1e6:.2f}",
        f"{own_peak_mb():.0f}",
    ]
