"""A shop of eight days, and what processes do that retain it and die: imported by them, so it is here."""

from __future__ import annotations

import json
import os
import signal
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

from deliveries import NOW, TODAY, Row, Shop, event, random_events
from made_tables import tables_of

from eventmint import crash_points


def limits(**days: int) -> dict[str, Any]:
    return {f"retention__{layer}_days": count for layer, count in days.items()}


DAYS = {"bronze": 2, "quarantine": 1, "silver": 3, "gold": 5}
LIMITS = limits(**DAYS)


def day(ago: int) -> date:
    return TODAY - timedelta(days=ago)


def events_of(ago: int, seed: int, count: int = 6) -> list[Row]:
    found = random_events(Random(seed), count)
    return [{**one, "timestamp": f"{day(ago)}T{one['timestamp'][11:]}"} for one in found]


def deliver_days(shop: Shop) -> None:
    """Eight days in four files, with an event of the newest in each, and bad lines."""
    for ago in (6, 4, 2, 0):
        days = (*events_of(ago + 1, ago + 1), *events_of(ago, ago))
        shop.deliver(f"day {ago}", *days, *events_of(0, 50, 1), b"{", b" ")


def what_it_holds(shop: Shop) -> dict[str, str]:
    lake = shop.lake
    ledger = [vars(entry) | {"received_at": None} for entry in lake.ledger().entries]
    return {
        "tables": repr(tables_of(lake)),
        "ledger": repr(ledger),
        "totals": str(lake.totals()),
        "retained": repr([run["retained"] for run in lake.runs()]),
        "broken": repr([str(law) for law in lake.verify(deep=True) if not law.holds]),
    }


def retain_and_die(folder: Path, wanted: str) -> None:
    def die(point: str) -> None:
        if point == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    crash_points.on_reached = die
    Shop(folder, LIMITS).lake.retain(now=NOW + timedelta(hours=1))


def run_and_tell(folder: Path, told: Path) -> None:
    """Let a run finish what was cut off, and another take in a late line; tell what is there."""
    shop = Shop(folder, LIMITS)
    shop.lake.run(shop.source, now=NOW + timedelta(hours=1))
    shop.deliver("late", event(timestamp=f"{day(6)}T10:00:00Z"), event(quantity=9))
    shop.lake.run(shop.source, now=NOW + timedelta(hours=2))
    told.write_text(json.dumps(what_it_holds(shop)))
