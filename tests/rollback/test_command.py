"""`eventmint rollback` and `--as-of`: what they say, what they ask, what they do, how they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from asking import Ask, asking
from deliveries import Shop, event, state_of, view


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("home") / "shop")
    shop.deliver("a", event(), view())
    shop.run()
    shop.deliver("b", event(user_id="u2", price=8), b"{")
    shop.run()
    (shop.folder / "eventmint.toml").write_text('[lake]\nroot = "lake"\n[run]\nworkers = 1\n')
    return shop.keep()


@pytest.fixture
def shop(built: Shop) -> Shop:
    return built.put_back()


@pytest.fixture
def first(shop: Shop) -> str:
    return str(shop.lake.runs()[0]["run_id"])


@pytest.fixture
def ask(shop: Shop, capsys: pytest.CaptureFixture[str]) -> Ask:
    return asking(shop, capsys)


def test_a_dry_run_tells_the_plan_and_changes_nothing(shop: Shop, first: str, ask: Ask) -> None:
    before = state_of(shop.folder)
    code, out, err = ask("rollback", "--to", first, "--dry-run")
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[:2] == ["this would be done:", f"back to {first}: -2 lines, -1 events, -1 quarantined"]
    assert lines[2] == f"undone {shop.lake.runs()[1]['run_id']}"
    assert lines[3].startswith("taken in again /")
    assert lines[4:] == ["days 2025-06-15"]
    assert state_of(shop.folder) == before


def test_where_nobody_can_be_asked_it_ends_with_2_and_says_what_to_add(
    shop: Shop, first: str, ask: Ask
) -> None:
    before = state_of(shop.folder)
    for flags in ([], ["--json"], ["-q"]):
        code, out, err = ask("rollback", "--to", first, *flags)
        assert (code, out) == (2, ""), flags
        assert "Nothing was changed: nobody can be asked." in err
    assert ask("rollback")[0] == 2
    code, out, err = ask("rollback", "--to", "nobody", "--yes")
    assert (code, out, err) == (2, "", "error: nobody: no such run. See `eventmint history`.\n")
    assert state_of(shop.folder) == before


def test_it_is_done_once_and_history_shows_it_as_what_it_is(shop: Shop, first: str, ask: Ask) -> None:
    code, out, err = ask("rollback", "--to", first, "--yes", "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert (document["to"], document["changed"], document["dry_run"]) == (first, True, False)
    assert (document["totals"]["events"], document["days"]) == (-1, ["2025-06-15"])
    assert [Path(file).name for file in document["files"]] == ["b.jsonl.gz"]
    before = state_of(shop.folder)
    assert ask("rollback", "--to", first)[1] == f"the lake is as {first} left it\n"
    assert state_of(shop.folder) == before
    newest = ask("history")[1].splitlines()[1].split()
    assert newest[-6:-2] == ["rollback", "-2", "-1", "-1"]
    assert ask("rollback", "--to", shop.lake.runs()[1]["run_id"], "--yes")[2].count("known again") == 1


def test_questions_about_a_run_of_before_are_answered_as_it_left_the_lake(first: str, ask: Ask) -> None:
    count = "SELECT COUNT(*) AS n FROM "
    for table, then, now in (
        ("bronze.events", 2, 4),
        ("silver.events_cleaned", 2, 3),
        ("hourly_revenue", 1, 1),
    ):
        assert json.loads(ask("query", count + table, "--as-of", first, "--json")[1])["rows"] == [{"n": then}]
        assert json.loads(ask("query", count + table, "--json")[1])["rows"] == [{"n": now}]
    then, now = (
        json.loads(ask("show", "hourly_revenue", "--json", *more)[1])["answers"]["hourly_revenue"][0]
        for more in (("--as-of", first), ())
    )
    assert (then["total_revenue"], now["total_revenue"]) == ("2.500000", "18.500000")
    assert "2.50" in ask("show", "hourly_revenue", "--as-of", first)[1]
    code, _, err = ask("query", "COPY gold.user_activity TO 'x'", "--as-of", first)
    assert (code, err) == (
        2,
        "error: A query is exactly one SELECT. It reads; `eventmint --help` has what changes.\n",
    )
    code, _, err = ask("query", "FROM read_text('/etc/hostname')", "--as-of", first)
    assert code == 2
    assert "disabled by configuration" in err
    code, _, err = ask("query", count + "user_activity", "--as-of", first, "--target", "athena")
    assert code == 2
    assert "--as-of asks the lake's own tables, not Athena." in err
