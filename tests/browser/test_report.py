"""The report in a real browser: its figures are the answers, whatever is chosen, wherever it is looked at."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser.conftest import serious_findings, tiles
from playwright.sync_api import expect
from shops import DAYS, HOSTILE, lake_in, told, write_events

from eventmint.lake import Lake

if TYPE_CHECKING:
    from playwright.sync_api import Page

Opened = Callable[..., "Page"]


@pytest.fixture(scope="module")
def shop(months: Lake) -> Lake:
    return months


@pytest.fixture(scope="module")
def report(shop: Lake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop.report(tmp_path_factory.mktemp("report") / "report.html")


def sums(lake: Lake, last_days: int = len(DAYS) + 1, category: str | None = None) -> dict[str, str]:
    """The tiles of the last days, without the page's SQL."""
    end = DAYS[-1] + timedelta(days=1)
    return told(lake, end - timedelta(days=last_days), end, category)


def test_the_tiles_are_the_sums_of_the_answers_for_every_period(
    opened: Opened, report: Path, shop: Lake
) -> None:
    page = opened(report)
    assert page.locator("#periods [aria-pressed=true]").inner_text() == "Last 30 days"
    assert tiles(page) == sums(shop, 30)
    page.get_by_role("button", name="Last 7 days").click()
    assert tiles(page) == sums(shop, 7)
    page.get_by_role("button", name="All days").click()
    assert tiles(page) == sums(shop)
    assert page.locator(".tile .same").all_inner_texts() == ["no earlier period"] * 5


def test_a_category_is_chosen_exactly_and_cards_without_categories_say_so(
    opened: Opened, report: Path, shop: Lake
) -> None:
    page = opened(report)
    page.locator("#category").select_option("Toys")
    assert tiles(page) == {
        **sums(shop, 30, "Toys"),
        **{name: value for name, value in sums(shop, 30).items() if "Visitor" in name or "visitor" in name},
    }
    assert "all categories" in page.locator("#card-hours .head").inner_text()
    assert {row.split("\t")[1] for row in page.locator("#card-table tbody tr").all_inner_texts()} == {"Toys"}
    assert "category=Toys" in page.url


def test_a_link_opens_the_same_view_again(opened: Opened, report: Path, shop: Lake) -> None:
    page = opened(report, "#period=7&category=Books")
    assert tiles(page)["Revenue"] == sums(shop, 7, "Books")["Revenue"]
    assert page.locator("#category").input_value() == "Books"


def test_a_link_to_what_there_is_not_opens_the_ordinary_view(
    opened: Opened, report: Path, shop: Lake
) -> None:
    page = opened(report, "#period=__proto__&category=constructor")
    assert tiles(page) == sums(shop, 30)


def test_a_click_on_a_small_chart_chooses_its_category(opened: Opened, report: Path) -> None:
    page = opened(report)
    bar = page.locator("#card-categories .plot .trace.bars").first.locator("path").nth(5)
    bar.scroll_into_view_if_needed()
    box = bar.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("#category")).not_to_have_value("")


def test_the_table_of_products_sorts_and_searches(opened: Opened, report: Path) -> None:
    page = opened(report)
    rows = page.locator("#card-table tbody tr")

    def column(n: int) -> list[str]:
        return [text.split("\t")[n] for text in rows.all_inner_texts()]

    bought = [int(text) for text in column(4)]
    assert bought == sorted(bought, reverse=True)
    page.locator("#card-table th button", has_text="Views").click()
    views = [int(text) for text in column(2)]
    assert views == sorted(views, reverse=True)
    page.locator("#card-table th button", has_text="Views").click()
    assert [int(text) for text in column(2)] == sorted(int(text) for text in column(2))
    page.get_by_role("searchbox").fill("toys")
    assert column(1) == ["Toys"]
    page.get_by_role("searchbox").fill("nothing like it")
    assert "No product matches" in page.locator("#card-table [role=status]").inner_text()


def test_names_from_data_are_text_everywhere(opened: Opened, report: Path) -> None:
    page = opened(report)
    page.get_by_role("button", name="Show more").click()
    shown = {
        cell.evaluate("cell => cell.textContent")
        for cell in page.locator("#card-table tbody td:first-child").all()
    }
    assert set(HOSTILE) <= shown
    for name in HOSTILE:
        page.locator("#category").select_option(name)
    assert page.title() == "Shop analytics"
    assert page.locator("img").count() == 0
    assert page.locator("main b b, td b").count() == 0


def test_each_chart_can_be_read_as_a_table_with_the_keyboard(
    opened: Opened, report: Path, shop: Lake
) -> None:
    page = opened(report, "#period=all")
    for card in ("hours", "funnel", "products", "visitors", "categories"):
        button = page.locator(f"#card-{card} .head button")
        button.focus()
        page.keyboard.press("Enter")
        assert page.locator(f"#card-{card} table tbody tr").count() > 0
        assert not page.locator(f"#card-{card} .plot").is_visible()
    rows = page.locator("#card-visitors table tbody tr").all_inner_texts()
    assert len(rows) == len(DAYS)
    funnel = [row.split("\t") for row in page.locator("#card-funnel table tbody tr").all_inner_texts()]
    answer = shop.answer("conversion_funnel").to_pylist()
    assert [row[1] for row in funnel] == [
        f"{sum(row[column] for row in answer):,}" for column in ("views", "add_to_carts", "purchases")
    ]


def test_every_figure_says_in_words_what_it_shows(opened: Opened, report: Path) -> None:
    page = opened(report)
    spoken = [plot.get_attribute("aria-label") for plot in page.locator("[role=img]").all()]
    assert len(spoken) == 5
    assert all(text and "2026 (UTC)" in text for text in spoken)


def test_every_line_is_accounted_for_only_where_the_laws_held(
    opened: Opened, report: Path, shop: Lake
) -> None:
    page = opened(report)
    trust = page.locator("#card-trust")
    assert "✓ Every line accounted for" in trust.inner_text()
    assert f"{shop.totals().events:,}" in trust.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_dark_and_light_are_those_of_the_system_and_can_be_changed(
    opened: Opened, report: Path, scheme: Any
) -> None:
    page = opened(report, color_scheme=scheme)
    dark, light = "rgb(20, 23, 26)", "rgb(247, 247, 245)"
    paper = "getComputedStyle(document.body).backgroundColor"
    first, second = (dark, light) if scheme == "dark" else (light, dark)
    assert page.evaluate(paper) == first
    page.get_by_role("button", name="Dark").click()
    assert page.evaluate(paper) == second
    fill = page.locator("#card-funnel .plot .bars path").first.evaluate("bar => getComputedStyle(bar).fill")
    assert fill == ("rgb(79, 188, 179)" if second == dark else "rgb(15, 107, 102)")


def test_a_phone_shows_all_of_it_without_scrolling_sideways(opened: Opened, report: Path) -> None:
    page = opened(report, viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened: Opened, report: Path, scheme: Any) -> None:
    page = opened(report, color_scheme=scheme, bypass_csp=True)
    page.locator("#card-funnel .head button").click()
    assert serious_findings(page) == []


def test_an_empty_lake_says_what_to_do(opened: Opened, tmp_path: Path) -> None:
    write_events(tmp_path / "data", [])
    lake = lake_in(tmp_path)
    lake.run()
    page = opened(lake.report(tmp_path / "empty.html"))
    assert "There are no events yet" in page.locator("#empty").inner_text()
    assert not page.locator("#figures").is_visible()
