"""What the processes do that forget people of a shop, and die: imported by them, so it stands apart."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from deliveries import NOW
from forget.people import ANNA, BEN, found_in, shop_in, what_it_holds

from eventmint import crash_points


def forget_and_die(folder: Path, wanted: str) -> None:
    def die(point: str) -> None:
        if point == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    crash_points.on_reached = die
    shop_in(folder).lake.forget([ANNA, BEN], now=NOW)


def run_and_tell(folder: Path, told: Path) -> None:
    """Let a run that knows no id finish what was cut off; tell what is there then."""
    shop = shop_in(folder)
    report = shop.run()
    broken = [str(law) for law in shop.lake.verify(deep=True) if not law.holds]
    found = [place for place in found_in(folder) if not place.startswith("source/")]
    told.write_text(
        json.dumps(
            {
                "forgotten": report.forgotten,
                "broken": broken,
                "found": found,
                "holds": repr(what_it_holds(shop)),
            }
        )
    )
