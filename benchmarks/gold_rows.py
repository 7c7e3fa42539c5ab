"""Made-up gold: a day of the five answers for a shop of any size, plausible and the same every time."""

from __future__ import annotations

from datetime import date

import duckdb
import pyarrow as pa

from eventmint.contracts import ANSWERS, contract

# Products by Zipf; what follows from a view is drawn from a hash of product and day.
_PRODUCTS = """
CREATE OR REPLACE TEMP TABLE product AS
WITH drawn AS (
    SELECT
        i AS number, ? AS event_date, hash(i, ?) AS luck,
        ['Electronics', 'Clothing', 'Shoes', 'Home', 'Kitchen', 'Garden', 'Books', 'Toys', 'Sports', 'Beauty',
         'Grocery', '(none)'][i % 12 + 1] AS category,
        CAST(1 + hash(i) % 90000 / 100 AS DECIMAL(15, 6)) AS price
    FROM range(?) AS numbers(i)
), viewed AS (
    SELECT *, CAST(8000000 / (number + 30) AS BIGINT) + CAST(luck % 300 AS BIGINT) AS views FROM drawn
), carried AS (
    SELECT *, CAST(views * (5 + CAST(luck % 11 AS BIGINT)) // 100 AS BIGINT) AS add_to_carts FROM viewed
)
SELECT
    event_date, printf('p-%05d', number) AS product_id, category, views, add_to_carts, price,
    CAST(add_to_carts * (20 + CAST(luck % 31 AS BIGINT)) // 100 AS BIGINT) AS purchases
FROM carried
"""
_ANSWERS = {
    "conversion_funnel": """
        SELECT
            event_date, product_id, category, views, add_to_carts, purchases,
            CAST(purchases * price AS DECIMAL(38, 6)) AS revenue,
            add_to_carts / nullif(views, 0) AS view_to_cart_rate,
            purchases / nullif(add_to_carts, 0) AS cart_to_purchase_rate,
            purchases / nullif(views, 0) AS view_to_purchase_rate
        FROM product ORDER BY product_id
    """,
    "hourly_revenue": """
        SELECT
            any_value(event_date) AS event_date, CAST(h AS INTEGER) AS event_hour,
            CAST(sum(purchases * price) AS DECIMAL(38, 6)) AS total_revenue,
            CAST(sum(purchases) AS BIGINT) AS transaction_count,
            CAST(sum(purchases) * 2 AS BIGINT) AS units
        FROM product, range(24) AS hours(h) WHERE hash(product_id) % 24 = h GROUP BY h ORDER BY h
    """,
    "top_products": """
        SELECT
            event_date, CAST(row_number() OVER (ORDER BY views DESC, product_id) AS INTEGER) AS rank,
            product_id, category, views AS view_count
        FROM product ORDER BY rank LIMIT 10
    """,
    "category_performance": """
        SELECT
            any_value(event_date) AS event_date, category,
            CAST(sum(views + add_to_carts + purchases) AS BIGINT) AS events,
            CAST(sum(views) AS BIGINT) AS page_views, CAST(sum(add_to_carts) AS BIGINT) AS add_to_carts,
            CAST(0 AS BIGINT) AS remove_from_carts, CAST(sum(purchases) AS BIGINT) AS purchases,
            CAST(0 AS BIGINT) AS searches, CAST(sum(purchases * price) AS DECIMAL(38, 6)) AS revenue
        FROM product GROUP BY category ORDER BY category
    """,
    "user_activity": """
        SELECT
            any_value(event_date) AS event_date, CAST(sum(views) // 12 AS BIGINT) AS unique_users,
            CAST(sum(views) // 8 AS BIGINT) AS unique_sessions,
            CAST(sum(views + add_to_carts + purchases) AS BIGINT) AS events
        FROM product
    """,
}


def day_of_gold(day: date, products: int) -> dict[str, pa.Table]:
    """Return the rows of each answer for one day."""
    with duckdb.connect() as connection:
        connection.execute(_PRODUCTS, [day, day, products])
        tables = {name: connection.sql(_ANSWERS[name]).to_arrow_table() for name in ANSWERS}
    return {name: table.select(contract(f"gold.{name}").column_names) for name, table in tables.items()}
