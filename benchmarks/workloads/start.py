"""6. Start: what every command costs before it does anything, and a run that finds nothing new."""

from __future__ import annotations

import sys
from collections.abc import Callable
from statistics import median

from benchmarks.candidates import run_eventmint
from benchmarks.first_chart import seconds_to_first_chart
from benchmarks.report import Section, counted, percentile
from benchmarks.sitting import Sitting
from benchmarks.watch import Measured, measure


def run(sitting: Sitting) -> Section:
    repeats, data = sitting.sizes.cold_repeats, sitting.clean
    found: dict[str, list[Measured]] = {}
    with sitting.fresh("start") as home:
        if trouble := run_eventmint(home, "run", str(data.source)).trouble:
            raise RuntimeError(f"eventmint run failed: {trouble}")
        commands: dict[str, Callable[[], Measured]] = {
            "bare Python": lambda: measure([sys.executable, "-c", "pass"]),
            "eventmint --help": lambda: run_eventmint(home, "--help"),
            "eventmint run --help": lambda: run_eventmint(home, "run", "--help"),
            "eventmint run, nothing new": lambda: run_eventmint(home, "run", str(data.source)),
            "eventmint status": lambda: run_eventmint(home, "status"),
            "eventmint show": lambda: run_eventmint(home, "show"),
        }
        for _ in range(repeats):
            for name, start in commands.items():
                found.setdefault(name, []).append(start())
        charts = seconds_to_first_chart(home, repeats)
    section = Section(f"6. Start: a lake of {counted(len(data.files), 'file')}, {counted(repeats, 'round')}")
    rows = []
    for name, all_measured in found.items():
        walls = [measured.wall_seconds * 1e3 for measured in all_measured]
        peak = max(measured.peak_mb for measured in all_measured)
        trouble = next((measured.trouble for measured in all_measured if measured.trouble), "")
        rows.append(
            [
                name,
                f"{percentile(walls, 50):.0f}",
                f"{percentile(walls, 95):.0f}",
                f"{peak:.0f}",
                trouble or "ok",
            ]
        )
    section.table(["", "p50 ms", "p95 ms", "peak MB", ""], rows)
    if charts:
        section.facts["start.first_chart"] = median(charts)
        section.say(
            f"The dashboard's first chart stands {median(charts):.2f} s after the start of its process "
            f"({min(charts):.2f} to {max(charts):.2f}), in a Chromium that runs already."
        )
    else:
        section.say("The dashboard's first chart was not measured: there is no Chromium.")
    return section
