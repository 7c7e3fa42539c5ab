SELECT
    event_date,
    row_number() OVER (PARTITION BY event_date ORDER BY views DESC, product_id) AS rank,
    product_id,
    category,
    views AS view_count
FROM {{ ref('conversion_funnel') }}
WHERE views > 0
QUALIFY rank <= 10
