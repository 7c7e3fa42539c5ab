"""A bare DuckDB script: JSON to bronze, bronze to silver, silver to five tables, all of it every time.

SELECT DISTINCT is the fastest way DuckDB has to keep each event once over data of this size.

Usage: duckdb_script.py SOURCE_FOLDER OUTPUT_FOLDER
"""

import sys
from pathlib import Path

import duckdb

BRONZE = """
COPY (
    SELECT
        "timestamp" AS event_time, user_id, session_id, event_type, product_id, category,
        quantity, price, search_query, filename AS source_file
    FROM read_json(
        '{source}/**/*.jsonl.gz', format = 'newline_delimited', filename = true, hive_partitioning = false,
        columns = {{
            "timestamp": 'TIMESTAMPTZ', user_id: 'VARCHAR', session_id: 'VARCHAR', event_type: 'VARCHAR',
            product_id: 'VARCHAR', quantity: 'INTEGER', price: 'DECIMAL(15, 6)', category: 'VARCHAR',
            search_query: 'VARCHAR'
        }}
    )
) TO '{out}/bronze' (FORMAT parquet, COMPRESSION zstd, PER_THREAD_OUTPUT)
"""

SILVER = """
COPY (
    SELECT DISTINCT
        event_time, user_id, session_id, event_type, product_id, category, quantity, price, search_query,
        CAST(event_time AS DATE) AS event_date,
        hour(event_time) AS event_hour,
        CASE WHEN event_type = 'purchase' THEN CAST(price * quantity AS DECIMAL(25, 6)) END AS amount
    FROM '{out}/bronze/*.parquet'
) TO '{out}/silver' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (event_date, event_hour))
"""

GOLD = {
    "conversion_funnel": """
        WITH named AS (
            SELECT event_date, product_id, coalesce(category, '(none)') AS category, count(*) AS events
            FROM silver WHERE product_id IS NOT NULL GROUP BY ALL
        ), main AS (
            SELECT event_date, product_id, category FROM named
            QUALIFY row_number() OVER (
                PARTITION BY event_date, product_id ORDER BY events DESC, category) = 1
        ), counted AS (
            SELECT
                event_date, product_id,
                count(*) FILTER (event_type = 'page_view') AS views,
                count(*) FILTER (event_type = 'add_to_cart') AS add_to_carts,
                count(*) FILTER (event_type = 'purchase') AS purchases,
                coalesce(sum(amount), 0) AS revenue
            FROM silver WHERE product_id IS NOT NULL GROUP BY ALL
        )
        SELECT
            event_date, product_id, category, views, add_to_carts, purchases, revenue,
            add_to_carts / nullif(views, 0) AS view_to_cart_rate,
            purchases / nullif(add_to_carts, 0) AS cart_to_purchase_rate,
            purchases / nullif(views, 0) AS view_to_purchase_rate
        FROM counted JOIN main USING (event_date, product_id)
    """,
    "hourly_revenue": """
        SELECT
            event_date, event_hour, sum(amount) AS total_revenue, count(*) AS transaction_count,
            CAST(sum(quantity) AS BIGINT) AS units
        FROM silver WHERE event_type = 'purchase' GROUP BY ALL
    """,
    "top_products": """
        SELECT
            event_date,
            row_number() OVER (PARTITION BY event_date ORDER BY views DESC, product_id) AS rank,
            product_id, category, views AS view_count
        FROM '{out}/gold/conversion_funnel.parquet' WHERE views > 0 QUALIFY rank <= 10
    """,
    "category_performance": """
        SELECT
            event_date, coalesce(category, '(none)') AS category, count(*) AS events,
            count(*) FILTER (event_type = 'page_view') AS page_views,
            count(*) FILTER (event_type = 'add_to_cart') AS add_to_carts,
            count(*) FILTER (event_type = 'remove_from_cart') AS remove_from_carts,
            count(*) FILTER (event_type = 'purchase') AS purchases,
            count(*) FILTER (event_type = 'search') AS searches,
            coalesce(sum(amount), 0) AS revenue
        FROM silver GROUP BY ALL
    """,
    "user_activity": """
        SELECT
            event_date, count(DISTINCT user_id) AS unique_users,
            count(DISTINCT session_id) AS unique_sessions, count(*) AS events
        FROM silver GROUP BY ALL
    """,
}


def main(source: str, out: str) -> None:
    Path(out, "gold").mkdir(parents=True)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(BRONZE.format(source=source, out=out))
    connection.execute(SILVER.format(out=out))
    connection.execute(
        f"CREATE VIEW silver AS FROM read_parquet('{out}/silver/**/*.parquet', hive_partitioning = true)"
    )
    for name, query in GOLD.items():
        target = f"{out}/gold/{name}.parquet"
        connection.execute(f"COPY ({query.format(out=out)}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")


if __name__ == "__main__":
    main(*sys.argv[1:])
