"""One run with a clock at each stage: `python -m benchmarks.staged SOURCE HOME ENGINE WORKERS`.

Writes `stages.json` into HOME: the wall seconds of each stage and of the whole run, but not Python's start.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from benchmarks.deliveries import StageClock, open_home

STAGES = ("bronze", "silver", "gold")


def main(source: str, home: str, engine: str, workers: str) -> None:
    clock = StageClock()
    lake = open_home(Path(home), clock, **{"run.engine": engine, "run.workers": int(workers)})
    started = time.perf_counter()
    lake.run(source)
    told = {**clock.wall, "run": time.perf_counter() - started}
    Path(home, "stages.json").write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
