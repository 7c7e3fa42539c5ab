"""A retention that is killed is finished by the next run, and ends where it would have ended."""

from __future__ import annotations

import json
import signal
from datetime import timedelta
from pathlib import Path

import pytest
from deliveries import NOW, Shop
from forked import exit_code_of
from retention.shops import LIMITS, deliver_days, retain_and_die, run_and_tell

from eventmint.errors import FixData

DEADLY = (
    "commit bronze.ingested_files: after",
    "file: about to be read",
    "commit silver.events_cleaned: after",
)


def test_a_retention_killed_anywhere_ends_where_it_would_have_ended(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop", LIMITS)
    deliver_days(shop)
    shop.run()
    told = tmp_path / "told"
    shop.keep()
    shop.lake.retain(now=NOW + timedelta(hours=1))
    assert exit_code_of(run_and_tell, shop.folder, told) == 0
    expected = json.loads(told.read_text())
    assert expected["broken"] == "[]"
    for point in DEADLY:
        shop.put_back()
        assert exit_code_of(retain_and_die, shop.folder, point) == -signal.SIGKILL, point
        if point == "commit bronze.ingested_files: after":
            with pytest.raises(FixData, match="a retention was cut off"):
                shop.lake.verify(deep=True)
        assert exit_code_of(run_and_tell, shop.folder, told) == 0, point
        assert json.loads(told.read_text()) == expected, point
