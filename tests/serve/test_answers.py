"""What readers may ask: five answers by day, and one SELECT that sees the tables and nothing else."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import oracle
import pyarrow as pa
import pytest

import eventmint
from eventmint.contracts import ANSWERS, all_contracts, contract
from eventmint.engine.duckdb_engine import quoted
from eventmint.engine.parquet import arrow_schema
from eventmint.errors import FixData, FixSettings
from eventmint.lake import Lake
from eventmint.serve.answers import select, split_statements, titled_statements
from eventmint.serve.limits import Limits

NOW = datetime(2026, 1, 20, tzinfo=UTC)
DAYS = [date(2026, 1, day) for day in (13, 15, 16)]
CANARY = "canary-51b3f7"
GRAIN = {
    "conversion_funnel": ("event_date", "product_id"),
    "hourly_revenue": ("event_date", "event_hour"),
    "top_products": ("event_date", "rank"),
    "category_performance": ("event_date", "category"),
    "user_activity": ("event_date",),
}
# Names whose order differs between bytes, alphabets and lower case.
PRODUCTS = ("\u00e9", "p2", "P10", "P2", "a", "\U0001f600", "\uffee")
Row = dict[str, Any]


def lines_of(day: date) -> list[bytes]:
    """Every product viewed and bought in two hours, with a line that breaks the contract."""
    events = [
        {
            "timestamp": f"{day}T{hour:02d}:00:00Z",
            "user_id": f"u{number}",
            "session_id": f"s{number}",
            "event_type": kind,
            "product_id": product,
            "category": None if number == 0 else f"c{number % 3}",
            **({"quantity": number + 1, "price": 0.1} if kind == "purchase" else {}),
        }
        for number, product in enumerate(PRODUCTS)
        for hour, kind in ((23, "page_view"), (4, "purchase"))
    ]
    return [json.dumps(event).encode() for event in events] + [b"not an event"]


@dataclass(frozen=True)
class Place:
    """A lake, what it was made of, and what lies around it."""

    lake: Lake
    texts: list[bytes]
    home: Path
    backup: Path

    @property
    def outside(self) -> Path:
        return self.home / "outside"

    @property
    def database(self) -> Path:
        return self.lake.settings.database_path

    @property
    def root(self) -> Path:
        return self.lake.settings.lake_root


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    home = tmp_path_factory.mktemp("answers") / 'it\'s; a "home" -- of é'
    source = home / "source" / "events"
    source.mkdir(parents=True)
    texts = [b"\n".join(lines_of(day)) + b"\n" for day in DAYS]
    for number, text in enumerate(texts):
        (source / f"{number}.jsonl.gz").write_bytes(gzip.compress(text))
    lake = eventmint.open_lake(
        source__path=str(home / "source"),
        source__settle_seconds=0.0,
        lake__root=str(home / "lake"),
        lake__database=str(home / "analytics.duckdb"),
        run__workers=1,
    )
    lake.run(now=NOW)
    outside = home / "outside"
    outside.mkdir()
    for name in ("secret.csv", "secret.json", "secret.txt"):
        (outside / name).write_text(f'["{CANARY}"]\n')
    with duckdb.connect(str(outside / "other.duckdb")) as other:
        other.execute(f"CREATE TABLE secret AS SELECT '{CANARY}' AS canary")
        other.execute("COPY secret TO " + quoted(str(outside / "secret.parquet")))
    backup = home.with_name("backup")
    shutil.copytree(home, backup)
    return Place(lake, texts, home, backup)


@pytest.fixture
def lake(place: Place) -> Lake:
    return place.lake


# --- Answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_what_the_oracle_says(name: str, place: Place) -> None:
    found = place.lake.answer(name)
    assert found.to_pylist() == getattr(oracle.lake(place.texts, now=NOW), name)
    assert found.schema.remove_metadata() == without_ids(arrow_schema(contract(f"gold.{name}")))


def without_ids(schema: pa.Schema) -> pa.Schema:
    """The same names and types, as a database gives them: nothing is required there."""
    return pa.schema([pa.field(field.name, field.type) for field in schema])


@pytest.mark.parametrize("name", ANSWERS)
def test_rows_come_in_the_order_of_their_grain(name: str, lake: Lake) -> None:
    keys = [tuple(in_bytes(row[column]) for column in GRAIN[name]) for row in lake.answer(name).to_pylist()]
    assert keys == sorted(keys)
    assert len({*keys}) == len(keys)


def in_bytes(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        (None, None, DAYS),
        (DAYS[0], None, DAYS),
        (DAYS[1], None, DAYS[1:]),
        (None, DAYS[1], DAYS[:1]),
        (DAYS[0], DAYS[2], DAYS[:2]),
        (DAYS[1], DAYS[2], DAYS[1:2]),
        (date(2026, 1, 14), date(2026, 1, 15), []),
        (DAYS[1], DAYS[1], []),
        (DAYS[2], DAYS[0], []),
        (date(2026, 1, 17), None, []),
        (None, date(1970, 1, 1), []),
        (date.min, date.max, DAYS),
    ],
)
def test_a_range_of_days_is_half_open(
    name: str, start: date | None, end: date | None, days: list[date], lake: Lake
) -> None:
    found = lake.answer(name, start=start, end=end)
    everything = lake.answer(name)
    assert found.to_pylist() == [row for row in everything.to_pylist() if row["event_date"] in days]
    assert found.schema == everything.schema  # typed, however many rows


@pytest.mark.parametrize(
    "name", ["", "revenue", "gold.user_activity", "product_hours", "events_cleaned", "User_Activity"]
)
def test_an_unknown_answer_is_refused_with_the_five(name: str, lake: Lake) -> None:
    with pytest.raises(FixSettings) as error:
        lake.answer(name)
    assert error.value.message == f"{name}: no such answer."
    assert all(answer in error.value.hint for answer in ANSWERS)


# --- One SELECT -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ANSWERS)
def test_gold_is_found_by_its_bare_name(name: str, lake: Lake) -> None:
    bare, full = (lake.sql(f"SELECT * FROM {prefix}{name}") for prefix in ("", "gold."))  # noqa: S608 - our names
    assert bare.equals(full)
    assert sorted(map(repr, bare.to_pylist())) == sorted(map(repr, lake.answer(name).to_pylist()))


@pytest.mark.parametrize("table", [shape.table for shape in all_contracts() if shape.schema != "ops"])
def test_every_layer_can_be_read(table: str, lake: Lake) -> None:
    found = lake.sql(f"SELECT * FROM {table}")  # noqa: S608 - our names
    assert found.num_rows > 0
    assert found.schema.remove_metadata() == without_ids(arrow_schema(contract(table)))
    (count,) = lake.sql(f"SELECT COUNT(*) AS n FROM {table.upper()}").to_pylist()  # noqa: S608 - our names
    assert count["n"] == found.num_rows


def test_bronze_has_every_line_and_silver_every_event(lake: Lake) -> None:
    counted = lake.sql(
        "SELECT COUNT(*) AS lines, COUNT(problem) AS bad, "
        "(SELECT COUNT(*) FROM silver.events_cleaned) AS events FROM bronze.events"
    ).to_pylist()
    totals = lake.totals()
    assert counted == [
        {"lines": totals.valid + totals.quarantined, "bad": totals.quarantined, "events": totals.events}
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 AS one",
        "select 1 as one;",
        "  SELECT 1 AS one ; ",
        "-- a comment; with a semicolon\nSELECT 1 AS one -- and; another",
        "/* SELECT 2; */ SELECT 1 AS one",
        "WITH x AS (SELECT 1 AS one) SELECT * FROM x",
        "(SELECT 1 AS one)",
        "SELECT 1 AS one UNION SELECT 1",
        "FROM (SELECT 1 AS one)",
        "FROM (VALUES (1)) AS t(one)",
    ],
)
def test_one_select_may_be_written_in_many_ways(statement: str, lake: Lake) -> None:
    assert lake.sql(statement).to_pylist() == [{"one": 1}]
    assert lake.sql(statement, limit=5).to_pylist() == [{"one": 1}]


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 100])
def test_a_limit_takes_the_first_rows_of_the_statements_order(limit: int, lake: Lake) -> None:
    found = lake.sql("SELECT event_date FROM user_activity ORDER BY event_date DESC", limit=limit)
    assert found["event_date"].to_pylist() == DAYS[::-1][:limit]
    assert found.schema.names == ["event_date"]


def test_a_limit_does_not_wait_for_the_rows_beyond_it(lake: Lake) -> None:
    assert lake.sql("SELECT range AS n FROM range(1000000000000)", limit=3)["n"].to_pylist() == [0, 1, 2]


@pytest.mark.parametrize(
    "statement",
    [
        "",
        " ",
        ";",
        "-- nothing",
        "SELECT 1; SELECT 2",
        "SELECT 1; -- more\nSELECT 2;",
        "SELEC 1",
        "SELECT 'open",
    ],
)
def test_anything_but_one_statement_is_refused(statement: str, lake: Lake) -> None:
    with pytest.raises(FixSettings, match=r"A query is exactly one SELECT|The SQL cannot be read"):
        lake.sql(statement)


def test_a_failing_query_says_why_and_which_tables_there_are(lake: Lake) -> None:
    with pytest.raises(FixSettings) as error:
        lake.sql("SELECT revenu FROM hourly_revenue")
    assert error.value.message.startswith("The query failed: Binder Error")
    assert "\n" not in error.value.message
    assert error.value.hint == "Tables: gold.*, silver.*, bronze.*."


def test_a_query_that_fails_on_a_row_is_refused_too(lake: Lake) -> None:
    with pytest.raises(FixSettings, match="The query failed: Conversion Error"):
        lake.sql("SELECT CAST(product_id AS INTEGER) AS number FROM conversion_funnel")
    with pytest.raises(FixSettings, match="The query failed: Conversion Error"):
        lake.sql("SELECT CAST(product_id AS INTEGER) AS number FROM conversion_funnel", limit=1000)


@pytest.mark.parametrize("limit", [None, 900_000])
def test_a_query_that_fails_on_a_late_row_is_refused_too(limit: int | None, lake: Lake) -> None:
    late = "SELECT CASE WHEN range < 800000 THEN range ELSE error('late') END AS n FROM range(1000000)"
    with pytest.raises(FixSettings, match=r"The query failed: .*late"):
        lake.sql(late, limit=limit)


def test_placeholders_without_values_are_refused(lake: Lake) -> None:
    for statement in ("SELECT ?", "SELECT $1", "SELECT * FROM user_activity WHERE events = $n"):
        with pytest.raises(FixSettings):
            lake.sql(statement)


# --- The sandbox ------------------------------------------------------------------------------------------

# Each is refused. {home} {lake} {db} {out} are paths, {own} is a file that the views of bronze read.
NOT_A_SELECT = """\
COPY (SELECT 1 AS a) TO '{home}/new.csv'
COPY (SELECT 1 AS a) TO '{lake}/catalog.sqlite'
COPY (SELECT 1 AS a) TO '{own}'
COPY gold.user_activity TO '{home}/new.parquet' (FORMAT parquet)
COPY gold.user_activity FROM '{out}/secret.csv'
COPY FROM DATABASE analytics TO memory
EXPORT DATABASE '{home}/export'
IMPORT DATABASE '{out}'
ATTACH '{home}/new.duckdb' AS other
ATTACH '{out}/other.duckdb' AS other (READ_ONLY)
ATTACH '{db}' AS again
ATTACH ':memory:' AS other
ATTACH IF NOT EXISTS '{home}/new.duckdb'
DETACH analytics
USE memory
INSTALL httpfs
INSTALL '{out}/secret.txt'
FORCE INSTALL json
LOAD httpfs
LOAD '{out}/secret.txt'
UPDATE EXTENSIONS
PRAGMA database_list
PRAGMA enable_external_access=true
PRAGMA enable_profiling
PRAGMA add_parquet_key('k', '0123456789112345')
SET enable_external_access = true
SET lock_configuration = false
SET allowed_paths = ['{out}/secret.txt']
SET GLOBAL memory_limit = '100GB'
SET temp_directory = '{home}/new'
SET VARIABLE x = 1
SET SESSION search_path = 'main'
RESET enable_external_access
RESET lock_configuration
CREATE TABLE t AS SELECT 1 AS a
CREATE TEMP TABLE t AS SELECT 1 AS a
CREATE TABLE memory.main.t AS SELECT 1 AS a
CREATE OR REPLACE VIEW gold.user_activity AS SELECT 1 AS a
CREATE SCHEMA s
CREATE MACRO m() AS 1
CREATE SECRET s (TYPE s3)
CREATE PERSISTENT SECRET s (TYPE s3)
CREATE TYPE t AS ENUM ('a')
CREATE INDEX i ON gold.user_activity (events)
CREATE SEQUENCE s
DROP TABLE gold.user_activity
DROP SCHEMA gold CASCADE
ALTER TABLE gold.user_activity ADD COLUMN x INTEGER
INSERT INTO gold.user_activity SELECT * FROM gold.user_activity
UPDATE gold.user_activity SET events = 0
DELETE FROM gold.user_activity
TRUNCATE gold.user_activity
MERGE INTO gold.user_activity USING (SELECT 1 AS a) ON false WHEN NOT MATCHED THEN INSERT VALUES (NULL)
COMMENT ON TABLE gold.user_activity IS 'x'
EXPLAIN SELECT 1
EXPLAIN ANALYZE SELECT 1
EXPLAIN ANALYZE COPY (SELECT 1 AS a) TO '{home}/new.csv'
EXPLAIN ANALYZE DELETE FROM gold.user_activity
PREPARE p AS SELECT 1
EXECUTE p
DEALLOCATE p
CALL pragma_version()
CALL enable_logging()
CHECKPOINT
FORCE CHECKPOINT
VACUUM
ANALYZE
BEGIN
COMMIT
ROLLBACK
SELECT 1; DROP TABLE gold.user_activity
SELECT 1; COPY (SELECT 1 AS a) TO '{home}/new.csv'
"""
FILES_READ = """\
SELECT * FROM read_csv('/etc/passwd')
SELECT * FROM read_csv('{out}/secret.csv')
SELECT * FROM read_csv_auto('{out}/secret.csv')
SELECT * FROM read_csv(['{own}', '{out}/secret.csv']) -- bronze
SELECT * FROM read_text('/etc/passwd')
SELECT * FROM read_text('{out}/secret.txt')
SELECT * FROM read_text('{out}/*')
SELECT * FROM read_text('file://{out}/secret.txt')
SELECT * FROM read_text('{lake}/../outside/secret.txt') -- bronze silver
SELECT * FROM read_text('{own}/../../../../../../outside/secret.txt') -- bronze
SELECT * FROM read_blob('/etc/passwd')
SELECT * FROM read_blob('{out}/secret.txt')
SELECT * FROM read_json('/etc/passwd')
SELECT * FROM read_json('{out}/secret.json')
SELECT * FROM read_json_auto('{out}/secret.json')
SELECT * FROM read_json_objects('{out}/secret.json')
SELECT * FROM read_ndjson('{out}/secret.json')
SELECT * FROM read_ndjson_objects('{out}/secret.json')
SELECT * FROM read_parquet('{out}/secret.parquet')
SELECT * FROM read_parquet(['{own}', '{out}/secret.parquet']) -- bronze
SELECT * FROM parquet_scan('{out}/secret.parquet')
SELECT * FROM parquet_metadata('{out}/secret.parquet')
SELECT * FROM parquet_schema('{out}/secret.parquet')
SELECT * FROM parquet_kv_metadata('{out}/secret.parquet')
SELECT * FROM parquet_file_metadata('{out}/secret.parquet')
SELECT * FROM read_duckdb('{out}/other.duckdb')
SELECT * FROM read_duckdb('{out}/other.duckdb', table_name = 'secret')
SELECT * FROM read_single_csv_file('/etc/passwd')
SELECT * FROM sniff_csv('/etc/passwd')
SELECT * FROM sniff_csv('{out}/secret.csv')
SELECT * FROM read_blob('{lake}/catalog.sqlite')
SELECT * FROM read_blob('{lake}/catalog.sqlite'), bronze.events
SELECT * FROM read_text('{lake}/.lock')
SELECT * FROM read_text('{lake}/.lock'), silver.events_cleaned
SELECT * FROM read_text('{lake}/bronze/events/metadata/*.json') -- bronze
SELECT * FROM read_parquet('{lake}/ops/runs/data/*.parquet') -- bronze
SELECT * FROM read_parquet('{lake}/bronze/events/data/*/*.parquet') -- bronze
SELECT * FROM glob('*')
SELECT * FROM glob('/etc/*')
SELECT * FROM glob('{lake}/**') -- bronze
SELECT * FROM glob('{out}/*')
SELECT * FROM '/etc/passwd'
SELECT * FROM "/etc/passwd"
SELECT * FROM '{out}/secret.csv'
SELECT * FROM "{out_id}/secret.csv"
SELECT * FROM '{out}/secret.parquet'
SELECT * FROM '{out}/other.duckdb'
SELECT * FROM '../outside/secret.csv'
SELECT * FROM 'here.csv'
FROM 'here.csv'
FROM '{lake}/ops/runs/data/*.parquet'
DESCRIBE SELECT * FROM '{out}/secret.csv'
SUMMARIZE SELECT * FROM read_csv('{out}/secret.csv')
SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')
SELECT * FROM query('FROM ''here.csv''')
SELECT * FROM query('COPY (SELECT 1 AS a) TO ''here.csv''')
SELECT * FROM query('SELECT 1; DROP TABLE gold.user_activity')
SELECT * FROM query('WITH x AS (COPY (SELECT 1 AS a) TO ''here.csv'') SELECT * FROM x')
SELECT * FROM query_table('here.csv')
SELECT * FROM query_table(['here.csv'])
SELECT * FROM query_table('{out_id}/secret.csv')
SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM read_text(''/etc/passwd'')'))
WITH x AS (SELECT * FROM read_text('/etc/passwd')) SELECT * FROM x
SELECT (SELECT content FROM read_text('/etc/passwd')) AS content
SELECT * FROM user_activity WHERE EXISTS (SELECT 1 FROM read_text('/etc/passwd'))
SELECT * FROM read_csv('/proc/self/environ')
SELECT * FROM read_text('/dev/stdin')
SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')
SELECT * FROM read_parquet('https://example.invalid/x.parquet')
SELECT * FROM read_parquet('s3://bucket/x.parquet')
SELECT * FROM 'http://127.0.0.1:9/x.parquet'
SELECT * FROM read_text('.tmp/here.txt')
SELECT * FROM read_text('{cwd}/.tmp/here.txt')
SELECT * FROM read_csv('{cwd}/.tmp/here.txt')
SELECT * FROM sqlite_scan('{lake}/catalog.sqlite', 'iceberg_tables')
SELECT * FROM iceberg_scan('{lake}/bronze/events')
SELECT getenv('HOME')
SELECT * FROM duckdb_secrets()
SELECT * FROM which_secret('s3://x', 's3')
SELECT * FROM duckdb_extensions()
SELECT * FROM pandas_scan(1)
SELECT * FROM arrow_scan(1, 2, 3)
SELECT * FROM python_map_function((SELECT 1), NULL)
SELECT * FROM place
SELECT * FROM statement
SELECT * FROM connection
"""
# Since DuckDB 2.0 a SELECT may carry statements that write.
WRITES = """\
WITH x AS (COPY (SELECT 1 AS a) TO '{home}/new.csv') SELECT * FROM x
WITH x AS (COPY (SELECT 1 AS a) TO '{lake}/catalog.sqlite' (USE_TMP_FILE false)) SELECT * FROM x
WITH x AS (COPY (SELECT 1 AS a) TO '{own}') SELECT x.* FROM x, bronze.events
WITH x AS (COPY (SELECT 1 AS a) TO '{own}' (USE_TMP_FILE false)) SELECT x.* FROM x, bronze.events
WITH x AS (COPY (SELECT 1 AS a) TO '{own}' (FORMAT csv, USE_TMP_FILE false)) SELECT 1 -- silver
WITH x AS (COPY (SELECT 1 AS a) TO '{db}' (USE_TMP_FILE false)) SELECT * FROM x
WITH x AS (COPY (SELECT 1 AS a) TO '{db}.wal') SELECT * FROM x
WITH x AS (COPY (SELECT 1 AS a) TO '{db}.wal.recovery') SELECT * FROM x
WITH x AS (COPY (SELECT 1 AS a) TO '{db}.wal.checkpoint') SELECT * FROM x
WITH x AS (COPY (SELECT 1 AS a) TO '{cwd}/.tmp/new.csv') SELECT * FROM x
WITH x AS (COPY (SELECT 1 AS a, 2 AS b) TO '{cwd}/.tmp/new' (FORMAT csv, PARTITION_BY (a))) SELECT * FROM x
WITH x AS (COPY (SELECT 1 AS a) TO '/dev/stdout') SELECT * FROM x
WITH x AS (DELETE FROM gold.user_activity RETURNING *) SELECT * FROM x
WITH x AS (UPDATE gold.user_activity SET events = 0 RETURNING *) SELECT * FROM x
WITH x AS (INSERT INTO gold.user_activity SELECT * FROM gold.user_activity RETURNING *) SELECT * FROM x
WITH x AS (CREATE TABLE t AS SELECT 1 AS a) SELECT * FROM x
WITH a AS (SELECT 1 AS a), x AS (COPY a TO '{db}.wal') SELECT * FROM a
"""
# These may answer, with what everybody may know; or be refused. They must leave no trace.
HARMLESS = """\
SHOW TABLES
SHOW ALL TABLES
SHOW DATABASES
DESCRIBE user_activity
SUMMARIZE user_activity
SELECT * FROM duckdb_settings()
SELECT * FROM duckdb_databases()
SELECT * FROM duckdb_views()
SELECT * FROM duckdb_logs()
SELECT * FROM duckdb_temporary_files()
SELECT * FROM duckdb_external_file_cache()
SELECT * FROM pragma_database_size()
SELECT * FROM pragma_storage_info('gold.user_activity')
SELECT * FROM pragma_table_info('gold.user_activity')
SELECT * FROM pragma_metadata_info()
SELECT * FROM pragma_user_agent()
SELECT * FROM truncate_duckdb_logs()
SELECT * FROM disable_logging()
SELECT * FROM enable_logging()
SELECT * FROM enable_logging('QueryLog', storage = 'file', storage_config = {{'path': '{home}/new'}})
SELECT * FROM enable_profiling()
SELECT * FROM checkpoint('analytics')
SELECT * FROM force_checkpoint()
SELECT * FROM register_external_resource_type('x')
SELECT * FROM glob('.tmp/**')
SELECT current_setting('allowed_paths') AS paths
SELECT current_setting('temp_directory') AS folder
SELECT current_query() AS query
SELECT write_log('x') AS log
SELECT setseed(0.5) AS seed
SELECT getvariable('x') AS x
SELECT * FROM read_blob('{own}')
SELECT * FROM parquet_metadata('{own}') -- bronze
SELECT * FROM read_csv('{own}', store_rejects = true) -- bronze
SELECT * FROM read_blob('{db}')
SELECT * FROM read_duckdb('{db}', schema_name = 'gold', table_name = 'user_activity')
SELECT * FROM ops.files
SELECT * FROM information_schema.tables
"""


@pytest.fixture
def paths(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The names for the statements; the current folder has files that could be read, too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".tmp").mkdir()
    for name in ("here.csv", ".tmp/here.txt"):
        (tmp_path / name).write_text(f"{CANARY}\n")
    own = place.lake.sql("SELECT location FROM ops.files WHERE table_name = 'bronze.events'", limit=1)
    places = {
        "home": place.home,
        "lake": place.root,
        "db": place.database,
        "out": place.outside,
        "cwd": tmp_path,
        "own": own["location"][0].as_py(),
    }
    texts = {name: str(path).replace("'", "''") for name, path in places.items()}
    return {**texts, "out_id": str(place.outside).replace('"', '""')}


def traces(*folders: Path) -> dict[str, tuple[int, int]]:
    """Everything below the folders with size and time of change."""
    return {
        str(path): (path.stat().st_mtime_ns, path.stat().st_size)
        for folder in folders
        for path in (folder, *folder.rglob("*"))
    }


def attempt(place: Place, statement: str, limit: int | None = None) -> str:
    """Run a statement, see that it leaves no trace, and return what came back (for an error its text)."""
    before = traces(place.home, Path.cwd())
    try:
        came_back = repr(place.lake.sql(statement, limit=limit).to_pydict())
    except FixSettings as error:
        came_back = f"refused: {error}"
    try:
        assert traces(place.home, Path.cwd()) == before
    except AssertionError:
        undo(place)
        raise
    assert CANARY not in came_back
    assert "root:" not in came_back
    return came_back


def undo(place: Place) -> None:
    """Put back what a statement has damaged, so that the next one is judged by itself."""
    shutil.rmtree(place.home)
    shutil.copytree(place.backup, place.home)


@pytest.mark.parametrize(
    "statement", [*NOT_A_SELECT.splitlines(), *FILES_READ.splitlines(), *WRITES.splitlines()]
)
def test_a_hostile_statement_is_refused_and_leaves_no_trace(
    statement: str, place: Place, paths: dict[str, str]
) -> None:
    assert attempt(place, statement.format_map(paths)).startswith("refused: ")


@pytest.mark.parametrize("statement", HARMLESS.splitlines())
def test_a_curious_statement_leaves_no_trace(statement: str, place: Place, paths: dict[str, str]) -> None:
    attempt(place, statement.format_map(paths))


@pytest.mark.parametrize("statement", WRITES.splitlines())
def test_a_limit_is_no_way_around(statement: str, place: Place, paths: dict[str, str]) -> None:
    assert attempt(place, statement.format_map(paths), limit=10).startswith("refused: ")


def test_after_all_that_the_answers_are_what_they_were(place: Place) -> None:
    truth = oracle.lake(place.texts, now=NOW)
    assert {name: place.lake.answer(name).to_pylist() for name in ANSWERS} == {
        name: getattr(truth, name) for name in ANSWERS
    }
    assert all(law.holds for law in place.lake.verify())


def test_there_are_enough_hostile_statements() -> None:
    hostile = {
        *NOT_A_SELECT.splitlines(),
        *FILES_READ.splitlines(),
        *WRITES.splitlines(),
        *HARMLESS.splitlines(),
    }
    assert len(hostile) > 150


# --- Files of statements ----------------------------------------------------------------------------------

QUERIES = (Path(__file__).parents[2] / "queries.sql").read_text(encoding="utf-8")


def test_the_five_questions_have_titles_and_answers(lake: Lake) -> None:
    titled = titled_statements(QUERIES)
    assert [title[:2] for title, _ in titled] == ["1.", "2.", "3.", "4.", "5."]
    assert [statement for _, statement in titled] == split_statements(QUERIES)
    for _, statement in titled:
        assert lake.sql(statement).num_rows > 0


def test_semicolons_in_texts_and_comments_part_nothing() -> None:
    text = "-- one; two\nSELECT ';' AS a; /* ; */ SELECT 2 AS b -- end;\n;"
    assert len(split_statements(text)) == 2
    assert [title for title, _ in titled_statements(text)] == ["one; two", ""]


def test_equal_statements_keep_their_own_titles() -> None:
    text = "-- first\nSELECT 1;\n\n-- second\nSELECT 1;\nSELECT 1;\n-- a\n-- b\nSELECT 2"
    titled = titled_statements(text)
    assert [title for title, _ in titled] == ["first", "second", "", "a b"]
    assert [statement.split(";")[0] for _, statement in titled] == ["SELECT 1"] * 3 + ["SELECT 2"]


def test_a_text_without_statements_has_none() -> None:
    assert split_statements("") == split_statements("-- only talk\n") == []
    assert titled_statements(";;") == []


def test_a_text_that_is_no_sql_is_refused() -> None:
    with pytest.raises(FixSettings, match=r"The SQL cannot be read: Parser Error"):
        split_statements("SELECT 1; SELEC 2")


# --- No database ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", ["answer", "sql"])
@pytest.mark.parametrize("content", [b"", b"not a database", b"DUCK" * 5000])
def test_a_database_that_cannot_be_opened_is_told(ask: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.duckdb").write_bytes(content)
    lake = eventmint.open_lake(lake__root=str(tmp_path / "lake"), lake__database=str(tmp_path / "a.duckdb"))
    with pytest.raises(FixData) as error:
        lake.answer("user_activity") if ask == "answer" else lake.sql("SELECT * FROM user_activity")
    assert "a.duckdb" in error.value.message
    assert "eventmint run" in error.value.hint
    assert (tmp_path / "a.duckdb").read_bytes() == content


@pytest.mark.parametrize("ask", ["answer", "sql"])
def test_a_database_of_somebody_else_is_told(ask: str, place: Place, tmp_path: Path) -> None:
    lake = eventmint.open_lake(
        lake__root=str(tmp_path / "lake"), lake__database=str(place.outside / "other.duckdb")
    )
    with pytest.raises(FixData) as error:
        lake.answer("user_activity") if ask == "answer" else lake.sql("SELECT * FROM bronze.events")
    assert "eventmint run" in error.value.hint


# --- Limits -----------------------------------------------------------------------------------------------

ENDLESS = "SELECT sum(a.range) FROM range(1000000000000) AS a"
HUGE = "SELECT list(range) FROM range(10000000000)"
MANY = "SELECT repeat('x', 1000) AS text FROM range(1000000)"


def test_a_query_is_stopped_when_its_time_is_over(place: Place) -> None:
    with pytest.raises(FixSettings) as error:
        select(place.database, ENDLESS, limits=Limits(seconds=0.3))
    assert str(error.value) == (
        "The query was stopped after 0.3 s. Ask for less, or set query.max_seconds higher (0 for no limit)."
    )


@pytest.mark.parametrize("statement", [HUGE, MANY], ids=["while it computes", "in its result"])
def test_a_query_is_stopped_when_it_needs_too_much_memory(statement: str, place: Place) -> None:
    with pytest.raises(FixSettings) as error:
        select(place.database, statement, limits=Limits(memory_mb=64))
    assert str(error.value) == (
        "The query needs more than 64 MB of memory. Ask for less, or set query.memory_mb higher."
    )


def test_no_seconds_are_no_limit_of_time(place: Place) -> None:
    assert select(place.database, "SELECT sleep_ms(50) AS done", limits=Limits(seconds=0)).num_rows == 1


def test_a_query_nested_too_deeply_is_refused(lake: Lake) -> None:
    with pytest.raises(FixSettings, match="nested too deeply"):
        lake.sql("SELECT * FROM " + "(SELECT * FROM " * 5000 + "range(1)" + ")" * 5000)


def test_the_limits_are_settings(tmp_path: Path, place: Place) -> None:
    lake = eventmint.open_lake(
        lake__root=str(tmp_path), lake__database=str(place.database), query__max_seconds=0.2
    )
    with pytest.raises(FixSettings, match="stopped after 0.2 s"):
        lake.sql(ENDLESS)
