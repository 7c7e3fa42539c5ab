"""7. Scale-out: the same run on Spark with one core and with two, and on paper with many.

Only the first half is measured. The model takes from it what a run costs whatever its size and what each
million lines adds, and says every assumption it makes. For figures of your own, docs/scaling.md among them:

    python -m benchmarks.workloads.scale_out FIXED LAND REFINE      as `Model` has them
"""

from __future__ import annotations

import json
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
MOST_WORKERS = 10_000
MODEL_HEADS = (
    "scale", "M lines a run", "workers", "cores", "minutes a run", "$ a run", "$ a day", "$ per 1,000 M"
)  # fmt: skip


@dataclass(frozen=True)
class Staged:
    """One run: what its process tree took, and the seconds of each stage."""

    engine: str
    workers: int
    files: int
    measured: Measured
    stages: dict[str, float]

    @property
    def rest(self) -> float:
        """What is left of the run: listing, ledger, laws, record; on Spark also the start of its JVM."""
        return self.stages["run"] - sum(self.stages.get(stage, 0.0) for stage in STAGES)


@dataclass(frozen=True)
class Model:
    """What follows from two runs of different size with the same cores.

    Attributes:
        fixed: seconds of a run whatever its size, not shortened by any core.
        land, refine: core seconds per million lines, of bronze and of silver and gold.
    """

    fixed: float
    land: float
    refine: float

    def seconds(self, scale: int, workers: int) -> float:
        """How long a run over `scale` files takes; one worker drives, a file is landed by one core."""
        cores = (workers - 1) * CORES_PER_WORKER
        lines = scale * FILE_LINES / 1e6
        return self.fixed + lines / USED * (self.land / min(cores, scale) + self.refine / cores)

    def workers(self, scale: int) -> int | None:
        """Return the smallest cluster whose runs end before the next one is due; None where none does."""
        return next((n for n in range(2, MOST_WORKERS) if self.seconds(scale, n) <= WINDOW_SECONDS), None)


def run(sitting: Sitting) -> Section:
    data = sitting.clean
    files = data.files[: sitting.sizes.spark_files]
    section = Section(f"7. Scale-out: {counted(len(files), 'file')} of {sitting.sizes.events:,} lines")
    missing = next(candidate.missing for candidate in CANDIDATES if candidate.name == SPARK)
    plan = [(engine, workers, files) for engine in ("duckdb", "spark") for workers in (1, 2)]
    plan.append(("spark", 2, files[:1]))
    found = [staged(sitting, *one) for one in plan if not (missing and one[0] == "spark")]
    heads = [
        "",
        "workers",
        "files",
        *(f"{stage} s" for stage in STAGES),
        "rest s",
        "run s",
        "CPU s",
        "peak MB",
    ]
    section.table(heads, [row(one) for one in found])
    if missing:
        section.say(f"Spark was not run: {missing}.")
    elif trouble := next((one.measured.trouble for one in found if one.measured.trouble), ""):
        section.say(f"A run failed, so there is no model: {trouble}")
    else:
        one, two, small = found[-3:]
        speedups = ", ".join(f"{stage} {one.stages[stage] / two.stages[stage]:.2f}x" for stage in STAGES)
        section.say(f"Two cores against one on Spark: {speedups}.")
        tell_model(section, fitted(small, two, sitting.sizes.events / 1e6))
    return section


def staged(sitting: Sitting, engine: str, workers: int, files: Sequence[Path]) -> Staged:
    with sitting.fresh("spark-source") as source, sitting.fresh("spark") as home:
        for file in files:
            link(file, sitting.clean.source, source)
        command = [sys.executable, "-m", "benchmarks.staged", str(source), str(home), engine, str(workers)]
        measured = measure(command, {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"})
        told = home / "stages.json"
        stages = json.loads(told.read_text(encoding="utf-8")) if told.exists() else {}
    sitting.tell(f"{engine}, {workers} workers: {measured.wall_seconds:.1f} s {measured.trouble}")
    return Staged(engine, workers, len(files), measured, stages)


def row(one: Staged) -> list[str]:
    who = [one.engine, str(one.workers), str(one.files)]
    if one.measured.trouble:
        return [*who, *["-"] * 4, "aborted", "-", "-"]
    return [
        *who,
        *(seconds(one.stages.get(stage, 0.0)) for stage in STAGES),
        seconds(one.rest),
        seconds(one.stages["run"]),
        seconds(one.measured.cpu_seconds),
        f"{one.measured.peak_mb:.0f}",
    ]


def fitted(small: Staged, large: Staged, millions_per_file: float) -> Model:
    """Draw a line through two runs; where the larger one was no slower, a stage costs nothing per line."""
    more = (large.files - small.files) * millions_per_file

    def per_million(*stages: str) -> float:
        grown = sum(large.stages[stage] - small.stages[stage] for stage in stages)
        return max(0.0, grown / more) * large.workers if more else 0.0

    land, refine = per_million("bronze"), per_million("silver", "gold")
    growing = (
        (land / min(small.workers, small.files) + refine / small.workers) * small.files * millions_per_file
    )
    return Model(max(0.0, small.stages["run"] - growing), land, refine)


def tell_model(section: Section, model: Model) -> None:
    """Say what a run every five minutes would need at other scales."""
    price = glue_dpu_hour()
    section.say(
        f"On paper: a run every five minutes over `scale` files of {FILE_LINES:,} lines on AWS Glue, the "
        "smallest cluster that is done before the next run is due. Not measured; it follows from the "
        "runs on Spark with two cores and from these assumptions:"
    )
    section.say("\n".join(f"- {assumption}" for assumption in assumptions(model, price)))
    model_table(section, model, price)


def model_table(section: Section, model: Model, price: float) -> None:
    section.table(MODEL_HEADS, [model_row(scale, model, price) for scale in SCALES])


def assumptions(model: Model, price: float) -> Iterator[str]:
    yield (
        f"{model.fixed:.1f} s of a run do not depend on its size and are not shortened by more cores, at "
        "any scale; that planning and commits grow with the number of files is left out, for it is not "
        "measured"
    )
    yield (
        f"landing takes {model.land:.2f} and silver and gold {model.refine:.2f} core seconds per million "
        "lines: wall time of the stages times two, from the difference of the runs with one file and "
        "with more"
    )
    yield "a core of Glue does what a core of this machine does"
    yield (
        "landing is spread over as many cores as there are files, for a gzip file cannot be split; "
        "silver and gold over all cores: the speed-up from one to two is above, that of shuffles between "
        "machines is not measured"
    )
    yield f"cores are busy {USED:.0%} of the time"
    yield (
        f"G.1X workers: {CORES_PER_WORKER} cores, one DPU each, ${price} per DPU-hour (us-west-2, list "
        f"price), one of them drives; billed by the second, at least {LEAST_BILLED_MINUTES} minute; their "
        "start is not billed"
    )
    yield "storage, requests and logs are not in it (`eventmint cost` tells them)"


def model_row(scale: int, model: Model, price: float) -> Sequence[str]:
    lines = scale * FILE_LINES / 1e6
    workers = model.workers(scale)
    if workers is None:
        return [f"{scale:,}x", f"{lines:,.1f}", "never done in time", *["-"] * (len(MODEL_HEADS) - 3)]
    minutes = model.seconds(scale, workers) / 60
    dollars = max(minutes, LEAST_BILLED_MINUTES) / 60 * workers * price
    return [
        f"{scale:,}x",
        f"{lines:,.1f}",
        f"{workers:,}",
        f"{workers * CORES_PER_WORKER:,}",
        f"{minutes:.1f}",
        f"{dollars:.3f}",
        f"{dollars * RUNS_PER_DAY:,.2f}",
        f"{dollars / lines * 1e3:.2f}",
    ]


def glue_dpu_hour() -> float:
    text = resources("eventmint.aws").joinpath("prices.toml").read_text(encoding="utf-8")
    return float(tomllib.loads(text)["glue_dpu_hour"]["price"])


if __name__ == "__main__":
    on_paper = Section("On paper")
    model_table(on_paper, Model(*(float(figure) for figure in sys.argv[1:])), glue_dpu_hour())
    print(on_paper.text())
