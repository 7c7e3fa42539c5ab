-- Generated from model.sql by `python -m eventmint.engine.dialect`. Do not edit.
/* gold.product_hours: what each product did in each hour. */
/* Grain: one row per UTC hour, product and category. */
/* In: changed_events (events that came, sign 1, and went, sign -1), held_hours (rows of the hours touched). */
WITH parts /* one row per hour, product and category of what changed, and one of what is held */ AS (
  SELECT
    event_date,
    event_hour,
    product_id,
    category,
    SUM(sign) AS events,
    SUM(CASE WHEN event_type = 'page_view' THEN sign ELSE 0 END) AS page_views,
    SUM(CASE WHEN event_type = 'add_to_cart' THEN sign ELSE 0 END) AS add_to_carts,
    SUM(CASE WHEN event_type = 'remove_from_cart' THEN sign ELSE 0 END) AS remove_from_carts,
    SUM(CASE WHEN event_type = 'purchase' THEN sign ELSE 0 END) AS purchases,
    SUM(CASE WHEN event_type = 'search' THEN sign ELSE 0 END) AS searches,
    SUM(
      CASE WHEN event_type = 'purchase' THEN sign * CAST(quantity AS BIGINT) ELSE 0 END
    ) AS units,
    SUM(CASE WHEN event_type = 'purchase' THEN sign * amount ELSE 0 END) AS revenue
  FROM changed_events
  GROUP BY
    event_date,
    event_hour,
    product_id,
    category
  UNION ALL
  SELECT
    event_date,
    event_hour,
    product_id,
    category,
    events,
    page_views,
    add_to_carts,
    remove_from_carts,
    purchases,
    searches,
    units,
    revenue
  FROM held_hours
)
SELECT
  event_date,
  event_hour,
  product_id,
  category,
  CAST(SUM(events) AS BIGINT) AS events,
  CAST(SUM(page_views) AS BIGINT) AS page_views,
  CAST(SUM(add_to_carts) AS BIGINT) AS add_to_carts,
  CAST(SUM(remove_from_carts) AS BIGINT) AS remove_from_carts,
  CAST(SUM(purchases) AS BIGINT) AS purchases,
  CAST(SUM(searches) AS BIGINT) AS searches,
  CAST(SUM(units) AS BIGINT) AS units,
  CAST(SUM(revenue) AS DECIMAL(38, 6)) AS revenue
FROM parts
GROUP BY
  event_date,
  event_hour,
  product_id,
  category
HAVING
  SUM(events) <> 0
ORDER BY
  event_date NULLS LAST,
  event_hour NULLS LAST,
  product_id NULLS LAST,
  category NULLS LAST
