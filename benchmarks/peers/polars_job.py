"""Polars with its streaming engine: scan, sink, scan again.

Usage: polars_job.py SOURCE_FOLDER OUTPUT_FOLDER
"""

import sys
from pathlib import Path

import polars as pl

FIELDS = [
    "event_time", "user_id", "session_id", "event_type", "product_id", "category", "quantity", "price",
    "search_query",
]  # fmt: skip
# Money comes in as a float, for the JSON reader makes no decimals; it is one before anything is added up.
SCHEMA = dict.fromkeys(
    ("timestamp", "user_id", "session_id", "event_type", "product_id", "category", "search_query"), pl.String
) | {"quantity": pl.Int32, "price": pl.Float64}
TOP = 10
EVENT_TYPES = {
    "page_views": "page_view",
    "add_to_carts": "add_to_cart",
    "remove_from_carts": "remove_from_cart",
    "purchases": "purchase",
    "searches": "search",
}


def write_bronze(source: str, path: str) -> None:
    files = sorted(Path(source).rglob("*.jsonl.gz"))
    (
        pl.scan_ndjson(files, schema=SCHEMA, include_file_paths="source_file")
        .with_columns(
            pl.col("timestamp").str.to_datetime("%+", time_unit="us").alias("event_time"),
            pl.col("price").cast(pl.Decimal(15, 6)),
        )
        .select(*FIELDS, "source_file")
        .sink_parquet(path, compression="zstd", mkdir=True, engine="streaming")
    )


def write_silver(bronze: str, folder: str) -> None:
    is_purchase = pl.col("event_type") == "purchase"
    (
        pl.scan_parquet(bronze)
        .select(FIELDS)
        .unique()
        .with_columns(
            pl.col("event_time").dt.date().alias("event_date"),
            pl.col("event_time").dt.hour().alias("event_hour"),
            pl.when(is_purchase).then(pl.col("price") * pl.col("quantity")).alias("amount"),
        )
        .sink_parquet(
            pl.PartitionBy(folder, key=["event_date", "event_hour"], include_key=True),
            compression="zstd",
            mkdir=True,
            engine="streaming",
        )
    )


def rate(over: str, under: str) -> pl.Expr:
    return pl.when(pl.col(under) > 0).then(pl.col(over) / pl.col(under))


def gold(events: pl.LazyFrame) -> dict[str, pl.LazyFrame]:
    named = events.with_columns(pl.col("category").fill_null("(none)"))
    counts = {name: (pl.col("event_type") == kind).sum() for name, kind in EVENT_TYPES.items()}
    revenue = pl.col("amount").sum().alias("revenue")
    sold = named.filter(pl.col("product_id").is_not_null())
    main_category = (
        sold.group_by("event_date", "product_id", "category")
        .len("events")
        .sort(["events", "category"], descending=[True, False])
        .group_by("event_date", "product_id", maintain_order=True)
        .first()
        .drop("events")
    )
    funnel = (
        sold.group_by("event_date", "product_id")
        .agg(
            counts["page_views"].alias("views"),
            counts["add_to_carts"].alias("add_to_carts"),
            counts["purchases"].alias("purchases"),
            revenue,
        )
        .join(main_category, on=["event_date", "product_id"])
        .with_columns(
            rate("add_to_carts", "views").alias("view_to_cart_rate"),
            rate("purchases", "add_to_carts").alias("cart_to_purchase_rate"),
            rate("purchases", "views").alias("view_to_purchase_rate"),
        )
    )
    return {
        "conversion_funnel": funnel,
        "top_products": funnel.filter(pl.col("views") > 0)
        .sort(["event_date", "views", "product_id"], descending=[False, True, False])
        .with_columns(pl.int_range(1, pl.len() + 1).over("event_date").alias("rank"))
        .filter(pl.col("rank") <= TOP)
        .select("event_date", "rank", "product_id", "category", pl.col("views").alias("view_count")),
        "hourly_revenue": events.filter(pl.col("event_type") == "purchase")
        .group_by("event_date", "event_hour")
        .agg(
            pl.col("amount").sum().alias("total_revenue"),
            pl.len().alias("transaction_count"),
            pl.col("quantity").cast(pl.Int64).sum().alias("units"),
        ),
        "category_performance": named.group_by("event_date", "category").agg(
            pl.len().alias("events"), *(count.alias(name) for name, count in counts.items()), revenue
        ),
        "user_activity": events.group_by("event_date").agg(
            pl.col("user_id").n_unique().alias("unique_users"),
            pl.col("session_id").n_unique().alias("unique_sessions"),
            pl.len().alias("events"),
        ),
    }


def main(source: str, out: str) -> None:
    write_bronze(source, f"{out}/bronze/events.parquet")
    write_silver(f"{out}/bronze/events.parquet", f"{out}/silver")
    tables = gold(pl.scan_parquet(f"{out}/silver/**/*.parquet", hive_partitioning=False))
    Path(out, "gold").mkdir()
    for name, table in zip(tables, pl.collect_all(tables.values(), engine="streaming"), strict=True):
        table.write_parquet(f"{out}/gold/{name}.parquet", compression="zstd")


if __name__ == "__main__":
    main(*sys.argv[1:])
