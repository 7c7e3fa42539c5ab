-- gold.daily_users: the set of users of a day.
-- Grain: one row per UTC day and user.
-- In: came (events that came), held_set (of the days' rows so far at least those that came again). Out: the rows to add.
WITH
-- one row per day and user that came
seen AS (
    SELECT DISTINCT event_date, user_id
    FROM came
    WHERE user_id IS NOT NULL
)
SELECT seen.event_date, seen.user_id
FROM seen
WHERE NOT EXISTS (
    SELECT 1 FROM held_set
    WHERE held_set.event_date = seen.event_date AND held_set.user_id = seen.user_id
)
