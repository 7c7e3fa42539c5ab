"""Benchmarks: a wrong answer is noticed, a process is watched to its end, the smallest form runs."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from eventmint.sources.sample import SampleSettings, generate

ROOT = Path(__file__).parents[2]
PEER_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
NO_PEERS = "optional: needs the packages of requirements-bench.lock (make bench)"
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: processes are watched by /proc")
SMALLEST = [
    "--files",
    "2",
    "--events",
    "3000",
    "--rounds",
    "1",
    "--dirty-rounds",
    "1",
    "--histories",
    "4,5",
    "--history-events",
    "20",
]
Truth = dict[str, Any]


@pytest.fixture(autouse=True)
def benchmarks_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    folder = tmp_path_factory.mktemp("truth")
    generate(SampleSettings(2, 400, folder / "data", truth=folder / "truth.json", workers=1))
    found: Truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    return found


def difference(expected: Truth, found: Truth, folder: Path) -> str | None:
    answers = import_module("benchmarks.answers")
    sides = []
    for name, side in (("expected", expected), ("found", found)):
        (folder / f"{name}.json").write_text(json.dumps(side), encoding="utf-8")
        sides.append(answers.answers_of_truth(folder / f"{name}.json"))
    told: str | None = answers.difference(*sides)
    return told


def one_cent_more(rows: dict[str, Any]) -> None:
    row = next(row for row in rows["hourly_revenue"] if Decimal(row["total_revenue"]))
    row["total_revenue"] = str(Decimal(row["total_revenue"]) + Decimal("0.000001"))


def one_user_less(rows: dict[str, Any]) -> None:
    rows["user_activity"][0]["unique_users"] -= 1


def a_row_lost(rows: dict[str, Any]) -> None:
    rows["conversion_funnel"].pop()


def a_row_twice(rows: dict[str, Any]) -> None:
    rows["top_products"].append(rows["top_products"][0])


def a_category_renamed(rows: dict[str, Any]) -> None:
    row = next(row for row in rows["category_performance"] if row["category"] == "(none)")
    row["category"] = None


def a_row_on_another_day(rows: dict[str, Any]) -> None:
    rows["user_activity"][0]["event_date"] = "2020-02-29"


@pytest.mark.parametrize(
    "spoil",
    [one_cent_more, one_user_less, a_row_lost, a_row_twice, a_category_renamed, a_row_on_another_day],
)
def test_a_wrong_answer_is_noticed(
    truth: Truth, tmp_path: Path, spoil: Callable[[dict[str, Any]], None]
) -> None:
    spoiled = copy.deepcopy(truth)
    spoil(spoiled["answers"])
    assert difference(truth, spoiled, tmp_path)


def test_the_order_of_rows_and_the_zeros_of_a_decimal_make_no_difference(
    truth: Truth, tmp_path: Path
) -> None:
    other = copy.deepcopy(truth)
    for rows in other["answers"].values():
        rows.reverse()
    for row in other["answers"]["hourly_revenue"]:
        row["total_revenue"] = f"{Decimal(row['total_revenue']).normalize():f}"
    assert difference(truth, other, tmp_path) is None


def test_rates_differ_by_their_last_bit() -> None:
    canonical = import_module("benchmarks.answers").canonical
    row: dict[str, Any] = dict.fromkeys(
        ("views", "add_to_carts", "purchases", "revenue", "cart_to_purchase_rate", "view_to_purchase_rate"), 1
    )
    row |= {"event_date": "2026-01-15", "product_id": "p", "category": "Toys"}
    rows = [canonical("conversion_funnel", [row | {"view_to_cart_rate": rate}]) for rate in (0.3, 0.1 + 0.2)]
    assert rows[0] != rows[1]


def test_money_as_a_float_is_no_answer() -> None:
    answers = import_module("benchmarks.answers")
    row = {"event_date": "2026-01-15", "event_hour": 10, "transaction_count": 1, "units": 1}
    with pytest.raises(answers.Unreadable, match="hourly_revenue: .* should be a decimal"):
        answers.canonical("hourly_revenue", [row | {"total_revenue": 9.99}])


def test_a_missing_column_is_told() -> None:
    answers = import_module("benchmarks.answers")
    with pytest.raises(answers.Unreadable, match="user_activity: there is no column 'unique_users'"):
        answers.canonical("user_activity", [{"event_date": "2026-01-15"}])


BURN = "import time; end = time.process_time() + 0.5\nwhile time.process_time() < end: pass"
LEAVE_A_CHILD = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {BURN!r}])"


@ON_LINUX
def test_a_process_that_outlives_its_parent_is_counted_too() -> None:
    # In a process of its own: the watcher adopts orphans from then on.
    code = (
        "import sys; from benchmarks.watch import measure\n"
        f"found = measure([sys.executable, '-c', {LEAVE_A_CHILD!r}])\n"
        "print(found.cpu_seconds, found.wall_seconds, found.peak_mb, found.trouble)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    cpu, wall, peak = map(float, told.stdout.split())
    assert cpu >= 0.5
    assert wall >= 0.5
    assert peak > 1


FORK = (
    "import os, time; held = b'x' * 200_000_000\nif os.fork() == 0: time.sleep(0.5); os._exit(0)\nos.wait()"
)


@ON_LINUX
def test_memory_that_a_fork_shares_is_counted_once() -> None:
    code = (
        "import sys; from benchmarks.watch import measure\n"
        f"print(measure([sys.executable, '-c', {FORK!r}]).peak_mb)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    assert 200 < float(told.stdout) < 300


@ON_LINUX
def test_a_command_that_fails_says_how() -> None:
    code = (
        "import sys; from benchmarks.watch import measure\n"
        "print(measure([sys.executable, '-c', 'raise SystemExit(\"no such luck\")']).trouble)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    assert told.stdout == "exit code 1: no such luck\n"


def test_each_candidate_comes_first_in_turn() -> None:
    candidates = import_module("benchmarks.candidates")
    three = candidates.CANDIDATES[:3]
    rounds = [tuple(candidates.rotated(three, number)) for number in range(3)]
    assert [order[0] for order in rounds] == list(three)
    assert all(sorted(order, key=three.index) == list(three) for order in rounds)


def test_a_missed_goal_says_so() -> None:
    goal = import_module("benchmarks.goals").Goal
    facts = {"seconds": 3.01, "times": 10.0}
    assert goal("", "seconds", 3).row(facts)[-1] == "MISSED"
    assert goal("", "times", 10, at_most=False).row(facts)[-1] == "met"
    assert goal("", "unknown", 10).row(facts)[-1] == "not measured"


def test_wrong_answers_are_told_in_the_results() -> None:
    section = import_module("benchmarks.report").Section("1. Backlog")
    section.require("equal", "equal", "Polars, clean data")
    assert "WRONG" not in section.text()
    section.require("equal", "answers differ (user_activity)", "chDB, clean data")
    assert "WRONG" in section.text()
    assert section.wrong == ["chDB, clean data: answers differ (user_activity)"]


@ON_LINUX
def test_the_smallest_form_agrees_with_a_duckdb_script(tmp_path: Path) -> None:
    results = bench(tmp_path, "backlog", "increment", "--candidates", "duckdb script")
    clean, dirty = results.partition("0.1 % bad lines:")[::2]
    assert last_cell(clean, "eventmint") == "equal"
    assert last_cell(clean, "DuckDB script") == "equal"
    assert last_cell(dirty, "eventmint") == "equal"
    assert last_cell(dirty, "DuckDB script") == "aborted"
    assert "DuckDB script: aborted (exit code 1: " in dirty
    assert last_cell(results, "after 4 files") == "equal"
    assert last_cell(results, "after 5 files") == "equal"
    assert str(tmp_path) not in results


@pytest.mark.skipif(not PEER_PYTHON.exists(), reason=NO_PEERS)
def test_every_peer_that_needs_no_java_gives_the_same_answers(tmp_path: Path) -> None:
    results = bench(tmp_path, "backlog", "--candidates", "polars,chdb,dbt-duckdb")
    clean, _, _ = results.partition("0.1 % bad lines:")
    assert [last_cell(clean, name) for name in ("Polars", "chDB", "dbt-duckdb")] == ["equal"] * 3


def bench(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks", *arguments, *SMALLEST, "--work", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return (folder / "RESULTS.md").read_text(encoding="utf-8")


def last_cell(text: str, name: str) -> str:
    line = next(line for line in text.splitlines() if line.startswith(f"| {name} "))
    return line.rstrip("| ").rpartition("|")[2].strip()


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}
