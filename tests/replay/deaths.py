"""What the processes do that replay a shop's quarantine, and die: imported by them, so it stands apart."""

from __future__ import annotations

import json
import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

from deliveries import NOW, Shop, rows_of
from proofs.stage import COPIED_OR_FIRST, what_readers_see

from eventmint import crash_points

REFUNDS = {"contract__event_types": ["page_view", "purchase", "refund"]}
SOON = NOW + timedelta(hours=1)


def replay_and_trace(folder: Path, told: Path) -> None:
    met: list[str] = []
    crash_points.on_reached = met.append
    shop = Shop(folder, REFUNDS)
    assert shop.lake.replay_quarantine(now=SOON).passed
    crash_points.on_reached = None
    broken = [str(law) for law in shop.lake.verify() if not law.holds]
    told.write_text(json.dumps({"met": met, "broken": broken, **what_it_holds(shop)}))


def replay_and_die(folder: Path, wanted: str) -> None:
    def die(point: str) -> None:
        if point == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    crash_points.on_reached = die
    Shop(folder, REFUNDS).lake.replay_quarantine(now=SOON)


def look_and_replay(folder: Path, told: Path) -> None:
    shop = Shop(folder, REFUNDS)
    seen = what_readers_see(shop)
    shop.lake.replay_quarantine(now=SOON)
    told.write_text(json.dumps({"seen": seen, **what_it_holds(shop)}))


def what_it_holds(shop: Shop) -> dict[str, Any]:
    lake = shop.lake
    last = lake.last_run() or {}
    return {
        "published": what_readers_see(shop),
        "rows": {name: repr(rows_of(lake, name)) for name in COPIED_OR_FIRST},
        "ledger": [repr(entry) for entry in lake.ledger().entries],
        "recorded": [last.get(name) for name in ("laws_hold", "lake", "totals", "lines_replayed", "seq")],
        "left": sorted(
            path.name
            for path in shop.folder.rglob("*")
            if path.name == ".scratch" or path.suffix in {".partial", ".new", ".wal"}
        ),
    }
