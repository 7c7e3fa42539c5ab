"""`eventmint retain`: the plan, the question, the result; and everywhere else that tells of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from asking import Ask, asking
from deliveries import Shop
from retention.shops import day, deliver_days

CONFIG = """\
[source]
path = "source"
settle_seconds = 0
[run]
workers = 1
[retention]
bronze_days = 2
silver_days = 3
"""


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    deliver_days(shop)
    (tmp_path / "eventmint.toml").write_text(CONFIG, encoding="utf-8")
    shop.lake.run(shop.source)
    return shop


@pytest.fixture
def ask(shop: Shop, capsys: pytest.CaptureFixture[str]) -> Ask:
    return asking(shop, capsys)


def test_it_plans_refuses_to_do_it_unasked_does_it_and_purges(shop: Shop, ask: Ask) -> None:
    code, out, _ = ask("--json", "retain", "--dry-run")
    plan = json.loads(out)
    assert (code, plan["dry_run"], plan["changed"], plan["seq"]) == (0, True, True, 0)
    bronze = plan["layers"][0]
    assert (bronze["layer"], bronze["before"], bronze["rows"]) == ("bronze", str(day(2)), 30)
    assert bronze["days"] == {str(day(ago)): 6 for ago in (7, 6, 5, 4, 3)}
    assert ask("retain", "--dry-run")[1].startswith("this would be done:\nnewest event of 2025-06-15\n")
    code, _, err = ask("retain")
    assert (code, "nobody can be asked" in err) == (2, True)
    code, out, _ = ask("--json", "retain", "--yes")
    made = json.loads(out)
    assert (code, made["seq"], made["layers"]) == (0, 2, plan["layers"])
    assert "retention" in ask("history")[1]
    assert "; retention has removed 30 of these lines" in ask("status")[1]
    statuses = [
        one["status"] for one in json.loads(ask("--json", "files", "--status", "retained")[1])["files"]
    ]
    assert statuses == ["retained"] * 2
    run = json.loads(ask("--json", "history")[1])["runs"][-1]["run_id"]
    before = set((shop.folder / "lake").rglob("*.parquet"))
    assert ask("--json", "retain", "--yes", "--purge")[0] == 0
    assert set((shop.folder / "lake").rglob("*.parquet")) < before
    code, _, err = ask("rollback", "--to", run, "--dry-run")
    assert (code, "not kept any more" in err) == (2, True)
    assert ask("verify", "--deep")[0] == 0
    assert "nothing is older than that" in ask("retain", "--yes")[1]
