"""The ordinary medallion job in PySpark: read all files, row_number, overwrite silver, groupBy gold.

Usage: pyspark_job.py SOURCE_FOLDER OUTPUT_FOLDER
"""

import sys

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 - as every PySpark user writes it

FIELDS = [
    "event_time",
    "user_id",
    "session_id",
    "event_type",
    "product_id",
    "category",
    "quantity",
    "price",
    "search_query",
]
SCHEMA = (
    "timestamp STRING, user_id STRING, session_id STRING, event_type STRING, product_id STRING, "
    "quantity INT, price DECIMAL(15, 6), category STRING, search_query STRING, _corrupt_record STRING"
)
EVENT_TYPES = {
    "page_views": "page_view",
    "add_to_carts": "add_to_cart",
    "remove_from_carts": "remove_from_cart",
    "purchases": "purchase",
    "searches": "search",
}


def write_bronze(spark: SparkSession, source: str, path: str) -> None:
    lines = spark.read.schema(SCHEMA).option("recursiveFileLookup", "true").json(source)
    (
        lines.withColumn("event_time", F.to_timestamp("timestamp"))
        .withColumn("source_file", F.input_file_name())
        .drop("timestamp")
        .write.mode("overwrite")
        .parquet(path)
    )


def write_silver(spark: SparkSession, bronze: str, path: str) -> None:
    first = Window.partitionBy(*FIELDS).orderBy("source_file")
    is_purchase = F.col("event_type") == "purchase"
    (
        spark.read.parquet(bronze)
        .where("_corrupt_record IS NULL AND event_time IS NOT NULL")
        .withColumn("place", F.row_number().over(first))
        .where("place = 1")
        .select(
            *FIELDS,
            F.to_date("event_time").alias("event_date"),
            F.hour("event_time").alias("event_hour"),
            F.when(is_purchase, F.col("price") * F.col("quantity")).cast("decimal(25, 6)").alias("amount"),
        )
        .write.mode("overwrite")
        .partitionBy("event_date", "event_hour")
        .parquet(path)
    )


def write_gold(silver: DataFrame, folder: str) -> None:
    def write(table: DataFrame, name: str) -> None:
        table.coalesce(1).write.mode("overwrite").parquet(f"{folder}/{name}")

    named = silver.withColumn("category", F.coalesce("category", F.lit("(none)")))
    counts = {name: F.count(F.when(F.col("event_type") == t, 1)) for name, t in EVENT_TYPES.items()}
    revenue = F.coalesce(F.sum("amount"), F.lit(0)).cast("decimal(38, 6)")
    product = ["event_date", "product_id"]
    by_events = Window.partitionBy(*product).orderBy(F.desc("events"), "category")
    sold = named.where("product_id IS NOT NULL")
    main_category = (
        sold.groupBy(*product, "category")
        .agg(F.count("*").alias("events"))
        .withColumn("place", F.row_number().over(by_events))
        .where("place = 1")
        .select(*product, "category")
    )
    funnel = (
        sold.groupBy(*product)
        .agg(
            counts["page_views"].alias("views"),
            counts["add_to_carts"].alias("add_to_carts"),
            counts["purchases"].alias("purchases"),
            revenue.alias("revenue"),
        )
        .join(main_category, product)
        .withColumn("view_to_cart_rate", F.expr("add_to_carts / nullif(views, 0)"))
        .withColumn("cart_to_purchase_rate", F.expr("purchases / nullif(add_to_carts, 0)"))
        .withColumn("view_to_purchase_rate", F.expr("purchases / nullif(views, 0)"))
    ).cache()
    write(funnel, "conversion_funnel")
    by_views = Window.partitionBy("event_date").orderBy(F.desc("views"), "product_id")
    write(
        funnel.where("views > 0")
        .withColumn("rank", F.row_number().over(by_views))
        .where("rank <= 10")
        .select("event_date", "rank", "product_id", "category", F.col("views").alias("view_count")),
        "top_products",
    )
    write(
        silver.where("event_type = 'purchase'")
        .groupBy("event_date", "event_hour")
        .agg(
            F.sum("amount").alias("total_revenue"),
            F.count("*").alias("transaction_count"),
            F.sum("quantity").alias("units"),
        ),
        "hourly_revenue",
    )
    write(
        named.groupBy("event_date", "category").agg(
            F.count("*").alias("events"),
            *(count.alias(name) for name, count in counts.items()),
            revenue.alias("revenue"),
        ),
        "category_performance",
    )
    write(
        silver.groupBy("event_date").agg(
            F.countDistinct("user_id").alias("unique_users"),
            F.countDistinct("session_id").alias("unique_sessions"),
            F.count("*").alias("events"),
        ),
        "user_activity",
    )


def main(source: str, out: str) -> None:
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "6g")
        .config("spark.sql.shuffle.partitions", "8")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.parquet.compression.codec", "zstd")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    write_bronze(spark, source, f"{out}/bronze")
    write_silver(spark, f"{out}/bronze", f"{out}/silver")
    write_gold(spark.read.parquet(f"{out}/silver"), f"{out}/gold")
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
