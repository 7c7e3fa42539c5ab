-- gold.top_products: what people look at.
-- Grain: one row per UTC day and rank, at most ten a day.
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
-- one row per day and viewed product
viewed AS (
    SELECT event_date, product_id, SUM(page_views) AS view_count
    FROM product_hours
    WHERE product_id IS NOT NULL
    GROUP BY event_date, product_id
    HAVING SUM(page_views) > 0
),
-- the same with its place among the day's products
ranked AS (
    SELECT
        event_date, product_id, view_count,
        ROW_NUMBER() OVER (PARTITION BY event_date ORDER BY view_count DESC, product_id ASC) AS place
    FROM viewed
)
SELECT
    ranked.event_date,
    CAST(ranked.place AS INTEGER) AS rank,
    ranked.product_id,
    main_category.category,
    CAST(ranked.view_count AS BIGINT) AS view_count
FROM ranked
INNER JOIN main_category
    ON main_category.event_date = ranked.event_date AND main_category.product_id = ranked.product_id
WHERE ranked.place <= 10
ORDER BY event_date, rank
