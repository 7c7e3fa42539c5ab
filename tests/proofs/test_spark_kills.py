"""kill -9 of Spark's driver between two effects, and of an executor at work: the lake is what DuckDB makes.

An executor's death is survived by the run itself, for Spark repeats the task; a driver's is made good by the
next run, on either engine.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import SPARK_OF_A_RUN
from deliveries import NOW, Shop, event, random_events
from proofs.forms import Proof, form
from proofs.stage import Found, difference, what_it_holds

from eventmint.contracts import contract

# Where the driver dies: between the stages, and inside each.
DRIVER_DIES = (
    *(
        f"commit {table}: {when}"
        for table in ("bronze.events", "gold.daily_users")
        for when in ("after", "before")
    ),
    *(
        "commit silver.events_cleaned: before",
        "commit silver.event_hours: after",
        "put: a file is at its place",
    ),
    *("lock: taken", "publish: built", f"commit {contract('ops.runs').table}: after"),
)
# What the executors do next: hash and land files, refine, aggregate.
EXECUTOR_DIES = ("scratch: made", "commit bronze.events: after", "commit silver.event_hours: after")

pytestmark = pytest.mark.skipif(shutil.which("java") is None, reason="needs Java 17")


@pytest.mark.parametrize("case", range(form().times(1, 20)))
def test_a_driver_that_is_killed_is_made_good_by_the_next_run(
    proof: Proof, case: int, tmp_path: Path
) -> None:
    rng = proof.random("driver", case)
    point, engine = rng.choice(DRIVER_DIES), ("duckdb", "spark")[case % 2]
    shop, expected = shop_and_what_it_will_hold(proof, case, tmp_path)
    dead = play(tmp_path, "driver", point)
    assert dead.returncode == -signal.SIGKILL, dead.stderr
    if engine == "spark":
        repaired = play(tmp_path, "nobody", "")
        assert repaired.returncode == 0, repaired.stderr
    else:
        assert shop.lake.run(shop.source, now=NOW + timedelta(minutes=1)).laws_hold
    assert difference(expected, what_it_holds(shop)) == "", f"killed at {point}, repaired on {engine}"
    proof.tried(f"drivers killed, repaired on {engine}")


@pytest.mark.parametrize("case", range(form().times(1, 12)))
def test_an_executor_that_is_killed_changes_nothing(proof: Proof, case: int, tmp_path: Path) -> None:
    point = EXECUTOR_DIES[proof.random("executor").randrange(3) if case == 0 else case % 3]
    shop, expected = shop_and_what_it_will_hold(proof, case, tmp_path)
    done = play(tmp_path, "executor", point)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["killed"] == 1
    if found["ended"] != "laws hold":
        assert found["ended"].startswith("Spark ran out of memory or lost an executor."), found
        assert shop.lake.run(shop.source, now=NOW + timedelta(minutes=1)).laws_hold
    assert difference(expected, what_it_holds(shop)) == "", f"an executor killed after {point}"
    proof.tried(f"executors killed, the run then said: {found['ended']}")


def shop_and_what_it_will_hold(proof: Proof, case: int, folder: Path) -> tuple[Shop, Found]:
    """A shop whose files nobody has taken in yet, and what it holds after a run of DuckDB."""
    shop = Shop(folder / "shop")
    rng = proof.random("events", case)
    shared = random_events(rng, 5)
    shop.deliver("a", *random_events(rng, 20), *shared, event(), event(), b"{")
    shop.deliver("b", *shared, *random_events(rng, 20), b"")
    assert shop.lake.run(shop.source, now=NOW).laws_hold
    expected = what_it_holds(shop)
    shutil.rmtree(folder / "shop" / "lake")
    shop.database.unlink()
    return shop, expected


def play(folder: Path, who: str, point: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "proofs.spark_kills", str(folder), who, point]
    own = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PROOF": str(folder)}
    environment = {**os.environ, **SPARK_OF_A_RUN, **own}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=900)
