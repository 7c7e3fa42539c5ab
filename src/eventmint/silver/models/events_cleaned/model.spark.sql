-- Generated from model.sql by `python -m eventmint.engine.dialect`. Do not edit.
/* silver.events_cleaned: what an event looks like once it counts. */
/* Grain: one row per line or event of the input. */
/* In: new_events (the fields, and is_suspect: true where another line may be the same event; not a column of */
/*     the table, it parts the rows that are written at once from those that are compared first). */
SELECT
  event_time,
  CAST(event_time AS DATE) AS event_date,
  CAST(EXTRACT(HOUR FROM event_time) AS INT) AS event_hour,
  user_id,
  session_id,
  event_type,
  product_id,
  category,
  quantity,
  price,
  search_query,
  CASE
    WHEN event_type = 'purchase'
    THEN CAST(CAST(price AS DECIMAL(25, 6)) * CAST(quantity AS DECIMAL(10, 0)) AS DECIMAL(25, 6))
  END AS amount,
  is_suspect
FROM new_events
