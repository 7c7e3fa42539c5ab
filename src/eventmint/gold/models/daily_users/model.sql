-- gold.daily_users: the set of users of a day.
-- Grain: one row per UTC day and user.
-- In: came (events that came), held_set (the days' rows so far). Out: the rows to add.
SELECT DISTINCT came.event_date, came.user_id
FROM came
WHERE came.user_id IS NOT NULL
    AND NOT EXISTS (
        SELECT 1 FROM held_set
        WHERE held_set.event_date = came.event_date AND held_set.user_id = came.user_id
    )
