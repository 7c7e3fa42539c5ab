-- silver.events_cleaned: valid lines become true events, each once.
-- Grain: one row per event that silver does not hold yet.
-- In: fresh (valid lines that came, with key_hash), suspects (hashes that occur more than once among what came
--     and what is held), survivors (the events among the suspects that remain).
WITH
-- one row per new event
new_events AS (
    SELECT
        fresh.event_time, fresh.user_id, fresh.session_id, fresh.event_type, fresh.product_id,
        fresh.category, fresh.quantity, fresh.price, fresh.search_query
    FROM fresh
    WHERE NOT EXISTS (SELECT 1 FROM suspects WHERE suspects.key_hash = fresh.key_hash)
    UNION ALL
    SELECT
        event_time, user_id, session_id, event_type, product_id,
        category, quantity, price, search_query
    FROM survivors
)
SELECT
    event_time,
    CAST(event_time AS DATE) AS event_date,
    CAST(EXTRACT(HOUR FROM event_time) AS INTEGER) AS event_hour,
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
            THEN CAST(price * CAST(quantity AS DECIMAL(10, 0)) AS DECIMAL(25, 6))
    END AS amount
FROM new_events
