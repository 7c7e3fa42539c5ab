"""Sizes against the files as they lie on disk, and as pyarrow reads them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventmint.contracts import all_contracts, contract
from eventmint.lake import Lake, open_lake
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.plan import TableHandle, live_files
from eventmint.tables.sizes import chunk_bytes, column_size, table_size

TABLES = [shape.table for shape in all_contracts()]


@pytest.fixture(scope="module")
def lake(sample_lake: Path) -> Lake:
    return open_lake(sample_lake / "eventmint.toml")


def _load(sample_lake: Path, table: str) -> TableHandle:
    return LakeCatalog((sample_lake / "lake").resolve()).load(contract(table))


def _paths(sample_lake: Path, table: str) -> list[Path]:
    return [Path(file.location) for file in live_files(_load(sample_lake, table), contract(table))]


@pytest.mark.parametrize("table", TABLES)
def test_a_table_is_as_large_as_its_files_on_disk(sample_lake: Path, lake: Lake, table: str) -> None:
    (size,) = [size for size in lake.sizes() if size.table == table]
    paths = _paths(sample_lake, table)
    assert size.files == len(paths) > 0
    assert size.size_bytes == sum(path.stat().st_size for path in paths)
    assert size.rows == sum(pq.read_metadata(path).num_rows for path in paths)


@pytest.mark.parametrize("table", TABLES)
def test_all_columns_and_the_footers_are_nearly_the_whole_files(
    sample_lake: Path, lake: Lake, table: str
) -> None:
    size = lake.column_size(table, contract(table).column_names)
    assert size.file_bytes == sum(path.stat().st_size for path in _paths(sample_lake, table))
    rest = size.file_bytes - size.column_bytes - size.footer_bytes
    assert 0 <= rest <= 0.1 * size.file_bytes  # the magic bytes at the start, and page indexes


def test_one_column_is_what_pyarrow_says_of_it(sample_lake: Path, lake: Lake) -> None:
    expected = footers = 0
    for path in _paths(sample_lake, "silver.events_cleaned"):
        footer = pq.read_metadata(path)
        position = footer.schema.names.index("user_id")
        expected += sum(
            footer.row_group(group).column(position).total_compressed_size
            for group in range(footer.num_row_groups)
        )
        footers += int.from_bytes(path.read_bytes()[-8:-4], "little") + 8
    size = lake.column_size("silver.events_cleaned", ["user_id"])
    assert (size.column_bytes, size.footer_bytes) == (expected, footers)


@pytest.mark.parametrize("table", TABLES)
def test_columns_add_up(lake: Lake, table: str) -> None:
    names = contract(table).column_names
    each = [lake.column_size(table, [name]).column_bytes for name in names]
    assert sum(each) == lake.column_size(table, names).column_bytes


def test_the_largest_day_is_told_apart(sample_lake: Path, lake: Lake) -> None:
    size = lake.column_size("gold.user_activity", ["events"])
    days: dict[str, int] = {}
    for path in _paths(sample_lake, "gold.user_activity"):
        footer = pq.read_metadata(path)
        read = chunk_bytes(footer)["events"] + footer.serialized_size + 8
        days[path.parent.name] = days.get(path.parent.name, 0) + read
    assert len(days) == 3
    assert (size.read_bytes, size.largest_day_bytes) == (sum(days.values()), max(days.values()))


def test_a_count_of_rows_reads_footers_only(lake: Lake) -> None:
    size = lake.column_size("silver.events_cleaned", ())
    assert size.column_bytes == 0
    assert size.footer_bytes > 0


def test_footers_may_come_from_elsewhere(sample_lake: Path) -> None:
    shape, asked = contract("gold.user_activity"), []

    def read(location: str) -> pq.FileMetaData:
        asked.append(Path(location))
        return pq.read_metadata(location)

    table = _load(sample_lake, shape.table)
    assert column_size(table, shape, ["events"], read) == column_size(table, shape, ["events"])
    assert asked == _paths(sample_lake, shape.table)


def test_the_newest_commit_wrote_its_files_and_their_metadata(sample_lake: Path) -> None:
    for shape in all_contracts():
        table = _load(sample_lake, shape.table)
        size = table_size(table, shape)
        folder = sample_lake / "lake" / shape.schema / shape.name
        written = sum(path.is_file() for path in folder.rglob("*"))
        # One batch has filled this lake; the table's creation wrote a metadata file of its own.
        assert size.commit_files + size.commit_metadata == written - 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(st.integers(0, 2**40), st.text(max_size=20), st.booleans()), max_size=300),
    group=st.integers(1, 100),
    compression=st.sampled_from(["zstd", "none", "gzip"]),
)
def test_the_columns_of_any_file_are_less_than_the_file(
    tmp_path: Path, rows: list[tuple[int, str, bool]], group: int, compression: str
) -> None:
    columns = dict(zip("nsb", map(list, zip(*rows, strict=True)), strict=True)) if rows else {}
    schema = pa.schema([("n", pa.int64()), ("s", pa.string()), ("b", pa.bool_())])
    path = tmp_path / "any.parquet"
    table = pa.table({name: columns.get(name, []) for name in "nsb"}, schema=schema)
    pq.write_table(table, path, row_group_size=group, compression=compression)
    footer = pq.read_metadata(path)
    sizes = chunk_bytes(footer)
    assert sum(sizes.values()) + footer.serialized_size + 8 <= path.stat().st_size
    assert not rows or set(sizes) == {"n", "s", "b"}
