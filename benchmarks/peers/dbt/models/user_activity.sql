SELECT
    event_date,
    count(DISTINCT user_id) AS unique_users,
    count(DISTINCT session_id) AS unique_sessions,
    count(*) AS events
FROM {{ ref('silver') }}
GROUP BY ALL
