"""Maintenance that is killed at any of its crash points loses nothing: readers see whole states, the next run
and the next maintenance end where they would have ended, and nothing that was staged stays behind."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from random import Random
from typing import Any

from deliveries import Shop, event, random_events
from forked import exit_code_of
from maintenance.deaths import look_and_maintain, maintain_and_die, maintain_and_trace

MERGED = ("bronze.events", "silver.events_cleaned", "gold.daily_users", "gold.daily_sessions", "ops.runs")
POINTS = {
    *("file: about to be read", "file: written", "file: named", "put: a file is at its place"),
    *(f"commit {name}: {when}" for name in MERGED for when in ("before", "after")),
    *("publish: old one copied", "publish: built", "publish: old log removed", "publish: swapped"),
    *("trim: old snapshots forgotten", "trim: their files removed"),
    *("lock: taken", "lock: about to be freed", "scratch: made", "scratch: about to be removed"),
}
# Killed at these; every run of maintenance meets the others with the same files in the same places.
DEADLY = (
    *("file: named", "put: a file is at its place", "publish: built"),
    *("commit bronze.events: before", "commit bronze.events: after", "commit silver.events_cleaned: after"),
    *("commit gold.daily_users: before", "commit ops.runs: after"),
    *("trim: old snapshots forgotten", "trim: their files removed"),
)


def test_maintenance_killed_anywhere_ends_where_it_would_have_ended(tmp_path: Path) -> None:
    shop, rng, told = Shop(tmp_path / "shop"), Random(3), tmp_path / "told"
    for name in ("a", "b", "c"):
        shop.deliver(name, *random_events(rng, 9), event(), b"{")
        shop.run()
    shop.keep()
    assert exit_code_of(maintain_and_trace, shop.folder, told) == 0
    finished: dict[str, Any] = json.loads(told.read_text())
    assert set(finished.pop("met")) == POINTS
    assert finished["broken"] == finished["left"] == []
    for point in DEADLY:
        shop.put_back()
        assert exit_code_of(maintain_and_die, shop.folder, point) == -signal.SIGKILL, point
        assert exit_code_of(look_and_maintain, shop.folder, told) == 0, point
        found = json.loads(told.read_text())
        assert found.pop("seen") == finished["published"], point
        assert found == finished, point
