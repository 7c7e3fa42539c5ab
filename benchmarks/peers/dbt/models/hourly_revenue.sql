SELECT
    event_date,
    event_hour,
    sum(amount) AS total_revenue,
    count(*) AS transaction_count,
    CAST(sum(quantity) AS BIGINT) AS units
FROM {{ ref('silver') }}
WHERE event_type = 'purchase'
GROUP BY ALL
