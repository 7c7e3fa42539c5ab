"""`eventmint restate`: what it says, what it asks, how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from asking import Terminal
from deliveries import Shop, event, random_events, state_of
from made_tables import made_tables, tables_of

from eventmint.cli import main


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    shop.deliver("a", *random_events(Random(1), 9), event(), event(quantity=3), event(quantity=3))
    shop.run()
    configure(shop, "")
    return shop


def configure(shop: Shop, more: str) -> None:
    (shop.folder / "eventmint.toml").write_text(f'[lake]\nroot = "lake"\n[run]\nworkers = 1\n{more}')


def ask(shop: Shop, *arguments: str) -> int:
    return main(["--config", str(shop.folder / "eventmint.toml"), *arguments])


def test_the_plan_is_shown_and_nothing_is_done_unless_somebody_says_yes(
    shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state_of(shop.folder)
    days = ("--from", "2025-06-15", "--to", "2025-06-16")
    assert ask(shop, "restate", *days, "--dry-run") == 0
    out = capsys.readouterr().out
    lines = sum(
        row["valid"] for row in tables_of(shop.lake)["silver.event_hours"] if row["event_date"].day == 15
    )
    assert out.startswith(
        f"this would be done:\ndays 2025-06-15 to 2025-06-15: {lines} lines of bronze read again"
    )
    assert "silver.events_cleaned" in out
    assert out.endswith("days     2025-06-15\n")
    for flags in ([], ["--json"], ["-q"]):
        assert ask(shop, "restate", *days, *flags) == 2
        out, err = capsys.readouterr()
        assert (out, "nobody can be asked" in err) == ("", True)
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert ask(shop, "restate", *days) == 0
    assert capsys.readouterr().err.endswith("nothing was changed\n")
    assert state_of(shop.folder) == before


def test_json_is_one_document_and_history_tells_of_it(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    configure(shop, '[quality]\ndedup = ["event_time", "user_id"]\n')
    assert ask(shop, "restate", "--from", "2025-06-15", "--yes") == 2
    assert "restate --all days" in capsys.readouterr().err
    assert ask(shop, "restate", "--all", "--yes", "--json") == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert (document["range"], document["changed"], document["dry_run"], err) == ("all days", True, False, "")
    assert document["events"] == -1
    shop.settings["quality__dedup"] = ["event_time", "user_id"]
    assert tables_of(shop.lake) == made_tables(list(shop.texts.values()), ("event_time", "user_id"))
    assert ask(shop, "history") == 0
    assert "restatement" in capsys.readouterr().out
    assert ask(shop, "files", "--status", "restated") == 0
    assert "all days  restated" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["--all", "--from", "2025-06-15"],
        ["--from", "2025-06-15", "--to", "2025-06-15"],
        ["--from", "yesterday"],
    ],
)
def test_a_range_that_is_none_is_refused(
    shop: Shop, capsys: pytest.CaptureFixture[str], wrong: list[str]
) -> None:
    before = state_of(shop.folder)
    assert ask(shop, "restate", *wrong, "--yes") == 2
    assert "See `eventmint restate --help`." in capsys.readouterr().err
    assert state_of(shop.folder) == before


def test_where_no_lake_is_it_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-C", str(tmp_path), "restate", "--all", "--dry-run"]) == 1
    assert "there is no lake here yet" in capsys.readouterr().err
    assert not (tmp_path / "lake").exists()
