"""A forgetting that is killed is finished by the next run, which knows no id; nothing of theirs is left."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from forget.deaths import forget_and_die, run_and_tell
from forget.people import delivery, shop_in, what_it_holds
from forked import exit_code_of

from eventmint.errors import FixData

# From the first effect that says who is meant, to the last file that goes.
DEADLY = (
    "commit bronze.suppressed_users: after",
    "commit bronze.ingested_files: after",
    "commit bronze.events: before",
    "commit bronze.events: after",
    "commit silver.events_cleaned: after",
    "commit ops.runs: after",
    "trim: old snapshots forgotten",
    "trim: their files removed",
)


def test_a_forgetting_killed_anywhere_ends_where_it_would_have_ended(tmp_path: Path) -> None:
    shops = [shop_in(tmp_path / name / "shop") for name in ("with", "sans")]
    for shop, with_the_forgotten in zip(shops, (True, False), strict=True):
        for name, seed in (("a", 1), ("b", 2)):
            shop.deliver_text(name, delivery(seed, with_the_forgotten=with_the_forgotten))
            shop.run()
    shop, never = shops
    expected = repr(what_it_holds(never))
    told = tmp_path / "told"
    shop.keep()
    for point in DEADLY:
        shop.put_back()
        assert exit_code_of(forget_and_die, shop.folder, point) == -signal.SIGKILL, point
        if point == "commit bronze.ingested_files: after":
            with pytest.raises(FixData, match="a forgetting was cut off"):
                shop.lake.verify(deep=True)
        assert exit_code_of(run_and_tell, shop.folder, told) == 0, point
        found: dict[str, Any] = json.loads(told.read_text())
        assert (found["broken"], found["found"]) == ([], []), point
        assert found["holds"] == expected, point
