"""What the processes do that restate days of a shop, and die: imported by them, so it stands apart."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from deliveries import Shop
from proofs.stage import what_it_holds, what_readers_see

from eventmint import crash_points
from eventmint.values import DayRange

OTHER_KEY = {"quality__dedup": ["event_time", "user_id"]}


def restate_and_trace(folder: Path, told: Path) -> None:
    met: list[str] = []
    crash_points.on_reached = met.append
    shop = Shop(folder, OTHER_KEY)
    assert shop.lake.restate(DayRange()).events
    crash_points.on_reached = None
    broken = [str(law) for law in shop.lake.verify(deep=True) if not law.holds]
    told.write_text(json.dumps({"met": met, "broken": broken, **what_it_holds(shop)}))


def restate_and_die(folder: Path, wanted: str) -> None:
    def die(point: str) -> None:
        if point == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    crash_points.on_reached = die
    Shop(folder, OTHER_KEY).lake.restate(DayRange())


def look_and_run(folder: Path, told: Path) -> None:
    """Look, then let a run finish what was cut off."""
    shop = Shop(folder, OTHER_KEY)
    seen = what_readers_see(shop)
    shop.run()
    told.write_text(json.dumps({"seen": seen, **what_it_holds(shop)}))
