"""`eventmint anomalies` over a lake of real events."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from blocks import blocks
from shops import lake_in, write_events
from watching.quiet_shop import HOURS, QUIET, START, views_until

from eventmint import cli
from eventmint.errors import FixSettings
from eventmint.lake import Lake


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_events(folder / "data", views_until(HOURS))
    lake_in(folder).run()
    return folder


def anomalies(shop: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str, str]:
    code = cli.main(["-C", str(shop), "anomalies", *options])
    return code, *capsys.readouterr()


def test_an_hour_in_which_nothing_came_is_named_and_ends_with_a_code_of_its_own(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = anomalies(shop, capsys)
    assert code == 7
    (shown,) = blocks("console", page="docs/watching.md")
    assert f"$ eventmint anomalies\n{out}{err}" == shown.text
    assert "2026-01-22 18:00  events      0        60   -100%" in out
    assert "hours judged: events 24, revenue 0, duplicate_rate 23, quarantine_rate 0 (of 24)" in out
    assert err == (
        "error: 1 hour is unlike the weeks before: 2026-01-22 18:00 UTC: "
        "events 0 instead of about 60 (-100%). See `eventmint history` for the runs of that time.\n"
    )


def test_the_same_as_a_document(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = anomalies(shop, capsys, "--json", "--last", "2d")
    document = json.loads(out)
    (anomaly,) = document["anomalies"]
    (deviation,) = anomaly["deviations"]
    assert (code, json.loads(err)["error"]["exit_code"]) == (7, 7)
    assert (document["start"], document["end"]) == ("2026-01-20T22:00:00Z", "2026-01-22T22:00:00Z")
    assert (document["hours"], document["judged"]["events"]) == (48, 48)
    assert anomaly["hour"] == "2026-01-22T18:00:00Z"
    assert (deviation["figure"], deviation["found"], deviation["change"]) == ("events", 0, -1)
    assert deviation["strength"] < -5


def test_where_the_weeks_before_were_alike_it_says_so(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = anomalies(shop, capsys, "--last", "3h")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "no anomaly"


def test_without_history_it_says_what_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_events(tmp_path / "data", views_until(30))
    lake_in(tmp_path).run()
    code, out, _ = anomalies(tmp_path, capsys)
    assert code == 0
    assert out.splitlines()[-1].startswith("not enough history: ")


def test_without_a_complete_hour_there_is_nothing_to_judge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_events(tmp_path / "data", [])
    lake_in(tmp_path).run()
    code, out, _ = anomalies(tmp_path, capsys)
    assert code == 0
    assert out.startswith("no hour to judge yet: ")


def test_a_clock_that_is_behind_completes_no_hour(shop: Path) -> None:
    lake: Lake = lake_in(shop)
    now = START + timedelta(hours=QUIET)
    assert lake.anomalies(now=now).end == now.replace(minute=0) - timedelta(hours=1)


@pytest.mark.parametrize(("last", "code"), [("30m", 2), ("29d", 2), ("soon", 2), ("28d", 7)])
def test_how_far_it_looks_back_has_limits(
    shop: Path, capsys: pytest.CaptureFixture[str], last: str, code: int
) -> None:
    assert anomalies(shop, capsys, "--last", last)[0] == code


def test_a_folder_without_a_lake_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = anomalies(tmp_path, capsys)
    assert (code, out) == (1, "")
    assert "there is no lake here yet" in err


def test_the_api_refuses_what_is_no_time_to_look_back(shop: Path) -> None:
    with pytest.raises(FixSettings, match="may be one hour to 28 days"):
        lake_in(shop).anomalies(timedelta(minutes=59))
