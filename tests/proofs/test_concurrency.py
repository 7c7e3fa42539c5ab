"""Whoever works on a lake at the same time, nothing is lost, nothing doubled, and no reader sees a mix.

Many processes that start at once: one works, the others are refused or find nothing to do. A writer that was
stopped in the middle, lost its lock and wakes late: it fails with an error that says to run again, or finds
its work done. Readers that read all the time: each read is a state that some run left, of a table whole, and
of the published database whole.
"""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import forked
import pytest
from deliveries import MADE_TABLES, NOW, Row, Shop, random_events, rows_of
from made_tables import made_tables, published_tables, state_of, tables_of

from eventmint.contracts import all_contracts
from eventmint.lake import Lake
from eventmint.tables.plan import live_files

if TYPE_CHECKING:
    from proofs.forms import Proof

PROCESSES = 8
ROUNDS = 30
LOCK_HELD = 4
# A run has so many crash points, give or take; a writer is paused at each of them in turn.
PAUSES, PAUSE_ITEMS = 96, 8
SECONDS_TO_PAUSE = 60


# --- Many at once ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(1))
def test_of_many_that_start_at_once_one_works_and_nothing_is_lost_or_doubled(
    proof: Proof, tmp_path: Path, number: int
) -> None:
    shop = Shop(tmp_path)
    shop.source.mkdir()
    config = tmp_path / "eventmint.toml"
    config.write_text(
        f'[lake]\nroot = "{tmp_path / "lake"}"\ndatabase = "{shop.database}"\n'
        f'[source]\npath = "{shop.source}"\nsettle_seconds = 0.0\n[run]\nworkers = 1\n'
    )
    rng = proof.random("many at once", number)
    serial = Serial(tmp_path / "serial", shop)
    codes: Counter[int] = Counter()
    for round_ in range(proof.times(ROUNDS, 5 * ROUNDS)):
        deliver_some(shop, rng, round_)
        barrier = multiprocessing.get_context("forkserver").Barrier(PROCESSES)
        runs = [forked.start(forked.run_command, config, barrier) for _ in range(PROCESSES)]
        for run in runs:
            run.join()
        exits = Counter(-1 if run.exitcode is None else run.exitcode for run in runs)
        assert set(exits) <= {0, LOCK_HELD}, (round_, exits)
        assert exits[0], (round_, exits)
        codes.update(exits)
        if round_ % 5 == 4:
            serial.run()
    serial.run()
    assert codes[LOCK_HELD] > codes[0]
    assert_right(shop)
    assert tables_of(shop.lake) == tables_of(serial.lake)
    assert bronze_of(shop.lake) == bronze_of(serial.lake)
    proof.tried("runs that started together with seven others", sum(codes.values()))
    proof.tried("runs that were refused because of another", codes[LOCK_HELD])


class Serial:
    """A lake of the same source in which one run comes after the other."""

    def __init__(self, folder: Path, of: Shop) -> None:
        self._shop, self._source = Shop(folder), of.source

    @property
    def lake(self) -> Lake:
        return self._shop.lake

    def run(self) -> None:
        assert self.lake.run(self._source).laws_hold


def bronze_of(lake: Lake) -> list[Row]:
    return rows_of(lake, "bronze.events")


def deliver_some(shop: Shop, rng: Random, round_: int) -> None:
    """A new file that shares events with earlier ones; now and then another one again, or in its place."""
    pool = random_events(Random(7), 60)
    shop.deliver(f"{round_:03d}", *rng.sample(pool, 6), b"{", *random_events(rng, 2))
    if round_ % 3 == 1:
        shop.deliver_text(f"{round_:03d}-again", rng.choice(sorted(shop.texts.values())))


def assert_right(shop: Shop) -> None:
    """Every table holds what the oracle says, in the lake and as published, and the laws hold."""
    expected = made_tables(set(shop.texts.values()))
    found, published = tables_of(shop.lake), published_tables(shop)
    for name in MADE_TABLES:
        assert found[name] == expected[name], name
        assert published[name] == expected[name], f"{name} as published"
    assert [str(law) for law in shop.lake.verify() if not law.holds] == []


# --- A paused writer -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(PAUSE_ITEMS))
def test_a_writer_that_wakes_late_fails_cleanly_or_finds_its_work_done(
    proof: Proof, tmp_path: Path, number: int
) -> None:
    rng = proof.random("paused", number)
    ends: Counter[str] = Counter()
    points = range(1 + number, PAUSES + 1, PAUSE_ITEMS)
    for lap in range(proof.times(1, 3)):
        for at in sorted(rng.sample(points, proof.times(1, len(points)))):
            ends[wake_late(Shop(tmp_path / f"{lap} {at}"), at, rng)] += 1
    for end, count in sorted(ends.items()):
        proof.tried(f"writers that woke late and {end}", count)


def wake_late(shop: Shop, at: int, rng: Random) -> str:
    """Pause a run, let another one overtake it, wake it, run again; return how the paused one ended."""
    case = f"paused at crash point {at} in {shop.folder.name}"
    deliver_some(shop, rng, 0)
    shop.run()
    deliver_some(shop, rng, 1)
    if rng.random() < 0.5:
        shop.deliver("000", *random_events(rng, 5))  # in place of what it was
    ours, theirs = multiprocessing.Pipe()
    run = forked.start(forked.run_and_pause, shop.folder, {}, NOW + timedelta(seconds=1), at, theirs)
    point = hear(ours, case)
    if point == "finished":
        run.join()
        assert run.exitcode == 0, case
        return "had finished before"
    case += f" ({point})"
    wait_until_stopped(run.pid)
    # As if the lock had never been: what a network file system may do to it, or a person.
    (shop.folder / "lake" / ".lock").unlink()
    if rng.random() < 0.5:
        deliver_some(shop, rng, 2)  # the one that overtakes takes in more
    assert shop.run().laws_hold, case
    assert run.pid is not None
    forked.wake(run.pid)
    end = hear(ours, case)
    run.join()
    assert run.exitcode in (0, 3), (case, run.exitcode, end)
    shop.run()
    assert_right(shop)
    assert_files_are_as_noted(shop.lake, case)
    return "found their work done" if run.exitcode == 0 else "failed with TryAgain"


def hear(connection: Connection, case: str) -> str:
    assert connection.poll(SECONDS_TO_PAUSE), case
    said: str = connection.recv()
    return said


def wait_until_stopped(pid: int | None) -> None:
    state = Path(f"/proc/{pid}/stat")
    if not state.exists():
        time.sleep(0.2)  # no such files here: it stops itself as soon as it has told us
        return
    while state.read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.005)


def assert_files_are_as_noted(lake: Lake, case: str) -> None:
    """No file that a table knows has been overwritten by whoever woke late."""
    for shape in all_contracts():
        for file in live_files(lake._catalog.load(shape), shape):
            size = Path(file.location).stat().st_size
            assert size == file.data_file.file_size_in_bytes, (case, file.location)


# --- Readers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(2))
def test_a_read_is_a_state_that_some_run_left_whole(proof: Proof, tmp_path: Path, number: int) -> None:
    shop = Shop(tmp_path)
    rng = proof.random("readers", number)
    known = set()
    deliver_some(shop, rng, 0)
    shop.run()
    known |= states(shop)
    context = multiprocessing.get_context("forkserver")
    end = context.Event()
    pipes = [multiprocessing.Pipe() for _ in range(2)]
    readers = [forked.start(forked.read_until, tmp_path, end, theirs) for _, theirs in pipes]
    for round_ in range(1, 1 + proof.times(4, 60)):
        deliver_some(shop, rng, round_)
        shop.deliver("000", *random_events(rng, 8))  # days are replaced, not only added to
        shop.run()
        known |= states(shop)
    end.set()
    seen: set[tuple[str, str]] = set()
    reads = 0
    for ours, _ in pipes:
        assert ours.poll(60)
        count, found = ours.recv()
        reads += count
        seen |= found
    for reader in readers:
        reader.join()
        assert reader.exitcode == 0
    assert seen <= known, sorted(name for name, _ in seen - known)
    assert len(seen) > len(MADE_TABLES) + 1  # they have seen something change
    proof.tried("reads during replaces", reads)
    proof.tried("different states seen by them", len(seen))


def states(shop: Shop) -> set[tuple[str, str]]:
    tables = {(name, state_of(rows)) for name, rows in tables_of(shop.lake).items()}
    return {("analytics.duckdb", state_of(published_tables(shop))), *tables}
