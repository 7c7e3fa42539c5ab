"""`eventmint plan` and `run --plan`: what they say, and how they end."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from asking import Ask, asking
from deliveries import Shop, event, view


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path / "shop")
    shop.deliver("a", event(), view(colour="red"), event(user_id=""))
    config = (
        '[source]\npath = "source"\nsettle_seconds = 0\n[run]\nworkers = 1\n[quality]\nmax_quarantine = 1\n'
    )
    (shop.folder / "eventmint.toml").write_text(config)
    return shop


@pytest.fixture
def ask(shop: Shop, capsys: pytest.CaptureFixture[str]) -> Ask:
    return asking(shop, capsys)


def test_a_plan_is_shown_saved_done_and_then_stale(shop: Shop, ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    code, out, err = ask("plan", "--out", file)
    assert (code, err.splitlines()[-1]) == (0, f"saved: do it with `eventmint run --plan {file}`")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[:3] == [
        "a run would do this:",
        "files 1 landed",
        "lines 3: +2 events, 0 duplicates, 1 quarantined, 0 blank",
    ]
    assert "hours 1 hour: 2025-06-15T10" in lines
    assert "unknown fields colour 1" in lines
    assert "quarantined for user_id_empty 1" in lines
    assert not (shop.folder / "lake").exists()
    code, out, err = ask("run", "--plan", file)
    assert (code, err.splitlines()[-1]) == (0, "as planned")
    assert out.startswith("1 file landed")
    code, out, err = ask("run", "--plan", file)
    assert (code, out) == (8, "")
    (line,) = err.splitlines()
    assert line.startswith("error: the plan of ")
    assert "has batch 1, had 0; and " in line
    assert line.endswith("Nothing was done. Plan again with `eventmint plan`.")
    assert ask("plan")[:2] == (0, "nothing is new: a run would change nothing\n")


def test_the_document_has_dollars_files_and_partitions(shop: Shop, ask: Ask) -> None:
    code, out, err = ask("plan", "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["changed"] is True
    assert [planned["outcome"] for planned in document["files"]] == ["landed"]
    assert document["expected"]["wrote"]["gold.user_activity"]["days"] == ["2025-06-15"]
    assert document["expected"]["laws_hold"] is True
    dollars = {line["name"]: Decimal(line["dollars"]) for line in document["cost"]}
    assert sum(dollars.values()) == Decimal(document["dollars"])
    # 60 s to start and the time of planning, on two workers of a DPU each, at $0.44 for a DPU-hour.
    at_least = Decimal("0.44") * 2 * 60 / 3600
    assert at_least < dollars["Glue job"] < 2 * at_least
    assert not (shop.folder / "lake").exists()


def test_what_is_no_plan_and_what_contradicts_it_ends_with_2(shop: Shop, ask: Ask, tmp_path: Path) -> None:
    junk = tmp_path / "junk.json"
    junk.write_text("{}")
    for arguments, said in (
        (["--plan", junk], "junk.json: holds no plan"),
        (["--plan", tmp_path / "nowhere"], "does not exist"),
        ([shop.source, "--plan", junk], "SOURCE and --plan exclude each other"),
    ):
        code, out, err = ask("run", *arguments)
        assert (code, out) == (2, ""), arguments
        assert said in err
    code, out, err = ask("plan", "--out", tmp_path / "no" / "plan.json")
    assert (code, out) == (2, "")
    assert "cannot be written" in err
    assert not (shop.folder / "lake").exists()
