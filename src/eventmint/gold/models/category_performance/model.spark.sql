-- Generated from model.sql by `python -m eventmint.engine.dialect`. Do not edit.
/* gold.category_performance: how categories do. */
/* Grain: one row per UTC day and category; events without one are reported as (none), never dropped. */
/* In: product_hours of the days asked for. */
SELECT
  event_date,
  COALESCE(category, '(none)') AS category,
  CAST(SUM(events) AS BIGINT) AS events,
  CAST(SUM(page_views) AS BIGINT) AS page_views,
  CAST(SUM(add_to_carts) AS BIGINT) AS add_to_carts,
  CAST(SUM(remove_from_carts) AS BIGINT) AS remove_from_carts,
  CAST(SUM(purchases) AS BIGINT) AS purchases,
  CAST(SUM(searches) AS BIGINT) AS searches,
  CAST(SUM(revenue) AS DECIMAL(38, 6)) AS revenue
FROM product_hours
GROUP BY
  event_date,
  COALESCE(category, '(none)')
ORDER BY
  event_date NULLS LAST,
  category NULLS LAST
