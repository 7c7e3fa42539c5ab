"""Runs that end by a power cut: `python power_cut.py FOLDER SEED CUTS` prints what came of it as JSON.

The disk is the worst that the rules of POSIX allow. A file survives with what it held if it was synced after
its last write, and only under a name whose folder was synced after the file got it; nothing else survives.
SQLite keeps its own promise to be durable and is believed; `analytics.duckdb` is a copy and is taken away.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from proofs.stage import Found, Stage, difference, in_a_process, tell

Inode = tuple[int, int]
NEVER = 1 << 63


class Disk:
    """What of a folder has reached the disk, as this process's own calls of fsync and mkdir tell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._synced: dict[Inode, int] = {}
        self._made: dict[Inode, int] = {}

    def watch(self) -> None:
        """Begin: all that lies there now has been there for long."""
        now = time.time_ns()
        for path in [self.folder, *self.folder.rglob("*")]:
            self._synced[inode(path)] = now
            self._made[inode(path)] = 0
        self._wrap("fsync", lambda handle: self._note(self._synced, os.fstat(handle)))
        self._wrap("mkdir", lambda path, *_: self._note(self._made, Path(path).stat()))

    def _wrap(self, name: str, note: Callable[..., None]) -> None:
        real = getattr(os, name)

        def wrapper(*args: Any, **more: Any) -> Any:
            done = real(*args, **more)
            note(*args)
            return done

        setattr(os, name, wrapper)

    def _note(self, times: dict[Inode, int], status: os.stat_result) -> None:
        # The file system's clock is coarser than ours and may lie behind it, never before it.
        times[status.st_dev, status.st_ino] = time.time_ns()

    def lost(self) -> list[str]:
        """The files and folders that a power cut would take."""
        return [
            str(path)
            for path in sorted(self.folder.rglob("*"))
            if path.name != "catalog.sqlite" and not (self._has_its_name(path) and self._is_written(path))
        ]

    def _has_its_name(self, path: Path) -> bool:
        named = self._made.get(inode(path), NEVER) if path.is_dir() else path.stat().st_ctime_ns
        return self._synced.get(inode(path.parent), 0) >= named

    def _is_written(self, path: Path) -> bool:
        return path.is_dir() or self._synced.get(inode(path), 0) >= path.stat().st_mtime_ns


def inode(path: Path) -> Inode:
    status = path.stat()
    return status.st_dev, status.st_ino


def play(stage: Stage, cuts: int) -> Found:
    """Cut the power at points of the seed's choice, and compare what a new run then makes.

    Returns: the number of cuts, of files that were lost, and what differed by case.
    """
    scenes = [stage.first_scene(), stage.second_scene()]
    points = list(dict.fromkeys(scenes[0].met + scenes[1].met))
    differing: dict[str, str] = {}
    lost = 0
    for point in stage.rng.choices(points, k=cuts):
        scene = stage.rng.choice([scene for scene in scenes if point in scene.met])
        nth = stage.rng.randint(1, scene.met.count(point))
        stage.go_back_to(scene)
        assert in_a_process(partial(run_until_the_cut, stage, point, nth)) == -signal.SIGKILL
        lost += take_away(stage)
        wrong = difference(scene.after, stage.run_and_look())
        if wrong:
            differing[f"{scene.name}, {point}, occurrence {nth}"] = wrong
    return {"cuts": cuts, "lost": lost, "differing": differing}


def run_until_the_cut(stage: Stage, point: str, nth: int) -> None:
    disk = Disk(stage.shop.folder)
    disk.watch()
    stage.run_and_die(point, nth, lambda: (stage.folder / "lost").write_text(json.dumps(disk.lost())))


def take_away(stage: Stage) -> int:
    """Make the disk what the power cut left of it."""
    lost = [*map(Path, json.loads((stage.folder / "lost").read_text())), stage.shop.database]
    for path in lost:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return len(lost)


if __name__ == "__main__":
    tell(play(Stage(Path(sys.argv[1]), int(sys.argv[2])), int(sys.argv[3])))
