"""A stage on which the same run is played again and again, each time in a fork: it lives, or it is ended.

Two scenes: a lake that is built, and one that has a file replaced, snapshots trimmed and a database published
anew. For programs that load everything once and open no database themselves, for they fork.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from deliveries import NOW, TODAY, Row, Shop, event, published_rows, random_events, rows_of

import eventmint.lake
from eventmint import crash_points
from eventmint.contracts import ANSWERS, all_contracts, contract
from eventmint.pipeline import batches
from eventmint.tables import maintain
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.commit import Stamp, commit

POINTS = frozenset(
    {
        *("lock: taken", "lock: about to be freed"),
        *("scratch: made", "scratch: about to be removed"),
        "tables: one created",
        *("file: about to be read", "file: written", "file: named"),
        "put: a file is at its place",
        *(f"commit {shape.table}: {when}" for shape in all_contracts() for when in ("before", "after")),
        *("publish: old one copied", "publish: built", "publish: old log removed", "publish: swapped"),
        *("trim: old snapshots forgotten", "trim: their files removed"),
    }
)
# What readers see of all other tables are the tables' own files.
COPIED_OR_FIRST = ("bronze.events", *(f"gold.{answer}" for answer in ANSWERS))
Found = dict[str, Any]


@dataclass
class Scene:
    """A lake as it was before the run that is played, and what that run leaves when nobody ends it."""

    name: str
    image: Path
    before: dict[str, str]
    met: list[str]
    after: Found


class Stage:
    """One shop in one folder."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = Random(seed)
        self.folder = folder
        self.shop = Shop(folder / "shop")
        make_runs_small(self.rng.choice((1, 2, 2, 2)))
        warm_up(folder / "warm up")
        gc.disable()  # a collection in a fork would copy all that it shares with its parent

    def first_scene(self) -> Scene:
        """Nothing is there yet but one file."""
        self.deliver("a", 15, event(), event(), b"{")
        return self.scene("new lake")

    def second_scene(self) -> Scene:
        """A file is replaced and another one shares events with both of its versions: one batch or two."""
        kept = [line for line in self.shop.texts["a"].splitlines() if line][:6]
        shared = self.one_day(4)
        self.deliver("a", 0, *kept, *shared, event(quantity=7), b"[]")
        self.deliver("b", 8, *shared, *kept[3:], b"")
        return self.scene("replaced file")

    def scene(self, name: str) -> Scene:
        image = self.folder / name
        before = self.published()
        shutil.copytree(self.shop.folder, image)
        trace = self.folder / "trace"
        assert in_a_process(partial(self.run_and_trace, trace)) == 0, name
        after = self.told_by_a_fork(partial(what_it_holds, self.shop))
        return Scene(name, image, before, json.loads(trace.read_text()), after)

    def deliver(self, name: str, count: int, *lines: Row | bytes) -> None:
        self.shop.deliver(name, *self.one_day(count), *lines)

    def one_day(self, count: int) -> list[Row]:
        rows = random_events(self.rng, count)
        return [{**one, "timestamp": f"{TODAY}T{one['timestamp'][11:]}"} for one in rows]

    def go_back_to(self, scene: Scene) -> None:
        shutil.rmtree(self.shop.folder)
        shutil.copytree(scene.image, self.shop.folder)

    # --- Runs, each in a fork -----------------------------------------------------------------------------

    def run(self, minutes: int) -> None:
        assert self.shop.lake.run(self.shop.source, now=NOW + timedelta(minutes=minutes)).laws_hold

    def run_and_trace(self, trace: Path) -> None:
        met: list[str] = []
        crash_points.on_reached = met.append
        self.run(0)
        trace.write_text(json.dumps(met))

    def run_and_die(self, point: str, nth: int, last_words: Callable[[], object] = bool) -> None:
        """Run until a point is met for the nth time, and be killed there."""
        left = nth

        def die(reached: str) -> None:
            nonlocal left
            left -= reached == point
            if left == 0:
                last_words()
                os.kill(os.getpid(), signal.SIGKILL)

        crash_points.on_reached = die
        self.run(0)

    def run_and_look(self) -> Found:
        def tell() -> Found:
            self.run(1)
            return what_it_holds(self.shop)

        return self.told_by_a_fork(tell)

    def published(self) -> dict[str, str]:
        """What readers see, by table; nothing while nothing was published."""
        seen = partial(what_readers_see, self.shop)
        return self.told_by_a_fork(seen) if self.shop.database.exists() else {}

    def told_by_a_fork(self, tell: Callable[[], Found]) -> Found:
        told = self.folder / "told"
        if in_a_process(lambda: told.write_text(json.dumps(tell()))) != 0:
            return {"it failed": "see stderr"}
        found: Found = json.loads(told.read_text())
        return found


def what_readers_see(shop: Shop) -> Found:
    return {table: digest(rows) for table, rows in published_rows(shop).items()}


def what_it_holds(shop: Shop) -> Found:
    """All that must not depend on whether a run was ended: rows, ledger, totals, the record, leftovers."""
    lake = shop.lake
    last = lake.last_run() or {}
    return {
        "published": what_readers_see(shop),
        "rows": {table: digest(rows_of(lake, table)) for table in COPIED_OR_FIRST},
        "ledger": sorted(str(replace(entry, seq=0, batch="")) for entry in lake.ledger().entries),
        "totals": str(lake.totals()),
        "recorded": [last.get(name) for name in ("laws_hold", "lake", "seq", "checked_seq")],
        "left": sorted(
            path.name
            for path in shop.folder.rglob("*")
            if path.name == ".scratch" or path.suffix in {".partial", ".new", ".wal"}
        ),
    }


def warm_up(folder: Path) -> None:
    """Fill the caches of what commits, before the first fork: each would fill them for itself."""
    catalog = LakeCatalog(folder)
    catalog.create_missing()
    for number in (1, 2):
        commit(
            catalog.load(contract("gold.user_activity")), contract("gold.user_activity"), Stamp(number, "")
        )
    catalog._open().engine.dispose()  # type: ignore[attr-defined]  # no connection may pass a fork


def make_runs_small(batch_files: int) -> None:
    """Cut batches after so many files and forget snapshots at once, which else takes many and long runs."""
    setattr(eventmint.lake, "batches", partial(batches, batch_files=batch_files))  # noqa: B010 - no type for it
    setattr(maintain, "SNAPSHOTS_BEFORE_TRIMMING", 1)  # noqa: B010
    setattr(maintain, "SNAPSHOTS_KEPT", 1)  # noqa: B010


def in_a_process(work: Callable[[], object]) -> int:
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


def difference(expected: Found, found: Found) -> str:
    parts = [part for part in {**expected, **found} if found.get(part) != expected.get(part)]
    return "; ".join(f"{part}: {found.get(part)} instead of {expected.get(part)}" for part in parts)


def digest(rows: list[Row]) -> str:
    return f"{len(rows)} rows, {hashlib.sha256(repr(rows).encode()).hexdigest()[:16]}"


def tell(found: Found) -> None:
    sys.stdout.write(json.dumps(found))
