{{ config(location=env_var('SHOP_OUT') ~ '/bronze/events.parquet') }}
SELECT
    "timestamp" AS event_time,
    user_id,
    session_id,
    event_type,
    product_id,
    category,
    quantity,
    price,
    search_query,
    filename AS source_file
FROM read_json(
    '{{ env_var("SHOP_SOURCE") }}/**/*.jsonl.gz',
    format = 'newline_delimited', filename = true, hive_partitioning = false,
    columns = {
        "timestamp": 'TIMESTAMPTZ', user_id: 'VARCHAR', session_id: 'VARCHAR', event_type: 'VARCHAR',
        product_id: 'VARCHAR', quantity: 'INTEGER', price: 'DECIMAL(15, 6)', category: 'VARCHAR',
        search_query: 'VARCHAR'
    }
)
