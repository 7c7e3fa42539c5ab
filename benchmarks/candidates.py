"""Who is measured: eventmint and its peers, each one command with a source folder and an output folder."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.answers import Answers, Unreadable, answers_of_folder, answers_of_lake, difference
from benchmarks.watch import Measured, measure

ROOT = Path(__file__).parents[1]
PEERS = Path(__file__).parent / "peers"
PEER_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
US = "eventmint"
SPARK = "PySpark"
EQUAL, ABORTED = "equal", "aborted"
# Our command line out of this clone, and the environment that it needs.
EVENTMINT = (sys.executable, "-m", "eventmint.cli")
OF_CLONE = {"PYTHONPATH": str(ROOT / "src")}


@dataclass(frozen=True)
class Candidate:
    """One way to do the job.

    Attributes:
        script: file in `peers/`; empty for eventmint.
        has_own_packages: whether it needs the peers' environment.
        packages: whose versions are told.
    """

    name: str
    script: str = ""
    has_own_packages: bool = False
    packages: tuple[str, ...] = ()

    @property
    def missing(self) -> str:
        """Why it cannot be run here; empty where it can."""
        if self.has_own_packages and not PEER_PYTHON.exists():
            return "needs the packages of requirements-bench.lock (make bench)"
        if self.name == SPARK and not (os.environ.get("JAVA_HOME") or shutil.which("java")):
            return "needs Java 17"
        return ""

    def run(self, source: Path, out: Path) -> Measured:
        """Take in a folder of files; `out` is there and empty, or as the candidate's last run left it."""
        if not self.script:
            return run_eventmint(out, "run", str(source))
        python = str(PEER_PYTHON) if self.has_own_packages else sys.executable
        return measure([python, str(PEERS / self.script), str(source), str(out)])

    def answers(self, out: Path) -> Answers:
        return answers_of_folder(out / "gold") if self.script else answers_of_lake(out)

    def verdict(self, measured: Measured, out: Path, expected: Answers) -> str:
        """Return EQUAL, or what it did instead."""
        if measured.trouble:
            return f"{ABORTED} ({_without_places(measured.trouble, out)})"
        try:
            differs = difference(expected, self.answers(out))
        except Unreadable as err:
            return f"answers unreadable ({err})"
        return f"answers differ ({differs})" if differs else EQUAL


DBT = ("dbt-core", "dbt-duckdb", "duckdb")
CANDIDATES = (
    Candidate(US),
    Candidate("DuckDB script", "duckdb_script.py"),
    Candidate("Polars", "polars_job.py", has_own_packages=True, packages=("polars",)),
    Candidate("chDB", "chdb_script.py", has_own_packages=True, packages=("chdb", "chdb-core")),
    Candidate(
        "dbt-duckdb", "dbt_duckdb.py", has_own_packages=True, packages=("dbt-core", "dbt-duckdb", "duckdb")
    ),
    Candidate(SPARK, "pyspark_job.py"),
)


def run_eventmint(home: Path, *arguments: str) -> Measured:
    """Run our command line in a process of its own, as a user does."""
    return measure([*EVENTMINT, "-C", str(home), "-q", *arguments], OF_CLONE)


def _without_places(text: str, *folders: Path) -> str:
    """Leave out where this machine keeps its files."""
    for folder in (*folders, *folders[0].parents[:3], ROOT):
        text = text.replace(f"{folder}/", "")
    return text


def rotated(candidates: tuple[Candidate, ...], number: int) -> Iterator[Candidate]:
    """Yield each candidate once, another one first in each round."""
    start = number % len(candidates)
    yield from candidates[start:]
    yield from candidates[:start]
