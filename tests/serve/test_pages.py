"""Pages: the document that a page is drawn from, and the one file that it is written to."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from eventmint.errors import FixData, FixSettings
from eventmint.lake import open_lake
from eventmint.serve import answers
from eventmint.serve.pages.days import Ask, Days, known_days, presets
from eventmint.serve.pages.overview import overview
from eventmint.serve.pages.report import page
from eventmint.serve.pages.tiles import Sums, tiles
from eventmint.serve.pages.trust import freshness, published_trust, trust

NOW = datetime(2026, 1, 20, 8, tzinfo=UTC)
MIDDLE = date(2026, 1, 15)


def given_of(html: str) -> dict[str, Any]:
    """What the page's script unpacks."""
    found = re.search(r'<script type="text/plain" id="given">([^<]*)</script>', html)
    assert found
    given: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(found[1])))
    return given


@pytest.fixture(scope="module")
def html(sample_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    lake = open_lake(sample_lake / "eventmint.toml")
    return lake.report(tmp_path_factory.mktemp("report") / "r.html", now=NOW).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def ask(sample_lake: Path) -> Iterator[Ask]:
    with answers.asking(sample_lake / "analytics.duckdb") as asking:
        yield asking


# ---- days --------------------------------------------------------------------------------------------------


def test_periods_are_offered_that_are_shorter_than_all_there_is() -> None:
    assert list(presets(Days(MIDDLE, MIDDLE + timedelta(days=7)))) == ["all"]
    assert list(presets(Days(MIDDLE, MIDDLE + timedelta(days=31)))) == ["7", "30", "all"]
    last = presets(Days(MIDDLE, MIDDLE + timedelta(days=31)))["7"]
    assert (last.end, last.count) == (MIDDLE + timedelta(days=31), 7)


def test_the_days_before_end_where_the_days_begin() -> None:
    days = Days(MIDDLE, MIDDLE + timedelta(days=3))
    assert days.before.bounds == (MIDDLE - timedelta(days=3), MIDDLE)


@pytest.mark.parametrize(
    ("first", "count", "text"),
    [
        (MIDDLE, 1, "15 Jan 2026 (UTC)"),
        (MIDDLE, 2, "15 Jan to 16 Jan 2026 (UTC)"),
        (date(2025, 12, 31), 2, "31 Dec 2025 to 1 Jan 2026 (UTC)"),
    ],
)
def test_days_are_told_in_words_with_their_zone(first: date, count: int, text: str) -> None:
    assert Days(first, first + timedelta(days=count)).text == text


@pytest.mark.parametrize(("hour", "is_whole"), [(22, False), (23, True)])
def test_a_last_day_that_is_not_over_is_so_far(ask: Ask, hour: int, is_whole: bool) -> None:
    known = known_days(ask)
    assert known
    last = known.end - timedelta(days=1)
    newest = datetime(last.year, last.month, last.day, hour, tzinfo=UTC)
    told = overview(ask, known, known, newest, category=None, products=5)["period"]
    assert told == known.text + ("" if is_whole else f", {last.day} {last:%b} so far")


# ---- tiles -------------------------------------------------------------------------------------------------


def shop(*days: tuple[int, int, str], users: int = 10) -> Sums:
    """Days of views, purchases and revenue."""
    rows = [{"views": v, "carts": 0, "purchases": p, "revenue": Decimal(r)} for v, p, r in days]
    return Sums(rows, [{"unique_users": users, "unique_sessions": 15} for _ in days])


def changes(now: Sums, then: Sums | None) -> list[str]:
    return [tile["change"]["text"] for tile in tiles(now, then, "the 2 days before", "")]


def test_tiles_tell_the_change_against_the_days_before() -> None:
    found = changes(shop((100, 4, "110")), shop((100, 5, "100"), users=20))
    assert found == [
        "+10.0%, more than the 2 days before",
        "−20.0%, less than the 2 days before",  # noqa: RUF001 - the true minus sign
        "−1.0 points, less than the 2 days before",  # noqa: RUF001
        "−50.0%, less than the 2 days before",  # noqa: RUF001
        "+100.0%, more than the 2 days before",
    ]


def test_a_change_too_small_to_be_told_is_none() -> None:
    assert changes(shop((1, 0, "10004")), shop((1, 0, "10000")))[0] == "no change from the 2 days before"
    assert changes(shop((1, 0, "10005")), shop((1, 0, "10000")))[0].startswith("+0.1%")


def test_without_days_before_there_is_nothing_to_compare_with() -> None:
    assert changes(shop((1, 1, "1")), None) == ["no earlier period"] * 5
    assert changes(shop((1, 1, "1")), shop((0, 0, "0")))[:3] == ["no earlier period"] * 3


def test_visitors_are_a_mean_of_days_never_their_sum() -> None:
    (_, _, _, visitors, visits) = tiles(shop((1, 1, "1"), (1, 1, "1"), users=10), None, "", "")
    assert visitors["value"] == "10"
    assert visits["value"] == "1.50"


def test_money_is_exact_to_the_cent_whatever_its_size() -> None:
    found = tiles(shop((1, 1, "9007199254740993.10"), (1, 1, "0.20")), None, "", "")
    assert found[0]["exact"] == "$9,007,199,254,740,993.30"


def test_a_period_without_events_has_dashes_and_no_division_by_nothing() -> None:
    found = tiles(Sums([], []), None, "", "")
    assert [tile["value"] for tile in found] == ["$0", "0", "-", "-", "-"]


# ---- trust -------------------------------------------------------------------------------------------------

BOOKS = {"lines": 100, "blank": 1, "quarantined": 2, "replaced": 3, "duplicates": 4, "events": 90}
RUN = {"laws_hold": True, "laws": [1, 2]}


@pytest.mark.parametrize(
    ("books", "run", "accounted", "missing"),
    [
        (BOOKS, RUN, True, 0),
        (BOOKS | {"events": 89}, RUN, False, 1),
        (BOOKS, RUN | {"laws_hold": False}, False, 0),
        (BOOKS, None, False, 0),
    ],
)
def test_every_line_is_accounted_for_only_if_it_adds_up_and_the_laws_held(
    books: dict[str, int], run: dict[str, Any] | None, accounted: bool, missing: int
) -> None:
    found = trust(books, {}, {"landed": 3, "set_aside": 1}, run, None)
    assert (found["accounted"], found["missing"]) == (accounted, missing)
    assert (found["files"], found["unreadable_files"]) == (4, 1)


def test_data_is_late_only_after_the_time_that_is_set() -> None:
    hour = timedelta(hours=1)
    assert freshness(None, NOW, hour) is None
    assert freshness(NOW - hour, NOW, hour) == {"text": "events until 20 Jan 2026 07:00 UTC", "late": ""}
    assert freshness(NOW - 900 * hour, NOW, None) == {
        "text": "events until 13 Dec 2025 20:00 UTC",
        "late": "",
    }


@pytest.mark.parametrize(
    ("behind", "told"),
    [
        (timedelta(minutes=61), "61 min"),
        (timedelta(minutes=119, seconds=59), "119 min"),
        (timedelta(hours=2), "2 h"),
        (timedelta(hours=47), "47 h"),
        (timedelta(hours=49), "2 days"),
        (timedelta(days=4000), "4,000 days"),
    ],
)
def test_how_late_is_told_in_the_largest_unit_of_which_there_are_two(behind: timedelta, told: str) -> None:
    found = freshness(NOW - behind, NOW, timedelta(hours=1))
    assert found
    assert found["late"] == f"data is {told} behind"


def test_the_days_that_two_ranges_share() -> None:
    week = Days(MIDDLE, MIDDLE + timedelta(days=7))
    assert week.within(Days(MIDDLE - timedelta(days=3), MIDDLE + timedelta(days=1))) == Days(
        MIDDLE, MIDDLE + timedelta(days=1)
    )
    assert week.within(week.before) is None


def test_a_database_that_tells_nothing_of_the_lines_says_what_to_do(
    tmp_path: Path, sample_lake: Path
) -> None:
    copy = tmp_path / "a.duckdb"
    shutil.copyfile(sample_lake / "analytics.duckdb", copy)
    with duckdb.connect(str(copy)) as connection:
        connection.execute("DELETE FROM ops.facts")
    with answers.asking(copy) as ask, pytest.raises(FixData, match="Run `eventmint run` to rebuild it"):
        published_trust(ask)


# ---- the file ----------------------------------------------------------------------------------------------


def test_the_report_of_the_sample_accounts_for_every_line_and_names_the_reasons(
    html: str, sample_lake: Path
) -> None:
    lake = open_lake(sample_lake / "eventmint.toml")
    found = given_of(html)["trust"]
    assert found["accounted"]
    assert {one["reason"]: one["lines"] for one in found["reasons"]} == lake.quarantine_by_reason()
    assert found["steps"][-1] == {"label": "Events", "count": lake.totals().events}


def test_the_report_asks_no_network_and_runs_only_its_own_scripts(html: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    assert policy[1].startswith("default-src &#39;none&#39;; script-src &#39;sha256-")
    assert "unsafe-eval" not in policy[1]
    assert not re.findall(r"""(?:src|href)=["']?(?!#)[^"'\s>]+""", html)
    assert {*re.findall(r"https?://[^\s\"'<]+", html)} == {"http://www.w3.org/2000/svg"}  # a name, no address


def test_a_year_of_days_and_ten_thousand_products_stay_below_six_megabytes(html: str) -> None:
    assert len(html) < 3_000_000  # Plotly, packed, is two thirds of it
    given = given_of(html)
    rows = [
        [f"p-{n:05d}", "Electronics", n * 7919 % 100_003, n, n, f"{n * 31.17:.2f}"] for n in range(10_000)
    ]
    given["views"] |= {f"{n}|": {"products": {"total": 10_000, "rows": rows}} for n in range(4)}
    assert len(page("x", NOW, given)) < 6_000_000


def test_a_title_is_text(html: str) -> None:
    made = page("</title><script>alert(1)</script>", NOW, given_of(html))
    assert "<script>alert" not in made
    assert "&lt;/title&gt;&lt;script&gt;alert(1)" in made


def test_a_report_that_cannot_be_written_says_so_and_leaves_what_was_there(
    sample_lake: Path, tmp_path: Path
) -> None:
    lake = open_lake(sample_lake / "eventmint.toml")
    for file in (tmp_path, tmp_path / "nowhere" / "r.html"):
        with pytest.raises(FixSettings, match="cannot be written: .*Name another file"):
            lake.report(file)
    assert [*tmp_path.iterdir()] == []


def test_a_report_replaces_the_one_before(sample_lake: Path, tmp_path: Path) -> None:
    file = tmp_path / "r.html"
    file.write_text("old", encoding="utf-8")
    assert open_lake(sample_lake / "eventmint.toml").report(file) == file
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [*tmp_path.iterdir()] == [file]


def test_without_a_lake_the_report_says_what_to_do(tmp_path: Path) -> None:
    lake = open_lake(lake__root=str(tmp_path / "lake"), lake__database=str(tmp_path / "a.duckdb"))
    with pytest.raises(FixData, match="nothing has been published yet"):
        lake.report(tmp_path / "r.html")
