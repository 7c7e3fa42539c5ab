SELECT
    event_date,
    coalesce(category, '(none)') AS category,
    count(*) AS events,
    count(*) FILTER (event_type = 'page_view') AS page_views,
    count(*) FILTER (event_type = 'add_to_cart') AS add_to_carts,
    count(*) FILTER (event_type = 'remove_from_cart') AS remove_from_carts,
    count(*) FILTER (event_type = 'purchase') AS purchases,
    count(*) FILTER (event_type = 'search') AS searches,
    coalesce(sum(amount), 0) AS revenue
FROM {{ ref('silver') }}
GROUP BY ALL
