"""Cards: one figure per question, its words, and the same figures as a table for those who read or listen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from eventmint.serve import charts, theme
from eventmint.serve.formats import share
from eventmint.serve.pages.days import BETWEEN, Ask, Days
from eventmint.serve.pages.tiles import Sums

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Document = dict[str, Any]
TOP = 10
OF_CATEGORY = "(? IS NULL OR category = ?)"
_HOURS_TOLD = 24 * 7
_ROOM_ABOVE_PX = 12
_TIMES_PX, _RANKS_PX = 264, 372  # of two cards that stand side by side


def hours(ask: Ask, days: Days) -> Document:
    """When does the money come in? The table has the last week's hours."""
    rows = ask(
        f"SELECT * FROM gold.hourly_revenue WHERE {BETWEEN} ORDER BY event_date, event_hour",  # noqa: S608
        days.bounds,
    )
    told = [
        (
            row["event_date"].isoformat(),
            f"{row['event_hour']:02d}:00",
            f"${row['total_revenue']:,.2f}",
            f"{row['transaction_count']:,}",
        )
        for row in rows.to_pylist()[-_HOURS_TOLD:]
    ]
    return card(charts.hourly_revenue(rows), ("Day", "Hour", "Revenue", "Purchases"), told, _TIMES_PX)


def funnel(sums: Sums, days: Days) -> Document:
    """Where are they lost? Events, not people: more may be bought than was viewed."""
    counts = [sums.total(column) for column in ("views", "carts", "purchases")]
    told = [
        (name, f"{count:,}", share(count, before) if before else "-")
        for name, count, before in zip(charts.STEPS, counts, (0, *counts), strict=False)
    ]
    figure = charts.funnel(counts, f"Events, not people, {days.text}")
    return card(figure, ("Step", "Events", "Of the step before"), told, height=_TIMES_PX)


def products(ask: Ask, days: Days, category: str | None) -> Document:
    """What do people look at?"""
    found = ask(_MOST_VIEWED, [*days.bounds, category, category, TOP]).to_pylist()
    names = [row["product_id"] for row in found]
    daily = ask(
        "SELECT product_id, event_date, views FROM gold.conversion_funnel "  # noqa: S608
        f"WHERE {BETWEEN} AND list_contains(?, product_id)",
        [*days.bounds, names],
    ).to_pylist()
    views = {(row["product_id"], row["event_date"]): row["views"] for row in daily}
    for row in found:
        row["daily"] = [views.get((row["product_id"], day), 0) for day in days.each]
    told = [
        (str(rank), row["product_id"], row["category"], f"{row['view_count']:,}")
        for rank, row in enumerate(found, 1)
    ]
    figure = charts.viewed_products(found, days.each, f"Page views, {days.text}")
    return card(figure, ("Rank", "Product", "Category", "Page views"), told, height=_RANKS_PX)


def visitors(ask: Ask, days: Days) -> Document:
    """How many came on each day?"""
    rows = ask(f"SELECT * FROM gold.user_activity WHERE {BETWEEN} ORDER BY event_date", days.bounds)  # noqa: S608
    told = [
        (row["event_date"].isoformat(), f"{row['unique_users']:,}", f"{row['unique_sessions']:,}")
        for row in rows.to_pylist()
    ]
    return card(charts.user_activity(rows), ("Day", "Users", "Sessions"), told, _RANKS_PX)


def categories(ask: Ask, days: Days) -> Document:
    """How do categories do, day by day?"""
    found = ask(
        f"SELECT event_date, category, events, revenue FROM gold.category_performance WHERE {BETWEEN}",  # noqa: S608
        days.bounds,
    ).to_pylist()
    events: dict[str, int] = defaultdict(int)
    revenue: dict[str, Decimal] = defaultdict(Decimal)
    for row in found:
        events[row["category"]] += row["events"]
        revenue[row["category"]] += row["revenue"]
    ranked = sorted(revenue, key=lambda name: (-revenue[name], name))
    told = [(name, f"${revenue[name]:,.2f}", f"{events[name]:,}") for name in ranked]
    return card(charts.revenue_by_category(found), ("Category", "Revenue", "Events"), told)


@dataclass(frozen=True)
class Wanted:
    """Which products a table lists: those that have a text in their name or category, in an order."""

    limit: int
    search: str = ""
    sort: str = "purchases"
    descending: bool = True


PRODUCT_COLUMNS = ("product_id", "category", "views", "carts", "purchases", "revenue")
# What a table of products can be sorted by, in the order of its columns.
SORTS = {
    "product": "product_id",
    "category": "category",
    "views": "views",
    "carts": "carts",
    "purchases": "purchases",
    "rate": "COALESCE(purchases / NULLIF(CAST(views AS DOUBLE), 0), -1)",
    "revenue": "revenue",
}


def product_table(ask: Ask, days: Days, category: str | None, wanted: Wanted) -> Document:
    """Products, by default those with most purchases: name, category, views, carts, purchases, and money as
    exact text. `total` is how many there are, `found` how many the search found, `listed` how many it saw."""
    asked = [*days.bounds, category, category]
    sql = _PRODUCTS.format(sort=SORTS[wanted.sort], way="DESC" if wanted.descending else "ASC")
    listed = ask(sql, [*asked, wanted.search, wanted.search, wanted.limit]).to_pylist()
    [count] = ask(_COUNT_OF_PRODUCTS, [*asked, wanted.search, wanted.search]).to_pylist()
    rows = [(*(row[name] for name in PRODUCT_COLUMNS[:-1]), f"{row['revenue']:f}") for row in listed]
    return {**count, "listed": len(rows), "rows": rows}


def card(
    figure: Figure,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    height: int | None = None,
) -> Document:
    made = figure.to_plotly_json()
    layout = made["layout"]
    words = layout.pop("meta")
    layout.pop("title")  # the page says it, in letters of its own
    layout["height"] = height or layout["height"] - theme.HEAD_PX + _ROOM_ABOVE_PX
    layout["margin"]["t"] = _ROOM_ABOVE_PX
    picture = {"data": made["data"], "layout": layout}
    return {**words, "figure": picture, "columns": columns, "rows": rows}


# The category of a product is that of the day with most views.
_CATEGORY = "ARG_MAX(category, (views, event_date))"
_MOST_VIEWED = f"""
    SELECT product_id, {_CATEGORY} AS category, CAST(SUM(views) AS BIGINT) AS view_count
    FROM gold.conversion_funnel
    WHERE {BETWEEN} AND views > 0
    GROUP BY product_id
    HAVING ? IS NULL OR {_CATEGORY} = ?
    ORDER BY view_count DESC, product_id ASC
    LIMIT ?"""  # noqa: S608
_OF_PERIOD = f"""
    WITH products AS (
        SELECT
            product_id,
            {_CATEGORY} AS category,
            CAST(SUM(views) AS BIGINT) AS views,
            CAST(SUM(add_to_carts) AS BIGINT) AS carts,
            CAST(SUM(purchases) AS BIGINT) AS purchases,
            SUM(revenue) AS revenue
        FROM gold.conversion_funnel
        WHERE {BETWEEN}
        GROUP BY product_id
        HAVING ? IS NULL OR {_CATEGORY} = ?
    )"""  # noqa: S608
_IS_FOUND = "contains(lower(product_id), lower(?)) OR contains(lower(category), lower(?))"
_PRODUCTS = f"""{_OF_PERIOD}
    SELECT * FROM products
    WHERE {_IS_FOUND}
    ORDER BY {{sort}} {{way}}, purchases DESC, revenue DESC, views DESC, product_id ASC
    LIMIT ?"""  # noqa: S608
_COUNT_OF_PRODUCTS = f"""{_OF_PERIOD}
    SELECT COUNT(*) AS total, COUNT(*) FILTER ({_IS_FOUND}) AS found FROM products"""  # noqa: S608
