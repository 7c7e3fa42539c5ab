"""The dashboard in a real browser: any days, any category, journeys; it follows when a run has published."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser.conftest import serious_findings, tiles
from playwright.sync_api import expect
from served import served
from shops import DAYS, HOSTILE, event, lake_in, told, write_events

from eventmint.lake import Lake

if TYPE_CHECKING:
    from playwright.sync_api import Page

Opened = Callable[..., "Page"]
POLL = "document.dispatchEvent(new Event('visibilitychange'))"


@pytest.fixture(scope="module")
def shop(months: Lake) -> Lake:
    return months


@pytest.fixture(scope="module")
def address(shop: Lake) -> Iterator[str]:
    with served(shop) as found:
        yield f"{found}/"


# ---- days and categories -----------------------------------------------------------------------------------


def test_the_tiles_of_every_period_are_the_sums_of_the_answers(
    opened: Opened, address: str, shop: Lake
) -> None:
    page = opened(address)
    end = DAYS[-1] + timedelta(days=1)
    assert page.locator("#periods [aria-pressed=true]").inner_text() == "Last 30 days"
    assert tiles(page) == told(shop, end - timedelta(days=30), end)
    for label, days in (("Last 7 days", 7), ("All days", 60)):
        page.get_by_role("button", name=label).click()
        assert tiles(page) == told(shop, end - timedelta(days=days), end)


def test_any_days_can_be_chosen_and_the_link_opens_them_again(
    opened: Opened, address: str, shop: Lake
) -> None:
    page = opened(address)
    first, last = DAYS[11], DAYS[17]
    page.locator("#first").fill(str(first))
    page.locator("#last").fill(str(last))
    end = last + timedelta(days=1)
    expect(page.locator("#period")).to_have_text("12 Jan to 18 Jan 2026 (UTC)")
    assert tiles(page) == told(shop, first, end)
    assert page.locator("#periods [aria-pressed=true]").count() == 0
    page.locator("#category").select_option("Toys")
    chosen = tiles(page)
    of_all = {name: value for name, value in told(shop, first, end).items() if "isitor" in name}
    assert chosen == {**told(shop, first, end, "Toys"), **of_all}
    assert "all categories" in page.locator("#card-hours .head").inner_text()
    again = opened(page.url)
    assert tiles(again) == chosen
    assert again.locator("#first").input_value() == str(first)
    assert again.locator("#last").input_value() == str(last)


def test_days_in_the_wrong_order_are_told_and_the_figures_stay(opened: Opened, address: str) -> None:
    page = opened(address)
    page.locator("#first").fill("2026-03-05")
    assert "The first day is after the last" in page.locator("#error").inner_text()
    assert page.locator("#figures").is_visible()


def test_days_without_events_say_so(opened: Opened, address: str) -> None:
    page = opened(address, "#from=2030-01-01&to=2030-02-01")
    assert page.locator("#empty").inner_text() == "No events in this period. Choose other dates."
    assert not page.locator("#figures").is_visible()
    page.get_by_role("button", name="All days").click()
    expect(page.locator("#figures")).to_be_visible()


@pytest.mark.parametrize(
    "hash_", ["#from=x&to=y", "#from=2026-02-01&to=2026-01-01", "#period=__proto__&tab=constructor"]
)
def test_a_link_to_what_there_is_not_opens_the_ordinary_view(
    opened: Opened, address: str, shop: Lake, hash_: str
) -> None:
    end = DAYS[-1] + timedelta(days=1)
    assert tiles(opened(address, hash_)) == told(shop, end - timedelta(days=30), end)


# ---- products ----------------------------------------------------------------------------------------------


def test_products_are_searched_among_all_of_them_and_names_are_text(opened: Opened, address: str) -> None:
    page = opened(address, "#period=all")
    rows = page.locator("#card-table tbody tr")
    for name in HOSTILE:
        page.get_by_role("searchbox").fill(name)
        expect(rows).to_have_count(1)
        expect(rows.first.locator("td").first).to_have_attribute("title", name)
        assert rows.first.locator("td").first.evaluate("cell => cell.textContent") == name
        page.locator("#category").select_option(name)
        expect(rows).to_have_count(1)
        page.locator("#category").select_option("")
    page.get_by_role("searchbox").fill("nothing like it")
    expect(page.locator("#card-table [role=status]")).to_contain_text("No product matches")
    page.get_by_role("searchbox").fill("")
    page.locator("#card-table th button", has_text="Views").click()
    expect(page.locator("#card-table th[aria-sort=descending]")).to_have_text("Views")
    views = [int(text.split("\t")[2]) for text in rows.all_inner_texts()]
    assert views == sorted(views, reverse=True)
    assert page.title() == "Shop analytics"
    assert page.locator("img").count() == 0


def test_the_rows_behind_a_card_can_be_saved(opened: Opened, address: str) -> None:
    page = opened(address, "#period=7")
    with page.expect_download() as saving:
        page.locator("#card-visitors").get_by_text("CSV").click()
    lines = Path(saving.value.path()).read_text(encoding="utf-8").splitlines()
    assert saving.value.suggested_filename == "user_activity.csv"
    assert len(lines) == 1 + 7
    assert lines[1].startswith(str(DAYS[-7]))


# ---- journeys ----------------------------------------------------------------------------------------------


def test_a_funnel_is_that_of_the_lake_and_can_be_changed(opened: Opened, address: str, shop: Lake) -> None:
    page = opened(address, "#period=all")
    page.get_by_role("tab", name="Journeys").click()
    page.locator("#card-journey button", has_text="Table").click()
    rows = page.locator("#card-journey table tbody tr")

    def counted() -> list[list[str]]:
        return [text.split("\t")[:2] for text in rows.all_inner_texts()]

    def wanted(*steps: str, hours: float, **options: Any) -> list[list[str]]:
        found = shop.funnel(steps, timedelta(hours=hours), **options).to_pylist()
        return [[row["event_type"], f"{row['journeys']:,}"] for row in found]

    assert counted() == wanted("page_view", "add_to_cart", "purchase", hours=0.5)
    page.get_by_label("Within").select_option("1d")
    expect(page.locator("#card-journey p").first).to_contain_text("at most 1d")
    assert counted() == wanted("page_view", "add_to_cart", "purchase", hours=24)
    page.get_by_label("Step 2").select_option("")
    expect(rows).to_have_count(2)
    assert counted() == wanted("page_view", "purchase", hours=24)
    page.get_by_label("Whose journeys").select_option("user")
    expect(page.locator("#card-journey p").first).to_contain_text("of a user")
    assert counted() == wanted("page_view", "purchase", hours=24, who="user")
    again = opened(page.url)
    assert (
        again.locator("#card-journey p").first.inner_text()
        == page.locator("#card-journey p").first.inner_text()
    )
    page.get_by_label("All of one").select_option("category")
    expect(page.locator("#card-journey h2")).to_contain_text("by category")
    assert {text.split("\t")[0] for text in rows.all_inner_texts()} >= {"Books", "Toys"}


def test_retention_is_that_of_the_lake(opened: Opened, address: str, shop: Lake) -> None:
    page = opened(address, "#tab=retention")
    page.get_by_label("Length of a period").select_option("month")
    expect(page.locator("#card-retention h2")).to_contain_text("by month")
    page.locator("#card-retention button", has_text="Table").click()
    rows = [text.split("\t")[:4] for text in page.locator("#card-retention tbody tr").all_inner_texts()]
    assert rows == [
        [str(row["cohort"]), f"{row['users']:,}", str(row["period"]), f"{row['returned']:,}"]
        for row in shop.retention("month").to_pylist()
    ]


def test_tabs_can_be_walked_with_the_keyboard(opened: Opened, address: str) -> None:
    page = opened(address)
    page.get_by_role("tab", name="Overview").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Journeys")).to_be_focused()
    expect(page.locator("#card-journey")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#card-hours")).to_be_visible()
    assert not page.locator("#card-journey").is_visible()


# ---- states ------------------------------------------------------------------------------------------------


def test_what_a_run_publishes_is_shown_and_the_reader_keeps_his_place(opened: Opened, tmp_path: Path) -> None:
    day = date(2026, 1, 5)
    bought = [event(day, "purchase", n, product=f"p-{n}", category="c") for n in range(12)]
    write_events(tmp_path / "data", bought)
    lake = lake_in(tmp_path)
    lake.run()
    with served(lake) as address:
        page = opened(address)
        assert tiles(page)["Purchases"] == "12"
        page.get_by_role("searchbox").fill("p-1")
        page.locator("#card-funnel button", has_text="Table").click()
        more = [event(day + timedelta(days=1), "purchase", n, product="p-1", category="d") for n in range(5)]
        write_events(tmp_path / "data" / "more", more)
        lake.run()
        page.evaluate(POLL)
        expect(page.locator("#news")).to_contain_text("A run has published")
        assert tiles(page)["Purchases"] == "17"
        assert page.get_by_role("searchbox").input_value() == "p-1"
        assert page.locator("#card-funnel table").is_visible()


def test_late_data_is_told_in_words(opened: Opened, address: str) -> None:
    page = opened(address)
    assert "days behind" in page.locator("#fresh strong").inner_text()
    assert page.locator("#fresh .dot.late").count() == 1


def test_an_empty_lake_and_a_lake_that_has_gone_say_what_to_do(opened: Opened, tmp_path: Path) -> None:
    write_events(tmp_path / "data", [])
    lake = lake_in(tmp_path)
    lake.run()
    with served(lake) as address:
        page = opened(address)
        assert "There are no events yet" in page.locator("#empty").inner_text()
        write_events(tmp_path / "data" / "first", [event(DAYS[0], "purchase", 1, product="p", category="c")])
        lake.run()
        page.evaluate(POLL)
        expect(page.locator("#figures")).to_be_visible()


def test_figures_that_cannot_be_loaded_say_so(browser: Any, tmp_path: Path) -> None:
    write_events(tmp_path / "data", [event(DAYS[0], "purchase", 1, product="p", category="c")])
    lake = lake_in(tmp_path)
    lake.run()
    context = browser.new_context()
    page = context.new_page()
    with served(lake) as address:
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        lake.settings.database_path.unlink()
        page.locator("#category").select_option("c")
        expect(page.locator("#error")).to_contain_text("nothing has been published yet. Run")
        page.clock.install()
        page.goto(f"{address}/?again")
        expect(page.locator("#error")).to_contain_text("nothing has been published yet. Run")
        lake.run()
        page.clock.fast_forward(10_000)
        expect(page.locator("#figures")).to_be_visible()
        expect(page.locator("#error")).to_be_hidden()
        expect(page.locator("html[data-ready]")).to_be_attached()
    page.locator("#category").select_option("c")
    expect(page.locator("#error")).to_contain_text("The server does not answer. Start it again")
    context.close()


@pytest.mark.parametrize("tab", ["", "funnel", "retention"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened: Opened, address: str, tab: str, scheme: Any) -> None:
    page = opened(address, f"#tab={tab}", color_scheme=scheme, bypass_csp=True)
    page.locator(".card .plot .main-svg").locator("visible=true").first.wait_for()
    assert serious_findings(page) == []


@pytest.mark.parametrize("tab", ["", "funnel", "retention"])
def test_a_phone_shows_all_of_it_without_scrolling_sideways(opened: Opened, address: str, tab: str) -> None:
    page = opened(address, f"#tab={tab}", viewport={"width": 390, "height": 844})
    page.locator(".card .plot .main-svg").locator("visible=true").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_token_opens_the_dashboard_once_and_stays_out_of_the_address(opened: Opened, shop: Lake) -> None:
    token = "a-token-of-more-than-16-letters"  # noqa: S105 - of this test
    with served(shop, token) as address:
        page = opened(f"{address}/?token={token}")
        assert "token" not in page.url
        assert page.locator(".tile").count() == 5
