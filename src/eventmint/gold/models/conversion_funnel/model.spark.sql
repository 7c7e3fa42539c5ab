-- Generated from model.sql by `python -m eventmint.engine.dialect`. Do not edit.
/* gold.conversion_funnel: which products convert. */
/* Grain: one row per UTC day and product. */
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
), totals /* one row per day and product */ AS (
  SELECT
    event_date,
    product_id,
    SUM(page_views) AS views,
    SUM(add_to_carts) AS add_to_carts,
    SUM(purchases) AS purchases,
    SUM(revenue) AS revenue
  FROM product_hours
  WHERE
    NOT product_id IS NULL
  GROUP BY
    event_date,
    product_id
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
  ON main_category.event_date = totals.event_date
  AND main_category.product_id = totals.product_id
ORDER BY
  event_date NULLS LAST,
  product_id NULLS LAST
