"""Mapped lines: judged like lines of the contract's own, every product an event, every line accounted for."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import hostile
import oracle
import pytest
from conftest import REPOSITORY
from hypothesis import given, settings
from hypothesis import strategies as st
from landings import landing_of

from eventmint.bronze import mapped
from eventmint.bronze.judge import judge_line
from eventmint.bronze.mapped import MappedJudge, MappedParser
from eventmint.landing import land_one
from eventmint.mappings import read_mapping
from eventmint.values import EVENT_TYPES, EventMapping, EventRules

NOW_US = oracle.microseconds(hostile.NOW)
LATEST_US = NOW_US + 86_400_000_000
SAMPLES = REPOSITORY / "tests" / "formats"
FORMATS = {name: SAMPLES / f"{name}.jsonl" for name in ("segment", "ga4", "snowplow")} | {
    "rees46-csv": SAMPLES / "rees46-csv.csv"
}
# Every field one level down, under another name.
NESTED = """
[fields]
timestamp = "when.at"
user_id = "who.user"
session_id = "who.visit"
event_type = "what"
product_id = "thing.id"
category = "thing.group"
quantity = "thing.count"
price = "thing.cost"
search_query = "words"
[event_types]
page_view = "page_view"
add_to_cart = "add_to_cart"
remove_from_cart = "remove_from_cart"
purchase = "purchase"
search = "search"
"""
PLACES = {
    "when": {"at": "timestamp"},
    "who": {"user": "user_id", "visit": "session_id"},
    "what": "event_type",
    "thing": {"id": "product_id", "group": "category", "count": "quantity", "cost": "price"},
    "words": "search_query",
}
ORDERS = """
[fields]
timestamp = "at"
user_id = "user"
session_id = "visit"
event_type = "kind"
[event_types]
order = "purchase"
[items]
from = "cart.lines"
[items.fields]
product_id = "id"
category = "group"
quantity = "count"
price = "cost"
"""
ORDER = {"at": "2025-06-01T10:00:00Z", "user": "u1", "visit": "s1", "kind": "order"}


def mapping_of(text: str, folder: Path) -> EventMapping:
    (folder / "own.toml").write_text(text, encoding="utf-8")
    mapping = read_mapping("own.toml", folder, EVENT_TYPES)
    assert mapping is not None
    return mapping


def judge_of(mapping: EventMapping) -> MappedJudge:
    return MappedJudge(EventRules(mapping=mapping), mapping, LATEST_US)


@pytest.fixture(scope="module")
def nested(tmp_path_factory: pytest.TempPathFactory) -> MappedJudge:
    return judge_of(mapping_of(NESTED, tmp_path_factory.mktemp("nested")))


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> MappedJudge:
    return judge_of(mapping_of(ORDERS, tmp_path_factory.mktemp("orders")))


# --- The judge's own verdict -------------------------------------------------------------------------------


def moved(event: dict[str, str], places: Any = PLACES) -> str:
    """Return the event, JSON texts by field, as the nested format writes it; absent fields stay absent."""
    members = []
    for name, below in places.items():
        if isinstance(below, dict):
            members.append(f'"{name}": {moved(event, below)}')
        elif below in event:
            members.append(f'"{name}": {event[below]}')
    return "{" + ", ".join(members) + "}"


JSON_TEXTS = st.sampled_from(
    [
        *('""', '"u1"', '"\\u00e9\\n"', "null", "true", "[]", "{}", "[1]", '{"a": 1}'),
        *("7", "7.0", '"7"', "-1", "0", "1e2", "0.1234567", "12345678901", "999999999.999999", "1000000000"),
        *('"2025-06-01T10:20:30.123Z"', '"2025-06-01T10:20:30+02:00"', '"2025-06-01"'),
        *('"2025-02-30T00:00:00Z"', '"2999-01-01T00:00:00Z"'),
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(oracle.FIELDS), JSON_TEXTS), st.sampled_from([*EVENT_TYPES, None]))
def test_an_event_has_the_verdict_that_it_has_in_the_contracts_own_words(
    nested: MappedJudge, changes: dict[str, str], kind: str | None
) -> None:
    event = {
        "timestamp": '"2025-06-01T10:20:30.123456Z"',
        **{name: f'"{name}"' for name in ("user_id", "session_id", "product_id", "category")},
        "quantity": "2",
        "price": "9.99",
        "event_type": "null" if kind is None else f'"{kind}"',
        **{name: text for name, text in changes.items() if name != "event_type"},
    }
    native = "{" + ", ".join(f'"{name}": {text}' for name, text in event.items()) + "}"
    (found,) = nested.judge(moved(event).encode())
    wanted = judge_line(native.encode(), EventRules(), LATEST_US)
    assert (found.problem, found.values) == (wanted.problem, wanted.values)
    assert found.extra is None


def test_a_line_that_cannot_be_read_has_the_reason_it_always_has(nested: MappedJudge) -> None:
    rng = Random(5)
    seen: Counter[str] = Counter()
    for _ in range(1500):
        _, line = hostile.mutated(rng)
        wanted = judge_line(line, EventRules(), LATEST_US).problem
        if line.strip(b" \t\r") and wanted in oracle.LINE_REASONS:
            (found,) = nested.judge(line)
            assert found.problem == wanted, line[:300]
            seen[wanted] += 1
    assert {"not_utf8", "json_invalid", "duplicate_key", "not_an_object"} <= {*seen}


# --- Times -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, MappedJudge]:
    folder = tmp_path_factory.mktemp("timed")
    line = 'timestamp = "when.at"'
    return {
        unit: judge_of(
            mapping_of(NESTED.replace(line, f'timestamp = {{ from = "at", as = "{unit}" }}'), folder)
        )
        for unit in ("s", "ms", "us", "sql")
    }


def view_at(judge: MappedJudge, literal: str) -> tuple[str | None, int | None]:
    line = (
        '{"what": "page_view", "who": {"user": "u", "visit": "s"}, "thing": {"id": "p"}, "at": '
        + literal
        + "}"
    )
    (verdict,) = judge.judge(line.encode())
    return verdict.problem, verdict.values[0] if verdict.values else None


@settings(max_examples=150, deadline=None)
@given(st.integers(0, LATEST_US), st.booleans())
def test_every_unit_says_the_same_instant_to_the_microsecond(
    timed: dict[str, MappedJudge], instant_us: int, is_text: bool
) -> None:
    seconds, fraction = divmod(instant_us, 1_000_000)
    moment = (oracle.EPOCH + timedelta(microseconds=instant_us)).replace(tzinfo=None)
    mark = '"' if is_text else ""
    said = {
        "s": f"{mark}{seconds}.{fraction:06}{mark}",
        "ms": f"{mark}{instant_us // 1000}.{instant_us % 1000:03}{mark}",
        "us": f"{mark}{instant_us}{mark}",
        "sql": f'"{moment.isoformat(" ", "microseconds")}{" UTC" if is_text else ""}"',
    }
    for unit, literal in said.items():
        assert view_at(timed[unit], literal) == (None, instant_us), (unit, literal)


@pytest.mark.parametrize(
    ("unit", "literal", "problem"),
    [
        ("s", "-1", "timestamp_out_of_range"),
        ("s", "1e30", "timestamp_out_of_range"),
        ("s", "-1e300", "timestamp_out_of_range"),
        ("s", "1e999999", "timestamp_out_of_range"),
        ("us", "999999999999999999999", "timestamp_out_of_range"),
        ("us", "1.5", "timestamp_invalid"),
        ("s", "1.00000000000000000000000000000000000001", "timestamp_invalid"),
        ("s", '"soon"', "timestamp_invalid"),
        ("s", '" 1"', "timestamp_invalid"),
        ("s", '""', "timestamp_empty"),
        ("s", "true", "timestamp_wrong_type"),
        ("s", "[1]", "timestamp_wrong_type"),
        ("s", "null", "timestamp_missing"),
        ("sql", "7", "timestamp_wrong_type"),
        ("sql", '"2025-06-31 00:00:00"', "timestamp_invalid"),
        ("sql", '"2025-06-01"', "timestamp_invalid"),
        ("sql", '"2025-06-01 10:00:00 CET"', "timestamp_invalid"),
    ],
)
def test_a_time_that_is_none_is_told(
    unit: str, literal: str, problem: str, timed: dict[str, MappedJudge]
) -> None:
    assert view_at(timed[unit], literal) == (problem, None)


@pytest.mark.parametrize("zone", ["+02", "+0200", "+02:00", " +02:00"])
def test_a_time_of_sql_may_have_an_offset(zone: str, timed: dict[str, MappedJudge]) -> None:
    there = view_at(timed["sql"], f'"2025-06-01 12:00:00{zone}"')
    assert there == view_at(timed["sql"], '"2025-06-01 10:00:00"') == (None, 1_748_772_000_000_000)


# --- Several products --------------------------------------------------------------------------------------

ITEMS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from(["p1", "p2", "p3"]),
            "count": st.integers(1, 4),
            "cost": st.sampled_from([0, 1, 2.5]),
        },
        optional={"group": st.sampled_from(["a", None]), "note": st.integers(0, 2)},
    ),
    min_size=1,
    max_size=8,
)


def order_of(items: Any, **more: Any) -> bytes:
    return json.dumps({**ORDER, "cart": {"no": 7, "lines": items}, **more}).encode()


@settings(max_examples=200, deadline=None)
@given(ITEMS)
def test_an_order_is_an_event_per_product_and_loses_no_piece(
    orders: MappedJudge, items: list[dict[str, Any]]
) -> None:
    pieces: dict[tuple[Any, ...], int] = {}
    notes: dict[tuple[Any, ...], list[dict[str, int]]] = {}
    for item in items:
        key = (item["id"], item.get("group"), Decimal(str(item["cost"])))
        pieces[key] = pieces.get(key, 0) + item["count"]
        notes.setdefault(key, [])
        if "note" in item:
            notes[key].append({"note": item["note"]})
    found, extras = {}, {}
    for verdict in orders.judge(order_of(items)):
        assert verdict.values is not None
        *shared, product, category, quantity, price, words = verdict.values
        assert (shared, words) == ([1_748_772_000_000_000, "u1", "s1", "purchase"], None)
        key = (product, category, price)
        assert key not in found
        found[key] = quantity
        extras[key] = json.loads(verdict.extra or "{}")["cart"]
    assert found == pieces
    assert extras == {key: {"no": 7, **({"lines": left} if left else {})} for key, left in notes.items()}


@settings(max_examples=100, deadline=None)
@given(ITEMS, st.sampled_from([("id", None), ("count", 0), ("cost", "x"), ("group", 3)]), st.integers(0, 8))
def test_one_bad_product_quarantines_the_whole_line(
    orders: MappedJudge, items: list[dict[str, Any]], bad: tuple[str, Any], at: int
) -> None:
    items.insert(at, {"id": "p1", "count": 1, "cost": 1} | dict([bad]))
    (verdict,) = orders.judge(order_of(items))
    reasons = {
        "id": "product_id_missing",
        "count": "quantity_out_of_range",
        "cost": "price_wrong_type",
        "group": "category_wrong_type",
    }
    assert (verdict.problem, verdict.values) == (reasons[bad[0]], None)


@pytest.mark.parametrize(
    ("items", "problem"),
    [
        ({"id": "p"}, "items_wrong_type"),
        ("p", "items_wrong_type"),
        ([{"id": "p", "count": 1, "cost": 1}, "p"], "items_wrong_type"),
        ([[]], "items_wrong_type"),
        ([], "product_id_missing, quantity_missing, price_missing"),
        (None, "product_id_missing, quantity_missing, price_missing"),
        ([{}], "product_id_missing, quantity_missing, price_missing"),
        ([{"count": 1, "cost": 1}, {"id": "p"}], "product_id_missing, quantity_missing, price_missing"),
        (
            [{"id": "p", "count": 2**31 - 1, "cost": 1}, {"id": "p", "count": 1, "cost": 1}],
            "quantity_out_of_range",
        ),
    ],
)
def test_products_that_are_none_are_told(items: Any, problem: str, orders: MappedJudge) -> None:
    assert [verdict.problem for verdict in orders.judge(order_of(items))] == [problem]


def test_an_order_of_a_day_that_is_gone_has_that_reason_only_where_nothing_else_is_wrong(
    tmp_path: Path,
) -> None:
    mapping = mapping_of(ORDERS, tmp_path)
    judge = MappedJudge(EventRules(mapping=mapping, earliest_us=1_748_772_000_000_001), mapping, LATEST_US)
    right, wrong = {"id": "p", "count": 1, "cost": 1}, {"id": "p", "count": 0, "cost": 1}
    for items, problem in (
        ([right, {**right, "id": "q"}], "past_retention"),
        ([right, wrong], "quantity_out_of_range"),
        ([wrong, right], "quantity_out_of_range"),
    ):
        assert [verdict.problem for verdict in judge.judge(order_of(items))] == [problem]


def test_a_line_cannot_grow_without_bound(orders: MappedJudge) -> None:
    items = [{"id": f"p{n}", "count": 1, "cost": 1} for n in range(2000)]
    assert len(orders.judge(order_of(items))) == 2000
    for shared in ({"note": "x" * 50_000}, {"user": "u" * 50_000}):
        line = order_of(items, **shared)
        assert [verdict.problem for verdict in orders.judge(line)] == ["items_too_many"]
        few = orders.judge(order_of(items[:20], **shared))
        assert len(few) == 20
        size = sum(len(str(verdict.values)) + len(verdict.extra or "") for verdict in few)
        assert size < 2 * mapped.MAX_GROWTH * len(line)


# --- Fields ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "said", "found", "left"),
    [
        ('["a", "b"]', {"a": None, "b": "x"}, "x", {}),
        ('["a", "b"]', {"a": "y", "b": "x"}, "y", {"b": "x"}),
        ('["a", "b"]', {"a": "-", "b": "x"}, "x", {"a": "-"}),
        ('"a"', {"a": "-"}, None, {"a": "-"}),
        ('{ from = "a", default = "d" }', {"a": "-"}, "d", {"a": "-"}),
        ('{ from = "a", default = "d" }', {"a": "x"}, "x", {}),
        ('{ from = "a", as = "text" }', {"a": 12}, "12", {}),
        (
            '{ from = ["a", "b.c"], joined_by = "." }',
            {"a": "x", "b": {"c": 3, "d": 4}},
            "x.3",
            {"b": {"d": 4}},
        ),
        ('{ from = ["a", "b"], joined_by = "." }', {"a": "x"}, None, {}),
        ('{ from = "a", joined_by = " " }', {"a": ["x", 1, "y"]}, "x 1 y", {}),
        ('{ from = "a", joined_by = " " }', {"a": []}, None, {}),
        ('"a[1].b"', {"a": [{}, {"b": "x"}]}, "x", {"a": [{}, {"b": "x"}]}),
        ('"a[2].b"', {"a": [{}, {"b": "x"}]}, None, {"a": [{}, {"b": "x"}]}),
        ('"a[k=v].b"', {"a": [{"k": "w", "b": "y"}, 1, {"k": "v", "b": "x"}]}, "x", "all"),
        ('"a.b"', {"a": [{"b": "x"}]}, None, "all"),
        ('"a[0]"', {"a": {"0": "x"}}, None, "all"),
        ("""'"a.b"'""", {"a.b": "x"}, "x", {}),
    ],
)
def test_a_field_is_found_and_what_is_not_read_stays_as_extra(
    source: str, said: dict[str, Any], found: str | None, left: Any, tmp_path: Path
) -> None:
    text = 'nothing = "-"' + NESTED.replace('search_query = "words"', f"search_query = {source}")
    base = {"when": {"at": "2025-06-01T10:00:00Z"}, "what": "search", "who": {"user": "u", "visit": "s"}}
    (verdict,) = judge_of(mapping_of(text, tmp_path)).judge(json.dumps({**base, **said}).encode())
    assert verdict.problem is None
    assert verdict.values is not None
    assert verdict.values[-1] == found
    assert json.loads(verdict.extra or "{}") == (said if left == "all" else left)


def test_numbers_that_are_not_read_stay_to_the_last_digit(nested: MappedJudge) -> None:
    line = moved({"timestamp": '"2025-06-01T10:00:00Z"', "event_type": '"search"', "user_id": '"u"'})
    line = line.replace('"user"', '"visit": "s", "n": 1.10000000000000000001, "user"')
    (verdict,) = nested.judge(line.encode())
    assert verdict.extra == '{"who": {"n": 1.10000000000000000001}}'


# --- Lines -------------------------------------------------------------------------------------------------


def mixed_lines(path: Path, rng: Random) -> bytes:
    """Return lines of a sample in any order, some of them damaged, some blank."""
    lines = path.read_bytes().split(b"\n")
    found = []
    for _ in range(40):
        line = bytearray(rng.choice(lines))
        if line and rng.random() < 0.5:
            line[rng.randrange(len(line))] = rng.choice(b'\x00\xff"{}[],:0 ')
        found.append(bytes(line))
    return b"\n".join(found)


@pytest.mark.parametrize("name", FORMATS)
def test_every_line_is_accounted_for_wherever_a_block_ends(name: str, tmp_path: Path) -> None:
    rng = Random(name)
    mapping = read_mapping(name, tmp_path, EVENT_TYPES)
    assert mapping is not None
    rules = EventRules(mapping=mapping, optional=frozenset({"session_id"}))
    latest_us = oracle.microseconds(datetime(2026, 2, 1, tzinfo=UTC))
    unfolded = 0
    for _ in range(10):
        text = mixed_lines(FORMATS[name], rng)
        lines = text.split(b"\n")
        parser = MappedParser(rules, mapping, latest_us)
        rows = parser.parse(text, 11).to_pylist()
        more = parser.line_count - len(lines)
        assert parser.line_count == parser.blank_count + parser.valid_count + parser.quarantined_count
        assert len(rows) == parser.valid_count + parser.quarantined_count
        bad = {row["line_number"]: row["raw"] for row in rows if row["problem"]}
        assert len(bad) == parser.quarantined_count
        assert all(lines[number - 11] == raw for number, raw in bad.items())
        # A good line is one event or more, each other one exactly one row or blank.
        good = len(lines) - parser.blank_count - len(bad)
        assert parser.valid_count == good + more
        unfolded += more
        cut = rng.randrange(len(lines))
        parts = MappedParser(rules, mapping, latest_us)
        halves = [
            *parts.parse(b"\n".join(lines[:cut]), 11).to_pylist(),
            *(parts.parse(b"\n".join(lines[cut:]), 11 + cut).to_pylist()),
        ]
        if cut:  # else the first half is a line of its own, a blank one
            assert halves == rows
    assert (unfolded > 0) == (name != "rees46-csv")


def test_a_long_line_of_another_format_is_cut_like_any_other(tmp_path: Path) -> None:
    mapping = read_mapping("segment", tmp_path, EVENT_TYPES)
    file = tmp_path / "calls.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"type": "page"}\n' + b"x" * 3_000_000 + b"\n{}"))
    (tmp_path / "staging").mkdir()
    landing = landing_of(file, tmp_path / "staging")
    landed = land_one(type(landing)(**{**vars(landing), "rules": EventRules(mapping=mapping), "threads": 2}))
    assert (landed.entry.lines, landed.entry.quarantined) == (3, 3)
    assert landed.reasons == {
        "event_type_ignored": 1,
        "line_too_long": 1,
        "timestamp_missing": 1,
        "user_id_missing": 1,
        "session_id_missing": 1,
        "event_type_missing": 1,
    }
