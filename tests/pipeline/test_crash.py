"""kill -9 at every commit of a run, just before it and just after: the next run ends where it would have.

The killing is done by this file, run as a program: it loads everything once, touches no database itself, and
forks a process for each run, which is killed in the middle or lives.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from deliveries import NOW, TODAY, Row, Shop, event, published_rows, random_events, rows_of
from pyiceberg.table import Transaction

import eventmint.lake
from eventmint.pipeline import batches

LANES = 2
COMMITS = 25  # of a run over two batches: twelve tables each, and the record
Outcome = dict[str, Any]


# --- The tests -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Return what the lake held after each history, by the point at which its first run was killed."""
    folder = tmp_path_factory.mktemp("crash")
    deliver_the_first_file(folder)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    lanes = [
        subprocess.Popen([sys.executable, __file__, str(folder), str(lane)], env=environment)
        for lane in range(LANES)
    ]
    found: dict[str, Outcome] = {}
    for number, lane in enumerate(lanes):
        assert lane.wait(timeout=300) == 0
        found |= json.loads((folder / f"lane {number}.json").read_text())
    return found


def test_every_commit_of_the_run_was_met_and_killed_before_and_after(outcomes: dict[str, Outcome]) -> None:
    undisturbed = {outcomes[f"undisturbed {lane}"]["commits"] for lane in range(LANES)}
    assert undisturbed == {COMMITS}
    points = {point for point in outcomes if not point.startswith("undisturbed")}
    assert points == {f"{when} commit {k}" for when in ("before", "after") for k in range(1, COMMITS + 1)}


@pytest.mark.parametrize("part", ["rows", "ledger", "totals"])
def test_the_next_run_ends_where_the_killed_one_would_have(outcomes: dict[str, Outcome], part: str) -> None:
    expected = outcomes["undisturbed 0"][part]
    assert {point: found[part] for point, found in outcomes.items() if found[part] != expected} == {}


def test_the_laws_are_checked_and_recorded_whenever_the_run_was_killed(outcomes: dict[str, Outcome]) -> None:
    expected = outcomes["undisturbed 0"]["recorded"]
    assert expected["laws_hold"]
    assert {point for point, found in outcomes.items() if found["recorded"] != expected} == set()


# --- The program -----------------------------------------------------------------------------------------


def deliver_the_first_file(folder: Path) -> None:
    Shop(folder).deliver("a", *first_version())


def of_one_day(rng: Random, count: int) -> list[Row]:
    return [{**one, "timestamp": f"{TODAY}T{one['timestamp'][11:]}"} for one in random_events(rng, count)]


def first_version() -> list[Row | bytes]:
    return [*of_one_day(Random(50), 15), event(), event(), b"{"]


def deliver_the_second_files(folder: Path) -> None:
    """Replace the file, and add one that shares events with both of its versions: two batches."""
    rng = Random(51)
    kept = first_version()[:6]
    shared = of_one_day(rng, 4)
    Shop(folder).deliver("a", *kept, *shared, event(quantity=7), b"[]")
    Shop(folder).deliver("b", *shared, *kept[3:], *first_version()[8:12], *of_one_day(rng, 8), b"")


@dataclass
class Lane:
    """One of the processes that kill; it has a lake of its own, all have one source."""

    folder: Path
    number: int

    @property
    def shop(self) -> Shop:
        return Shop(self.folder / f"lane {self.number}")

    def run(self, minutes: int) -> None:
        self.shop.lake.run(self.folder / "source", now=NOW + timedelta(minutes=minutes))

    def go_back(self) -> None:
        shutil.rmtree(self.shop.folder)
        shutil.copytree(self.shop.folder.with_name(f"image {self.number}"), self.shop.folder)

    def play(self) -> dict[str, Outcome]:
        one_file_a_batch()
        assert in_a_process(partial(self.run, 0)) == 0
        shutil.copytree(self.shop.folder, self.shop.folder.with_name(f"image {self.number}"))
        self.wait_for_the_second_files()

        undisturbed = self.run_and_look(self.run_undisturbed)
        found = {f"undisturbed {self.number}": undisturbed}
        for number in range(1 + self.number, undisturbed["commits"] + 1, LANES):
            for when in ("before", "after"):
                self.go_back()
                killed = in_a_process(partial(self.run_and_die, when, number))
                assert killed == -signal.SIGKILL, (when, number, killed)
                found[f"{when} commit {number}"] = self.run_and_look(partial(self.run, 2))
        return found

    def wait_for_the_second_files(self) -> None:
        """Let the first lane write them when every lane has had its first run."""
        ready, written = self.folder / "ready", self.folder / "written"
        ready.mkdir(exist_ok=True)
        (ready / str(self.number)).touch()
        if self.number == 0:
            wait_until(lambda: len(list(ready.iterdir())) == LANES)
            deliver_the_second_files(self.folder)
            written.touch()
        wait_until(written.exists)

    def run_undisturbed(self) -> None:
        counted = at_each_commit(lambda _when, _number: None)
        self.run(1)
        (self.shop.folder / "commits").write_text(str(len(counted)))

    def run_and_die(self, when: str, number: int) -> None:
        def die(*point: object) -> None:
            if point == (when, number):
                os.kill(os.getpid(), signal.SIGKILL)

        at_each_commit(die)
        self.run(1)

    def run_and_look(self, work: Callable[[], None]) -> Outcome:
        """Run, and return what the lake holds then."""

        def run_and_write() -> None:
            work()
            (self.shop.folder / "found.json").write_text(json.dumps(self.what_it_holds()))

        assert in_a_process(run_and_write) == 0
        found: Outcome = json.loads((self.shop.folder / "found.json").read_text())
        return found

    def what_it_holds(self) -> Outcome:
        lake, commits = self.shop.lake, self.shop.folder / "commits"
        tables = published_rows(self.shop) | {"bronze.events": rows_of(lake, "bronze.events")}
        last = lake.last_run() or {}
        return {
            "rows": {table: f"{len(rows)} rows, {digest(rows)}" for table, rows in tables.items()},
            "ledger": sorted(str(replace(entry, seq=0, batch="")) for entry in lake.ledger().entries),
            "totals": str(lake.totals()),
            "recorded": {
                "laws_hold": last.get("laws_hold"),
                "lake": last.get("lake"),
                "seq": last.get("seq"),
            },
            "commits": int(commits.read_text()) if commits.exists() else 0,
        }


def one_file_a_batch() -> None:
    # A batch is cut at whole megabytes: too much for a test that kills fifty runs.
    setattr(eventmint.lake, "batches", lambda files, _batch_bytes: batches(files, 1))  # noqa: B010


def at_each_commit(happening: Callable[[str, int], None]) -> list[int]:
    """Call this before and after each commit, when the files are in place but for the catalog's word."""
    real = Transaction.commit_transaction
    numbers: list[int] = []

    def commit_transaction(transaction: Transaction) -> Any:
        numbers.append(len(numbers) + 1)
        happening("before", numbers[-1])
        done = real(transaction)
        happening("after", numbers[-1])
        return done

    setattr(Transaction, "commit_transaction", commit_transaction)  # noqa: B010 - no type for a replaced method
    return numbers


def in_a_process(work: Callable[[], None]) -> int:
    """Do this in a fork, and return its exit code; that of a killed one is minus the signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - the fork must not go on as its parent
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(6_000):
        if condition():
            return
        time.sleep(0.01)
    raise TimeoutError


def digest(rows: list[Row]) -> str:
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]


if __name__ == "__main__":
    lane = Lane(Path(sys.argv[1]), int(sys.argv[2]))
    lane.folder.joinpath(f"lane {lane.number}.json").write_text(json.dumps(lane.play()))
