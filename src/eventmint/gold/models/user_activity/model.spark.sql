-- Generated from model.sql by `python -m eventmint.engine.dialect`. Do not edit.
/* gold.user_activity: how many people came. */
/* Grain: one row per UTC day. */
/* In: product_hours, daily_users and daily_sessions of the days asked for. */
WITH days /* one row per day that has events */ AS (
  SELECT
    event_date,
    SUM(events) AS events
  FROM product_hours
  GROUP BY
    event_date
), users /* one row per day that has users; the sets hold each once */ AS (
  SELECT
    event_date,
    COUNT(*) AS unique_users
  FROM daily_users
  GROUP BY
    event_date
), sessions /* one row per day that has sessions */ AS (
  SELECT
    event_date,
    COUNT(*) AS unique_sessions
  FROM daily_sessions
  GROUP BY
    event_date
)
SELECT
  days.event_date,
  COALESCE(users.unique_users, 0) AS unique_users,
  COALESCE(sessions.unique_sessions, 0) AS unique_sessions,
  CAST(days.events AS BIGINT) AS events
FROM days
LEFT JOIN users
  ON users.event_date = days.event_date
LEFT JOIN sessions
  ON sessions.event_date = days.event_date
ORDER BY
  event_date NULLS LAST
