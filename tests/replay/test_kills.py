"""A replay that is killed at any of its crash points loses nothing: readers see whole states, and the next
one ends where the first would have ended."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from random import Random
from typing import Any

from deliveries import Shop, event, random_events
from forked import exit_code_of
from proofs.stage import POINTS, what_readers_see
from replay.deaths import look_and_replay, replay_and_die, replay_and_trace

# Those that it shares with a run; only a first run creates tables, and few snapshots are not trimmed.
NEVER = {
    "tables: one created",
    "trim: old snapshots forgotten",
    "trim: their files removed",
}
# Killed at these: what follows is what any run does, and the kill matrix kills there.
DEADLY = ("put: a file is at its place", "commit bronze.events: after")


def test_a_replay_killed_anywhere_ends_where_it_would_have_ended(tmp_path: Path) -> None:
    shop, told = Shop(tmp_path / "shop", {"contract__event_types": ["page_view", "purchase"]}), tmp_path / "t"
    refunds = [event(event_type="refund", product_id=f"p{number}") for number in range(3)]
    shop.deliver("a", *random_events(Random(3), 9), refunds[0], refunds[1], b"\xff")
    shop.deliver("b", event(), refunds[1], event(event_type="refund", user_id=""), refunds[2])
    shop.run()
    before = what_readers_see(shop)
    shop.keep()
    assert exit_code_of(replay_and_trace, shop.folder, told) == 0
    finished: dict[str, Any] = json.loads(told.read_text())
    assert set(finished.pop("met")) == POINTS - NEVER
    assert finished.pop("broken") == finished["left"] == []
    for point in DEADLY:
        shop.put_back()
        assert exit_code_of(replay_and_die, shop.folder, point) == -signal.SIGKILL, point
        assert exit_code_of(look_and_replay, shop.folder, told) == 0, point
        found = json.loads(told.read_text())
        assert found.pop("seen") in (before, finished["published"]), point
        assert found == finished, point
