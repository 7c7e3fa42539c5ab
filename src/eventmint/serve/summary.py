"""What a screen shows of the five answers: a few rows for a period, summed in SQL over the gold tables.

The days are UTC and half-open; they come as dates, never as text. Nothing is read here: who has a lake runs
the statements. `total` says how many rows a list would have without its limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Period:
    """UTC days, half-open; None leaves a side open. `top` is how many rows a list may have."""

    start: date | None = None
    end: date | None = None
    top: int = 10

    @property
    def condition(self) -> str:
        sides = (("event_date >=", self.start), ("event_date <", self.end))
        return " AND ".join(f"{side} DATE '{day.isoformat()}'" for side, day in sides if day) or "true"


def summary_sql(answer: str, period: Period) -> str:
    """Return the statement whose rows tell an answer over the whole period."""
    return _SUMMARIES[answer].format(days=period.condition, top=period.top)


def days_sql(period: Period) -> str:
    """Return the statement for the first and the last day with events."""
    return _DAYS.format(days=period.condition)


_DAYS = """
    SELECT MIN(event_date) AS first_day, MAX(event_date) AS last_day, COUNT(*) AS days
    FROM gold.user_activity
    WHERE {days}"""
_SUMMARIES = {
    "conversion_funnel": """
        SELECT
            product_id,
            SUM(views) AS views,
            SUM(add_to_carts) AS add_to_carts,
            SUM(purchases) AS purchases,
            SUM(revenue) AS revenue,
            SUM(SUM(views)) OVER () AS all_views,
            SUM(SUM(add_to_carts)) OVER () AS all_add_to_carts,
            SUM(SUM(purchases)) OVER () AS all_purchases,
            COUNT(*) OVER () AS total
        FROM gold.conversion_funnel
        WHERE {days}
        GROUP BY product_id
        ORDER BY purchases DESC, revenue DESC, views DESC, product_id ASC
        LIMIT {top}""",
    "hourly_revenue": """
        SELECT
            event_hour,
            SUM(total_revenue) AS total_revenue,
            SUM(transaction_count) AS transaction_count,
            SUM(units) AS units
        FROM gold.hourly_revenue
        WHERE {days}
        GROUP BY event_hour
        ORDER BY event_hour ASC""",
    "top_products": """
        SELECT
            product_id,
            ARG_MAX(category, (views, event_date)) AS category,
            SUM(views) AS view_count,
            COUNT(*) OVER () AS total
        FROM gold.conversion_funnel
        WHERE {days} AND views > 0
        GROUP BY product_id
        ORDER BY view_count DESC, product_id ASC
        LIMIT {top}""",
    "category_performance": """
        SELECT
            category,
            SUM(events) AS events,
            SUM(page_views) AS page_views,
            SUM(purchases) AS purchases,
            SUM(revenue) AS revenue,
            COUNT(*) OVER () AS total
        FROM gold.category_performance
        WHERE {days}
        GROUP BY category
        ORDER BY events DESC, category ASC
        LIMIT {top}""",
    "user_activity": """
        SELECT event_date, unique_users, unique_sessions, events, COUNT(*) OVER () AS total
        FROM gold.user_activity
        WHERE {days}
        ORDER BY event_date DESC
        LIMIT {top}""",
}
