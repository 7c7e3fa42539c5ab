"""The judge against the contract: first by example, then against the oracle on everything hostile we know."""

from __future__ import annotations

import json
from decimal import Decimal
from random import Random

import hostile
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventmint.bronze.judge import judge_line
from eventmint.values import EventRules

RULES = EventRules()
LATEST_US = oracle.microseconds(hostile.NOW) + 86_400_000_000

GOOD = {
    "timestamp": '"2025-06-01T10:20:30.123Z"',
    "user_id": '"u1"',
    "session_id": '"s1"',
    "event_type": '"page_view"',
    "product_id": '"p1"',
}
CART = {**GOOD, "event_type": '"add_to_cart"', "quantity": "1"}
PURCHASE = {**CART, "event_type": '"purchase"', "price": "10.50"}
SEARCH = {key: value for key, value in GOOD.items() if key != "product_id"} | {"event_type": '"search"'}


def line_of(members: dict[str, str], **changes: str | None) -> bytes:
    """Return the line of these members, JSON texts all; a change to None leaves the member out."""
    changed = {key: value for key, value in {**members, **changes}.items() if value is not None}
    return ("{" + ",".join(f'"{key}":{value}' for key, value in changed.items()) + "}").encode()


def assert_judged_like_the_oracle(line: bytes, rules: EventRules = RULES) -> None:
    expected = oracle.judge(
        line,
        now=hostile.NOW,
        optional=rules.optional,
        event_types=rules.event_types,
        max_line_bytes=rules.max_line_bytes,
    )
    if expected.blank:
        return  # the judge is never asked about a blank line
    verdict = judge_line(line, rules, LATEST_US)
    shown = line[:300]
    assert verdict.problem == expected.problem, shown
    if expected.values is None:
        assert verdict.values is None, shown
        return
    assert verdict.values == tuple(expected.values[field] for field in oracle.FIELDS), shown
    if expected.values["extra"] is None:
        assert verdict.extra is None, shown
    else:
        assert verdict.extra is not None, shown
        assert oracle.canonical_json(oracle.parse_json(verdict.extra)) == oracle.canonical_json(
            expected.values["extra"]
        ), shown


# --- The contract by example -----------------------------------------------------------------------------

DEEP_32 = "[" * 31 + "]" * 31
DEEP_33 = "[" * 32 + "]" * 32
CAP = 1_048_576
EVERYTHING_MISSING = (
    "timestamp_missing, user_id_missing, session_id_missing, "
    "product_id_missing, quantity_missing, price_missing"
)
EVERYTHING_WRONG_LINE = (
    b'{"search_query":1,"price":-1,"quantity":"1","category":1,"product_id":1,"event_type":"x",'
    b'"session_id":"","user_id":null,"timestamp":"x"}'
)
EVERYTHING_WRONG = (
    "timestamp_invalid, user_id_missing, session_id_empty, event_type_unknown, product_id_wrong_type, "
    "category_wrong_type, quantity_wrong_type, price_out_of_range, search_query_wrong_type"
)

# What the line is about -> the line, its reasons.
EXAMPLES: dict[str, tuple[bytes, str | None]] = {
    "a page view": (line_of(GOOD), None),
    "a cart event": (line_of(CART), None),
    "a purchase": (line_of(PURCHASE), None),
    "a search needs no product": (line_of(SEARCH), None),
    "a search may have a product": (line_of(SEARCH, product_id='"p1"'), None),
    "optional fields may be null": (line_of(GOOD, category="null", quantity="null", price="null"), None),
    "an unknown field": (line_of(GOOD, colour='"red"'), None),
    "a carriage return at the end": (line_of(GOOD) + b"\r", None),
    "spaces between the tokens": (b' { "a" : [ 1 , 2 ] , ' + line_of(GOOD)[1:] + b"\t", None),
    # The line as a whole. Each of these reasons stands alone.
    "a line at the cap": (line_of(GOOD, x='"' + "x" * (CAP - len(line_of(GOOD, x='""'))) + '"'), None),
    "a line above the cap": (
        line_of(GOOD, x='"' + "x" * (CAP - len(line_of(GOOD, x='""')) + 1) + '"'),
        "line_too_long",
    ),
    "a long line that is not UTF-8": (b"\xff" * (CAP + 1), "line_too_long"),
    "a byte that is not UTF-8": (b'{"user_id":"\xff"}', "not_utf8"),
    "an overlong encoding": (b'{"user_id":"\xc0\xaf"}', "not_utf8"),
    "an encoded surrogate": (b'{"user_id":"\xed\xa0\x80"}', "not_utf8"),
    "words": (b"hello", "json_invalid"),
    "half a line": (line_of(GOOD)[:40], "json_invalid"),
    "two objects": (line_of(GOOD) * 2, "json_invalid"),
    "a trailing comma": (b'{"a":1,}', "json_invalid"),
    "a lone surrogate": (line_of(GOOD, user_id=r'"\ud800"'), "json_invalid"),
    "a lone surrogate in an unknown field": (line_of(GOOD, x=r'{"\udc00":1}'), "json_invalid"),
    "a byte order mark": (b"\xef\xbb\xbf" + line_of(GOOD), "json_invalid"),
    "a control character in a string": (line_of(GOOD, user_id='"a\tb"'), "json_invalid"),
    "a form feed": (b"\x0c", "json_invalid"),
    "a no-break space": ("\u00a0".encode(), "json_invalid"),
    "deep and not closed": (b"[" * 33, "nesting_too_deep"),
    "a duplicate key and trailing data": (b'{"a":1,"a":1}x', "json_invalid"),
    "32 levels": (line_of(GOOD, x=DEEP_32), None),
    "33 levels": (line_of(GOOD, x=DEEP_33), "nesting_too_deep"),
    "100,000 levels": (b"[" * 100_000 + b"]" * 100_000, "nesting_too_deep"),
    "a deep array": (DEEP_33.encode() + b"\r", "not_an_object"),
    "a duplicate key at 33 levels": (
        line_of(GOOD, x="[" * 31 + '{"a":1,"a":1}' + "]" * 31),
        "nesting_too_deep",
    ),
    "an array": (b"[1]", "not_an_object"),
    "null": (b"null", "not_an_object"),
    "a number": (b"1e400", "not_an_object"),
    "an array with a duplicate key": (b'[{"a":1,"a":1}]', "not_an_object"),
    "the same key twice": (line_of(GOOD)[:-1] + b',"user_id":"u1"}', "duplicate_key"),
    "the same key by an escape": (line_of(GOOD)[:-1] + rb',"\u0075ser_id":"u1"}', "duplicate_key"),
    "the same key twice below": (line_of(GOOD, x='[{"a":1,"a":2}]'), "duplicate_key"),
    "the same key at two levels": (line_of(GOOD, x='{"x":{"user_id":1}}'), None),
    "keys that differ in case": (line_of(GOOD, x="1", X="2", User_ID="3"), None),
    # timestamp
    "no timestamp": (line_of(GOOD, timestamp=None), "timestamp_missing"),
    "a null timestamp": (line_of(GOOD, timestamp="null"), "timestamp_missing"),
    "an epoch": (line_of(GOOD, timestamp="1748773230"), "timestamp_wrong_type"),
    "an empty timestamp": (line_of(GOOD, timestamp='""'), "timestamp_empty"),
    "a timestamp without zone": (line_of(GOOD, timestamp='"2025-06-01T10:20:30"'), "timestamp_no_zone"),
    "a wrong day without zone": (line_of(GOOD, timestamp='"2025-02-30T10:20:30"'), "timestamp_invalid"),
    "30 February": (line_of(GOOD, timestamp='"2024-02-30T10:20:30Z"'), "timestamp_invalid"),
    "29 February": (line_of(GOOD, timestamp='"2024-02-29T10:20:30Z"'), None),
    "a leap second": (line_of(GOOD, timestamp='"2016-12-31T23:59:60Z"'), "timestamp_invalid"),
    "24 o'clock": (line_of(GOOD, timestamp='"2025-06-01T24:00:00Z"'), "timestamp_invalid"),
    "a space for the T": (line_of(GOOD, timestamp='"2025-06-01 10:20:30Z"'), "timestamp_invalid"),
    "a small z": (line_of(GOOD, timestamp='"2025-06-01T10:20:30z"'), "timestamp_invalid"),
    "a newline after the Z": (line_of(GOOD, timestamp=r'"2025-06-01T10:20:30Z\n"'), "timestamp_invalid"),
    "six decimals": (line_of(GOOD, timestamp='"2025-06-01T10:20:30.123456Z"'), None),
    "seven decimals": (line_of(GOOD, timestamp='"2025-06-01T10:20:30.1234567Z"'), "timestamp_invalid"),
    "Arabic digits": (
        line_of(GOOD, timestamp='"\u0662\u0660\u0662\u0665-06-01T10:20:30Z"'),
        "timestamp_invalid",
    ),
    "the largest offset": (line_of(GOOD, timestamp='"2025-06-01T10:20:30-23:59"'), None),
    "an offset of 24 hours": (line_of(GOOD, timestamp='"2025-06-01T10:20:30+24:00"'), "timestamp_invalid"),
    "an offset without colon": (line_of(GOOD, timestamp='"2025-06-01T10:20:30+0200"'), "timestamp_invalid"),
    "the first instant": (line_of(GOOD, timestamp='"1970-01-01T00:00:00Z"'), None),
    "the first instant elsewhere": (line_of(GOOD, timestamp='"1969-12-31T19:00:00-05:00"'), None),
    "before the first": (
        line_of(GOOD, timestamp='"1970-01-01T00:59:59.999999+01:00"'),
        "timestamp_out_of_range",
    ),
    "the year 1 and an offset": (
        line_of(GOOD, timestamp='"0001-01-01T00:00:00+23:59"'),
        "timestamp_out_of_range",
    ),
    "the last instant": (line_of(GOOD, timestamp='"2025-06-16T12:30:00.000000Z"'), None),
    "after the last": (line_of(GOOD, timestamp='"2025-06-16T12:30:00.000001Z"'), "timestamp_out_of_range"),
    "the year 9999 and an offset": (
        line_of(GOOD, timestamp='"9999-12-31T23:59:59-23:59"'),
        "timestamp_out_of_range",
    ),
    # user_id, session_id
    "no user": (line_of(GOOD, user_id=None), "user_id_missing"),
    "a user that is a number": (line_of(GOOD, user_id="7"), "user_id_wrong_type"),
    "a user without a name": (line_of(GOOD, user_id='""'), "user_id_empty"),
    "a user named space": (line_of(GOOD, user_id='" "'), None),
    "no session": (line_of(GOOD, session_id="null"), "session_id_missing"),
    "a session that is a list": (line_of(GOOD, session_id='["s1"]'), "session_id_wrong_type"),
    "a session without a name": (line_of(GOOD, session_id='""'), "session_id_empty"),
    # event_type, and what hangs on it
    "no event type": (line_of(GOOD, event_type=None), "event_type_missing"),
    "an event type that is true": (line_of(GOOD, event_type="true"), "event_type_wrong_type"),
    "an empty event type": (line_of(GOOD, event_type='""'), "event_type_empty"),
    "an event type nobody knows": (line_of(GOOD, event_type='"wishlist"'), "event_type_unknown"),
    "an event type in capitals": (line_of(GOOD, event_type='"PAGE_VIEW"'), "event_type_unknown"),
    "an unknown type requires nothing": (
        line_of(GOOD, event_type='"x"', product_id=None),
        "event_type_unknown",
    ),
    "an unknown type excuses nothing": (
        line_of(GOOD, event_type='"x"', product_id='""', quantity="0"),
        "event_type_unknown, product_id_empty, quantity_out_of_range",
    ),
    # product_id, category, search_query
    "no product": (line_of(GOOD, product_id=None), "product_id_missing"),
    "a product that is a number": (line_of(GOOD, product_id="17"), "product_id_wrong_type"),
    "an empty product": (line_of(GOOD, product_id='""'), "product_id_empty"),
    "an empty product in a search": (line_of(SEARCH, product_id='""'), "product_id_empty"),
    "an empty category": (line_of(GOOD, category='""'), None),
    "a category that is an object": (line_of(GOOD, category='{"name":"x"}'), "category_wrong_type"),
    "an empty search": (line_of(SEARCH, search_query='""'), None),
    "a search for a number": (line_of(SEARCH, search_query="42"), "search_query_wrong_type"),
    # quantity
    "a cart without quantity": (line_of(CART, quantity=None), "quantity_missing"),
    "a removal without quantity": (
        line_of(CART, event_type='"remove_from_cart"', quantity="null"),
        "quantity_missing",
    ),
    "a quantity in quotes": (line_of(CART, quantity='"3"'), "quantity_wrong_type"),
    "a quantity with a fraction": (line_of(CART, quantity="2.0"), "quantity_wrong_type"),
    "a quantity with an exponent": (line_of(CART, quantity="1e0"), "quantity_wrong_type"),
    "a quantity that is true": (line_of(CART, quantity="true"), "quantity_wrong_type"),
    "no pieces": (line_of(CART, quantity="0"), "quantity_out_of_range"),
    "minus no pieces": (line_of(CART, quantity="-0"), "quantity_out_of_range"),
    "the largest quantity": (line_of(CART, quantity="2147483647"), None),
    "one more than the largest": (line_of(CART, quantity="2147483648"), "quantity_out_of_range"),
    "one and 2^64": (line_of(CART, quantity="18446744073709551617"), "quantity_out_of_range"),
    "a quantity of 5,000 digits": (line_of(CART, quantity="9" * 5_000), "quantity_out_of_range"),
    "a bad quantity in a page view": (line_of(GOOD, quantity="0"), "quantity_out_of_range"),
    # price
    "a purchase without price": (line_of(PURCHASE, price=None), "price_missing"),
    "a cart without price": (line_of(CART), None),
    "a price in quotes": (line_of(PURCHASE, price='"10.50"'), "price_wrong_type"),
    "a price that is false": (line_of(PURCHASE, price="false"), "price_wrong_type"),
    "a price of nothing": (line_of(PURCHASE, price="0"), None),
    "a price of minus nothing": (line_of(PURCHASE, price="-0.0"), None),
    "a negative price": (line_of(PURCHASE, price="-0.01"), "price_out_of_range"),
    "the highest price": (line_of(PURCHASE, price="999999999.999999"), None),
    "a price of a milliard": (line_of(PURCHASE, price="1e9"), "price_out_of_range"),
    "a price beyond a double": (line_of(PURCHASE, price="1e400"), "price_out_of_range"),
    "seven decimals that matter": (line_of(PURCHASE, price="1.0000001"), "price_too_precise"),
    "seven decimals that do not": (line_of(PURCHASE, price="1.0000000"), None),
    "a price below a double": (line_of(PURCHASE, price="1e-400"), "price_too_precise"),
    "too high and too precise": (line_of(PURCHASE, price="1000000000.0000001"), "price_out_of_range"),
    "negative and too precise": (line_of(PURCHASE, price="-0.0000001"), "price_out_of_range"),
    # all of it
    "an empty object": (b"{}", "timestamp_missing, user_id_missing, session_id_missing, event_type_missing"),
    "every field of a purchase missing": (b'{"event_type":"purchase"}', EVERYTHING_MISSING),
    "every field wrong": (EVERYTHING_WRONG_LINE, EVERYTHING_WRONG),
}


@pytest.mark.parametrize("about", EXAMPLES)
def test_an_example_of_the_contract_is_judged_as_written(about: str) -> None:
    line, problem = EXAMPLES[about]
    assert judge_line(line, RULES, LATEST_US).problem == problem


@pytest.mark.parametrize("about", EXAMPLES)
def test_the_oracle_reads_the_contract_as_the_examples_do(about: str) -> None:
    line, problem = EXAMPLES[about]
    assert oracle.judge(line, now=hostile.NOW).problem == problem


def test_every_reason_has_an_example() -> None:
    shown = {reason for _, problem in EXAMPLES.values() if problem for reason in problem.split(", ")}
    assert shown == set(oracle.REASONS)


@pytest.mark.parametrize("about", EXAMPLES)
def test_an_example_has_the_values_of_the_oracle(about: str) -> None:
    assert_judged_like_the_oracle(EXAMPLES[about][0])


def test_a_valid_line_becomes_a_tuple_of_exact_values() -> None:
    line = line_of(
        PURCHASE, timestamp='"1970-01-01T01:00:00.5+01:00"', price="1.05e1", category='"\\u0062ooks"'
    )
    verdict = judge_line(line, RULES, LATEST_US)
    assert verdict.problem is None
    assert verdict.extra is None
    assert verdict.values == (500_000, "u1", "s1", "purchase", "p1", "books", 1, Decimal("10.5"), None)
    assert [type(value) for value in verdict.values] == [int, *[str] * 5, int, Decimal, type(None)]


def test_numbers_of_unknown_fields_are_kept_to_the_last_digit() -> None:
    line = line_of(GOOD, a="18446744073709551617", b="0.1000000000000000055511151231257827", c="1e400")
    extra = judge_line(line, RULES, LATEST_US).extra
    assert extra is not None
    assert json.loads(extra, parse_int=str, parse_float=str) == {
        "a": "18446744073709551617",
        "b": "0.1000000000000000055511151231257827",
        "c": "1e400",
    }


# --- JSON ------------------------------------------------------------------------------------------------

# The standard library reads all of these; RFC 8259 (and who cannot store a lone surrogate) does not.
LIBRARY_READS = ("NaN", "Infinity", "-Infinity", r'"\ud800"', r'"\udfff"', r'"\ude00\ud83d"', r'{"\ud800":1}')
NOBODY_READS = (
    *(
        "01",
        "-01",
        "+1",
        ".5",
        "1.",
        "1.e5",
        "1e",
        "1e+",
        "-",
        "--1",
        "0x10",
        "1_000",
        "\u0661",
        "1\u0661",
        "-NaN",
        "inf",
    ),
    *(
        "nan",
        "True",
        "None",
        "NULL",
        "undefined",
        "[1,]",
        "[,]",
        "[1,,2]",
        '{"a":1,}',
        "{,}",
        '{"a"}',
        "{a:1}",
        "{1:1}",
    ),
    *(
        "'a'",
        '"a',
        'a"',
        '"\t"',
        '"\r"',
        '"\x00"',
        '"\x1f"',
        r'"\x41"',
        r'"\a"',
        r'"\0"',
        r'"\u12"',
        r'"\u{41}"',
        '"\\"',
    ),
    *(
        "/*x*/1",
        "1//x",
        "#",
        "1 2",
        "[1 2]",
        "[1}",
        "]",
        "\x0b1",
        "\x0c1",
        "\u00a01",
        "1\u2028",
        "\ufeff1",
        "1\x00",
    ),
)


@pytest.mark.parametrize("text", LIBRARY_READS + NOBODY_READS)
def test_what_rfc_8259_refuses_is_refused_anywhere_in_a_line(text: str) -> None:
    for line in (
        text.encode(),
        line_of(GOOD, x=text),
        line_of(GOOD, x=f"[{text}]"),
        line_of(PURCHASE, price=text),
    ):
        assert judge_line(line, RULES, LATEST_US).problem == "json_invalid", line


@pytest.mark.parametrize(
    "text",
    [
        *(
            "-0",
            "0e0",
            "1E+2",
            "1e-400",
            "1e400",
            "-1e400",
            "9" * 5_000,
            "1e" + "9" * 5_000,
            "0.1e-0",
            "[]",
            "{}",
            '""',
        ),
        *(
            r'"\ud83d\ude00"',
            r'"\u0000"',
            r'"\uffff"',
            '"\u2028\u2029\x7f\ufeff"',
            r'"\"\\\/\b\f\n\r\t"',
            '{"":[null,true]}',
        ),
    ],
)
def test_what_rfc_8259_allows_is_kept_as_an_unknown_field(text: str) -> None:
    line = line_of(GOOD, x=text)
    assert judge_line(line, RULES, LATEST_US).problem is None
    assert_judged_like_the_oracle(line)


# --- The settings ----------------------------------------------------------------------------------------


def test_a_shop_may_do_without_users_and_sessions() -> None:
    rules = EventRules(optional=frozenset({"user_id", "session_id"}))
    assert judge_line(line_of(GOOD, user_id=None, session_id="null"), rules, LATEST_US).problem is None
    assert judge_line(line_of(GOOD, user_id='""', session_id="1"), rules, LATEST_US).problem == (
        "user_id_empty, session_id_wrong_type"
    )


def test_a_shop_may_name_its_own_event_types() -> None:
    rules = EventRules(event_types=("page_view", "wishlist"))
    assert judge_line(line_of(GOOD, event_type='"wishlist"'), rules, LATEST_US).problem is None
    assert judge_line(line_of(GOOD, event_type='"wishlist"', product_id=None), rules, LATEST_US).problem == (
        "product_id_missing"
    )
    assert judge_line(line_of(PURCHASE, price=None), rules, LATEST_US).problem == "event_type_unknown"


def test_a_shop_may_set_the_cap_of_a_line() -> None:
    line = line_of(GOOD)
    assert judge_line(line, EventRules(max_line_bytes=len(line)), LATEST_US).problem is None
    assert judge_line(line, EventRules(max_line_bytes=len(line) - 1), LATEST_US).problem == "line_too_long"


# --- Against the oracle ----------------------------------------------------------------------------------

SETTINGS = {
    "default": RULES,
    "no ids": EventRules(optional=frozenset({"user_id", "session_id"})),
    "other types": EventRules(event_types=("page_view", "search", "wishlist"), max_line_bytes=400),
}


@pytest.mark.parametrize("name", hostile.CLASSES)
def test_a_hostile_class_is_judged_like_the_oracle(name: str) -> None:
    for seed in range(2 if name in hostile.HEAVY else 40):
        assert_judged_like_the_oracle(hostile.CLASSES[name](Random(f"{name} {seed}")))


@pytest.mark.parametrize("setting", SETTINGS)
def test_mutated_lines_are_judged_like_the_oracle_under_any_setting(setting: str) -> None:
    rng = Random(setting)
    for _ in range(2_000):
        _, line = hostile.mutated(rng)
        assert_judged_like_the_oracle(line, SETTINGS[setting])


def test_lines_mutated_again_and_again_are_judged_like_the_oracle() -> None:
    rng = Random(11)
    for _ in range(300):
        line = hostile.good_line(rng)
        for _ in range(8):
            at = rng.randint(0, len(line))
            other = hostile.mutated(rng)[1][:200]
            start = rng.randint(0, len(other))
            line = line[:at] + other[start : start + rng.randint(0, 6)] + line[at + rng.randint(0, 6) :]
            assert_judged_like_the_oracle(line)


# --- Against the oracle, with hypothesis -----------------------------------------------------------------

NUMBER_TEXTS = st.from_regex(
    r"\A-?(0|[1-9][0-9]{0,11})(\.[0-9]{1,9})?([eE][+-]?[0-9]{1,3})?\Z", fullmatch=True
)
SCALAR_TEXTS = st.one_of(
    st.sampled_from(["null", "true", "false", '""']),
    NUMBER_TEXTS,
    st.builds(json.dumps, st.text(max_size=8), ensure_ascii=st.booleans()),
)
KEY_TEXTS = st.builds(
    json.dumps,
    st.one_of(st.sampled_from([*oracle.FIELDS, "colour", ""]), st.text(max_size=4)),
    ensure_ascii=st.booleans(),
)


def object_texts(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    members = st.lists(st.tuples(KEY_TEXTS, values), max_size=4)
    return members.map(lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}")


def array_texts(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, max_size=4).map(lambda items: "[" + ",".join(items) + "]")


JSON_TEXTS = st.recursive(
    SCALAR_TEXTS, lambda values: object_texts(values) | array_texts(values), max_leaves=6
)


def two_digits(low: int, high: int) -> st.SearchStrategy[str]:
    return st.integers(low, high).map(lambda number: f"{number:02d}")


TIMESTAMPS = st.builds(
    lambda *parts: "".join(parts),
    st.sampled_from(["2025", "2024", "2000", "1970", "1969", "1900", "0001", "0000", "9999"]),
    two_digits(0, 13).map("-{}".format),
    two_digits(0, 32).map("-{}".format),
    st.sampled_from(["T", "T", "T", "T", " ", "t"]),
    two_digits(0, 24),
    two_digits(0, 60).map(":{}".format),
    two_digits(0, 60).map(":{}".format),
    st.sampled_from(["", "", ".0", ".9", ".123", ".999999", ".000001", ".1234567", "."]),
    st.sampled_from(
        ["Z", "Z", "+00:00", "-00:00", "+05:30", "-08:00", "+23:59", "-23:59", "+24:00", "+05:60", "", "z"]
    ),
)

# For each field texts that are right, nearly right, and anything at all.
FIELD_TEXTS: dict[str, st.SearchStrategy[str]] = {
    "timestamp": TIMESTAMPS.map(json.dumps),
    "user_id": st.sampled_from(['"u1"', '""']),
    "session_id": st.sampled_from(['"s1"', '""']),
    "event_type": st.sampled_from([*(f'"{name}"' for name in oracle.EVENT_TYPES), '"x"']),
    "product_id": st.sampled_from(['"p1"', '""']),
    "category": st.sampled_from(['"c1"', '""']),
    "quantity": st.one_of(st.integers(-2, 3), st.integers(2**31 - 2, 2**31 + 1)).map(str),
    "price": NUMBER_TEXTS,
    "search_query": st.sampled_from(['"q"', '""']),
}
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        **{field: st.one_of(texts, texts, texts, JSON_TEXTS) for field, texts in FIELD_TEXTS.items()},
        "colour": JSON_TEXTS,
    },
)


@settings(deadline=None, max_examples=250, database=None)
@given(RECORDS, st.randoms(use_true_random=False))
def test_any_record_over_the_fields_of_the_contract_is_judged_like_the_oracle(
    record: dict[str, str], rng: Random
) -> None:
    members = list(record.items())
    rng.shuffle(members)
    assert_judged_like_the_oracle(line_of(dict(members)))
    assert_judged_like_the_oracle(line_of({**PURCHASE, **record}))


@settings(deadline=None, max_examples=300, database=None)
@given(TIMESTAMPS)
def test_any_timestamp_is_judged_like_the_oracle(text: str) -> None:
    assert_judged_like_the_oracle(line_of(GOOD, timestamp=json.dumps(text)))


@settings(deadline=None, max_examples=300, database=None)
@given(NUMBER_TEXTS)
def test_any_number_is_judged_like_the_oracle(text: str) -> None:
    assert_judged_like_the_oracle(line_of(PURCHASE, price=text))
    assert_judged_like_the_oracle(line_of(PURCHASE, quantity=text))
    assert_judged_like_the_oracle(line_of(PURCHASE, colour=text))


@settings(deadline=None, max_examples=150, database=None)
@given(JSON_TEXTS)
def test_any_json_text_is_judged_like_the_oracle(text: str) -> None:
    assert_judged_like_the_oracle(text.encode())


@settings(deadline=None, max_examples=150, database=None)
@given(st.one_of(st.binary(max_size=30), st.text('{}[]:,"\\u0d8e-.1 \r\t', max_size=30).map(str.encode)))
def test_any_bytes_are_judged_like_the_oracle(line: bytes) -> None:
    assert_judged_like_the_oracle(line.replace(b"\n", b""))
