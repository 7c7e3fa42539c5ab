"""Runs that are killed at crash points: `kill_matrix.py FOLDER SEED POINT...` prints what came of it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from proofs.stage import Found, Scene, Stage, difference, in_a_process, tell

# How often a killed run is killed again, somewhere, before it is left in peace.
KILLED_TWICE = 0.1


def play(stage: Stage, points: Sequence[str]) -> Found:
    """Kill at each of these points, at an occurrence of the seed's choice; compare what a new run then makes.

    Returns: the points that were met, the number of kills, and what differed by case: it ends with the first.
    """
    scenes = [stage.first_scene(), stage.second_scene()]
    differing: dict[str, str] = {}
    kills = 0
    for point in points:
        scene = stage.rng.choice([scene for scene in scenes if point in scene.met])
        nth = stage.rng.randint(1, scene.met.count(point))
        case = f"{scene.name}, {point}, occurrence {nth}"
        stage.go_back_to(scene)
        ended = in_a_process(partial(stage.run_and_die, point, nth))
        assert ended == -signal.SIGKILL, f"{case}: ended with {ended}"
        kills += 1
        wrong = torn(stage, scene)
        if stage.rng.random() < KILLED_TWICE:
            again = stage.rng.choice(scene.met)
            case += f", then {again}"
            # The run that repairs may not come to that point again: then it has lived.
            kills += in_a_process(partial(stage.run_and_die, again, 1)) == -signal.SIGKILL
            wrong = wrong or torn(stage, scene)
        wrong = wrong or difference(scene.after, stage.run_and_look())
        if wrong:
            differing[case] = wrong
            break
    met = sorted({point for scene in scenes for point in scene.met})
    return {"met": met, "kills": kills, "differing": differing}


def torn(stage: Stage, scene: Scene) -> str:
    """What readers see that is neither the old state nor the new one."""
    seen = stage.published()
    whole = seen in (scene.before, scene.after["published"])
    return "" if whole else f"readers see neither the old state nor the new one: {seen}"


if __name__ == "__main__":
    tell(play(Stage(Path(sys.argv[1]), int(sys.argv[2])), sys.argv[3:]))
