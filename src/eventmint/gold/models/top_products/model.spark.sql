-- Generated from model.sql by `python -m eventmint.engine.dialect`. Do not edit.
/* gold.top_products: what people look at. */
/* Grain: one row per UTC day and rank, at most ten a day. */
/* In: product_hours of the days asked for. */
WITH categories /* one row per day, product and category name */ AS (
  SELECT
    event_date,
    product_id,
    COALESCE(category, '(none)') AS category,
    SUM(events) AS events
  FROM product_hours
  WHERE
    NOT product_id IS NULL
  GROUP BY
    event_date,
    product_id,
    COALESCE(category, '(none)')
), main_category /* one row per day and product: its most frequent category, ties by name */ AS (
  SELECT
    event_date,
    product_id,
    category
  FROM (
    SELECT
      event_date,
      product_id,
      category,
      ROW_NUMBER() OVER (PARTITION BY event_date, product_id ORDER BY events DESC, category ASC NULLS LAST) AS place
    FROM categories
  ) AS ranked
  WHERE
    place = 1
), viewed /* one row per day and viewed product */ AS (
  SELECT
    event_date,
    product_id,
    SUM(page_views) AS view_count
  FROM product_hours
  WHERE
    NOT product_id IS NULL
  GROUP BY
    event_date,
    product_id
  HAVING
    SUM(page_views) > 0
), ranked /* the same with its place among the day's products */ AS (
  SELECT
    event_date,
    product_id,
    view_count,
    ROW_NUMBER() OVER (PARTITION BY event_date ORDER BY view_count DESC, product_id ASC NULLS LAST) AS place
  FROM viewed
)
SELECT
  ranked.event_date,
  CAST(ranked.place AS INT) AS rank,
  ranked.product_id,
  main_category.category,
  CAST(ranked.view_count AS BIGINT) AS view_count
FROM ranked
INNER JOIN main_category
  ON main_category.event_date = ranked.event_date
  AND main_category.product_id = ranked.product_id
WHERE
  ranked.place <= 10
ORDER BY
  event_date NULLS LAST,
  rank NULLS LAST
