"""The goals that were set before anything was measured, each beside the figure that came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.report import Section


@dataclass(frozen=True)
class Goal:
    """One goal: `fact` is the name under which a workload leaves its figure."""

    text: str
    fact: str
    bound: float
    at_most: bool = True

    def row(self, facts: Mapping[str, float]) -> list[str]:
        value = facts.get(self.fact)
        allowed = f"{'at most' if self.at_most else 'at least'} {self.bound:g}"
        if value is None:
            return [self.text, allowed, "-", "not measured"]
        met = value <= self.bound if self.at_most else value >= self.bound
        return [self.text, allowed, f"{value:.2f}", "met" if met else "MISSED"]


GOALS = (
    Goal("backlog: wall time of PySpark / ours", "backlog.spark", 10, at_most=False),
    Goal("backlog: our wall time / the fastest other peer's", "backlog.fastest", 1),
    Goal("backlog: our CPU with 0.1 % bad lines / without", "backlog.bad_lines", 1.25),
    Goal("increment: wall time after the longest history / the shortest", "increment.growth", 1.15),
    Goal("increment: wall seconds after the longest history", "increment.seconds", 3),
    Goal("answers over the longest time: p95 warm, ms", "questions.warm_ms", 20),
    Goal("answers over the longest time: p95 cold, ms", "questions.cold_ms", 400),
    Goal("storage: bronze, MB per million lines", "storage.bronze_mb", 13),
    Goal("storage: silver, MB per million lines", "storage.silver_mb", 11),
    Goal("storage: bronze less than raw JSON, %", "storage.reduction", 93, at_most=False),
    Goal("start: seconds to the dashboard's first chart", "start.first_chart", 1.5),
    Goal("memory: our highest peak over all backlogs, MB", "memory.peak_mb", 1000),
)


def section_of_goals(facts: Mapping[str, float], *, is_full: bool) -> Section:
    section = Section("Goals")
    rows = [goal.row(facts) for goal in GOALS]
    if not is_full:
        section.say(
            "They are set for the full size; what the small form measures can neither meet nor miss them."
        )
        rows = [[*row[:-1], ""] for row in rows]
    section.table(["", "goal", "measured", ""], rows)
    return section
