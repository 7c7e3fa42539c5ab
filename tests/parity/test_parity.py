"""DuckDB and Spark make the same lake: every table, row for row, values and Python types, exactly.

All tests that need a JVM are in this file: it is started once.
"""

from __future__ import annotations

import gc
import operator
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import cases
import hostile
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import REPOSITORY, SPARK_OF_A_RUN
from deliveries import NOW, Row, Shop, assert_lake_is, event, random_events, rows_of
from forget.people import ANNA, BEN, REFUNDS, delivery, found_in, shop_in, what_it_holds
from proofs.forms import form

from eventmint.config import load_settings
from eventmint.contracts import Column, Contract, all_contracts, contract
from eventmint.engine.parquet import arrow_schema, read_rows
from eventmint.errors import FixSettings
from eventmint.lake import Lake, open_lake
from eventmint.sources.sample import SampleSettings, generate
from eventmint.tables.plan import live_files
from eventmint.values import DayRange

if TYPE_CHECKING:
    from eventmint.engine.spark_engine import SparkEngine, SparkWork

# Spark's Python side leaves sockets of results that were read to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings(r"ignore:(Exception ignored in. <socket|unclosed <socket)"),
    pytest.mark.usefixtures("spark"),
]
ENGINES = ("duckdb", "spark")
# The record of a run tells its time, everything else must be equal.
TABLES = [shape.table for shape in all_contracts() if shape.schema != "ops"]
DAY = date(2026, 1, 15)
KEYS: dict[str, tuple[str, ...] | None] = {
    "content": None,
    "key_without_time": ("user_id", "product_id"),
}
# A million of them takes a minute and a half: EVENTMINT_PROOF=long make test ARGS=tests/parity
MANY = SampleSettings(
    num_files=4,
    events_per_file=250_000 if form().is_long else 40_000,
    bad_rate=0.002,
    duplicate_rate=0.03,
    late_rate=0.1,
    workers=2,
)


def missing() -> str:
    """What Spark needs and this machine has not; empty for nothing."""
    try:
        from eventmint.engine.spark_engine import SparkEngine

        SparkEngine(1, 0, Path()).close()
    except FixSettings as err:
        return str(err)
    return ""


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkEngine]:
    """The one Spark of these tests; every engine that is opened meanwhile uses it."""
    if reason := missing():
        pytest.skip(f"needs Java 17: {reason}")
    from eventmint.engine.spark_engine import SparkEngine

    scratch = tmp_path_factory.mktemp("spark")
    engine = SparkEngine(2, 2048, scratch)
    with pytest.MonkeyPatch.context() as surroundings:
        for name, value in SPARK_OF_A_RUN.items():
            surroundings.setenv(name, value)
        with engine.session(scratch):
            yield engine
    engine.close()
    gc.collect()  # its sockets, while their warning is expected


@pytest.fixture(scope="module")
def session(spark: SparkEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkWork]:
    with spark.session(tmp_path_factory.mktemp("session")) as opened:
        yield opened


def shape_of(**columns: str) -> Contract:
    made = [
        Column(name, number, kind.removesuffix("!"), required=kind.endswith("!"), doc="")
        for number, (name, kind) in enumerate(columns.items(), 1)
    ]
    return Contract("test", "rows", "one row per row", "", "", (), "", tuple(made))


def lake_at(folder: Path, engine: str, source: Path, **settings: Any) -> Lake:
    return open_lake(
        run__engine=engine,
        run__workers=2,
        lake__root=str(folder / "lake"),
        lake__database=str(folder / "analytics.duckdb"),
        source__path=str(source),
        source__settle_seconds=0.0,
        **settings,
    )


def sorted_table(lake: Lake, name: str) -> pa.Table:
    """All rows of a table with the types that its files have, in a total order."""
    shape = contract(name)
    schema = arrow_schema(shape)
    files = live_files(lake._catalog.load(shape), shape)
    parts = [pq.read_table(file.location, partitioning=None).select(schema.names) for file in files]
    assert all(part.schema.types == schema.types for part in parts), name
    whole = pa.concat_tables([schema.empty_table(), *(part.cast(schema) for part in parts)])
    return whole.sort_by([(column, "ascending") for column in schema.names])


def assert_lakes_equal(one: Lake, other: Lake, *, but: tuple[str, ...] = ()) -> None:
    for name in TABLES:
        if name not in but:
            left, right = sorted_table(one, name), sorted_table(other, name)
            if not left.equals(right):
                rows = zip(left.to_pylist(), right.to_pylist(), strict=True)
                assert next((a, b) for a, b in rows if a != b) is None, name


def assert_statistics_are_those_of_the_rows(lake: Lake) -> None:
    """What the catalog says of each file of silver is true: rows, day, first and last time."""
    shape = contract("silver.events_cleaned")
    for file in live_files(lake._catalog.load(shape), shape):
        rows = read_rows([file.location])
        assert file.rows == len(rows)
        assert {row["event_date"] for row in rows} == {file.day}
        for bounds, end in (
            (file.data_file.lower_bounds, min(row["event_time"] for row in rows)),
            (file.data_file.upper_bounds, max(row["event_time"] for row in rows)),
        ):
            micros = int.from_bytes(bounds[shape.columns[0].id], "little")
            assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros) == end


# --- The named cases --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", cases.case_files(*cases.GOLD), ids=cases.name_of)
def test_case_of_gold(path: Path, session: SparkWork) -> None:
    cases.assert_case_of_gold(path, session)


@pytest.mark.parametrize("path", cases.case_files(*cases.SILVER), ids=cases.name_of)
def test_case_of_silver(path: Path, tmp_path: Path, spark: SparkEngine) -> None:
    cases.assert_case_of_silver(path, tmp_path, spark, in_other_order=False)


# --- Whole lakes ------------------------------------------------------------------------------------------


def test_the_sample_data_make_the_same_lake(tmp_path: Path) -> None:
    lakes = [lake_at(tmp_path / engine, engine, REPOSITORY / "sample-data") for engine in ENGINES]
    for lake in lakes:
        lake.run(now=NOW + timedelta(days=365))
    assert_lakes_equal(*lakes)
    assert_statistics_are_those_of_the_rows(lakes[1])
    for shape in all_contracts()[:-1]:
        for file in live_files(lakes[1]._catalog.load(shape), shape):
            found = pq.read_schema(file.location)
            assert found.remove_metadata().equals(arrow_schema(shape).remove_metadata()), shape.table
            ids = [field.metadata[b"PARQUET:field_id"] for field in found]
            assert ids == [str(column.id).encode() for column in shape.columns], shape.table


def test_many_events_make_the_same_lake_at_once_and_in_steps(tmp_path: Path) -> None:
    import dataclasses

    source = tmp_path / "source"
    made = generate(dataclasses.replace(MANY, output_dir=source), lambda _: None)
    files = sorted(source.rglob("*.jsonl.gz"))
    assert len(files) == 4
    assert made.totals["lines"] == MANY.num_files * MANY.events_per_file
    whole = {engine: lake_at(tmp_path / engine, engine, source) for engine in ENGINES}
    seconds = {}
    now = NOW + timedelta(days=365)
    for engine, lake in whole.items():
        started = time.perf_counter()
        lake.run(now=now)
        seconds[engine] = time.perf_counter() - started
    print(f"seconds for {made.totals['lines']:,} lines: {seconds}")  # noqa: T201 - shown by -s
    assert_lakes_equal(*whole.values())
    steps = lake_at(tmp_path / "steps", "spark", tmp_path / "arriving")
    # The second first: what comes late is then most of what comes.
    for arriving in (files[1:2], files):
        for file in arriving:
            target = tmp_path / "arriving" / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)
        steps.run(now=now)
    # Where and in which batch a file came differs by intent.
    assert_lakes_equal(whole["duckdb"], steps, but=("bronze.events", "bronze.ingested_files"))


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_engines_may_take_turns_on_one_lake(key: tuple[str, ...] | None, tmp_path: Path) -> None:
    """A replaced file, a late one, repeats in and across files, bad lines: each run by the other engine."""
    settings = {"quality__dedup": list(key)} if key else {}
    shops = {name: Shop(tmp_path / name, dict(settings)) for name in ("duckdb", "turns")}
    rng = Random(11)
    events = random_events(rng, 300)
    yesterday = event(timestamp="2025-06-14T09:00:00.000001Z", price=0.000001, quantity=3)
    bad = [hostile.CLASSES[name](rng) for name in ("not_json", "price_negative") if name in hostile.CLASSES]
    deliveries: list[tuple[str, list[Row | bytes]]] = [
        ("a", [*events[:150], *bad]),
        ("b", [*events[100:250], *events[120:130]]),
        ("late", [yesterday, yesterday, *events[250:]]),
        ("a", [*events[50:170], *bad]),
        ("b", [*events[240:250]]),
    ]
    for number, (name, lines) in enumerate(deliveries):
        for shop in shops.values():
            shop.deliver(name, *lines)
        shops["turns"].settings["run__engine"] = ENGINES[number % 2 - 1]
        for shop in shops.values():
            shop.run()
    one, other = (shop.lake for shop in shops.values())
    assert_lakes_equal(one, other, but=("bronze.events", "bronze.ingested_files"))
    assert one.totals() == other.totals()
    assert all(law.holds for law in other.verify())
    names = {"event_time": "timestamp"}
    rules = {"dedup": tuple(names.get(column, column) for column in key)} if key else {}
    superseded = [b"".join(cases_text(lines)) for lines in (deliveries[0][1], deliveries[1][1])]
    assert_lake_is(other, shops["turns"].expected(**rules), is_keyed=bool(key), superseded=superseded)


def cases_text(lines: list[Row | bytes]) -> Iterator[bytes]:
    import json

    for line in lines:
        yield (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n"


def test_hostile_lines_are_landed_alike(tmp_path: Path) -> None:
    rng = Random(3)
    shops = {engine: Shop(tmp_path / engine, {"run__engine": engine}) for engine in ENGINES}
    assert len(hostile.CLASSES) >= 258
    lines = [make(rng) for make in hostile.CLASSES.values()]
    half = len(lines) // 2
    for shop in shops.values():
        shop.deliver_text("first", b"\n".join(lines[:half]))
        shop.deliver_text("second", b"\n".join(lines[half:]))
        shop.deliver_bytes("broken", b"\x1f\x8b\x08 cut off")
        report = shop.run()
        assert report.files_landed == 2
        assert report.files_set_aside == 1
    found = [rows_of(shop.lake, "bronze.events") for shop in shops.values()]
    for rows in found:
        for row in rows:
            row["source_file"], row["received_at"] = Path(row["source_file"]).name, None
        rows.sort(key=cases.by_value)
    assert [*map(cases.typed, found[0])] == [*map(cases.typed, found[1])]


# --- The session ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["with space", "a+b", "\u00e9\u73a9", "%20", "{a,b}", "a=b", "*"])
def test_a_path_is_a_name_and_nothing_else(name: str, session: SparkWork, tmp_path: Path) -> None:
    shape = shape_of(name="string")
    folder = tmp_path / name
    folder.mkdir()
    [location] = map(str, session.write("SELECT 'right' AS name", shape, folder, f"{name}-file"))
    assert Path(location) == folder / f"{name}-file.parquet"
    session.scan("found", shape, [location])
    assert session.rows("SELECT * FROM found") == [{"name": "right", "_location": location}]


def test_columns_are_found_by_field_id_and_folders_add_none(session: SparkWork, tmp_path: Path) -> None:
    folder = tmp_path / "a=1999" / "b=x"
    folder.mkdir(parents=True)
    old = shape_of(label="string", count="int")
    files = [*map(str, session.write("SELECT 'x' AS label, 7 AS count", old, folder, "f"))]
    session.scan("found", shape_of(b="string", a="int", c="decimal(15,6)", d="string"), files)
    assert session.rows("SELECT a, b, c, d FROM found") == [{"a": 7, "b": "x", "c": None, "d": None}]


def test_no_files_are_a_typed_empty_relation(session: SparkWork) -> None:
    for shape in all_contracts():
        session.scan("nothing", shape, [])
        columns = [*cases.declared_types(session, shape.table), ("_location", "STRING")]
        assert cases.column_types(session, "SELECT * FROM nothing") == columns
        assert session.rows("SELECT * FROM nothing") == []


def test_files_are_named_by_their_split_values_and_keep_the_columns(
    session: SparkWork, tmp_path: Path
) -> None:
    shape = shape_of(day="date!", name="string", amount="decimal(38,6)!", raw="binary", at="timestamptz!")
    rows = (
        "SELECT DATE '2026-01-15' + CAST(id % 2 AS INT) AS day, CAST(NULL AS STRING) AS name, "
        "1.5BD AS amount, "
        "CASE WHEN id < 9 THEN X'00ff' END AS raw, TIMESTAMP '2026-01-15T23:59:59.999999+00:00' AS at, "
        "CASE WHEN id = 3 THEN 5 ELSE -1 END AS part FROM RANGE(4)"
    )
    written = session.write(rows, shape, tmp_path, "00000001-abc", ("day", "part"))
    assert [Path(path).name for path in written] == [
        "00000001-abc-2026-01-15--1.parquet",
        "00000001-abc-2026-01-16--1.parquet",
        "00000001-abc-2026-01-16-5.parquet",
    ]
    assert sorted(map(str, tmp_path.iterdir())) == written
    assert read_rows([written[2]]) == [
        {
            "day": date(2026, 1, 16),
            "name": None,
            "amount": Decimal("1.500000"),
            "raw": b"\x00\xff",
            "at": datetime(2026, 1, 15, 23, 59, 59, 999999, tzinfo=UTC),
        }
    ]
    assert pq.read_schema(written[0]).remove_metadata().equals(arrow_schema(shape).remove_metadata())
    assert session.write(f"{rows} WHERE id > 4", shape, tmp_path, "none", ("day",)) == []


def test_rows_set_aside_are_kept_and_not_written(session: SparkWork, tmp_path: Path) -> None:
    shape = shape_of(n="long")
    with session.output(shape, tmp_path, "f") as output:
        output.add("SELECT id AS n, id > 2 AS strange FROM RANGE(5)", aside="strange")
        assert session.rows("SELECT n FROM strange ORDER BY n") == [{"n": 3}, {"n": 4}]
        output.add("SELECT n + 10 AS n FROM strange")
        files = output.close()
    assert sorted(row["n"] for row in read_rows(map(str, files))) == [0, 1, 2, 13, 14]


def test_output_that_is_not_closed_leaves_no_file(session: SparkWork, tmp_path: Path) -> None:
    with session.output(shape_of(n="long"), tmp_path, "f") as output:
        output.add("SELECT 1 AS n")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT CAST(NULL AS BIGINT) AS n", "n is NULL but required"),
        ("SELECT SUM(n) AS n FROM (VALUES (9223372036854775807L), (1L)) AS t (n)", "ARITHMETIC_OVERFLOW"),
        ("SELECT CAST('12x' AS BIGINT) AS n", "CAST_INVALID_INPUT"),
    ],
)
def test_what_cannot_be_said_fails_and_leaves_no_file(
    sql: str, message: str, session: SparkWork, tmp_path: Path
) -> None:
    with pytest.raises(Exception, match=message):
        session.write(sql, shape_of(n="long!"), tmp_path, "f")
    assert [*tmp_path.iterdir()] == []


@pytest.fixture
def summer_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("summer_time")
def test_instants_pass_through_no_local_time_zone(session: SparkWork) -> None:
    """At 01:00 UTC the clocks of Berlin went back from 3 to 2: local times of that hour come twice."""
    moments = [datetime(2025, 10, 26, hour, 30, 0, 1, tzinfo=UTC) for hour in range(4)]
    texts = ", ".join(f"({session.instant(moment)})" for moment in moments)
    found = session.rows(f"SELECT m, {session.hour_number('m')} AS h FROM VALUES {texts} AS t (m) ORDER BY m")  # noqa: S608
    assert [row["m"] for row in found] == moments
    assert [row["m"].utcoffset() for row in found] == [timedelta(0)] * 4
    assert [row["h"] for row in found] == [int(moment.timestamp()) // 3600 for moment in moments]


def test_results_come_in_the_order_of_the_tasks_and_errors_as_they_are(spark: SparkEngine) -> None:
    assert [*spark.map(operator.neg, [*range(20)], 0)] == [-n for n in range(20)]
    assert [*spark.map(operator.neg, [], 0)] == []
    with pytest.raises(FixSettings, match="gone.toml: no such configuration file") as caught:
        [*spark.map(load_settings, [None, Path("/gone.toml")], 0)]
    assert caught.value.hint == "Run `eventmint init` to write one."


def test_maintenance_on_spark_changes_no_row_and_is_done_after_once(tmp_path: Path) -> None:
    shop, rng, later = Shop(tmp_path, {"run__engine": "spark"}), Random(9), NOW + timedelta(days=2)
    for name in "ab":
        shop.deliver(name, *random_events(rng, 12), event(), b"{bad")
        shop.run()
    before = {name: rows_of(shop.lake, name) for name in TABLES}
    made = shop.lake.maintain(now=later)
    merged = {table.table for table in made.tables if table.files_after < table.files_before}
    assert merged == {"bronze.events", "silver.events_cleaned", "gold.daily_users", "gold.daily_sessions"}
    assert {name: rows_of(shop.lake, name) for name in TABLES} == before
    assert [str(law) for law in shop.lake.verify(deep=True) if not law.holds] == []
    assert not shop.lake.maintain(now=later).changed
    shop.deliver("c", *random_events(rng, 5), event())
    shop.run()
    assert_lake_is(shop.lake, shop.expected())


def test_what_changes_history_makes_the_same_lake(tmp_path: Path) -> None:
    """A replay under a contract that allows more, people forgotten who come again, a restatement."""
    shops = {engine: shop_in(tmp_path / engine, run__engine=engine) for engine in ENGINES}

    def deliver(name: str, seed: int) -> None:
        for shop in shops.values():
            shop.deliver_text(name, delivery(seed, with_the_forgotten=True))
            shop.run()

    def assert_equal(*, suppressed: int) -> None:
        one, other = map(what_it_holds, shops.values())
        for name in one:
            assert one[name] == other[name], name
        for shop in shops.values():
            assert shop.lake.totals().suppressed == suppressed
            assert [place for place in found_in(shop.folder) if not place.startswith("source/")] == []
        assert [str(law) for law in shops["spark"].lake.verify(deep=True) if not law.holds] == []

    deliver("a", 1)
    for shop in shops.values():
        shop.settings = {**shop.settings, **REFUNDS}
        assert shop.lake.replay_quarantine(now=NOW + timedelta(seconds=1)).changed
        made = shop.lake.forget([ANNA, BEN], now=NOW + timedelta(seconds=2))
        assert (made.new, made.valid, made.quarantined) == (2, 5, 6)
    assert_equal(suppressed=11)
    deliver("b", 2)
    for shop in shops.values():
        shop.lake.restate(DayRange(), now=NOW + timedelta(seconds=3))
    assert_equal(suppressed=22)
