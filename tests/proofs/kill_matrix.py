"""Runs that are killed at every crash point: one that builds a lake, and one that has much to replace.

A program of its own, for the killing is done by forking: it loads everything once, opens no database itself,
and each run is a fork that dies at its point or lives. `python kill_matrix.py FOLDER SEED` prints, as JSON,
the points that were met, and for each kill what differed afterwards.
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
from eventmint.contracts import ANSWERS, all_contracts
from eventmint.pipeline import batches
from eventmint.tables import maintain

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
# What readers see of all other tables are their own files.
COPIED_OR_FIRST = ("bronze.events", *(f"gold.{answer}" for answer in ANSWERS))
# How often a killed run is killed again, somewhere, before it is left in peace.
KILLED_TWICE = 0.15
Found = dict[str, Any]


@dataclass
class Scene:
    """A lake as it was before the run that is killed, and what that run leaves when it is not."""

    name: str
    image: Path
    before: dict[str, str]
    met: list[str]
    after: Found


class Stage:
    """One shop in one folder, in which the run of a scene is played again and again."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = Random(seed)
        self.folder = folder
        self.shop = Shop(folder / "shop")

    def play(self) -> Found:
        """Kill at every point once, at an occurrence of the seed's choice."""
        make_runs_small(self.rng.choice((1, 2, 2)))
        scenes = [self.first_scene(), self.second_scene()]
        differing: dict[str, str] = {}
        kills = 0
        for point in sorted(POINTS):
            places = [(scene, number) for scene in scenes for number in range(1, scene.met.count(point) + 1)]
            if not places:
                continue
            scene, number = self.rng.choice(places)
            case = f"{scene.name}, {point}, occurrence {number}"
            self.go_back_to(scene)
            self.kill_at(point, number, case)
            kills += 1
            wrong = self.torn(scene)
            if self.rng.random() < KILLED_TWICE:
                again = self.rng.choice(scene.met)
                case += f", then {again}"
                # The run that repairs may not come to that point again: then it has lived.
                kills += in_a_process(partial(self.run_and_die, again, 1)) == -signal.SIGKILL
                wrong = wrong or self.torn(scene)
            wrong = wrong or difference(scene.after, self.run_and_look())
            if wrong:
                differing[case] = wrong
        met = sorted({point for scene in scenes for point in scene.met})
        return {"met": met, "kills": kills, "differing": differing}

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
        if self.shop.folder.exists():
            shutil.copytree(self.shop.folder, image)
        trace = self.folder / "trace"
        assert in_a_process(partial(self.run_and_trace, trace)) == 0, name
        after = self.told_by_a_fork(self.what_it_holds)
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

    def run_and_die(self, point: str, number: int) -> None:
        left = number

        def die(reached: str) -> None:
            nonlocal left
            left -= reached == point
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        crash_points.on_reached = die
        self.run(0)

    def kill_at(self, point: str, number: int, case: str) -> None:
        ended = in_a_process(partial(self.run_and_die, point, number))
        assert ended == -signal.SIGKILL, f"{case}: ended with {ended}"

    def run_and_look(self) -> Found:
        def tell() -> Found:
            self.run(1)
            return self.what_it_holds()

        return self.told_by_a_fork(tell)

    def published(self) -> dict[str, str]:
        """What readers see, by table; nothing while nothing was published."""
        return self.told_by_a_fork(self.what_readers_see) if self.shop.database.exists() else {}

    def told_by_a_fork(self, tell: Callable[[], Found]) -> Found:
        told = self.folder / "told"
        if in_a_process(lambda: told.write_text(json.dumps(tell()))) != 0:
            return {"it failed": "see stderr"}
        found: Found = json.loads(told.read_text())
        return found

    def torn(self, scene: Scene) -> str:
        """What readers see that is neither the old state nor the new one."""
        seen = self.published()
        whole = seen in (scene.before, scene.after["published"])
        return "" if whole else f"readers see neither the old state nor the new one: {seen}"

    def what_readers_see(self) -> Found:
        return {table: digest(rows) for table, rows in published_rows(self.shop).items()}

    def what_it_holds(self) -> Found:
        lake = self.shop.lake
        last = lake.last_run() or {}
        return {
            "published": self.what_readers_see(),
            "rows": {table: digest(rows_of(lake, table)) for table in COPIED_OR_FIRST},
            "ledger": sorted(str(replace(entry, seq=0, batch="")) for entry in lake.ledger().entries),
            "totals": str(lake.totals()),
            "recorded": [last.get(name) for name in ("laws_hold", "lake", "seq", "checked_seq")],
            "left": sorted(
                path.name
                for path in self.shop.folder.rglob("*")
                if path.name == ".scratch" or path.suffix in {".partial", ".new", ".wal"}
            ),
        }


def make_runs_small(batch_files: int) -> None:
    """Cut batches after so many files and forget snapshots at once, which else takes many and long runs."""
    cut = partial(batches, batch_files=batch_files)
    setattr(eventmint.lake, "batches", cut)  # noqa: B010 - no type for a replaced function
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


if __name__ == "__main__":
    gc.disable()  # a collection in a fork would copy all that it shares with its parent
    sys.stdout.write(json.dumps(Stage(Path(sys.argv[1]), int(sys.argv[2])).play()))
