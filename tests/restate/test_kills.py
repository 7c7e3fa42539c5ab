"""A restatement that is killed is finished by the next run; readers see whole states, and nothing is left."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from random import Random
from typing import Any

from deliveries import Shop, event, random_events
from forked import exit_code_of
from proofs.stage import POINTS, what_readers_see
from restate.deaths import look_and_run, restate_and_die, restate_and_trace

# No file is landed, and few snapshots are not trimmed.
NEVER = {
    "tables: one created",
    "file: about to be read",
    "trim: old snapshots forgotten",
    "trim: their files removed",
}
DEADLY = (
    "commit bronze.ingested_files: after",
    "commit bronze.events: after",
    "commit silver.events_cleaned: before",
    "commit silver.events_cleaned: after",
    "commit gold.daily_users: after",
    "publish: built",
)


def test_a_restatement_killed_anywhere_ends_where_it_would_have_ended(tmp_path: Path) -> None:
    shop, told = Shop(tmp_path / "shop"), tmp_path / "told"
    shop.deliver("a", *random_events(Random(3), 9), event(), event(quantity=4), b"\xff")
    shop.run()
    before = what_readers_see(shop)
    shop.keep()
    assert exit_code_of(restate_and_trace, shop.folder, told) == 0
    finished: dict[str, Any] = json.loads(told.read_text())
    assert set(finished.pop("met")) == POINTS - NEVER
    assert finished.pop("broken") == finished["left"] == []
    for point in DEADLY:
        shop.put_back()
        assert exit_code_of(restate_and_die, shop.folder, point) == -signal.SIGKILL, point
        assert exit_code_of(look_and_run, shop.folder, told) == 0, point
        found = json.loads(told.read_text())
        assert found.pop("seen") in (before, finished["published"]), point
        assert without_time(found) == without_time(finished), point


def without_time(found: dict[str, Any]) -> dict[str, Any]:
    """What must be equal: entries but for the time at which the restatement was asked for."""
    entries = [entry for entry in found["ledger"] if "status='restated'" not in entry]
    assert len(found["ledger"]) == len(entries) + 1
    return {**found, "ledger": entries}
