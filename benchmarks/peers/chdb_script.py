"""chDB, ClickHouse in one process: the same three steps as statements over files.

Usage: chdb_script.py SOURCE_FOLDER OUTPUT_FOLDER
"""

import sys
from pathlib import Path

from chdb.session import Session

FIELDS = "event_time, user_id, session_id, event_type, product_id, category, quantity, price, search_query"
STRUCTURE = (
    "timestamp String, user_id Nullable(String), session_id Nullable(String), event_type Nullable(String), "
    "product_id Nullable(String), category Nullable(String), quantity Nullable(Int32), "
    "price Nullable(Decimal(15, 6)), search_query Nullable(String)"
)
SETTINGS = """
    output_format_parquet_compression_method = 'zstd',
    output_format_parquet_string_as_string = 1,
    output_format_parquet_date_as_uint16 = 0,
    join_use_nulls = 1,
    engine_file_truncate_on_insert = 1
"""

BRONZE = """
INSERT INTO FUNCTION file('{out}/bronze/events.parquet', Parquet)
SELECT
    parseDateTime64BestEffort(timestamp, 6, 'UTC') AS event_time, user_id, session_id, event_type, product_id,
    category, quantity, price, search_query, _path AS source_file
FROM file('{source}/**/*.jsonl.gz', JSONEachRow, '{structure}')
"""

SILVER = """
INSERT INTO FUNCTION file('{out}/silver/{{_partition_id}}.parquet', Parquet)
PARTITION BY formatDateTime(event_time, '%Y-%m-%d-%H', 'UTC')
SELECT DISTINCT
    {fields}, toDate(event_time, 'UTC') AS event_date, toHour(event_time, 'UTC') AS event_hour,
    if(event_type = 'purchase', CAST(price * quantity, 'Nullable(Decimal(25, 6))'), NULL) AS amount
FROM file('{out}/bronze/events.parquet', Parquet)
"""

GOLD = {
    "conversion_funnel": """
        SELECT
            event_date, product_id, category, views, add_to_carts, purchases, revenue,
            add_to_carts / nullIf(views, 0) AS view_to_cart_rate,
            purchases / nullIf(add_to_carts, 0) AS cart_to_purchase_rate,
            purchases / nullIf(views, 0) AS view_to_purchase_rate
        FROM (
            SELECT
                event_date, product_id,
                toInt64(countIf(event_type = 'page_view')) AS views,
                toInt64(countIf(event_type = 'add_to_cart')) AS add_to_carts,
                toInt64(countIf(event_type = 'purchase')) AS purchases,
                ifNull(sum(amount), 0) AS revenue
            FROM {silver} WHERE product_id IS NOT NULL GROUP BY event_date, product_id
        ) AS counted
        INNER JOIN (
            SELECT event_date, product_id, ifNull(category, '(none)') AS category
            FROM {silver} WHERE product_id IS NOT NULL
            GROUP BY event_date, product_id, category
            ORDER BY event_date, product_id, count() DESC, category
            LIMIT 1 BY event_date, product_id
        ) AS main USING (event_date, product_id)
    """,
    "hourly_revenue": """
        SELECT
            event_date, event_hour, sum(amount) AS total_revenue, count() AS transaction_count,
            sum(quantity) AS units
        FROM {silver} WHERE event_type = 'purchase' GROUP BY event_date, event_hour
    """,
    "top_products": """
        SELECT
            event_date, row_number() OVER (PARTITION BY event_date ORDER BY views DESC, product_id) AS rank,
            product_id, category, views AS view_count
        FROM file('{out}/gold/conversion_funnel.parquet', Parquet) WHERE views > 0
        ORDER BY event_date, rank LIMIT 10 BY event_date
    """,
    "category_performance": """
        SELECT
            event_date, ifNull(category, '(none)') AS category, count() AS events,
            countIf(event_type = 'page_view') AS page_views,
            countIf(event_type = 'add_to_cart') AS add_to_carts,
            countIf(event_type = 'remove_from_cart') AS remove_from_carts,
            countIf(event_type = 'purchase') AS purchases,
            countIf(event_type = 'search') AS searches,
            ifNull(sum(amount), 0) AS revenue
        FROM {silver} GROUP BY event_date, category
    """,
    "user_activity": """
        SELECT
            event_date, uniqExact(user_id) AS unique_users, uniqExact(session_id) AS unique_sessions,
            count() AS events
        FROM {silver} GROUP BY event_date
    """,
}


def main(source: str, out: str) -> None:
    for layer in ("bronze", "silver", "gold"):
        Path(out, layer).mkdir(parents=True, exist_ok=True)
    session = Session()
    session.query(f"SET {SETTINGS}")
    session.query(BRONZE.format(source=source, out=out, structure=STRUCTURE))
    session.query(SILVER.format(out=out, fields=FIELDS))
    silver = f"file('{out}/silver/*.parquet', Parquet)"
    for name, query in GOLD.items():
        select = query.format(silver=silver, out=out)
        session.query(f"INSERT INTO FUNCTION file('{out}/gold/{name}.parquet', Parquet) {select}")


if __name__ == "__main__":
    main(*sys.argv[1:])
