-- gold.daily_sessions: the set of sessions of a day.
-- Grain: one row per UTC day and session.
-- In: came (events that came), held_set (the days' rows so far). Out: the rows to add.
SELECT DISTINCT came.event_date, came.session_id
FROM came
WHERE came.session_id IS NOT NULL
    AND NOT EXISTS (
        SELECT 1 FROM held_set
        WHERE held_set.event_date = came.event_date AND held_set.session_id = came.session_id
    )
