"""Processes that start in milliseconds: forks of a server that has imported everything and touched nothing.

A fork of the test's own process would inherit locks of threads that it does not have. What the processes do
stands here, where they can import it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime
from functools import cache
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from deliveries import MADE_TABLES, Shop

from eventmint import crash_points

_PRELOADED = ("forked", "deliveries", "eventmint.lake", "eventmint.cli.run", "pyiceberg.catalog.sql")


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    # The server imports before it is told where from.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    try:
        process = context.Process(target=_nothing)
        process.start()
        process.join()
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before
    return context


def _nothing() -> None:
    pass


def start(function: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """Call a function that can be imported in a process of its own; its exit code is `exitcode`."""
    process = _context().Process(target=function, args=arguments, daemon=True)
    process.start()
    return process


def exit_code_of(function: Callable[..., object], *arguments: Any) -> int | None:
    """Do this in a process and return how it ended."""
    process = start(function, *arguments)
    process.join()
    return process.exitcode


def run_until(folder: Path, settings: dict[str, Any], now: datetime, number: int) -> None:
    """Run a shop's lake, and be killed at the crash point that is reached as the `number`-th."""
    reached = 0

    def die(_point: str) -> None:
        nonlocal reached
        reached += 1
        if reached == number:
            os.kill(os.getpid(), signal.SIGKILL)

    crash_points.on_reached = die
    shop = Shop(folder, settings)
    shop.lake.run(shop.source, now=now)


def run_command(config: Path, barrier: Any) -> None:
    """`eventmint run`, at the moment when all others are ready too; exits with its exit code."""
    from eventmint.cli import main

    barrier.wait(60)
    sys.exit(main(["--config", str(config), "--quiet", "run", "--max-quarantine", "1"]))


def run_and_pause(folder: Path, settings: dict[str, Any], now: datetime, number: int, paused: Any) -> None:
    """Run a shop's lake, but stop at the crash point that is reached as the `number`-th until continued.

    Exits: 0 when the run finished, 3 when it failed with an error that says to run again, 1 otherwise.
    """
    from eventmint.errors import TryAgain

    reached = 0

    def pause(point: str) -> None:
        nonlocal reached
        reached += 1
        if reached == number:
            paused.send(point)
            os.kill(os.getpid(), signal.SIGSTOP)

    crash_points.on_reached = pause
    shop = Shop(folder, settings)
    try:
        shop.lake.run(shop.source, now=now)
    except TryAgain as err:
        paused.send(f"{type(err).__name__}: {err}")
        sys.exit(3)
    paused.send("finished")


def read_until(folder: Path, end: Any, told: Any) -> None:
    """Read everything that a lake publishes, again and again; tell each state that was seen, once."""
    from made_tables import published_tables, rows_of_table, state_of

    shop = Shop(folder)
    seen: set[tuple[str, str]] = set()
    reads = 0
    while not end.is_set():
        seen.add(("analytics.duckdb", state_of(published_tables(shop))))
        seen |= {(name, state_of(rows_of_table(shop.lake, name))) for name in MADE_TABLES}
        reads += 1 + len(MADE_TABLES)
        time.sleep(0.02)
    told.send((reads, seen))


def wake(pid: int) -> None:
    """Let a stopped process go on."""
    os.kill(pid, signal.SIGCONT)
