"""What the processes do that maintain a shop's lake, and die: imported by them, so it stands apart."""

from __future__ import annotations

import json
import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

from deliveries import NOW, Shop, rows_of
from proofs.stage import what_readers_see

from eventmint import crash_points
from eventmint.contracts import all_contracts, contract
from eventmint.tables.plan import live_files

LATER = NOW + timedelta(days=9000)  # every snapshot but the newest has expired


def maintain_and_trace(folder: Path, told: Path) -> None:
    met: list[str] = []
    crash_points.on_reached = met.append
    assert Shop(folder).lake.maintain(now=LATER).is_complete
    crash_points.on_reached = None
    told.write_text(json.dumps({"met": met, **what_it_holds(Shop(folder))}))


def maintain_and_die(folder: Path, wanted: str) -> None:
    def die(point: str) -> None:
        if point == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    crash_points.on_reached = die
    Shop(folder).lake.maintain(now=LATER)


def look_and_maintain(folder: Path, told: Path) -> None:
    shop = Shop(folder)
    seen = what_readers_see(shop)
    assert not shop.lake.run(shop.source, now=NOW + timedelta(hours=1)).changed
    assert shop.lake.maintain(now=LATER).is_complete
    told.write_text(json.dumps({"seen": seen, **what_it_holds(shop)}))


def what_it_holds(shop: Shop) -> dict[str, Any]:
    lake = shop.lake
    names = [shape.table for shape in all_contracts()]
    return {
        "published": what_readers_see(shop),
        "rows": {name: repr(rows_of(lake, name)) for name in names},
        "files": {
            name: len(live_files(lake._catalog.load(contract(name)), contract(name))) for name in names
        },
        "broken": [str(law) for law in lake.verify() if not law.holds],
        "left": sorted(
            path.name
            for path in shop.folder.rglob("*")
            if path.name == ".scratch" or path.suffix in {".partial", ".new", ".wal"}
        ),
    }
