-- The five questions, in plain SQL over the gold tables. The same text runs on Athena (database gold) and on
-- DuckDB (`eventmint query -f queries.sql`). Days and hours are UTC. A rate is NULL where there is nothing to divide by.

-- 1. Conversion funnel: which products turn views into carts and carts into purchases?
SELECT
    product_id,
    SUM(views) AS views,
    SUM(add_to_carts) AS carts,
    SUM(purchases) AS purchases,
    CAST(SUM(add_to_carts) AS DOUBLE) / NULLIF(CAST(SUM(views) AS DOUBLE), 0) AS view_to_cart_rate,
    CAST(SUM(purchases) AS DOUBLE) / NULLIF(CAST(SUM(add_to_carts) AS DOUBLE), 0) AS cart_to_purchase_rate,
    CAST(SUM(purchases) AS DOUBLE) / NULLIF(CAST(SUM(views) AS DOUBLE), 0) AS view_to_purchase_rate
FROM conversion_funnel
GROUP BY product_id
ORDER BY views DESC, product_id ASC;

-- 2. Hourly revenue: when does the money come in?
SELECT
    event_date,
    event_hour,
    total_revenue,
    transaction_count,
    units
FROM hourly_revenue
ORDER BY event_date ASC, event_hour ASC;

-- 3. Top products: which ten products are looked at most?
SELECT
    product_id,
    SUM(views) AS view_count
FROM conversion_funnel
GROUP BY product_id
HAVING SUM(views) > 0
ORDER BY view_count DESC, product_id ASC
LIMIT 10;

-- 4. Category performance: how many events has each category each day?
SELECT
    event_date,
    category,
    events,
    revenue
FROM category_performance
ORDER BY event_date ASC, events DESC, category ASC;

-- 5. User activity: how many different users and sessions come each day?
SELECT
    event_date,
    unique_users,
    unique_sessions,
    events
FROM user_activity
ORDER BY event_date ASC;
