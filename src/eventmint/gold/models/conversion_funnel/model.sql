-- gold.conversion_funnel: which products convert.
-- Grain: one row per UTC day and product.
-- In: product_hours of the days asked for.
WITH
-- one row per day, product and category name
categories AS (
    SELECT event_date, product_id, COALESCE(category, '(none)') AS category, SUM(events) AS events
    FROM product_hours
    WHERE product_id IS NOT NULL
    GROUP BY event_date, product_id, COALESCE(category, '(none)')
),
-- one row per day and product: its most frequent category, ties by name
main_category AS (
    SELECT event_date, product_id, category
    FROM (
        SELECT
            event_date, product_id, category,
            ROW_NUMBER() OVER (PARTITION BY event_date, product_id ORDER BY events DESC, category ASC) AS place
        FROM categories
    ) AS ranked
    WHERE place = 1
),
-- one row per day and product
totals AS (
    SELECT
        event_date, product_id,
        SUM(page_views) AS views, SUM(add_to_carts) AS add_to_carts,
        SUM(purchases) AS purchases, SUM(revenue) AS revenue
    FROM product_hours
    WHERE product_id IS NOT NULL
    GROUP BY event_date, product_id
)
SELECT
    totals.event_date,
    totals.product_id,
    main_category.category,
    CAST(totals.views AS BIGINT) AS views,
    CAST(totals.add_to_carts AS BIGINT) AS add_to_carts,
    CAST(totals.purchases AS BIGINT) AS purchases,
    CAST(totals.revenue AS DECIMAL(38, 6)) AS revenue,
    CAST(totals.add_to_carts AS DOUBLE) / NULLIF(CAST(totals.views AS DOUBLE), 0) AS view_to_cart_rate,
    CAST(totals.purchases AS DOUBLE) / NULLIF(CAST(totals.add_to_carts AS DOUBLE), 0) AS cart_to_purchase_rate,
    CAST(totals.purchases AS DOUBLE) / NULLIF(CAST(totals.views AS DOUBLE), 0) AS view_to_purchase_rate
FROM totals
INNER JOIN main_category
    ON main_category.event_date = totals.event_date AND main_category.product_id = totals.product_id
ORDER BY event_date, product_id
