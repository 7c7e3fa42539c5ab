"""Questions to Athena: what leaves this machine, what comes back, what it costs, how it ends.

moto runs no SQL: it gives out results that were queued. For what it does not do (pages, failures) a server of
our own stands between it and us and changes its answers.
"""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyarrow as pa
import pytest
from deployments import NAMES, REGION, client

from eventmint import cli
from eventmint.aws import athena
from eventmint.aws.athena import on_athena, query
from eventmint.errors import FixData, FixSettings

SELECT = "SELECT event_hour FROM gold.hourly_revenue"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def workgroup(aws: str) -> str:
    client("athena").create_work_group(
        Name=NAMES.workgroup,
        Configuration={"ResultConfiguration": {"OutputLocation": NAMES.athena_results}},
    )
    client("s3").create_bucket(
        Bucket=NAMES.analytics_bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    return aws


def queue(endpoint: str, columns: list[dict[str, Any]], rows: list[list[str | None]]) -> None:
    """Let moto give out a result to the next query, as Athena does: the names are the first row."""
    cells = [[column["Name"] for column in columns], *rows]
    result = {
        "column_info": columns,
        "rows": [{"Data": [{} if cell is None else {"VarCharValue": cell} for cell in row]} for row in cells],
    }
    body = {"account_id": NAMES.account, "region": REGION, "results": [result]}
    request = urllib.request.Request(  # noqa: S310 - on this machine
        f"{endpoint}/moto-api/static/athena/query-results", json.dumps(body).encode(), method="POST"
    )
    with OPENER.open(request, timeout=10) as answer:
        assert answer.status == 201


@contextmanager
def between(endpoint: str, change: Callable[[str, dict[str, Any], Any], Any]) -> Iterator[str]:
    """Stand between moto and its clients: `change` gets a call, its arguments and moto's answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.pass_on()

        def do_POST(self) -> None:
            self.pass_on()

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = urllib.request.Request(  # noqa: S310 - on this machine
                f"{endpoint}{self.path}", body or None, method=self.command
            )
            for name, value in self.headers.items():
                if name.lower() not in ("host", "content-length", "connection"):
                    request.add_header(name, value)
            request.add_header("Host", self.headers["Host"])
            with OPENER.open(request, timeout=10) as answer:
                said, status = answer.read(), answer.status
            call = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
            if call:
                said = json.dumps(change(call, json.loads(body), json.loads(said))).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# ---- the question ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "sent"),
    [
        ("SELECT 1", "SELECT 1"),
        ("  select 1 ;\n-- done\n", "select 1 \n-- done"),
        ("-- why; not\nSELECT 1", "-- why; not\nSELECT 1"),
        ("WITH a AS (SELECT 1) SELECT * FROM a", "WITH a AS (SELECT 1) SELECT * FROM a"),
        ("(SELECT 1) UNION (SELECT 2)", "(SELECT 1) UNION (SELECT 2)"),
        ("SELECT ';' AS \"a;b\"", "SELECT ';' AS \"a;b\""),
        ("SELECT 'it''s; DROP' /* ; */", "SELECT 'it''s; DROP' /* ; */"),
        ("SELECT x FROM gold.a JOIN Silver . b", 'SELECT x FROM "gold_dev_1".a JOIN "silver_dev_1" . b'),
        ("SELECT 'gold.a', \"gold.a\" -- gold.a", "SELECT 'gold.a', \"gold.a\" -- gold.a"),
        ("SELECT t.gold.a FROM old_gold.b", "SELECT t.gold.a FROM old_gold.b"),
        ('SELECT x FROM "gold".a', 'SELECT x FROM "gold".a'),
    ],
)
def test_one_select_is_sent_with_the_databases_of_the_deployment(statement: str, sent: str) -> None:
    assert on_athena(statement, NAMES) == sent


@pytest.mark.parametrize(
    "statement",
    [
        "",
        ";",
        "-- SELECT 1",
        "DROP TABLE gold.hourly_revenue",
        "INSERT INTO gold.a SELECT 1",
        "CREATE TABLE x AS SELECT 1",
        "UNLOAD (SELECT 1) TO 's3://x/'",
        "DELETE FROM gold.a",
        "EXPLAIN ANALYZE SELECT 1",
        "MSCK REPAIR TABLE a",
        "SHOW TABLES",
        "SELECT 1; DROP TABLE a",
        "SELECT 1; SELECT 2",
        "/* SELECT */ VACUUM a",
        "'SELECT' DROP TABLE a",
        "SELECTX 1",
    ],
)
def test_anything_but_one_select_is_refused(statement: str) -> None:
    with pytest.raises(FixSettings, match="exactly one SELECT"):
        on_athena(statement, NAMES)


@pytest.mark.parametrize("statement", ["SELECT 'a", 'SELECT "a', "SELECT 1 /* a"])
def test_a_quote_without_an_end_is_refused(statement: str) -> None:
    with pytest.raises(FixSettings, match="does not end"):
        on_athena(statement, NAMES)


@pytest.mark.usefixtures("workgroup")
def test_what_is_refused_never_leaves_this_machine() -> None:
    with pytest.raises(FixSettings):
        query(NAMES, REGION, "DROP TABLE gold.hourly_revenue")
    assert client("athena").list_query_executions(WorkGroup=NAMES.workgroup)["QueryExecutionIds"] == []


# ---- the answer --------------------------------------------------------------------------------------------


def test_values_come_back_with_their_types(workgroup: str) -> None:
    kinds = {
        "boolean": ("true", True, pa.bool_()),
        "tinyint": ("-1", -1, pa.int8()),
        "smallint": ("7", 7, pa.int16()),
        "integer": ("7", 7, pa.int32()),
        "bigint": ("9007199254740993", 9007199254740993, pa.int64()),
        "double": ("1.5", 1.5, pa.float64()),
        "real": ("0.5", 0.5, pa.float32()),
        "decimal": ("12345678901234567.89", Decimal("12345678901234567.89"), pa.decimal128(38, 2)),
        "date": ("2026-11-25", date(2026, 11, 25), pa.date32()),
        "timestamp": (
            "2026-11-25 10:00:00.123",
            datetime(2026, 11, 25, 10, 0, 0, 123000),  # noqa: DTZ001 - Athena's has no zone
            pa.timestamp("us"),
        ),
        "timestamp with time zone": (
            "2026-11-25 10:00:00.000 Europe/Berlin",
            datetime(2026, 11, 25, 9, tzinfo=UTC),
            pa.timestamp("us", "UTC"),
        ),
        "varchar": ("10", "10", pa.string()),
        "varbinary": ("de ad", b"\xde\xad", pa.binary()),
        "array": ("[1, 2]", "[1, 2]", pa.string()),
    }
    columns = [{"Name": kind, "Type": kind, "Precision": 38, "Scale": 2} for kind in kinds]
    queue(workgroup, columns, [[text for text, _, _ in kinds.values()], [None] * len(kinds)])

    answer = query(NAMES, REGION, SELECT)

    assert [field.type for field in answer.rows.schema] == [kind for _, _, kind in kinds.values()]
    assert answer.rows.to_pylist() == [
        {kind: value for kind, (_, value, _) in kinds.items()},
        dict.fromkeys(kinds),
    ]


def test_a_value_that_is_not_of_its_type_is_told(workgroup: str) -> None:
    queue(workgroup, [{"Name": "n", "Type": "bigint"}], [["many"]])
    with pytest.raises(FixData, match="Athena's column n is no bigint"):
        query(NAMES, REGION, SELECT)


def test_every_page_is_read_and_none_too_many(workgroup: str, monkeypatch: pytest.MonkeyPatch) -> None:
    queue(workgroup, [{"Name": "n", "Type": "bigint"}], [[str(n)] for n in range(2_500)])
    asked = []

    def paged(call: str, arguments: dict[str, Any], answer: Any) -> Any:
        if call == "GetQueryResults":
            start, size = int(arguments.get("NextToken", "0")), arguments["MaxResults"]
            asked.append(start)
            rows = answer["ResultSet"]["Rows"]
            answer["ResultSet"]["Rows"] = rows[start : start + size]
            if start + size < len(rows):
                answer["NextToken"] = str(start + size)
        return answer

    with between(workgroup, paged) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)

        whole = query(NAMES, REGION, SELECT)
        assert whole.rows.column("n").to_pylist() == list(range(2_500))
        assert asked == [0, 1000, 2000]

        asked.clear()
        queue(workgroup, [{"Name": "n", "Type": "bigint"}], [[str(n)] for n in range(2_500)])
        assert query(NAMES, REGION, SELECT, limit=10).rows.column("n").to_pylist() == list(range(10))
        assert asked == [0]


def test_bytes_and_dollars_are_those_of_athena(workgroup: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def scanned(call: str, _: dict[str, Any], answer: Any) -> Any:
        if call == "GetQueryExecution":
            answer["QueryExecution"]["Statistics"] |= {
                "DataScannedInBytes": 123_456_789,
                "TotalExecutionTimeInMillis": 1500,
            }
        return answer

    queue(workgroup, [{"Name": "n", "Type": "bigint"}], [["1"]])
    with between(workgroup, scanned) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        answer = query(NAMES, REGION, SELECT)

    assert (answer.bytes_scanned, answer.seconds) == (123_456_789, 1.5)
    assert answer.dollars == Decimal("0.00062")  # 124 whole MB at 5 dollars a TB


def test_a_query_that_scans_nothing_costs_ten_megabytes(workgroup: str) -> None:
    queue(workgroup, [{"Name": "n", "Type": "bigint"}], [["1"]])
    assert query(NAMES, REGION, SELECT).dollars == Decimal("0.00005")


@pytest.mark.parametrize(("state", "verb"), [("FAILED", "failed"), ("CANCELLED", "was stopped")])
def test_a_query_that_fails_tells_athenas_reason(
    state: str, verb: str, workgroup: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failed(call: str, _: dict[str, Any], answer: Any) -> Any:
        if call == "GetQueryExecution":
            status = answer["QueryExecution"]["Status"]
            status |= {"State": state, "StateChangeReason": "COLUMN_NOT_FOUND: line 1:8"}
        return answer

    with between(workgroup, failed) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(FixSettings, match=f"The query {verb}: COLUMN_NOT_FOUND: line 1:8."):
            query(NAMES, REGION, SELECT)


def test_an_interrupted_query_is_stopped(workgroup: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = []

    def watched(call: str, arguments: dict[str, Any], answer: Any) -> Any:
        if call == "StopQueryExecution":
            stopped.append(arguments["QueryExecutionId"])
        return answer

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(athena, "wait_until", interrupted)
    with between(workgroup, watched) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(KeyboardInterrupt):
            query(NAMES, REGION, SELECT)

        started = client("athena").list_query_executions(WorkGroup=NAMES.workgroup)["QueryExecutionIds"]

    assert stopped == started
    assert len(stopped) == 1


@pytest.mark.usefixtures("workgroup")
def test_an_empty_answer_of_the_emulator_is_no_answer() -> None:
    with pytest.raises(FixSettings, match="The emulator does not run SQL"):
        query(NAMES, REGION, SELECT)


# ---- on the command line -----------------------------------------------------------------------------------


@pytest.fixture
def ask(workgroup: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("EVENTMINT_AWS__ID", NAMES.id)
    monkeypatch.setenv("EVENTMINT_AWS__REGION", REGION)
    return workgroup


def test_rows_go_to_stdout_and_the_price_to_stderr(ask: str, capsys: pytest.CaptureFixture[str]) -> None:
    columns = [{"Name": "hour", "Type": "integer"}, {"Name": "units", "Type": "bigint"}]
    queue(ask, columns, [["9", "100"], ["10", None]])

    assert cli.main(["query", "--target", "athena", "--format", "csv", SELECT]) == 0

    out, err = capsys.readouterr()
    assert out == "hour,units\r\n9,100\r\n10,\r\n"
    assert err.startswith("2 rows, 0 bytes scanned, $0.00005 (")


def test_json_tells_the_price_too(ask: str, capsys: pytest.CaptureFixture[str]) -> None:
    queue(ask, [{"Name": "n", "Type": "bigint"}], [["1"]])

    assert cli.main(["query", "--target", "athena", "--json", SELECT]) == 0

    out, err = capsys.readouterr()
    document = json.loads(out)
    assert err == ""
    assert document["rows"] == [{"n": 1}]
    assert (document["athena"]["bytes_scanned"], document["athena"]["dollars"]) == (0, "0.00005")


def test_more_rows_than_shown_are_told(ask: str, capsys: pytest.CaptureFixture[str]) -> None:
    queue(ask, [{"Name": "n", "Type": "bigint"}], [["1"], ["2"], ["3"]])

    assert cli.main(["query", "--target", "athena", "--limit", "2", SELECT]) == 0

    out, err = capsys.readouterr()
    assert out.split() == ["n", "1", "2"]
    assert "(2 rows shown, there are more" in err


def test_a_statement_that_writes_ends_with_2(ask: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask
    assert cli.main(["query", "--target", "athena", "DROP TABLE gold.a"]) == 2
    assert "A query is exactly one SELECT." in capsys.readouterr().err
