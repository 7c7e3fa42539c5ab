"""7. Scale-out: the same run on Spark with one core and with two, and on paper with many.

Only the first half is measured. The model takes measured core seconds and says every assumption it makes.
"""

from __future__ import annotations

import json
import math
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path

from benchmarks.candidates import CANDIDATES, ROOT, SPARK
from benchmarks.data import link
from benchmarks.report import Section, counted, seconds
from benchmarks.sitting import Sitting
from benchmarks.staged import STAGES
from benchmarks.watch import Measured, measure

FILE_LINES = 625_000
WINDOW_SECONDS = 300
USED = 0.7
CORES_PER_WORKER = 4
LEAST_BILLED_MINUTES = 1
RUNS_PER_DAY = 288
SCALES = (1, 10, 100, 1_000)


@dataclass(frozen=True)
class Staged:
    """One run: what its process tree took, and the seconds of each stage."""

    engine: str
    workers: int
    measured: Measured
    stages: dict[str, float]

    @property
    def core_seconds(self) -> float:
        """Of the three stages, as if every core had been busy all the time."""
        return sum(self.stages.get(stage, 0.0) for stage in STAGES) * self.workers

    @property
    def serial_seconds(self) -> float:
        """What is left of the run: listing, ledger, laws, record; on Spark also the start of its JVM."""
        return self.stages["run"] - sum(self.stages.get(stage, 0.0) for stage in STAGES)


def run(sitting: Sitting) -> Section:
    data = sitting.clean
    files = data.files[: sitting.sizes.spark_files]
    section = Section(f"7. Scale-out: {counted(len(files), 'file')} of {sitting.sizes.events:,} lines")
    missing = next(candidate.missing for candidate in CANDIDATES if candidate.name == SPARK)
    engines = ("duckdb",) if missing else ("duckdb", "spark")
    with sitting.fresh("spark-source") as source:
        for file in files:
            link(file, data.source, source)
        found = [staged(sitting, source, engine, workers) for engine in engines for workers in (1, 2)]
    heads = ["", "workers", *(f"{stage} s" for stage in STAGES), "rest s", "run s", "CPU s", "peak MB"]
    section.table(heads, [row(one) for one in found])
    if missing:
        section.say(f"Spark was not run: {missing}.")
    elif trouble := next((one.measured.trouble for one in found if one.measured.trouble), ""):
        section.say(f"A run failed, so there is no model: {trouble}")
    else:
        one, two = (next(f for f in found if f.engine == "spark" and f.workers == n) for n in (1, 2))
        speedups = ", ".join(f"{s} {one.stages[s] / two.stages[s]:.2f}x" for s in STAGES)
        section.say(f"Two cores against one on Spark: {speedups}.")
        model(section, two, len(files) * sitting.sizes.events / 1e6)
    return section


def staged(sitting: Sitting, source: Path, engine: str, workers: int) -> Staged:
    with sitting.fresh("spark") as home:
        command = [sys.executable, "-m", "benchmarks.staged", str(source), str(home), engine, str(workers)]
        measured = measure(command, {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"})
        told = home / "stages.json"
        stages = json.loads(told.read_text(encoding="utf-8")) if told.exists() else {}
    sitting.tell(f"{engine}, {workers} workers: {measured.wall_seconds:.1f} s {measured.trouble}")
    return Staged(engine, workers, measured, stages)


def row(one: Staged) -> list[str]:
    if one.measured.trouble:
        return [one.engine, str(one.workers), *["-"] * 4, "aborted", "-", "-"]
    return [
        one.engine,
        str(one.workers),
        *(seconds(one.stages.get(stage, 0.0)) for stage in STAGES),
        seconds(one.serial_seconds),
        seconds(one.stages["run"]),
        seconds(one.measured.cpu_seconds),
        f"{one.measured.peak_mb:.0f}",
    ]


def model(section: Section, base: Staged, millions: float) -> None:
    """Say what a run every five minutes would need at other scales."""
    price = glue_dpu_hour()
    per_million = base.core_seconds / millions
    section.say(
        f"On paper: a run every five minutes over `scale` files of {FILE_LINES:,} lines on AWS Glue. Not "
        "measured; it follows from the run on Spark with two cores and from these assumptions:"
    )
    section.say("\n".join(f"- {assumption}" for assumption in assumptions(per_million, base, price)))
    rows = [model_row(scale, per_million, base.serial_seconds, price) for scale in SCALES]
    heads = [
        "scale",
        "M lines a run",
        "core s a run",
        "cores",
        "workers",
        "minutes a run",
        "$ a run",
        "$ a day",
        "$ per 1,000 M",
    ]
    section.table(heads, rows)


def assumptions(per_million: float, base: Staged, price: float) -> Iterator[str]:
    yield (
        f"{per_million:.2f} core seconds per million lines: the stages' wall time times two, measured above; "
        "what a small run costs more per line than a large one is in it"
    )
    yield "a core of Glue does what a core of this machine does"
    yield (
        "stages are spread evenly over all cores: landing is, for files are independent of each other (a "
        "gzip file cannot be split, so there is never use for more cores than files); for silver and "
        "gold the speed-up from one core to two is above, that of shuffles between machines is not "
        "measured"
    )
    yield f"cores are busy {USED:.0%} of the time"
    yield (
        f"{base.serial_seconds:.1f} s per run are serial (listing, ledger, laws, start of Spark), "
        "measured above, at every scale: it grows with the number of files, which is not measured"
    )
    yield (
        f"G.1X workers: {CORES_PER_WORKER} cores, one DPU each, ${price} per DPU-hour (us-west-2, list "
        f"price), one of them drives; billed by the second, at least {LEAST_BILLED_MINUTES} minute; their "
        "start is not billed"
    )
    yield "storage, requests and logs are not in it (`eventmint cost` tells them)"


def model_row(scale: int, per_million: float, serial: float, price: float) -> Sequence[str]:
    """Return the smallest cluster whose runs end within the five minutes, and what it costs."""
    lines = scale * FILE_LINES / 1e6
    core_seconds = lines * per_million
    cores = core_seconds / USED / max(1.0, WINDOW_SECONDS - serial)
    workers = 1 + math.ceil(cores / CORES_PER_WORKER)
    working_cores = min((workers - 1) * CORES_PER_WORKER, scale)
    minutes = (serial + core_seconds / USED / working_cores) / 60
    dollars = max(minutes, LEAST_BILLED_MINUTES) / 60 * workers * price
    return [
        f"{scale:,}x",
        f"{lines:,.1f}",
        f"{core_seconds:,.0f}",
        f"{math.ceil(cores):,}",
        f"{workers:,}",
        f"{minutes:.1f}",
        f"{dollars:.3f}",
        f"{dollars * RUNS_PER_DAY:,.2f}",
        f"{dollars / lines * 1e3:.2f}",
    ]


def glue_dpu_hour() -> float:
    text = resources("eventmint.aws").joinpath("prices.toml").read_text(encoding="utf-8")
    return float(tomllib.loads(text)["glue_dpu_hour"]["price"])
