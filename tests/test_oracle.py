"""The oracle is the yardstick, so what it says is checked here against numbers worked out by hand."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from random import Random
from typing import Any

import hostile
import oracle
import pytest

NOW = datetime(2025, 6, 15, 12, 30, tzinfo=UTC)
DAY_1, DAY_2 = date(2025, 6, 1), date(2025, 6, 2)


def line(**fields: Any) -> bytes:
    """Return a valid page view, with these fields changed."""
    event = {
        "timestamp": "2025-06-01T10:00:00Z",
        "user_id": "u1",
        "session_id": "s1",
        "event_type": "page_view",
        "product_id": "p1",
        **fields,
    }
    return json.dumps(event).encode()


def file(*lines: bytes) -> bytes:
    return b"\n".join(lines) + b"\n"


# --- JSON ------------------------------------------------------------------------------------------------

JSON_TEXTS = (
    *(
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1.5e+3",
        "0.1E-2",
        "[]",
        "{}",
        '""',
        " [ ] ",
        "\t{\r}\n",
        "[[],{}]",
    ),
    *(
        '{"a":1,"b":[2,{"c":null}]}',
        r'"\"\\\/\b\f\n\r\t\u0041\u00e9"',
        r'"\ud83d\ude00"',
        '"\u2028\x7f"',
        "1e400",
    ),
    *('{"a":1,"a":2}', '"\ufeff"', r'"\uFFFF"', "9" * 5000),
)
NOT_JSON_TEXTS = (
    *(
        "",
        " ",
        "nul",
        "NaN",
        "-Infinity",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "-",
        "0x1",
        "1_0",
        "[1,]",
        "[,1]",
        "[1 2]",
    ),
    *(
        '{"a":1,}',
        "{,}",
        '{"a"}',
        '{"a":}',
        "{a:1}",
        "{1:1}",
        "'a'",
        '"a',
        '"\t"',
        r'"\x"',
        r'"\u12"',
        r'"\ud800"',
    ),
    *(
        r'"\udc00"',
        r'"\ud800\u0041"',
        "[",
        "]",
        "[}",
        "{]",
        "1 1",
        "{}{}",
        "[]]",
        "\ufeff1",
        "\x0b1",
        "1\x00",
    ),
    *("\u00a01", "1\u2028", "\u0661", "tru", "truefalse", "[1]x", '"a""b"', "[1:2]", '{"a","b"}', "//x\n1"),
)


@pytest.mark.parametrize("text", JSON_TEXTS)
def test_a_json_text_is_recognised(text: str) -> None:
    assert oracle.json_depth(text) is not None


@pytest.mark.parametrize("text", NOT_JSON_TEXTS)
def test_anything_else_is_refused(text: str) -> None:
    assert oracle.json_depth(text) is None


@pytest.mark.parametrize(
    ("text", "depth"),
    [("1", 0), ("[]", 1), ('{"a":[]}', 2), ("[[],[[]],[]]", 3), ("[" * 100_000 + "]" * 100_000, 100_000)],
)
def test_depth_counts_open_brackets(text: str, depth: int) -> None:
    assert oracle.json_depth(text) == depth


def test_the_recogniser_agrees_with_the_standard_library_on_damaged_texts() -> None:
    rng = Random(20250615)
    accepted = 0
    for _ in range(20_000):
        text = rng.choice(JSON_TEXTS[:18])
        for _ in range(rng.randint(1, 3)):
            at = rng.randint(0, len(text))
            text = text[:at] + rng.choice('{}[]:,"\\u0e-. atrfn\x00\x0b') + text[at + rng.randint(0, 1) :]
        accepted += oracle.json_depth(text) is not None
        if "\\ud" not in text:  # the library lets lone surrogates pass, the recogniser must not
            assert (oracle.json_depth(text) is not None) == library_reads(text), text
    assert accepted > 1_000


def library_reads(text: str) -> bool:
    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        json.loads(text, parse_constant=refuse)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("one", "other"), [("1", "1.0"), ("100", "1e2"), ("0.5", "5E-1"), ("0", "-0.0e9"), ("1e400", "10e399")]
)
def test_numbers_are_equal_when_their_exact_values_are(one: str, other: str) -> None:
    assert oracle.parse_json(one) == oracle.parse_json(other)
    assert oracle.canonical_json(oracle.parse_json(one)) == oracle.canonical_json(oracle.parse_json(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [("1", "-1"), ("1", "true"), ("0.1", "0.1000000000000000055"), ("1e400", "1e401"), ("0", "null")],
)
def test_numbers_of_other_values_differ(one: str, other: str) -> None:
    assert oracle.parse_json(one) != oracle.parse_json(other)
    assert oracle.canonical_json(oracle.parse_json(one)) != oracle.canonical_json(oracle.parse_json(other))


def test_the_canonical_text_forgets_the_order_of_keys() -> None:
    one, other = (
        oracle.parse_json('{"a":[1,{"b":"x","c":null}],"d":true}'),
        oracle.parse_json('{"d":true,"a":[1.0,{"c":null,"b":"\\u0078"}]}'),
    )
    assert oracle.canonical_json(one) == oracle.canonical_json(other)


# --- A line ----------------------------------------------------------------------------------------------


def test_a_valid_line_has_all_its_values() -> None:
    verdict = oracle.judge(
        b'{"timestamp":"1970-01-02T01:00:00.5+01:00","user_id":"u","session_id":"s","event_type":"purchase",'
        b'"product_id":"p","quantity":2,"price":1.050e1,"search_query":"","colour":"red","tags":[1]}\r',
        now=NOW,
    )
    assert verdict == oracle.OracleVerdict(
        blank=False,
        reasons=(),
        values={
            "timestamp": 86_400_500_000,
            "user_id": "u",
            "session_id": "s",
            "event_type": "purchase",
            "product_id": "p",
            "category": None,
            "quantity": 2,
            "price": Decimal("10.5"),
            "search_query": "",
            "extra": {"colour": "red", "tags": [oracle.JsonNumber("1")]},
        },
    )


def test_a_line_without_unknown_fields_has_no_extra() -> None:
    values = oracle.judge(line(), now=NOW).values
    assert values is not None
    assert values["extra"] is None


@pytest.mark.parametrize("text", [b"", b" ", b"\t\r", b" " * 2_000_000])
def test_white_space_alone_is_a_blank_line(text: bytes) -> None:
    assert oracle.judge(text, now=NOW) == oracle.OracleVerdict(blank=True, reasons=(), values=None)


def test_a_quarantined_line_has_all_its_reasons_in_the_order_of_the_fields() -> None:
    verdict = oracle.judge(line(search_query=1, price=-1, quantity=0, user_id="", timestamp="now"), now=NOW)
    assert verdict.reasons == (
        "timestamp_invalid",
        "user_id_empty",
        "quantity_out_of_range",
        "price_out_of_range",
        "search_query_wrong_type",
    )
    assert verdict.problem == ", ".join(verdict.reasons)
    assert verdict.values is None


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1970-01-01T00:00:00.1Z", 100_000),
        ("1969-12-31T23:59:00-00:01", 0),
        ("2000-03-01T00:00:00Z", 951_868_800_000_000),
        ("2024-02-29T23:59:59.999999Z", 1_709_251_199_999_999),
        ("2025-06-16T12:30:00Z", 1_750_077_000_000_000),
    ],
)
def test_a_timestamp_is_an_instant_in_microseconds(text: str, microseconds: int) -> None:
    values = oracle.judge(line(timestamp=text), now=NOW).values
    assert values is not None
    assert values["timestamp"] == microseconds


def test_the_window_closes_24_hours_from_now() -> None:
    assert oracle.judge(line(timestamp="2025-06-16T12:30:00.000000Z"), now=NOW).reasons == ()
    assert oracle.judge(line(timestamp="2025-06-16T12:30:00.000001Z"), now=NOW).reasons == (
        "timestamp_out_of_range",
    )
    assert oracle.judge(
        line(timestamp="2025-06-16T12:30:00Z"), now=NOW.replace(minute=29, second=59, microsecond=999_999)
    ).reasons == ("timestamp_out_of_range",)


def test_settings_change_what_is_required_and_known() -> None:
    anonymous = line(user_id=None, event_type="wishlist")
    assert oracle.judge(anonymous, now=NOW).reasons == ("user_id_missing", "event_type_unknown")
    assert (
        oracle.judge(
            anonymous, now=NOW, optional=frozenset({"user_id"}), event_types=("page_view", "wishlist")
        ).reasons
        == ()
    )
    assert oracle.judge(line(user_id=""), now=NOW, optional=frozenset({"user_id"})).reasons == (
        "user_id_empty",
    )


# --- A file ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"", []),
        (b"\n", [b""]),
        (b"a", [b"a"]),
        (b"a\n", [b"a"]),
        (b"a\n\n", [b"a", b""]),
        (b"a\r\nb\r", [b"a\r", b"b\r"]),
        (b"a\rb\x0b\x0c\x1c\xc2\x85\xe2\x80\xa8c", [b"a\rb\x0b\x0c\x1c\xc2\x85\xe2\x80\xa8c"]),
        (b"\xef\xbb\xbf", []),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb", [b"a", b"\xef\xbb\xbfb"]),
        (b"\xef\xbb\xbf\xef\xbb\xbfa", [b"\xef\xbb\xbfa"]),
    ],
)
def test_a_file_is_split_at_newlines_only(text: bytes, lines: list[bytes]) -> None:
    assert oracle.split_lines(text) == lines


# --- A lake ----------------------------------------------------------------------------------------------

VIEW_OF_P1 = line(category="books")
VIEW_OF_P1_WITHOUT_CATEGORY = line(timestamp="2025-06-01T10:05:00Z", user_id="u2", session_id="s2")
CART = line(
    timestamp="2025-06-01T10:10:00Z", event_type="add_to_cart", category="books", quantity=2, price=10.5
)
PURCHASE = line(
    timestamp="2025-06-01T10:20:00Z", event_type="purchase", category="books", quantity=2, price=10.5
)
PURCHASE_AGAIN = PURCHASE.replace(b"10:20:00Z", b"12:20:00.000+02:00").replace(b"10.5", b"10.50")
PURCHASE_OF_ONE = PURCHASE.replace(b'"quantity": 2', b'"quantity": 1')
VIEW_OF_P2 = line(
    timestamp="2025-06-01T11:00:00Z", user_id="u3", session_id="s3", product_id="p2", category="toys"
)
SEARCH = line(
    timestamp="2025-06-01T11:30:00Z", user_id="u3", session_id="s3", event_type="search", product_id=None
)
SEARCH_OF_P3 = line(
    timestamp="2025-06-01T23:59:59.999999Z",
    user_id="u3",
    session_id="s3",
    event_type="search",
    product_id="p3",
    category="toys",
)
PURCHASE_NEXT_DAY = line(
    timestamp="2025-06-01T23:30:00-01:00",
    session_id="s4",
    event_type="purchase",
    product_id="p2",
    quantity=3,
    price=0.000001,
)
FILES = {
    "one": file(
        VIEW_OF_P1, VIEW_OF_P1_WITHOUT_CATEGORY, CART, PURCHASE, b" \r", b"{", line(user_id=1, price="x")
    ),
    "two": file(PURCHASE_AGAIN, PURCHASE_OF_ONE, VIEW_OF_P2, SEARCH, line(user_id="")),
    "three": file(SEARCH_OF_P3, PURCHASE_NEXT_DAY),
}


def test_every_line_of_a_lake_is_accounted_for() -> None:
    lake = oracle.lake(FILES, now=NOW)
    assert (lake.lines, lake.blank, lake.valid, lake.quarantined) == (14, 1, 10, 3)
    assert (lake.duplicates, len(lake.events)) == (1, 9)
    assert lake.quarantined_by_reason == {
        "json_invalid": 1,
        "price_wrong_type": 1,
        "user_id_empty": 1,
        "user_id_wrong_type": 1,
    }


def test_the_funnel_counts_each_product_and_day() -> None:
    def row(*values: object) -> dict[str, object]:
        columns = ("event_date", "product_id", "category", "views", "add_to_carts", "purchases", "revenue")
        rates = ("view_to_cart_rate", "cart_to_purchase_rate", "view_to_purchase_rate")
        return dict(zip(columns + rates, values, strict=True))

    assert oracle.lake(FILES, now=NOW).conversion_funnel == [
        row(DAY_1, "p1", "books", 2, 1, 2, Decimal("31.5"), 0.5, 2.0, 1.0),
        row(DAY_1, "p2", "toys", 1, 0, 0, Decimal(0), 0.0, None, 0.0),
        row(DAY_1, "p3", "toys", 0, 0, 0, Decimal(0), None, None, None),
        row(DAY_2, "p2", "(none)", 0, 0, 1, Decimal("0.000003"), None, None, None),
    ]


def test_revenue_has_a_row_for_each_hour_with_a_purchase() -> None:
    def row(*values: object) -> dict[str, object]:
        columns = ("event_date", "event_hour", "total_revenue", "transaction_count", "units")
        return dict(zip(columns, values, strict=True))

    assert oracle.lake(FILES, now=NOW).hourly_revenue == [
        row(DAY_1, 10, Decimal("31.5"), 2, 3),
        row(DAY_2, 0, Decimal("0.000003"), 1, 3),
    ]


def test_top_products_are_those_with_a_view() -> None:
    def row(*values: object) -> dict[str, object]:
        columns = ("event_date", "rank", "product_id", "category", "view_count")
        return dict(zip(columns, values, strict=True))

    assert oracle.lake(FILES, now=NOW).top_products == [
        row(DAY_1, 1, "p1", "books", 2),
        row(DAY_1, 2, "p2", "toys", 1),
    ]


def test_categories_count_the_category_of_each_event_itself() -> None:
    def row(*values: object) -> dict[str, object]:
        counts = (
            "events",
            "page_views",
            "add_to_carts",
            "remove_from_carts",
            "purchases",
            "searches",
            "revenue",
        )
        return dict(zip(("event_date", "category", *counts), values, strict=True))

    assert oracle.lake(FILES, now=NOW).category_performance == [
        row(DAY_1, "(none)", 2, 1, 0, 0, 0, 1, Decimal(0)),
        row(DAY_1, "books", 4, 1, 1, 0, 2, 0, Decimal("31.5")),
        row(DAY_1, "toys", 2, 1, 0, 0, 0, 1, Decimal(0)),
        row(DAY_2, "(none)", 1, 0, 0, 0, 1, 0, Decimal("0.000003")),
    ]


def test_user_activity_counts_people_once_a_day() -> None:
    assert oracle.lake(FILES, now=NOW).user_activity == [
        {"event_date": DAY_1, "unique_users": 3, "unique_sessions": 3, "events": 8},
        {"event_date": DAY_2, "unique_users": 1, "unique_sessions": 1, "events": 1},
    ]


def test_the_order_of_files_changes_nothing() -> None:
    lakes = [oracle.lake(texts, now=NOW) for texts in permutations(FILES.values())]
    assert all(lake == lakes[0] for lake in lakes)


def test_no_files_make_an_empty_lake() -> None:
    lake = oracle.lake([], now=NOW)
    assert (lake.lines, lake.events, lake.conversion_funnel, lake.user_activity) == (0, [], [], [])


def test_missing_ids_are_not_counted_as_people() -> None:
    text = file(line(user_id=None), line(session_id=None), line())
    lake = oracle.lake([text], now=NOW, optional=frozenset({"user_id", "session_id"}))
    assert lake.user_activity == [{"event_date": DAY_1, "unique_users": 1, "unique_sessions": 1, "events": 3}]


def test_null_and_absent_are_the_same_but_null_and_empty_are_not() -> None:
    lake = oracle.lake([file(line(), line(category=None), line(category=""))], now=NOW)
    assert (lake.duplicates, len(lake.events)) == (1, 2)
    assert [row["category"] for row in lake.category_performance] == ["", "(none)"]


def test_unknown_fields_do_not_tell_two_events_apart() -> None:
    assert oracle.lake([file(line(colour="red"), line(colour="blue"), line())], now=NOW).duplicates == 2


def test_a_key_keeps_the_smallest_event_whatever_came_first() -> None:
    same_key = [
        line(category=category, price=price)
        for category, price in [(None, 1), ("b", 2), ("b", 1.0), ("c", 0)]
    ]
    for lines in permutations(same_key):
        lake = oracle.lake([file(*lines)], now=NOW, dedup=("user_id", "timestamp"))
        assert (lake.duplicates, len(lake.events)) == (3, 1)
        assert (lake.events[0]["category"], lake.events[0]["price"]) == ("b", 1)


def test_a_key_takes_null_for_equal_to_null() -> None:
    lake = oracle.lake([file(line(category="a"), line(category="b"))], now=NOW, dedup=("search_query",))
    assert [event["category"] for event in lake.events] == ["a"]


def test_events_are_sorted_by_bytes_with_none_last() -> None:
    categories = ["\U0001f600", None, "\uffee", "b", "B", "", "\u00e9"]
    lake = oracle.lake([file(*(line(category=category) for category in categories))], now=NOW)
    assert [event["category"] for event in lake.events] == [
        "",
        "B",
        "b",
        "\u00e9",
        "\uffee",
        "\U0001f600",
        None,
    ]


def test_a_tie_of_categories_goes_to_the_smallest_by_bytes() -> None:
    text = file(line(category="b"), line(category="\u00e9"), line(category="B"), line(category=None))
    assert oracle.lake([text], now=NOW).conversion_funnel[0]["category"] == "(none)"
    text = file(line(category="b"), line(category="\u00e9"), line(category="B"))
    assert oracle.lake([text], now=NOW).conversion_funnel[0]["category"] == "B"


def test_the_text_none_and_no_category_are_one_category() -> None:
    text = file(
        line(category="(none)"), line(category=None), line(category="a"), line(user_id="u2", category="a")
    )
    lake = oracle.lake([text], now=NOW)
    assert [(row["category"], row["events"]) for row in lake.category_performance] == [
        ("(none)", 2),
        ("a", 2),
    ]
    assert lake.conversion_funnel[0]["category"] == "(none)"


def test_ten_products_a_day_are_ranked_and_ties_go_by_bytes() -> None:
    products = [f"p{n}" for n in range(12)] + ["P", "\u00e9"]
    text = file(*(line(product_id=product) for product in products), line(product_id="\u00e9", user_id="u2"))
    top = oracle.lake([text], now=NOW).top_products
    assert [row["rank"] for row in top] == list(range(1, 11))
    assert [row["product_id"] for row in top] == [
        "\u00e9",
        "P",
        "p0",
        "p1",
        "p10",
        "p11",
        "p2",
        "p3",
        "p4",
        "p5",
    ]


def test_sums_of_money_are_exact() -> None:
    dear = line(event_type="purchase", quantity=2_147_483_647, price=1).replace(
        b'"price": 1', b'"price": 999999999.999999'
    )
    cheap = line(event_type="purchase", quantity=1).replace(b'"quantity"', b'"price": 1e-6, "quantity"')
    lake = oracle.lake([file(dear, cheap)], now=NOW)
    assert lake.hourly_revenue[0]["total_revenue"] == Decimal("2147483646999997852.516353") + Decimal(
        "0.000001"
    )


# --- The hostile lines -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", hostile.CLASSES)
def test_a_hostile_class_is_one_line_and_the_same_for_the_same_seed(name: str) -> None:
    made = hostile.CLASSES[name](Random(7))
    assert made == hostile.CLASSES[name](Random(7))
    assert b"\n" not in made


def test_hostile_lines_reach_every_reason_and_every_outcome() -> None:
    verdicts = [
        oracle.judge(make(Random(seed)), now=hostile.NOW)
        for name, make in hostile.CLASSES.items()
        for seed in range(1 if name in hostile.HEAVY else 20)
    ]
    assert {reason for verdict in verdicts for reason in verdict.reasons} == set(oracle.REASONS)
    assert sum(verdict.blank for verdict in verdicts) > 10
    assert sum(verdict.values is not None for verdict in verdicts) > 1_000


def test_good_lines_are_valid_and_of_every_type() -> None:
    rng = Random(3)
    verdicts = [oracle.judge(hostile.good_line(rng), now=hostile.NOW) for _ in range(500)]
    assert all(verdict.values is not None for verdict in verdicts)
    assert {verdict.values["event_type"] for verdict in verdicts if verdict.values} == set(oracle.EVENT_TYPES)


def test_mutated_lines_come_with_the_name_of_their_class() -> None:
    rng = Random(5)
    names = {hostile.mutated(rng)[0] for _ in range(3_000)}
    assert names <= hostile.CLASSES.keys()
    assert len(names) > 200


def test_now_is_the_same_for_the_oracle_and_the_hostile_lines() -> None:
    assert NOW == hostile.NOW
    assert oracle.microseconds(hostile.NOW) == (NOW - oracle.EPOCH) / timedelta(microseconds=1)
    assert hostile.MAX_LINE_BYTES == oracle.MAX_LINE_BYTES
