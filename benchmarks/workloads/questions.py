"""3. Answers: the five questions of queries.sql, cold and warm, over a day and over a year of gold.

Gold of that size is made directly, by the code that writes and commits every table; its rows are made up.
"""

from __future__ import annotations

import time
from datetime import date, timedelta
from pathlib import Path

from benchmarks.candidates import ROOT, run_eventmint
from benchmarks.gold_rows import day_of_gold
from benchmarks.report import Section, counted, percentile
from benchmarks.sitting import Sitting
from eventmint.config import load_settings
from eventmint.contracts import ANSWERS, contract
from eventmint.engine.parquet import write_table
from eventmint.lake import Lake
from eventmint.serve import analytics_db
from eventmint.serve.answers import titled_statements
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.commit import Stamp, commit
from eventmint.tables.plan import live_files

FIRST_DAY = date(2025, 1, 1)
PUBLISHED_TIMES = 3


def run(sitting: Sitting) -> Section:
    sizes = sitting.sizes
    section = Section(f"3. Answers: the five questions over a shop of {sizes.products:,} products")
    section.say(
        "queries.sql over all days of gold. Warm: one Python process asks through the API (`Lake.sql`, "
        f"rows as an Arrow table), {sizes.repeats} times each after one that does not count. Cold: "
        f"`eventmint query`, a new process per question, {sizes.cold_repeats} times each. Milliseconds."
    )
    rows: list[list[object]] = []
    published: list[list[object]] = []
    for days in sizes.days:
        with sitting.fresh("questions") as home:
            make_gold(home, days, sizes.products)
            sitting.tell(f"gold of {counted(days, 'day')} is there")
            rows += rows_of(sitting, section, home, days)
            published.append([days, *spread(published_ms(home, days, sizes.products))])
    section.table(["", "days", "warm p50", "warm p95", "cold p50", "cold p95", "rows", "database MB"], rows)
    section.say(
        "What a run takes to publish where one day has changed: the database is copied, that day "
        f"is replaced, the copy takes the old one's place. {counted(PUBLISHED_TIMES, 'time')}, milliseconds."
    )
    section.table(["days", "p50", "p95"], published)
    return section


def rows_of(sitting: Sitting, section: Section, home: Path, days: int) -> list[list[object]]:
    lake = Lake(load_settings(home=home))
    size_mb = size_mb_of(lake.settings.database_path)
    statements = titled_statements((ROOT / "queries.sql").read_text(encoding="utf-8"))
    rows: list[list[object]] = []
    all_warm: list[float] = []
    all_cold: list[float] = []
    for number, (title, statement) in enumerate(statements, start=1):
        found = lake.sql(statement).num_rows
        warm = [warm_ms(lake, statement) for _ in range(sitting.sizes.repeats)]
        cold = [cold_ms(home, statement) for _ in range(sitting.sizes.cold_repeats)]
        all_warm += warm
        all_cold += cold
        name = title.partition(":")[0].rpartition(". ")[2] or f"question {number}"
        rows.append([name, days, *spread(warm), *spread(cold), f"{found:,}", f"{size_mb:.1f}"])
    if days == max(sitting.sizes.days):
        section.facts["questions.warm_ms"] = percentile(all_warm, 95)
        section.facts["questions.cold_ms"] = percentile(all_cold, 95)
    rows.append(["all five", days, *spread(all_warm), *spread(all_cold), "", ""])
    return rows


def make_gold(home: Path, days: int, products: int) -> None:
    """Write the five answers for so many days, one commit per table, and publish them."""
    settings = load_settings(home=home)
    catalog = LakeCatalog(settings.lake_location)
    catalog.create_missing()
    replace_days(catalog, home, [FIRST_DAY + timedelta(days=number) for number in range(days)], products, 1)
    analytics_db.publish(LakeCatalog(settings.lake_location), settings.database_path)


def replace_days(catalog: LakeCatalog, home: Path, days: list[date], products: int, seq: int) -> None:
    """Write the five answers of some days in place of those that are there, one commit per table."""
    scratch = home / "scratch"
    scratch.mkdir(exist_ok=True)
    made: dict[str, list[Path]] = {name: [] for name in ANSWERS}
    for day in days:
        for name, rows in day_of_gold(day, products).items():
            shape = contract(f"gold.{name}")
            made[name].append(write_table(rows, shape, scratch / f"{name}-{day}.parquet"))
    for name, files in made.items():
        shape = contract(f"gold.{name}")
        table = catalog.load(shape)
        stamp = Stamp(seq=seq, batch="made-up")
        commit(table, shape, stamp, add=files, remove=live_files(table, shape, days=days))


def published_ms(home: Path, days: int, products: int) -> list[float]:
    """Publish after the last day has changed, again and again."""
    settings = load_settings(home=home)
    catalog = LakeCatalog(settings.lake_location)
    found = []
    for seq in range(2, 2 + PUBLISHED_TIMES):
        replace_days(catalog, home, [FIRST_DAY + timedelta(days=days - 1)], products, seq)
        started = time.perf_counter()
        analytics_db.publish(LakeCatalog(settings.lake_location), settings.database_path)
        found.append((time.perf_counter() - started) * 1e3)
    return found


def warm_ms(lake: Lake, statement: str) -> float:
    started = time.perf_counter()
    lake.sql(statement)
    return (time.perf_counter() - started) * 1e3


def cold_ms(home: Path, statement: str) -> float:
    measured = run_eventmint(home, "query", statement)
    if measured.trouble:
        raise RuntimeError(f"eventmint query failed: {measured.trouble}")
    return measured.wall_seconds * 1e3


def spread(values: list[float]) -> list[str]:
    return [f"{percentile(values, percent):.1f}" for percent in (50, 95)]


def size_mb_of(file: Path) -> float:
    return file.stat().st_size / 1e6
