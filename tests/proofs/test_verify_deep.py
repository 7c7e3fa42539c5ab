"""Damage at rest: `verify --deep` finds and names it, in any file of any table, without the source.

One row deleted or doubled, one value altered in any column, one byte flipped, a file cut short or gone, and a
file of the table's metadata damaged. Several tables are damaged at once, so that what is named must be what
was damaged and nothing else. A sound lake, whatever has happened to it, breaks nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aws.conftest import aws as aws_account
from aws.conftest import moto_endpoint
from deliveries import Shop, event, random_events, view
from proofs.forms import Proof

import eventmint
from eventmint.contracts import all_contracts, contract
from eventmint.engine.parquet import arrow_schema
from eventmint.lake import Lake
from eventmint.storage import s3
from eventmint.tables.commit import Stamp, commit
from eventmint.tables.plan import LiveFile, address, live_files, seq_of
from eventmint.values import Law

TABLES = tuple(shape.table for shape in all_contracts())
COLUMNS = [(shape.table, name) for shape in all_contracts() for name in shape.column_names]
# What only a digest protects: nothing that follows from bronze, and nothing that its ledger notes.
UNSEEN_WITHOUT_DIGEST = {("bronze.events", name) for name in ("extra", "line_number", "raw")} | {
    ("ops.runs", "report")
}
# Fixtures of another room.
__all__ = ["aws_account", "moto_endpoint"]
Change = Callable[[pa.Table, Random], pa.Table]


# --- Lakes -----------------------------------------------------------------------------------------------


def a_history(shop: Shop, rng: Random, events: int) -> Shop:
    """Give a shop two days, duplicates, bad lines, a copy, an unreadable, a replaced and a late file."""
    first = random_events(rng, events)
    shop.deliver("a", *first, event(device="phone"), event(device="phone"), b"{", b"", b'{"x":1}')
    shop.run()
    shop.deliver("b", *random_events(rng, events), *first[:3], b"[]", view(product_id="p9"))
    shop.deliver_text("copy of b", shop.texts["b"])
    shop.deliver_bytes("broken", b"no gzip")
    shop.run()
    shop.deliver("a", *first[2:], event(quantity=5, colour="red"), b"[")
    shop.deliver("late", *[{**one, "user_id": "late"} for one in random_events(rng, 5)])
    shop.run()
    return shop


def kept_aside(shop: Shop) -> Shop:
    """Keep an image of a shop: its tables know their files by absolute path, so it returns where it lay."""
    shutil.copytree(shop.folder, shop.folder.with_name("image"))
    return shop


def put_back(image: Shop) -> Shop:
    shutil.rmtree(image.folder)
    shutil.copytree(image.folder.with_name("image"), image.folder)
    return Shop(image.folder, dict(image.settings), texts=dict(image.texts))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A sound lake."""
    return kept_aside(a_history(Shop(tmp_path_factory.mktemp("deep") / "shop"), Random(1), 30))


@pytest.fixture(scope="module")
def image_without_digests(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The same lake as a version wrote it that gave no digests: only its rows can be proven."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eventmint.engine.parquet.with_digest", lambda path, _digest: path)
        return kept_aside(a_history(Shop(tmp_path_factory.mktemp("old") / "shop"), Random(1), 30))


def files_of(shop: Shop, table: str) -> list[LiveFile]:
    shape = contract(table)
    return sorted(live_files(shop.lake._catalog.load(shape), shape), key=lambda file: file.location)


def broken(shop: Shop) -> list[Law]:
    return [law for law in shop.lake.verify(deep=True) if not law.holds]


def name_of(table: str, file: LiveFile) -> str:
    return " ".join(filter(None, (table, str(file.day or ""), Path(file.location).name)))


# --- Damage ----------------------------------------------------------------------------------------------


def delete_a_row(rows: pa.Table, rng: Random) -> pa.Table:
    gone = rng.randrange(rows.num_rows)
    return rows.filter(pa.array([number != gone for number in range(rows.num_rows)]))


def double_a_row(rows: pa.Table, rng: Random) -> pa.Table:
    return pa.concat_tables([rows, rows.slice(rng.randrange(rows.num_rows), 1)])


def null_a_value(rows: pa.Table, rng: Random) -> pa.Table:
    """Take the value from a column that must have one."""
    field = rng.choice([field for field in rows.schema if not field.nullable])
    values = rows[field.name].to_pylist()
    values[rng.randrange(len(values))] = None
    index = rows.schema.get_field_index(field.name)
    return rows.set_column(index, field.with_nullable(True), pa.array(values, field.type))  # noqa: FBT003


def alter(column: str) -> Change:
    """Return a change of one value of a column to another one of its type."""

    def change(rows: pa.Table, rng: Random) -> pa.Table:
        index = rows.schema.get_field_index(column)
        field = rows.schema.field(index)
        values = rows[column].to_pylist()
        # Of what was not landed, the ledger's word is the only one.
        statuses = rows["status"].to_pylist() if "status" in rows.column_names else ["landed"] * len(values)
        able = [number for number, status in enumerate(statuses) if status == "landed"]
        row = rng.choice([n for n in able if values[n] is not None] or able)
        values[row] = another(values[row], field.type, rng)
        return rows.set_column(index, field, pa.array(values, field.type))

    return change


def another(value: Any, kind: pa.DataType, rng: Random) -> Any:
    if pa.types.is_boolean(kind):
        return not value
    if pa.types.is_timestamp(kind):
        return (value or datetime(2025, 6, 15, 10, tzinfo=UTC)) + timedelta(microseconds=rng.choice((1, -1)))
    if pa.types.is_date(kind):
        return (value or date(2025, 6, 15)) + timedelta(days=1)
    if pa.types.is_decimal(kind):
        return (value or Decimal(0)) + Decimal("0.000001")
    if pa.types.is_floating(kind):
        # The next number that there is: one bit.
        return 0.5 if value is None else -0.0 if value == 0 else value * (1 + 2**-52)
    if pa.types.is_integer(kind):
        return (value or 0) + 1
    if pa.types.is_binary(kind):
        return (value or b"") + b"!"
    return (value or "") + "!"


def rewrite(file: LiveFile, change: Change, rng: Random) -> None:
    """Write a file anew behind Iceberg's back: valid Parquet, with the footer's notes that it had."""
    with pq.ParquetFile(file.location) as opened:
        rows, notes = opened.read(), opened.metadata.metadata
    changed = change(rows, rng)
    assert changed.num_rows != rows.num_rows or not same(changed, rows)
    pq.write_table(changed.replace_schema_metadata(notes), file.location, store_schema=False)


def same(one: pa.Table, other: pa.Table) -> bool:
    return repr(one.to_pylist()) == repr(other.to_pylist())


def flip_a_bit(file: LiveFile, rng: Random) -> None:
    body = bytearray(Path(file.location).read_bytes())
    body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    Path(file.location).write_bytes(body)


def cut_short(file: LiveFile, rng: Random) -> None:
    body = Path(file.location).read_bytes()
    Path(file.location).write_bytes(body[: rng.randrange(len(body))])


def remove(file: LiveFile, _rng: Random) -> None:
    Path(file.location).unlink()


# --- What is found ---------------------------------------------------------------------------------------


Damaged = list[tuple[str, LiveFile]]


def one_of_each(shop: Shop, rng: Random, tables: Iterable[str] = TABLES) -> Damaged:
    return [(table, rng.choice(files_of(shop, table))) for table in tables]


def assert_named(shop: Shop, damaged: Damaged, case: object) -> None:
    """What is named must be what was damaged, and nothing else."""
    laws = broken(shop)
    expected = {name_of(table, file) for table, file in damaged}
    found = {law.subject for law in laws}
    assert expected <= found, (case, expected - found)
    # A table with damage may be named as a whole too, for its sums; no other table may.
    tables = {table for table, _ in damaged}
    others = {subject for subject in found if subject.partition(" ")[0] not in tables}
    assert not others, (case, others, [str(law) for law in laws])


def rounds_of_columns() -> list[list[tuple[str, str]]]:
    """Every column of every table once, at most one column of each table in a round."""
    width = max(len(shape.columns) for shape in all_contracts())
    return [
        [(shape.table, shape.column_names[n]) for shape in all_contracts() if n < len(shape.columns)]
        for n in range(width)
    ]


PARTS = 3


@pytest.mark.parametrize("part", range(PARTS))
def test_a_value_that_is_altered_in_any_column_is_found_and_named(
    image: Shop, proof: Proof, part: int
) -> None:
    """In short only where nothing but the digest tells: the rows tell of the other columns, see below."""
    rounds = [
        columns for columns in rounds_of_columns() if proof.is_long or UNSEEN_WITHOUT_DIGEST & set(columns)
    ]
    for again in range(proof.times(1, 3)):
        for columns in rounds[part::PARTS]:
            shop = put_back(image)
            rng = proof.random("alter", columns, again)
            damaged = one_of_each(shop, rng, [table for table, _ in columns])
            for (_, file), (_, column) in zip(damaged, columns, strict=True):
                rewrite(file, alter(column), rng)
            assert_named(shop, damaged, (columns, again))
            proof.tried("values altered, in every column of every table, found and named", len(columns))


@pytest.mark.parametrize("how", ["deleted", "doubled", "robbed of a value"])
def test_a_row_that_is_deleted_doubled_or_robbed_in_any_table_is_found_and_named(
    image: Shop, proof: Proof, how: str
) -> None:
    change = {"deleted": delete_a_row, "doubled": double_a_row, "robbed of a value": null_a_value}[how]
    for again in range(proof.times(1, 12)):
        shop = put_back(image)
        rng = proof.random(how, again)
        damaged = one_of_each(shop, rng)
        for _, file in damaged:
            rewrite(file, change, rng)
        assert_named(shop, damaged, (how, again))
        proof.tried(f"rows {how}, found and named", len(damaged))


@pytest.mark.parametrize("how", ["with one bit flipped", "cut short", "removed"])
def test_a_file_that_is_damaged_in_any_table_is_found_and_named(image: Shop, proof: Proof, how: str) -> None:
    damage = {"with one bit flipped": flip_a_bit, "cut short": cut_short, "removed": remove}[how]
    for again in range(proof.times(1, 25)):
        shop = put_back(image)
        rng = proof.random(how, again)
        damaged = one_of_each(shop, rng)
        for _, file in damaged:
            damage(file, rng)
        assert_named(shop, damaged, (how, again))
        proof.tried(f"Parquet files {how}, found and named", len(damaged))


# --- Without digests: value for value --------------------------------------------------------------------


def files_that_count(shop: Shop) -> list[LiveFile]:
    """The files of bronze whose contents count today: nothing follows from the others."""
    live = shop.lake.ledger().live_contents()
    return [file for file in files_of(shop, "bronze.events") if file.stem in live]


def assert_rows_tell(shop: Shop, damaged: Damaged, case: object) -> None:
    """The rows alone must tell, whatever is known of the files' bytes."""
    told = [law for law in broken(shop) if law.name in ("rows", "values")]
    missed = {name_of(table, file) for table, file in damaged} - {law.subject for law in told}
    assert not missed, (case, missed, [str(law) for law in told])
    tables = {law.subject.partition(" ")[0] for law in told}
    assert tables == {table for table, _ in damaged}, (case, [str(law) for law in told])


@pytest.mark.parametrize("part", range(PARTS))
def test_an_altered_value_is_told_by_the_rows_made_again(
    image_without_digests: Shop, proof: Proof, part: int
) -> None:
    for again in range(proof.times(1, 3)):
        for columns in rounds_of_columns()[part::PARTS]:
            some = [
                (table, column)
                for table, column in columns
                if table != "bronze.events" and (table, column) not in UNSEEN_WITHOUT_DIGEST
            ]
            if not some:
                continue
            shop = put_back(image_without_digests)
            rng = proof.random("rows tell", columns, again)
            damaged = one_of_each(shop, rng, [table for table, _ in some])
            for (_, file), (_, column) in zip(damaged, some, strict=True):
                rewrite(file, alter(column), rng)
            assert_rows_tell(shop, damaged, (some, again))
            proof.tried("values altered in files without a digest, told by their rows", len(some))


def test_an_altered_value_in_bronze_is_told_by_what_follows_from_it(
    image_without_digests: Shop, proof: Proof
) -> None:
    """Bronze is what all others are made from, so it has its turn alone: a column in each of its files."""
    names = contract("bronze.events").column_names
    columns = [name for name in names if ("bronze.events", name) not in UNSEEN_WITHOUT_DIGEST]
    for again in range(proof.times(1, 6)):
        rng = proof.random("bronze", again)
        rng.shuffle(columns)
        left = list(columns)
        while left:
            shop = put_back(image_without_digests)
            altered = list(zip(files_that_count(shop), left, strict=False))
            del left[: len(altered)]
            for file, column in altered:
                rewrite(file, alter(column), rng)
            case = ([column for _, column in altered], again)
            assert_rows_tell(shop, [("bronze.events", file) for file, _ in altered], case)
            proof.tried("values altered in files without a digest, told by their rows", len(altered))


@pytest.mark.parametrize("how", ["deleted", "doubled"])
def test_a_row_too_few_or_too_many_is_told_by_the_rows_made_again(
    image_without_digests: Shop, proof: Proof, how: str
) -> None:
    change = {"deleted": delete_a_row, "doubled": double_a_row}[how]
    for again in range(proof.times(1, 8)):
        for tables in (["bronze.events"], [table for table in TABLES if table != "bronze.events"]):
            shop = put_back(image_without_digests)
            rng = proof.random("rows tell", how, again)
            damaged = one_of_each(shop, rng, tables)
            for _, file in damaged:
                rewrite(file, change, rng)
            assert_rows_tell(shop, damaged, (how, again))
            proof.tried(f"rows {how} in files without a digest, told by the rows", len(damaged))


# --- Metadata --------------------------------------------------------------------------------------------


def metadata_of(shop: Shop, table: str) -> dict[str, list[Path]]:
    """Return the files that tell what a table consists of, by kind."""
    loaded = shop.lake._catalog.load(contract(table))
    snapshot = loaded.current_snapshot()
    assert snapshot is not None
    return {
        "metadata files": [Path(address(loaded.metadata_location))],
        "manifest lists": [Path(address(snapshot.manifest_list))],
        "manifests": [Path(address(one.manifest_path)) for one in snapshot.manifests(loaded.io)],
    }


@pytest.mark.parametrize("kind", ["metadata files", "manifest lists", "manifests"])
@pytest.mark.parametrize("how", ["cut short", "removed"])
def test_metadata_that_cannot_be_read_is_named_with_its_table(
    image: Shop, proof: Proof, kind: str, how: str
) -> None:
    for again in range(proof.times(1, 10)):
        shop = put_back(image)
        rng = proof.random("metadata", kind, how, again)
        damaged = set(rng.sample(TABLES, 6))
        for table in damaged:
            file = rng.choice(metadata_of(shop, table)[kind])
            body = file.read_bytes()
            file.unlink()
            if how == "cut short":
                # Avro ends with a marker of 16 bytes: without it nothing that the file says is lost.
                file.write_bytes(body[: rng.randrange(len(body) - 16)])
        laws = broken(shop)
        # One that is cut right behind its header reads well, but names nothing any more.
        terms = ("metadata readable", "rows of the table = rows of its files")
        named = {law.subject for law in laws if law.terms in terms}
        assert named == damaged, (kind, how, again, [str(law) for law in laws])
        assert all(law.detail for law in laws if law.terms == "metadata readable")
        proof.tried(f"{kind} {how}, found and named", len(damaged))


@pytest.mark.parametrize("kind", ["metadata files", "manifest lists", "manifests"])
def test_a_bit_flipped_in_metadata_never_ends_the_proof(image: Shop, proof: Proof, kind: str) -> None:
    """Not every bit of metadata matters; one that does is a broken law, and none is a traceback."""
    for again in range(proof.times(1, 20)):
        shop = put_back(image)
        rng = proof.random("metadata", kind, "flipped", again)
        flipped = set(rng.sample(TABLES, 6))
        for table in flipped:
            file = rng.choice(metadata_of(shop, table)[kind])
            body = bytearray(file.read_bytes())
            body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
            file.write_bytes(body)
        laws = broken(shop)
        assert {law.subject.partition(" ")[0] for law in laws} <= flipped | {"bronze.events"}, (
            kind,
            again,
            [str(law) for law in laws],
        )
        proof.tried(f"{kind} with one bit flipped, none a traceback", len(flipped))


# --- Sound lakes -----------------------------------------------------------------------------------------


def assert_sound(shop: Shop, case: object) -> None:
    laws = shop.lake.verify(deep=True)
    assert [str(law) for law in laws if not law.holds] == [], case
    assert {law.subject.partition(" ")[0] for law in laws} >= set(TABLES), case


KEYS = [None, ["event_time", "user_id"], ["user_id", "product_id"]]


@pytest.mark.parametrize("key", KEYS, ids=["content", "key with time", "key without time"])
def test_a_lake_with_a_history_breaks_nothing(tmp_path: Path, proof: Proof, key: list[str] | None) -> None:
    settings = {"quality__dedup": key} if key else {}
    for again in range(proof.times(1, 10)):
        rng = proof.random("sound", str(key), again)
        shop = a_history(Shop(tmp_path / str(again), settings), rng, 20 + rng.randrange(60))
        assert_sound(shop, (key, again))
        proof.tried("sound lakes with late, replaced and repeated files that broke nothing")


@pytest.mark.parametrize("half", [0, 1])
def test_a_lake_that_a_crash_left_between_two_commits_breaks_nothing(
    image: Shop, proof: Proof, monkeypatch: pytest.MonkeyPatch, half: int
) -> None:
    points = [f"commit {table}: {when}" for table in TABLES for when in ("before", "after")]
    rng = proof.random("crashes")
    ahead = "commit bronze.events: after"  # the only table that may be ahead of the ledger
    for point in sorted({ahead, *rng.sample(points, proof.times(3, len(points)))})[half::2]:
        shop = put_back(image)
        shop.deliver("a", *random_events(proof.random(point), 20), b"{")
        shop.deliver("c", *random_events(proof.random(point, "c"), 20), event(user_id="new"))

        def end(reached: str, point: str = point) -> None:
            if reached == point:
                raise KeyboardInterrupt(point)

        with monkeypatch.context() as patch:
            patch.setattr("eventmint.crash_points.on_reached", end)
            with pytest.raises(KeyboardInterrupt):
                shop.run()
        assert_sound(shop, point)
        shop.run()
        assert_sound(shop, (point, "and the run after it"))
        proof.tried("lakes between two commits, and after the run that followed, that broke nothing", 2)


def compacted(shop: Shop, table: str) -> None:
    """Lay all rows of a table into one file a day, as another program does: it knows of no digest."""
    shape = contract(table)
    handle = shop.lake._catalog.load(shape)
    held = live_files(handle, shape)
    made = []
    for day in {file.day for file in held}:
        rows = pa.concat_tables(
            pq.read_table(file.location, partitioning=None).cast(arrow_schema(shape))
            for file in held
            if file.day == day
        )
        made.append(shop.folder / f"compacted-{table}-{day}.parquet")
        pq.write_table(rows, made[-1], store_schema=False)
    commit(handle, shape, Stamp(seq_of(handle), "", kind="compaction"), add=made, remove=held)


def test_what_another_program_has_compacted_breaks_nothing_and_is_said_to_be_without_digest(
    image: Shop, proof: Proof
) -> None:
    shop = put_back(image)
    for table in TABLES:
        compacted(shop, table)
    assert_sound(shop, "compacted")
    without = {law.subject for law in shop.lake.verify(deep=True) if law.terms.startswith("without a digest")}
    assert without == {name_of(table, file) for table in TABLES for file in files_of(shop, table)}
    shop.deliver("after", *random_events(proof.random("compacted"), 20))
    shop.run()
    assert_sound(shop, "compacted, and the run after it")
    proof.tried("tables that another program had compacted and that broke nothing", len(TABLES))


# --- In S3, and on the command line ----------------------------------------------------------------------


class ShopInS3(Shop):
    """A shop whose files lie in a folder, and its lake in a bucket."""

    @property
    def lake(self) -> Lake:
        return eventmint.open_lake(
            lake__root="s3://shop/lake",
            lake__database="",
            aws__id="dev",
            run__workers=1,
            source__settle_seconds=0.0,
        )


@pytest.mark.usefixtures("aws_account")
def test_a_lake_in_s3_is_read_from_s3_and_nothing_else(tmp_path: Path, proof: Proof) -> None:
    """What lies in the bucket is proven, not the copies that this process holds of it."""
    s3.s3_client.cache_clear()
    s3.downloads.cache_clear()
    client = boto3.client("s3")
    client.create_bucket(Bucket="shop", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    shop = ShopInS3(tmp_path)
    shop.deliver("a", *random_events(proof.random("s3"), 30), event(), event(), b"{")
    shop.run()
    assert_sound(shop, "s3")
    rng = proof.random("s3 damage")
    damaged = one_of_each(shop, rng)
    for number, (_, file) in enumerate(damaged):
        key = file.location.removeprefix("s3://shop/")
        body = bytearray(client.get_object(Bucket="shop", Key=key)["Body"].read())
        body[rng.randrange(len(body))] ^= 1
        if number % 3:
            client.put_object(Bucket="shop", Key=key, Body=bytes(body))
        else:
            client.delete_object(Bucket="shop", Key=key)
    assert_named(shop, damaged, "s3")
    s3.s3_client.cache_clear()
    s3.downloads.cache_clear()
    proof.tried("objects in S3 altered or deleted, found and named", len(damaged))


def test_the_command_names_table_day_file_and_difference_and_fails(image: Shop, proof: Proof) -> None:
    shop = put_back(image)
    file = files_of(shop, "gold.hourly_revenue")[0]
    rewrite(file, alter("total_revenue"), proof.random("command"))
    command = [sys.executable, "-m", "eventmint.cli", "verify", "--deep"]
    place = {"EVENTMINT_LAKE__ROOT": str(shop.folder / "lake"), "PYTHONPATH": os.pathsep.join(sys.path)}

    def run(*flags: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **place}
        return subprocess.run(
            [*command, *flags], cwd=shop.folder, env=environment, capture_output=True, text=True, check=False
        )

    done = run()
    assert (done.returncode, done.stderr) == (1, "")
    assert f"BROKEN {name_of('gold.hourly_revenue', file)}" in " ".join(done.stdout.split())
    assert "total_revenue is" in done.stdout
    told = json.loads(run("--json").stdout)
    assert not told["laws_hold"]
    (law,) = [law for law in told["laws"] if law["name"] == "values" and not law["holds"]]
    assert law["subject"] == name_of("gold.hourly_revenue", file)
    assert law["detail"].startswith("total_revenue is ")
    proof.tried("commands that named table, day, file and difference", 2)
