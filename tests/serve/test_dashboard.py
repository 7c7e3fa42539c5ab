"""The dashboard over HTTP: its API gives the answers, tells what is wrong, and lets nobody else in."""

from __future__ import annotations

import asyncio
import csv
import gzip
import hashlib
import io
import json
import logging
import shutil
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import duckdb
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from pyarrow import parquet
from served import served
from shops import DAYS, event, lake_in, write_events
from starlette.requests import Request

from eventmint.contracts import ANSWERS
from eventmint.errors import FixData, FixSettings
from eventmint.lake import Lake
from eventmint.serve.dashboard import app, static
from eventmint.serve.dashboard.app import Dashboard
from eventmint.serve.dashboard.guard import names_of
from eventmint.serve.dashboard.listening import address_of, is_near, listen
from eventmint.serve.dashboard.questions import Question, choice, number, read_values
from eventmint.serve.dashboard.server import make_server
from eventmint.serve.formats import csv_lines, json_rows

API = "/api/v1"
TOKEN = "a-token-of-more-than-16-letters"  # noqa: S105 - of the tests
COOKIE = f"eventmint-{hashlib.sha256(TOKEN.encode()).hexdigest()[:12]}"
POLICY = "default-src 'none'"


@pytest.fixture(scope="module")
def shop(months: Lake) -> Lake:
    return months


@pytest.fixture(scope="module")
def address(shop: Lake) -> Iterator[str]:
    with served(shop) as found:
        yield found


@pytest.fixture(scope="module")
def guarded(shop: Lake) -> Iterator[str]:
    with served(shop, TOKEN) as found:
        yield found


def ask(
    address: str,
    path: str,
    values: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection(urlsplit(address).netloc, timeout=60)
    query = f"?{urlencode(values)}" if values else ""
    connection.request(method, f"{path}{query}", headers=dict(headers or {}))
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply, body


def document(address: str, path: str, **values: Any) -> dict[str, Any]:
    reply, body = ask(address, path, {name.rstrip("_"): value for name, value in values.items()})
    assert reply.status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found


def error_of(reply: HTTPResponse, body: bytes) -> tuple[int, str]:
    assert reply.headers["Content-Type"] == "application/json"
    error = json.loads(body)["error"]
    return reply.status, f"{error['message']} {error['hint']}".strip()


# ---- answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_is_that_of_the_lake_to_the_last_digit(address: str, shop: Lake, name: str) -> None:
    rows = document(address, f"{API}/answers/{name}", limit=0)["rows"]
    assert rows == json.loads(json.dumps(json_rows(shop.answer(name)), default=str))


@pytest.mark.parametrize("name", ANSWERS)
def test_a_file_to_save_has_the_same_rows(address: str, shop: Lake, name: str) -> None:
    path = f"{API}/answers/{name}"
    _, saved = ask(address, path, {"format": "parquet"})
    assert parquet.read_table(io.BytesIO(saved)).equals(shop.answer(name))
    reply, saved = ask(address, path, {"format": "csv"})
    assert reply.headers["Content-Disposition"] == f'attachment; filename="{name}.csv"'
    assert saved.decode() == "".join(csv_lines(shop.answer(name)))


def test_a_cell_that_a_spreadsheet_would_run_is_disarmed(address: str) -> None:
    _, saved = ask(address, f"{API}/answers/conversion_funnel", {"format": "csv"})
    products = {row["product_id"] for row in csv.DictReader(io.StringIO(saved.decode()))}
    assert "'=HYPERLINK(1)" in products
    assert not any(name.startswith("=") for name in products)


def test_days_are_half_open_and_a_category_is_itself_only(address: str, shop: Lake) -> None:
    start, end = DAYS[3], DAYS[9]
    asked = {"from_": start, "to": end, "category": "Toys", "limit": 0}
    rows = document(address, f"{API}/answers/category_performance", **asked)["rows"]
    wanted = shop.answer("category_performance", start=start, end=end).to_pylist()
    assert [row["event_date"] for row in rows] == [
        str(row["event_date"]) for row in wanted if row["category"] == "Toys"
    ]


def test_json_is_cut_at_the_limit_and_says_so(address: str, shop: Lake) -> None:
    count = shop.answer("conversion_funnel").num_rows
    for limit, cut in ((5, True), (count, False), (0, False)):
        found = document(address, f"{API}/answers/conversion_funnel", limit=limit)
        assert (len(found["rows"]), found["truncated"]) == (min(limit or count, count), cut)


def test_products_are_searched_and_sorted_among_all(address: str, shop: Lake) -> None:
    rows = shop.answer("conversion_funnel", start=DAYS[20]).to_pylist()
    views: dict[str, int] = {}
    for row in rows:
        views[row["product_id"]] = views.get(row["product_id"], 0) + row["views"]
    found = document(address, f"{API}/products", from_=DAYS[20], sort="views", order="asc", limit=1000)
    shown = [row[2] for row in found["rows"]]
    assert shown == sorted(shown)
    assert {row[0]: row[2] for row in found["rows"]} == views
    assert (found["total"], found["found"]) == (len(views), len(views))
    one = document(address, f"{API}/products", search="TOYS")
    assert [row[:2] for row in one["rows"]] == [["p-2", "Toys"]]
    assert (one["total"] > 1, one["found"]) == (True, 1)
    none = document(address, f"{API}/products", search="nothing like it")
    assert (none["total"], none["found"], none["rows"]) == (one["total"], 0, [])


def test_the_amounts_of_products_are_exact(address: str, shop: Lake) -> None:
    wanted: dict[str, Decimal] = {}
    for row in shop.answer("conversion_funnel").to_pylist():
        wanted[row["product_id"]] = wanted.get(row["product_id"], Decimal(0)) + row["revenue"]
    found = document(address, f"{API}/products", limit=1000)["rows"]
    assert {row[0]: Decimal(row[5]) for row in found} == wanted


@pytest.mark.parametrize("path", ["answers/top_products", "products", "funnel", "retention"])
def test_what_is_left_empty_is_not_asked(address: str, path: str) -> None:
    item = document(address, f"{API}/openapi.json")["paths"][f"{API}/{path}"]["get"]
    names = [parameter["name"] for parameter in item["parameters"]]
    assert document(address, f"{API}/{path}", **{f"{name}_": "" for name in names}) == document(
        address, f"{API}/{path}"
    )


def test_days_beyond_the_data_are_answered_with_nothing(address: str) -> None:
    for path in ("answers/user_activity", "products", "answers/top_products"):
        assert document(address, f"{API}/{path}", from_="2030-01-01")["rows"] == []
    assert "No events in this period" in document(address, "/page/view", from_="2030-01-01")["empty"]


def test_journeys_and_retention_are_those_of_the_lake(address: str, shop: Lake) -> None:
    steps = ["page_view", "purchase"]
    found = document(
        address, f"{API}/funnel", steps=",".join(steps), window="2h", per="user", by="category", limit=0
    )
    wanted = shop.funnel(steps, timedelta(hours=2), who="user", by="category")
    assert found["rows"] == json_rows(wanted)
    found = document(address, f"{API}/retention", by="month")
    assert found["rows"] == json.loads(json.dumps(json_rows(shop.retention("month")), default=str))


# ---- OpenAPI -----------------------------------------------------------------------------------------------


def test_the_openapi_document_is_valid_and_every_answer_is_as_it_says(address: str) -> None:
    spec = document(address, f"{API}/openapi.json")
    validate(spec)
    assert {f"{API}/answers/{name}" for name in ANSWERS} <= set(spec["paths"])
    for path, item in spec["paths"].items():
        [schema] = [
            kind["schema"]
            for name, kind in item["get"]["responses"]["200"]["content"].items()
            if name == "application/json"
        ]
        problems = Draft202012Validator(schema).iter_errors(document(address, path))
        assert [problem.message for problem in problems] == [], path


def test_every_parameter_that_the_document_names_is_read(address: str) -> None:
    spec = document(address, f"{API}/openapi.json")
    examples = {"date": "2026-01-05", "integer": "7"}
    for path, item in spec["paths"].items():
        for parameter in item["get"]["parameters"]:
            schema = parameter["schema"]
            value = schema.get("default") or next(iter(schema.get("enum", [])), None)
            value = value or examples.get(schema.get("format", schema["type"]), "Toys")
            reply, body = ask(address, path, {parameter["name"]: value})
            assert reply.status == 200, (path, parameter["name"], body)


# ---- what is wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "values", "said"),
    [
        ("answers/top_products", {"frm": "2026-01-01"}, "frm: no such parameter. Did you mean `from`?"),
        ("answers/top_products", {"from": "1.1.2026"}, "from: '1.1.2026' is no day. Write it as 2026-01-31."),
        ("answers/top_products", {"limit": "-1"}, "limit: '-1' is no whole number from 0 to 1000000000."),
        ("answers/top_products", {"limit": "9" * 5000}, "is no whole number from 0 to 1000000000."),
        ("answers/top_products", {"limit": "\u0663"}, "is no whole number"),
        (
            "answers/top_products",
            {"format": "parket"},
            "format: 'parket' is not known. Did you mean parquet?",
        ),
        ("answers/user_activity", {"category": "Toys"}, "category: no such parameter."),
        ("funnel", {"steps": "page_view,page_view"}, "A funnel has two steps or more, each event type once."),
        ("funnel", {"steps": "page_view,buy"}, "buy: no such event type."),
        ("funnel", {"window": "1 week"}, "'1 week' is no length of time. Write 90s, 30m, 2h or 7d."),
        ("retention", {"by": "year"}, "by: 'year' is not known. There are day, week, month."),
        ("products", {"from": "2026-01-05", "to": "2026-01-05"}, "from: is not before to."),
        ("answers/top_products", {"from": "2026-01-06", "to": "2026-01-05"}, "from: is not before to."),
        ("funnel", {"from": "2026-01-06", "to": "2026-01-05"}, "from: is not before to."),
        ("products", {"limit": "0"}, "limit: '0' is no whole number from 1 to 1000."),
        ("trust", {"a": "b"}, "a: no such parameter. There are none."),
    ],
)
def test_a_wrong_question_is_told_with_what_to_do(
    address: str, path: str, values: dict[str, str], said: str
) -> None:
    status, text = error_of(*ask(address, f"{API}/{path}", values))
    assert status == 400
    assert said in text


def test_a_parameter_that_is_given_twice_is_refused() -> None:
    question = Question("/", "", (choice("by", "", ("day", "week")), number("limit", "", 9)), lambda *_: {})
    assert read_values(question, []) == {"by": None, "limit": None}
    assert read_values(question, [("by", "day"), ("limit", "9")]) == {"by": "day", "limit": 9}
    with pytest.raises(FixSettings, match="by: is given twice"):
        read_values(question, [("by", "day"), ("by", "week")])


def test_an_address_that_is_none_and_a_method_that_writes_are_refused(address: str) -> None:
    status, text = error_of(*ask(address, "/etc/passwd"))
    assert (status, text) == (404, f"/etc/passwd: no such address. Those of the API: {API}/openapi.json.")
    assert ask(address, "/static/..%2f..%2fpage.html.j2")[0].status == 404
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        reply, body = ask(address, f"{API}/trust", method=method)
        assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")
        assert "the dashboard only reads" in error_of(reply, body)[1]


def test_a_browser_gets_an_error_as_a_page(address: str) -> None:
    reply, body = ask(address, "/nothing<b>", headers={"Accept": "text/html"})
    assert (reply.status, reply.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert b"/nothing&lt;b&gt;: no such address" in body or b"/nothing%3Cb%3E" in body


def test_a_bug_of_ours_is_told_without_its_insides(shop: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    from eventmint.serve.dashboard import catalog

    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(catalog, "fresh", broken)
    with served(shop) as address:
        reply, body = ask(address, "/page/state")
    assert error_of(reply, body) == (500, "a bug in eventmint: ZeroDivisionError. See where with -v.")
    assert reply.headers["Content-Security-Policy"].startswith(POLICY)


# ---- who may ask -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8400", "127.0.0.1", "[::1]:8400", "[::1]", "LOCALHOST"]
)
def test_this_machine_may_ask_by_each_of_its_names(address: str, host: str) -> None:
    assert ask(address, f"{API}/trust", headers={"Host": host})[0].status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil",
        "10.0.0.1",
        "",
        "localhost:",
        "a:b:c",
        "[::1",
        "127.0.0.1:80@evil",
    ],
)
@pytest.mark.parametrize("path", ["/", f"{API}/trust", "/static/page.js", "/nothing"])
def test_a_name_that_is_not_ours_gets_nothing(address: str, host: str, path: str) -> None:
    status, text = error_of(*ask(address, path, headers={"Host": host}))
    assert status == 421
    assert "It answers to 127.0.0.1 and ::1 and localhost." in text


@pytest.mark.parametrize(
    "path", ["/", f"{API}/trust", "/page/view", "/page/state", f"{API}/openapi.json", "/nothing"]
)
def test_without_the_token_nothing_is_told(guarded: str, path: str) -> None:
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Cookie": f"{COOKIE}=wrong"},
        {"Cookie": '=;;"'},
    ):
        reply, body = ask(guarded, path, headers=headers)
        assert error_of(reply, body)[0] == 401
        assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert ask(guarded, path, {"token": "wrong"})[0].status == 401


def test_a_token_in_the_address_becomes_a_cookie_and_leaves_it(guarded: str) -> None:
    reply, body = ask(guarded, "/", {"token": TOKEN, "a": "b"})
    assert (reply.status, reply.headers["Location"], body) == (303, "/?a=b", b"")
    cookie = reply.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert ask(guarded, f"{API}/trust", headers={"Cookie": cookie.partition(";")[0]})[0].status == 200
    assert ask(guarded, f"{API}/trust", headers={"Authorization": f"Bearer {TOKEN}"})[0].status == 200


def test_with_a_token_addresses_are_names_but_foreign_names_are_not(guarded: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert ask(guarded, f"{API}/trust", headers={"Host": "192.168.7.9:8400", **headers})[0].status == 200
    assert ask(guarded, f"{API}/trust", headers={"Host": "evil.example", **headers})[0].status == 421


@pytest.mark.parametrize("path", ["/", "/static/page.js", f"{API}/trust", "/nothing", f"{API}/funnel?by=x"])
def test_every_answer_forbids_the_browser_what_it_need_not_do(address: str, path: str) -> None:
    headers = ask(address, path)[0].headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith(POLICY)
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in headers
    assert "server" not in headers


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_what_only_this_machine_can_reach_is_near(host: str) -> None:
    assert is_near(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "shop.example", "localhost.example"])  # noqa: S104
def test_what_others_can_reach_is_not_near(host: str) -> None:
    assert not is_near(host)


def test_a_place_that_cannot_be_listened_on_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(FixSettings, match=f"127.0.0.1:{port}: cannot listen there: .*--port"):
            listen("127.0.0.1", port)
    with pytest.raises(FixSettings, match="no such host"):
        listen("no-such-host.invalid", 0)
    with pytest.raises(FixSettings, match="that is no name of a host"):
        listen("a..b", 0)


# ---- one state after the other -----------------------------------------------------------------------------


def test_a_run_that_publishes_is_seen_and_until_then_nothing_is_sent_twice(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    day = date(2026, 1, 5)
    write_events(folder, [event(day, "page_view", n, product="p", category="c") for n in range(3)])
    lake = lake_in(tmp_path)
    lake.run()
    path = f"{API}/answers/user_activity"
    with served(lake) as address:
        reply, body = ask(address, path)
        tag = reply.headers["ETag"]
        version = document(address, "/page/state")["version"]
        view = document(address, "/page/view")
        for held in (tag, f"W/{tag}", f'"other", {tag}'):
            assert ask(address, path, headers={"If-None-Match": held})[0].status == 304
        more = [event(day + timedelta(days=1), "purchase", n, product="p", category="c") for n in range(4)]
        write_events(folder / "more", more)
        lake.run()
        reply, later = ask(address, path, headers={"If-None-Match": tag})
        assert reply.status == 200
        assert [row["events"] for row in json.loads(later)["rows"]] == [3, 4]
        assert [row["events"] for row in json.loads(body)["rows"]] == [3]
        assert document(address, "/page/state")["version"] != version
        assert document(address, "/page/view")["tiles"] != view["tiles"]


def test_asking_changes_nothing(shop: Lake, address: str) -> None:
    root = shop.settings.home / shop.settings.lake.root
    before = {path: path.stat() for path in root.parent.rglob("*")}
    for path in document(address, f"{API}/openapi.json")["paths"]:
        ask(address, path)
    ask(address, "/")
    ask(address, "/page/view")
    after = {path: path.stat() for path in root.parent.rglob("*")}
    assert {path: (s.st_ino, s.st_mtime_ns, s.st_size) for path, s in after.items()} == {
        path: (s.st_ino, s.st_mtime_ns, s.st_size) for path, s in before.items()
    }


def test_what_has_not_been_published_or_has_gone_is_told(tmp_path: Path, shop: Lake) -> None:
    with pytest.raises(FixData, match="nothing has been published yet"):
        lake_in(tmp_path).dashboard()
    database = tmp_path / "analytics.duckdb"
    shutil.copyfile(shop.settings.database_path, database)
    with served(lake_in(tmp_path)) as address:
        assert ask(address, f"{API}/trust")[0].status == 200
        database.unlink()
        status, text = error_of(*ask(address, f"{API}/trust"))
        assert (status, "nothing has been published yet. Run" in text) == (503, True)
        database.write_bytes(b"no database")
        status, text = error_of(*ask(address, f"{API}/trust"))
        assert (status, "cannot be opened" in text) == (503, True)
        assert error_of(*ask(address, "/page/state"))[0] == 503


def test_an_empty_lake_answers_with_nothing(tmp_path: Path) -> None:
    write_events(tmp_path / "data", [])
    lake = lake_in(tmp_path)
    lake.run()
    with served(lake) as address:
        assert "There are no events yet" in document(address, "/page/view")["empty"]
        assert "There are no events yet" in document(address, "/page/state")["empty"]
        assert document(address, f"{API}/products")["rows"] == []
        assert document(address, "/page/funnel")["rows"] == []
        assert document(address, "/page/retention")["rows"] == []
        for name in ANSWERS:
            assert document(address, f"{API}/answers/{name}")["rows"] == []


@pytest.mark.parametrize(("client", "packed"), [("127.0.0.1", False), ("::1", False), ("10.0.0.9", True)])
def test_scripts_are_packed_for_other_machines_only_and_kept_for_ever(client: str, packed: bool) -> None:
    scope = {
        "type": "http",
        "path_params": {"name": "page.js"},
        "headers": [(b"accept-encoding", b"gzip, br")],
        "client": (client, 1),
    }
    with ThreadPoolExecutor(1) as pool:  # a loop may run in this thread: that of the browser's driver
        reply = pool.submit(asyncio.run, static.reply(Request(scope))).result()
    assert reply.headers.get("Content-Encoding") == ("gzip" if packed else None)
    assert "immutable" in reply.headers["Cache-Control"]
    text = gzip.decompress(reply.body) if packed else bytes(reply.body)
    assert b"showPage" in text


def test_a_file_that_was_published_before_the_facts_were_says_what_to_do(tmp_path: Path, shop: Lake) -> None:
    database = tmp_path / "analytics.duckdb"
    shutil.copyfile(shop.settings.database_path, database)
    with duckdb.connect(str(database)) as connection:
        connection.execute("DROP TABLE ops.facts")
    with served(lake_in(tmp_path)) as address:
        for path in ("/page/state", f"{API}/trust", "/page/view"):
            status, text = error_of(*ask(address, path))
            assert (status, "Run `eventmint run` to rebuild it" in text) == (503, True)


def test_without_rows_of_silver_nobody_is_offered_journeys(tmp_path: Path, shop: Lake) -> None:
    database = tmp_path / "analytics.duckdb"
    shutil.copyfile(shop.settings.database_path, database)
    with served(lake_in(tmp_path)) as address:
        assert document(address, "/page/state")["has_journeys"]
    with duckdb.connect(str(database)) as connection:
        connection.execute("DROP VIEW silver.events_cleaned")
        connection.execute("DROP VIEW gold.daily_users")
    with served(lake_in(tmp_path)) as address:
        assert not document(address, "/page/state")["has_journeys"]
        for path in ("funnel", "retention"):
            status, text = error_of(*ask(address, f"{API}/{path}"))
            assert (status, "Ask Athena instead" in text) == (503, True)


def test_the_first_view_is_drawn_before_anybody_asks(shop: Lake, tmp_path: Path) -> None:
    dashboard = Dashboard(shop.settings, shop.published)
    dashboard.warm_up()
    assert len(dashboard._views) == 1
    Dashboard(
        lake_in(tmp_path).settings, lake_in(tmp_path).published
    ).warm_up()  # nothing is published: no error


def test_who_waits_too_long_for_a_turn_is_told(shop: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_AT_ONCE", 0)
    monkeypatch.setattr(app, "_PATIENCE_SECONDS", 0.01)
    with served(shop) as address:
        status, text = error_of(*ask(address, f"{API}/trust"))
    assert (status, text) == (503, "The dashboard is busy with other questions. Ask again in a minute.")


def test_the_token_stays_out_of_the_log() -> None:
    arguments = ("1.2.3.4:5", "GET", f"/?a=b&token={TOKEN}&c=d", "1.1", 200)
    record = logging.LogRecord("uvicorn.access", logging.INFO, "", 0, '%s "%s %s %s" %d', arguments, None)
    make_server(None)
    assert logging.getLogger("uvicorn.access").filter(record)
    assert TOKEN not in record.getMessage()
    assert "a=b&token=...&c=d" in record.getMessage()


def test_the_address_that_is_told_can_be_opened() -> None:
    with listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        assert address_of("127.0.0.1", listening, None) == f"http://127.0.0.1:{port}/"
        assert address_of("::1", listening, "a+b&c") == f"http://[::1]:{port}/?token=a%2Bb%26c"
        name = socket.gethostname()
        assert address_of("0.0.0.0", listening, None) == f"http://{name}:{port}/"  # noqa: S104
    assert {name, "localhost"} <= names_of("0.0.0.0")  # noqa: S104
    assert name not in names_of("10.0.0.1")


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_what_speaks_http_one_line_says_what_to_install(
    shop: Lake, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr("eventmint.serve.dashboard.find_spec", lambda name: None if name == missing else 1)
    with pytest.raises(FixSettings, match=f"{missing} is not installed.*eventmint\\[pages\\]"):
        shop.dashboard()
