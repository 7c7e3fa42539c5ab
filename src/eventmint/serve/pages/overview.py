"""The overview: everything that a page shows of a period, as plain data. Exact sums, made by SQL."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from eventmint.serve.pages import cards
from eventmint.serve.pages.days import BETWEEN, Ask, Days, told
from eventmint.serve.pages.tiles import Sums, tiles
from eventmint.serve.streams import plain

Document = dict[str, Any]
ALL_CATEGORIES = "all categories"
NOTHING_THEN = "No events in this period. Choose other dates."


def overview(
    ask: Ask, days: Days, known: Days, newest: datetime | None, *, category: str | None, products: int | None
) -> Document:
    """Return what a page shows of some days.

    Args:
        known: all days with events: a comparison with days before them would say nothing.
        newest: the latest event of all: where its day is not over, that is said.
        category: what tells of categories, for one of them; the other cards are those of all and left out.
        products: rows of the table of products at most; None where it is asked for by itself.
    """
    sums = _sums(ask, days, category)
    if not sums.shop:
        return {"period": days.text, "empty": _nothing(category)}
    then = _sums(ask, days.before, category) if days.before.start >= known.start else None
    drawn = {"funnel": cards.funnel(sums, days), "products": cards.products(ask, days, category)}
    if category is None:
        drawn |= {
            "hours": cards.hours(ask, days),
            "visitors": cards.visitors(ask, days),
            "categories": cards.categories(ask, days),
        }
    if products is not None:
        listed = {"products": cards.product_table(ask, days, category, cards.Wanted(products))}
    else:
        listed = {}
    return {
        "period": _told(days, newest),
        "tiles": tiles(
            sums,
            then,
            "the day before" if days.count == 1 else f"the {told(days.count)} before",
            ALL_CATEGORIES if category else "",
        ),
        "cards": drawn,
        **listed,
    }


def default_period(periods: Collection[str]) -> str:
    """Return the name of the period that is shown first."""
    return "30" if "30" in periods else "all"


def categories(ask: Ask) -> list[str]:
    """Return every category, the one with the highest revenue first."""
    rows = ask("SELECT category FROM gold.category_performance GROUP BY 1 ORDER BY SUM(revenue) DESC, 1", [])
    return [row["category"] for row in rows.to_pylist()]


def _sums(ask: Ask, days: Days, category: str | None) -> Sums:
    shop = ask(
        "SELECT event_date, CAST(SUM(page_views) AS BIGINT) AS views, "  # noqa: S608
        "CAST(SUM(add_to_carts) AS BIGINT) AS carts, CAST(SUM(purchases) AS BIGINT) AS purchases, "
        "SUM(revenue) AS revenue "
        f"FROM gold.category_performance WHERE {BETWEEN} AND {cards.OF_CATEGORY} "
        "GROUP BY event_date ORDER BY event_date",
        [*days.bounds, category, category],
    )
    people = ask(
        "SELECT event_date, unique_users, unique_sessions "  # noqa: S608
        f"FROM gold.user_activity WHERE {BETWEEN} ORDER BY event_date",
        days.bounds,
    )
    return Sums(shop.to_pylist(), people.to_pylist())


def _nothing(category: str | None) -> str:
    if category is None:
        return NOTHING_THEN
    return f"No events of {plain(category)} in this period. Choose other dates, or another category."


def _told(days: Days, newest: datetime | None) -> str:
    """The days in words; the last one's last hour may be still to come."""
    last = days.end - timedelta(days=1)
    begins = datetime(last.year, last.month, last.day, 23, tzinfo=UTC)
    is_whole = newest is None or newest >= begins
    return days.text if is_whole else f"{days.text}, {last.day} {last:%b} so far"
