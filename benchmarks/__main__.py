"""`make bench`: backlog, empty run and increment, each in a process of its own.

Prints the median of several rounds: wall seconds, CPU seconds per million lines, the largest memory of the
process tree, bytes written. The answers are compared with the generator's truth in every round, so that no
figure stands for a wrong result. Machines are shared and noisy: read ratios, not milliseconds.

    make bench ARGS="--files 24 --events 625000 --rounds 3"
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eventmint.config import load_settings
from eventmint.lake import Lake
from eventmint.sources.sample import SampleSettings, generate

ROOT = Path(__file__).parents[1]
SAMPLE_SECONDS = 0.1


@dataclass(frozen=True)
class Measured:
    """One process: wall and CPU seconds, the largest memory of its tree in MB."""

    wall_seconds: float
    cpu_seconds: float
    peak_mb: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=6)
    parser.add_argument("--events", type=int, default=625_000, help="lines per file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bad-rate", type=float, default=0.001)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="eventmint-bench-") as name:
        folder = Path(name)
        settings = SampleSettings(
            num_files=options.files,
            events_per_file=options.events,
            output_dir=folder / "data",
            bad_rate=options.bad_rate,
        )
        report = generate(settings)
        newest = max((folder / "data").rglob("*.gz"))
        rounds = [measure_round(folder, newest) for _ in range(options.rounds)]
        lake = Lake(load_settings(home=folder, flags={"source.path": "data"}))
        same = lake.totals().events == report.totals["events"]
        size = sum(path.stat().st_size for path in (folder / "lake").rglob("*.parquet"))
    lines = options.files * options.events
    print(
        f"{options.files} files x {options.events:,} lines, {options.rounds} rounds, {os.cpu_count()} cores"
    )
    print(f"events equal to the generator's truth: {same}; Parquet {size / lines:,.1f} bytes per line")
    print(f"{'work':12} {'wall s':>8} {'cpu s':>8} {'cpu/M lines':>12} {'peak MB':>8}")
    for work, counted in (
        ("backlog", lines - options.events),
        ("empty run", 0),
        ("increment", options.events),
    ):
        median = middle([one[work] for one in rounds])
        per_million = f"{median.cpu_seconds / counted * 1e6:12.2f}" if counted else f"{'':12}"
        seconds = f"{median.wall_seconds:8.2f} {median.cpu_seconds:8.2f}"
        print(f"{work:12} {seconds} {per_million} {median.peak_mb:8.0f}")
    return 0 if same else 1


def measure_round(folder: Path, newest: Path) -> dict[str, Measured]:
    """Take in all files but the newest, then nothing, then the newest."""
    shutil.rmtree(folder / "lake", ignore_errors=True)
    (folder / "analytics.duckdb").unlink(missing_ok=True)
    aside = newest.rename(folder / newest.name)
    try:
        backlog, empty = run(folder), run(folder)
    finally:
        aside.rename(newest)
    return {"backlog": backlog, "empty run": empty, "increment": run(folder)}


def run(folder: Path) -> Measured:
    """Run the command line once and watch its process tree."""
    command = [sys.executable, "-m", "eventmint.cli", "-C", str(folder), "-q", "run", "data"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    before, started = _children_cpu(), time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603 - our own command
    peaks: list[float] = []
    watcher = threading.Thread(target=lambda: peaks.extend(_memory_until_done(process)))
    watcher.start()
    code = process.wait()
    wall = time.perf_counter() - started
    watcher.join()
    if code:
        raise SystemExit(f"the run ended with exit code {code}")
    return Measured(wall, _children_cpu() - before, max(peaks, default=0.0))


def middle(measured: list[Measured]) -> Measured:
    columns = zip(*map(dataclasses.astuple, measured), strict=True)
    return Measured(*(statistics.median(column) for column in columns))


def _children_cpu() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _memory_until_done(process: subprocess.Popen[bytes]) -> Iterator[float]:
    while process.poll() is None:
        yield sum(_resident_mb(pid) for pid in _tree(process.pid))
        time.sleep(SAMPLE_SECONDS)


def _tree(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return
    for child in children:
        yield from _tree(int(child))


def _resident_mb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    sys.exit(main())
