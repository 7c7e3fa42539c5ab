"""`eventmint forget`: what it says, what it asks, what it signs, how it ends."""

from __future__ import annotations

import io
import json
import re

import pytest
from asking import Ask, asking
from deliveries import Shop, event, state_of
from forget.people import ANNA, found_in, of_anna, shop_in


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = shop_in(tmp_path_factory.mktemp("home") / "shop")
    shop.deliver("a", event(), of_anna(), of_anna(quantity=0))
    shop.run()
    text = '[lake]\nroot = "lake"\n[run]\nworkers = 1\n[privacy]\nkey_file = "kept/forgotten.key"\n'
    (shop.folder / "eventmint.toml").write_text(text)
    return shop.keep()


@pytest.fixture
def shop(built: Shop) -> Shop:
    return built.put_back()


@pytest.fixture
def ask(shop: Shop, capsys: pytest.CaptureFixture[str]) -> Ask:
    return asking(shop, capsys)


def test_a_dry_run_tells_the_plan_and_changes_nothing(shop: Shop, ask: Ask) -> None:
    before = state_of(shop.folder)
    code, out, err = ask("forget", ANNA, "nobody", "--dry-run")
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[:4] == [
        "this would be done:",
        "2 people, 2 new on the list, 1 without a line",
        "2 lines, 1 of them quarantined, in 1 file of bronze",
        "days 2025-06-15",
    ]
    assert lines[4].startswith("sources /")
    assert (
        lines[5] == "earlier states go with their files: nothing goes back behind this, who reads them fails"
    )
    assert state_of(shop.folder) == before


def test_where_nobody_can_be_asked_or_nobody_is_named_it_ends_with_2(shop: Shop, ask: Ask) -> None:
    before = state_of(shop.folder)
    for flags in ([], ["--json"], ["-q"]):
        code, out, err = ask("forget", ANNA, *flags)
        assert (code, out) == (2, ""), flags
        assert "Nothing was changed: nobody can be asked." in err
    assert ask("forget", "--yes")[0] == 2
    assert ask("forget", "--verify-receipt", shop.folder / "eventmint.toml")[0] == 2
    assert state_of(shop.folder) == before


def test_ids_come_from_stdin_and_stand_in_no_word_that_is_said(
    shop: Shop, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"{ANNA}\r\n\n".encode())))
    code, out, err = ask("forget", "--file", "-", "--yes")
    assert code == 0
    assert "1 person, 1 new on the list, 0 without a line" in out
    assert re.search(r"^bronze\.ingested_files +\d+ rows? more$", out, re.MULTILINE)
    assert "source files still hold lines of forgotten people" in err
    assert ANNA not in out + err
    assert [place for place in found_in(shop.folder, (ANNA,)) if not place.startswith("source/")] == []
    assert ask("history")[1].splitlines()[1].split()[-6] == "forgetting"
    assert "1 of forgotten people" not in ask("status")[1]
    assert "+ 2 of forgotten people;" in ask("status")[1]
    assert ask("files", "--status", "forgotten")[0] == 0


def test_a_receipt_is_signed_holds_no_id_and_shows_whether_it_was_changed(shop: Shop, ask: Ask) -> None:
    file = shop.folder / "receipt.json"
    code, out, err = ask("forget", ANNA, "--sources", "rewrite", "--receipt", file, "--yes", "--json")
    receipt = json.loads(out)
    assert (code, err, json.loads(file.read_text())) == (0, "", receipt)
    assert ANNA not in out
    assert (receipt["valid"], receipt["quarantined"], receipt["changed"], receipt["seq"]) == (1, 1, True, 2)
    assert [one["lines"] for one in receipt["sources"]] == [2]
    code, out, err = ask("forget", "--verify-receipt", file)
    assert (code, out, err) == (0, "the receipt is genuine\n", "")
    file.write_text(file.read_text().replace('"valid": 1', '"valid": 2'))
    code, out, err = ask("forget", "--verify-receipt", file)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {file}: the receipt was changed, or is of another key.")
