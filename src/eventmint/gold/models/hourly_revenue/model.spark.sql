-- Generated from model.sql by `python -m eventmint.engine.dialect`. Do not edit.
/* gold.hourly_revenue: when the money comes in. */
/* Grain: one row per UTC hour that has a purchase. */
/* In: product_hours of the days asked for. */
SELECT
  event_date,
  event_hour,
  CAST(SUM(revenue) AS DECIMAL(38, 6)) AS total_revenue,
  CAST(SUM(purchases) AS BIGINT) AS transaction_count,
  CAST(SUM(units) AS BIGINT) AS units
FROM product_hours
GROUP BY
  event_date,
  event_hour
HAVING
  SUM(purchases) > 0
ORDER BY
  event_date NULLS LAST,
  event_hour NULLS LAST
