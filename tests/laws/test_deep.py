"""`verify --deep` in small: files by their digest, rows by making them again; in full in `tests/proofs`."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deliveries import TODAY, Shop, event, random_events, view

from eventmint.contracts import all_contracts, contract
from eventmint.storage.digests import digest_in, digest_of, stem_in
from eventmint.tables.plan import LiveFile, live_files
from eventmint.values import Law


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    shop.deliver("a", *random_events(Random(30), 10), event(), event(), view(product_id="x"), b"{")
    shop.run()
    return shop


def files_of(shop: Shop, table: str) -> list[LiveFile]:
    shape = contract(table)
    return live_files(shop.lake._catalog.load(shape), shape)


def broken(shop: Shop) -> list[Law]:
    return [law for law in shop.lake.verify(deep=True) if not law.holds]


def test_every_file_of_a_run_is_named_by_its_digest(shop: Shop) -> None:
    for shape in all_contracts():
        for file in files_of(shop, shape.table):
            with Path(file.location).open("rb") as handle:
                assert digest_in(file.location) == digest_of(handle)


def test_a_name_of_somebody_else_has_no_digest() -> None:
    name = "00000-0-0191c7a6-3b6f-7c3e-9d0a-5f8f4c1f2b7d.parquet"
    assert digest_in(f"/lake/{name}") is None
    assert stem_in(f"s3://lake/{name}") == name.removesuffix(".parquet")
    assert (
        stem_in(f"/lake/00000001-abc-2026-01-15--1.sha256-{'0f' * 16}.parquet")
        == "00000001-abc-2026-01-15--1"
    )


def test_a_lake_is_not_changed_by_a_deep_proof(shop: Shop) -> None:
    before = shop.lake.snapshots()
    assert broken(shop) == []
    assert shop.lake.snapshots() == before


def test_an_altered_price_in_bronze_is_named_with_what_it_should_be(shop: Shop) -> None:
    (file,) = files_of(shop, "bronze.events")
    with pq.ParquetFile(file.location) as opened:
        rows = opened.read()
    prices = rows["price"].to_pylist()
    altered = next(number for number, user in enumerate(rows["user_id"].to_pylist()) if user == "u1")
    prices[altered] = Decimal("9.250000")
    kept = rows.schema.field("price")
    changed = rows.set_column(rows.schema.get_field_index("price"), kept, pa.array(prices, kept.type))
    pq.write_table(changed, file.location, store_schema=False)
    laws = broken(shop)
    subject = f"bronze.events {TODAY} {Path(file.location).name}"
    assert {law.subject for law in laws} == {subject}
    (told,) = [law for law in laws if law.name == "values"]
    # The other delivery of the event still makes it: what is told is the event that nobody had sent.
    assert told.left == 1
    assert "price 9.250000" in told.detail


def test_a_file_of_bronze_that_cannot_be_read_is_named_and_gold_is_proven_from_silver(shop: Shop) -> None:
    (file,) = files_of(shop, "bronze.events")
    Path(file.location).write_bytes(b"PAR1")
    laws = broken(shop)
    assert {law.subject.partition(" ")[0] for law in laws} == {"bronze.events", "silver.events_cleaned"}
    (readable,) = [law for law in laws if law.terms == "readable"]
    assert readable.subject.endswith(Path(file.location).name)
    (answer,) = files_of(shop, "gold.user_activity")[:1]
    Path(answer.location).unlink()
    assert f"gold.user_activity {answer.day} {Path(answer.location).name}" in {
        x.subject for x in broken(shop)
    }
