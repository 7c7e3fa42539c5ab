-- Generated from model.sql by `python -m eventmint.engine.dialect`. Do not edit.
/* gold.daily_sessions: the set of sessions of a day. */
/* Grain: one row per UTC day and session. */
/* In: came (events that came), held_set (of the days' rows so far at least those that came again). Out: the rows to add. */
WITH seen /* one row per day and session that came */ AS (
  SELECT DISTINCT
    event_date,
    session_id
  FROM came
  WHERE
    NOT session_id IS NULL
)
SELECT
  seen.event_date,
  seen.session_id
FROM seen
WHERE
  NOT EXISTS(
    SELECT
      1
    FROM held_set
    WHERE
      held_set.event_date = seen.event_date AND held_set.session_id = seen.session_id
  )
