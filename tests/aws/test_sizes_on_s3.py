"""Sizes of a table whose files lie in S3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from eventmint.contracts import contract
from eventmint.engine.parquet import arrow_schema
from eventmint.tables.catalog import iceberg_schema
from eventmint.tables.sizes import chunk_bytes, column_size, table_size

SHAPE = contract("silver.event_hours")
ROWS = 200_000


@pytest.fixture
def table(aws: str, tmp_path: Path) -> Any:
    boto3.client("s3").create_bucket(
        Bucket="lake", CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
    )
    catalog = SqlCatalog(
        "test",
        uri=f"sqlite:///{tmp_path}/catalog.sqlite",
        warehouse="s3://lake/lake",
        **{
            "s3.endpoint": aws,
            "s3.region": "us-west-2",
            "s3.access-key-id": "testing",
            "s3.secret-access-key": "testing",
        },
    )
    catalog.create_namespace("silver")
    table = catalog.create_table("silver.event_hours", schema=iceberg_schema(SHAPE))
    schema = arrow_schema(SHAPE)
    columns = [pa.array(range(ROWS), pa.int32()).cast(field.type) for field in schema]
    table.append(pa.Table.from_arrays(columns, schema=schema))
    catalog.close()
    return table


def test_columns_on_s3_are_measured_as_those_on_a_disk(table: Any, tmp_path: Path) -> None:
    (listed,) = [
        found
        for found in boto3.client("s3").list_objects_v2(Bucket="lake")["Contents"]
        if found["Key"].endswith(".parquet")
    ]
    boto3.client("s3").download_file("lake", listed["Key"], str(tmp_path / "file.parquet"))
    footer = pq.read_metadata(tmp_path / "file.parquet")
    size = column_size(table, SHAPE, SHAPE.column_names[:2])
    chunks = chunk_bytes(footer)
    assert size.column_bytes == sum(chunks[name] for name in SHAPE.column_names[:2]) > 0
    assert size.footer_bytes == footer.serialized_size + 8
    assert size.file_bytes == table_size(table, SHAPE).size_bytes == listed["Size"]
