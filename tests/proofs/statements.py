# ruff: noqa: S608 - the statements are meant to be hostile
"""Statements that try to get out of `query`, and bombs that try to hold the machine.

`{new}` is a path where nothing lies, `{canary}` a file outside the lake, `{own}` a Parquet file of bronze,
`{lake}` and `{db}` the lake's folder and database; quotes in them are doubled.
"""

from __future__ import annotations

# A text that a statement must never give back.
CANARY = "canary-7d1e90"

_TARGETS = ("{new}", "{own}", "{db}", "{db}.wal", "{lake}/catalog.sqlite", "{canary}", "/dev/stdout")
_READERS = (
    "read_text",
    "read_blob",
    "read_csv",
    "read_csv_auto",
    "read_json",
    "read_json_auto",
    "read_json_objects",
    "read_ndjson",
    "read_ndjson_objects",
    "read_parquet",
    "parquet_scan",
    "parquet_metadata",
    "parquet_schema",
    "parquet_kv_metadata",
    "parquet_file_metadata",
    "parquet_bloom_probe",
    "sniff_csv",
    "glob",
    "read_duckdb",
    "iceberg_scan",
    "delta_scan",
    "sqlite_scan",
    "read_xlsx",
    "st_read",
)
_PLACES = (
    "/etc/passwd",
    "{canary}",
    "file://{canary}",
    "{lake}/catalog.sqlite",
    "{lake}/../canary/canary.txt",
    "/proc/self/environ",
    "http://127.0.0.1:9/x",
    "s3://bucket/x.parquet",
    "~/.aws/credentials",
)
_WRITES = (
    "COPY (SELECT 1 AS a) TO '{path}'",
    "COPY (SELECT 1 AS a) TO '{path}' (FORMAT parquet, OVERWRITE_OR_IGNORE true)",
    "COPY (SELECT 1 AS a) TO '{path}' (FORMAT csv, USE_TMP_FILE false)",
    "EXPLAIN ANALYZE COPY (SELECT 1 AS a) TO '{path}'",
    "WITH x AS (COPY (SELECT 1 AS a) TO '{path}' (USE_TMP_FILE false)) SELECT * FROM x",
    "SELECT * FROM query('WITH x AS (COPY (SELECT 1 AS a) TO ''{path}'') SELECT * FROM x')",
    "SELECT 1; COPY (SELECT 1 AS a) TO '{path}'",
    "SELECT 1 /* silver */; COPY (SELECT 1 AS a) TO '{path}' -- bronze",
    "ATTACH '{path}' AS other",
    "EXPORT DATABASE '{path}'",
)
_PLAIN = """\
DETACH analytics
INSTALL httpfs
FORCE INSTALL json FROM community
LOAD httpfs
LOAD '{canary}'
IMPORT DATABASE '{lake}'
COPY gold.user_activity FROM '{canary}'
COPY FROM DATABASE analytics TO memory
PRAGMA enable_external_access=true
PRAGMA database_list
PRAGMA enable_profiling='json'
PRAGMA add_parquet_key('k', '0123456789112345')
SET enable_external_access = true
SET lock_configuration = false
SET allowed_paths = ['/etc/passwd']
SET allowed_directories = ['/']
SET temp_directory = '{new}'
SET home_directory = '/'
SET log_query_path = '{new}'
SET profile_output = '{new}'
SET memory_limit = '100GB'
SET VARIABLE x = 1
RESET ALL
RESET lock_configuration
CALL pragma_version()
CALL enable_logging(storage = 'file', storage_config = {{'path': '{new}'}})
CALL force_checkpoint()
CREATE TABLE t AS SELECT 1 AS a
CREATE TEMP TABLE t AS SELECT 1 AS a
CREATE OR REPLACE VIEW gold.user_activity AS SELECT 1 AS a
CREATE MACRO m() AS 1
CREATE TEMP MACRO m() AS TABLE SELECT * FROM read_text('/etc/passwd')
CREATE SECRET s (TYPE s3)
CREATE PERSISTENT SECRET s (TYPE s3, KEY_ID 'x', SECRET 'y')
CREATE SCHEMA s
CREATE SEQUENCE s
CREATE TYPE t AS ENUM ('a')
CREATE INDEX i ON gold.user_activity (events)
DROP TABLE gold.user_activity
DROP TABLE canary
DROP SCHEMA gold CASCADE
DROP SCHEMA IF EXISTS main CASCADE
ALTER TABLE gold.user_activity RENAME TO x
INSERT INTO gold.user_activity SELECT * FROM gold.user_activity
INSERT INTO gold.user_activity FROM gold.user_activity RETURNING *
UPDATE gold.user_activity SET events = 0
DELETE FROM gold.user_activity
DELETE FROM gold.user_activity RETURNING *
TRUNCATE gold.user_activity
MERGE INTO gold.user_activity USING (SELECT 1) ON true WHEN MATCHED THEN DELETE
COMMENT ON TABLE gold.user_activity IS 'x'
BEGIN
COMMIT
ROLLBACK
CHECKPOINT
FORCE CHECKPOINT analytics
VACUUM
VACUUM FULL
ANALYZE
USE memory
PREPARE p AS SELECT 1
EXECUTE p
EXECUTE p('x')
DEALLOCATE p
EXPLAIN SELECT 1
EXPLAIN ANALYZE DELETE FROM gold.user_activity
SELECT 1; SELECT 2
SELECT 1;; DELETE FROM gold.user_activity
SELECT 1;--\\n DROP TABLE gold.user_activity
SELECT 1 /* ; */ ; /* */ DROP TABLE gold.user_activity
/* SELECT 1 */ DROP TABLE gold.user_activity
--SELECT 1\\nDROP TABLE gold.user_activity
\\u00a0DROP\\u00a0TABLE\\u00a0gold.user_activity
\\u2003DELETE\\u2003FROM\\u2003gold.user_activity
\\ufeffDROP TABLE gold.user_activity
\\u200bDROP TABLE gold.user_activity
SELECT\\u000b1;\\u000cDROP TABLE gold.user_activity
SELECT 1\\u0000; DROP TABLE gold.user_activity
WITH x AS (DELETE FROM gold.user_activity RETURNING *) SELECT * FROM x
WITH RECURSIVE x AS (INSERT INTO gold.user_activity FROM gold.user_activity RETURNING *) SELECT * FROM x
SELECT * FROM (WITH x AS (UPDATE gold.user_activity SET events = 0 RETURNING *) SELECT * FROM x)
SELECT (WITH x AS (DELETE FROM gold.user_activity RETURNING events) SELECT max(events) FROM x)
SELECT 1 UNION (WITH x AS (DELETE FROM gold.user_activity RETURNING events) SELECT * FROM x)
SELECT * FROM query('DROP TABLE gold.user_activity')
SELECT * FROM query('SELECT 1; DROP TABLE gold.user_activity')
SELECT * FROM query('SELECT * FROM query(''SELECT * FROM read_text(''''/etc/passwd'''')'')')
SELECT * FROM query_table('/etc/passwd')
SELECT * FROM query_table(['{canary}'])
SELECT * FROM json_execute_serialized_sql(json_serialize_sql('FROM read_text(''/etc/passwd'')'))
FROM '/etc/passwd'
FROM "/etc/passwd"
FROM '{canary}'
FROM '{lake}/ops/runs/data/*.parquet'
FROM 'x.csv'
FROM 'http://127.0.0.1:9/x.csv'
DESCRIBE FROM '{canary}'
SUMMARIZE SELECT * FROM read_csv('{canary}')
PIVOT read_csv('{canary}') ON a
SELECT getenv('HOME')
SELECT * FROM duckdb_secrets()
SELECT * FROM which_secret('s3://x', 's3')
SELECT * FROM duckdb_extensions()
SELECT * FROM pandas_scan(1)
SELECT * FROM arrow_scan(1, 2, 3)
SELECT * FROM seq_scan('gold.user_activity')
SELECT * FROM python_map_function((SELECT 1), NULL)
SELECT * FROM statement
SELECT * FROM connection
SELECT * FROM limits
SELECT * FROM sys
SELECT $1
SELECT ?
SELECT $statement
SELECT nextval('s')
SELECT * FROM postgres_scan('host=127.0.0.1', 'public', 't')
SELECT * FROM mysql_query('x', 'SELECT 1')
SELECT http_get('http://127.0.0.1:9/')
SELECT load_aws_credentials()
SELECT * FROM sql_auto_complete('SEL')
SELECT * FROM enable_logging('QueryLog', storage = 'file', storage_config = {{'path': '{new}'}})
SELECT * FROM enable_profiling()
"""
_OPEN = """\
SELECT current_setting('home_directory') AS home
SELECT current_setting('s3_secret_access_key') AS secret
SELECT * FROM duckdb_settings()
SELECT * FROM duckdb_databases()
SELECT * FROM duckdb_logs()
SELECT * FROM duckdb_views()
SELECT * FROM pragma_storage_info('gold.user_activity')
SELECT * FROM checkpoint('analytics')
SELECT * FROM truncate_duckdb_logs()
SELECT * FROM disable_logging()
SELECT write_log('x') AS log
SELECT getvariable('x') AS x
SELECT setseed(0.5) AS seed
SELECT * FROM read_blob('{own}') -- bronze
SELECT * FROM parquet_metadata('{own}') -- bronze
SELECT * FROM read_csv('{own}', store_rejects = true, ignore_errors = true) -- silver
SELECT * FROM query_table('user_activity')
SELECT * FROM test_all_types()
SHOW ALL TABLES
DESCRIBE user_activity
SUMMARIZE user_activity
SELECT '; DROP TABLE gold.user_activity; --' AS text
SELECT 1 AS "a""; DROP TABLE gold.user_activity; --"
SELECT $$'; COPY (SELECT 1) TO 'x'$$ AS text
"""


def _lines(block: str) -> list[str]:
    return [line.encode().decode("unicode_escape") if "\\" in line else line for line in block.splitlines()]


def refused() -> list[str]:
    """Statements of which each must be refused."""
    writes = [
        write.replace("{path}", target.replace("'", "''") if "query(" in write else target)
        for write in _WRITES
        for target in _TARGETS
    ]
    reads = [f"SELECT * FROM {reader}('{place}')" for reader in _READERS for place in _PLACES]
    beside = [
        f"SELECT f.* FROM {reader}('{place}') AS f, {table}"
        for reader in ("read_text", "read_blob", "glob")
        for place in _PLACES
        for table in ("bronze.events", "silver.events_cleaned")
    ]
    return [*_lines(_PLAIN), *writes, *reads, *beside]


def allowed() -> list[str]:
    """Statements that may answer with what everybody may know; they must leave no trace."""
    return _lines(_OPEN)


BOMBS = {
    "endless sum": "SELECT sum(i) FROM range(1000000000000) AS t(i)",
    "endless rows": "SELECT * FROM range(1000000000000)",
    "endless recursion": "WITH RECURSIVE t AS (SELECT 1 AS i UNION ALL SELECT i FROM t) SELECT sum(i) FROM t",
    "growing recursion": (
        "WITH RECURSIVE t AS (SELECT 1 AS i UNION ALL SELECT i FROM t, range(10)) SELECT count(*) FROM t"
    ),
    "cross join": "SELECT count(*) FROM range(1000000) AS a, range(1000000) AS b WHERE a.range * b.range = 1",
    "forty joins": f"SELECT * FROM {', '.join(f'range(1000) AS r{n}' for n in range(40))}",
    "sort": "SELECT * FROM range(1000000000) ORDER BY hash(range)",
    "distinct": "SELECT count(DISTINCT range) FROM range(100000000000)",
    "list": "SELECT list(range) FROM range(10000000000)",
    "window": ("SELECT sum(range) OVER (ORDER BY range ROWS 1000000 PRECEDING) AS s FROM range(1000000000)"),
    "joined texts": "SELECT string_agg(repeat('x', 1000000), '') FROM range(100000)",
    "every microsecond": (
        "SELECT count(*) FROM generate_series(TIMESTAMP '0001-01-01', TIMESTAMP '9999-01-01', INTERVAL 1 us)"
    ),
    "sleep": "SELECT sleep_ms(100000)",
    "generated list": "SELECT unnest(generate_series(1, 10000000000))",
    "deep brackets": f"SELECT {'(' * 20000}1{')' * 20000}",
    "deep selects": f"SELECT * FROM {'(SELECT * FROM ' * 5000}range(1){')' * 5000}",
    "long sum": f"SELECT 1{'+1' * 50000}",
    "deep json": "SELECT json_structure(repeat('[', 100000) || repeat(']', 100000))",
    "broken json": f"SELECT json('{'[' * 100000}')",
    "regex": "SELECT regexp_matches(repeat('a', 300000), '(a*)*(a*)*(a*)*b') AS found",
    "like": f"SELECT repeat('a', 100000) LIKE '{'%a' * 1000}%b' AS found",
    "nested repetition": "SELECT regexp_matches('a', '(((a{1,100}){1,100}){1,100}){1,100}') AS found",
}
# Functions over one long text heed no interrupt: the process is what ends them.
DEAF_BOMBS = {
    "text of 4 GB": "SELECT length(repeat('x', 4000000000))",
    "edit distance": "SELECT levenshtein(repeat('a', 300000), repeat('b', 300000))",
    "long texts": "SELECT repeat('x', 1000000000) FROM range(100)",
    "padded texts": "SELECT lpad('x', 2000000000, 'y') FROM range(100)",
    "wide number": "SELECT printf('%1000000000d', 1)",
}
QUICK_DEAF_BOMBS = ("edit distance", "long texts")
