{{ config(
    location=env_var('SHOP_OUT') ~ '/silver',
    options={'compression': 'zstd', 'partition_by': 'event_date, event_hour', 'overwrite_or_ignore': true}
) }}
SELECT DISTINCT
    event_time,
    user_id,
    session_id,
    event_type,
    product_id,
    category,
    quantity,
    price,
    search_query,
    CAST(event_time AS DATE) AS event_date,
    hour(event_time) AS event_hour,
    CASE WHEN event_type = 'purchase' THEN CAST(price * quantity AS DECIMAL(25, 6)) END AS amount
FROM {{ ref('bronze') }}
