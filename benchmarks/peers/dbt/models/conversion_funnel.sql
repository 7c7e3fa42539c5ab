WITH named AS (
    SELECT event_date, product_id, coalesce(category, '(none)') AS category, count(*) AS events
    FROM {{ ref('silver') }}
    WHERE product_id IS NOT NULL
    GROUP BY ALL
),
main AS (
    SELECT event_date, product_id, category
    FROM named
    QUALIFY row_number() OVER (PARTITION BY event_date, product_id ORDER BY events DESC, category) = 1
),
counted AS (
    SELECT
        event_date,
        product_id,
        count(*) FILTER (event_type = 'page_view') AS views,
        count(*) FILTER (event_type = 'add_to_cart') AS add_to_carts,
        count(*) FILTER (event_type = 'purchase') AS purchases,
        coalesce(sum(amount), 0) AS revenue
    FROM {{ ref('silver') }}
    WHERE product_id IS NOT NULL
    GROUP BY ALL
)
SELECT
    event_date,
    product_id,
    category,
    views,
    add_to_carts,
    purchases,
    revenue,
    add_to_carts / nullif(views, 0) AS view_to_cart_rate,
    purchases / nullif(add_to_carts, 0) AS cart_to_purchase_rate,
    purchases / nullif(views, 0) AS view_to_purchase_rate
FROM counted
INNER JOIN main USING (event_date, product_id)
