"""`eventmint maintain` says what it did, table by table, or that there was nothing to do."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from deliveries import Shop, event, random_events

from eventmint.cli import cli, main
from eventmint.config import load_settings
from eventmint.lake import Lake


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """How to call the command on a lake of two runs."""
    shop = Shop(tmp_path)
    for name in ("a", "b"):
        shop.deliver(name, *random_events(Random(name), 9), event())
        shop.run()
    config = tmp_path / "eventmint.toml"
    config.write_text('[lake]\nroot = "lake"\n')
    return ["--config", str(config), "maintain"]


def test_it_tells_what_would_be_done_what_was_done_and_that_nothing_is_left(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--dry-run"]) == 0
    planned = capsys.readouterr().out
    assert planned.startswith("this would be done; sizes after a merge are known then only\n")
    assert main(arguments) == 0
    done = capsys.readouterr().out.splitlines()
    assert done[0].split() == ["table", "files", "after", "bytes", "after", "expired", "orphans"]
    bronze = next(line.split() for line in done if line.startswith("bronze.events "))
    assert bronze[1:3] == ["2", "1"]
    assert main(arguments) == 0
    assert capsys.readouterr().out == "nothing to do\n"


def test_json_is_one_document(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", *arguments]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert err == ""
    assert (document["changed"], document["is_complete"], document["dry_run"]) == (True, True, False)
    bronze = next(table for table in document["tables"] if table["table"] == "bronze.events")
    assert (bronze["files_before"], bronze["files_after"]) == (2, 1)


def test_without_a_lake_it_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "eventmint.toml"
    config.write_text("")
    assert main(["--config", str(config), "maintain"]) == 1
    assert "there is no lake here yet. Run `eventmint run SOURCE` first." in capsys.readouterr().err.replace(
        "\n", " "
    )


def test_it_stands_after_verify_in_the_help() -> None:
    names = [*cli.commands]
    assert names.index("maintain") == names.index("verify") + 1


def test_the_time_that_a_run_may_take_for_it_is_a_setting(tmp_path: Path) -> None:
    config = tmp_path / "eventmint.toml"
    config.write_text("[run]\nmaintain_seconds = 5\n")
    assert Lake(load_settings(config)).settings.run.maintain_seconds == 5.0
