"""The slow oracle: what a line, a file and a whole lake mean, said once more in loops and dicts.

It promises nothing but the contract, and shares no code and no library with what it judges: where the two
differ, one of them has misread the contract. It never reads a file, a clock or a setting.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any, Literal

FIELDS = (
    "timestamp",
    "user_id",
    "session_id",
    "event_type",
    "product_id",
    "category",
    "quantity",
    "price",
    "search_query",
)
EVENT_TYPES = ("page_view", "add_to_cart", "remove_from_cart", "purchase", "search")
LINE_REASONS = (
    "line_too_long",
    "not_utf8",
    "json_invalid",
    "nesting_too_deep",
    "not_an_object",
    "duplicate_key",
)
FIELD_REASONS = (
    *("timestamp_missing", "timestamp_wrong_type", "timestamp_empty"),
    *("timestamp_no_zone", "timestamp_invalid", "timestamp_out_of_range"),
    *("user_id_missing", "user_id_wrong_type", "user_id_empty"),
    *("session_id_missing", "session_id_wrong_type", "session_id_empty"),
    *("event_type_missing", "event_type_wrong_type", "event_type_empty", "event_type_unknown"),
    *("product_id_missing", "product_id_wrong_type", "product_id_empty"),
    "category_wrong_type",
    *("quantity_missing", "quantity_wrong_type", "quantity_out_of_range"),
    *("price_missing", "price_wrong_type", "price_out_of_range", "price_too_precise"),
    "search_query_wrong_type",
)
REASONS = LINE_REASONS + FIELD_REASONS

MAX_LINE_BYTES = 1_048_576
MAX_DEPTH = 32
MAX_QUANTITY = 2_147_483_647
NO_CATEGORY = "(none)"
MICROSECONDS_A_DAY = 86_400_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# A sum that would need rounding raises Inexact instead.
EXACT = Context(prec=200, traps=[Inexact, InvalidOperation])

Row = dict[str, Any]


# --- JSON ------------------------------------------------------------------------------------------------

_ESCAPE = (
    r"\\(?:"
    r'["\\/bfnrt]'
    r"|u(?![dD][89a-fA-F])[0-9a-fA-F]{4}"
    r"|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a surrogate counts only as half of a pair
    r")"
)
_PLAIN = r'[^"\\\x00-\x1f]*'
# One escape, then plain characters, again and again: there are no two ways to match, so no backtracking.
_STRING = rf'"{_PLAIN}(?:{_ESCAPE}{_PLAIN})*"'
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n]+)"
    r"|(?P<mark>[{}\[\]:,])"
    rf"|(?P<string>{_STRING})"
    rf"|(?P<scalar>{_NUMBER}|true|false|null)"
)

# In each state: which token may come, and the state after it. After a value, the innermost bracket decides.
_VALUE = {"string": "after", "scalar": "after", "{": "key or }", "[": "value or ]"}
_GRAMMAR: dict[str, dict[str, str]] = {
    "value": _VALUE,
    "value or ]": {**_VALUE, "]": "after"},
    "key": {"string": "colon"},
    "key or }": {"string": "colon", "}": "after"},
    "colon": {":": "value"},
    "after {": {",": "key", "}": "after"},
    "after [": {",": "value", "]": "after"},
    "done": {},
}


@dataclass(frozen=True, eq=False)
class JsonNumber:
    """A number as it was written; two are equal when their exact values are."""

    text: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JsonNumber) and self.parts() == other.parts()

    def __hash__(self) -> int:
        return hash(self.parts())

    def is_integer_literal(self) -> bool:
        return self.text.removeprefix("-").isdigit()

    def parts(self) -> tuple[bool, str, int]:
        """Return (is_negative, digits, exponent): the value is digits x 10^exponent.

        The digits neither start nor end with 0. Zero is (False, "", 0), however it is written.
        """
        mantissa, _, exponent_text = self.text.lower().partition("e")
        whole, _, fraction = mantissa.removeprefix("-").partition(".")
        digits = (whole + fraction).lstrip("0")
        if digits == "":
            return False, "", 0
        zeros = len(digits) - len(digits.rstrip("0"))
        exponent = _long_integer(exponent_text) - len(fraction) + zeros
        return mantissa.startswith("-"), digits.rstrip("0"), exponent


def _long_integer(text: str) -> int:
    """Return the integer of a text of any length; int() itself refuses more than 4,300 digits."""
    total = 0
    digits = text.lstrip("+-")
    for start in range(0, len(digits), 1000):
        piece = digits[start : start + 1000]
        total = total * 10 ** len(piece) + int(piece)
    return -total if text.startswith("-") else total


def bracket_depth(text: str) -> int:
    """Return how deep brackets outside strings nest, whether the text is JSON or not."""
    depth = deepest = 0
    in_string = escaped = False
    for char in text:
        if in_string:
            in_string = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            in_string = True
        elif char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest


def json_depth(text: str) -> int | None:
    """Return how deep a JSON text nests (0 for a scalar), or None if RFC 8259 does not call it JSON.

    A loop with its own stack: no depth of nesting can hurt it. Lone surrogate escapes are refused too.
    """
    brackets: list[str] = []
    deepest = 0
    state = "value"
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            return None
        position = token.end()
        if token.lastgroup == "space":
            continue
        kind = token[0] if token.lastgroup == "mark" else str(token.lastgroup)
        if kind not in _GRAMMAR[state]:
            return None
        state = _GRAMMAR[state][kind]
        if kind in "{[":
            brackets.append(kind)
            deepest = max(deepest, len(brackets))
        elif kind in "}]":
            brackets.pop()
        if state == "after":
            state = f"after {brackets[-1]}" if brackets else "done"
    return deepest if state == "done" else None


class _LineFaultError(Exception):
    """The line as a whole is quarantined; the message is the reason."""


def parse_json(text: str) -> object:
    """Return the value of a JSON text that `json_depth` accepts; numbers stay as written (`JsonNumber`)."""
    return _DECODER.decode(text)


def _object_of(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise _LineFaultError("duplicate_key")
        found[key] = value
    return found


def _refuse_constant(name: str) -> object:
    raise AssertionError(f"the recogniser let {name} through")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object_of,
    parse_int=JsonNumber,
    parse_float=JsonNumber,
    parse_constant=_refuse_constant,
)


def canonical_json(value: object) -> str:
    """Return one text for all JSON texts of equal value: keys sorted, numbers by their exact value."""
    if isinstance(value, JsonNumber):
        is_negative, digits, exponent = value.parts()
        sign = "-" if is_negative else ""
        return f"{sign}{digits or '0'}e{exponent:x}"
    if isinstance(value, dict):
        pairs = sorted(f"{json.dumps(key)}:{canonical_json(item)}" for key, item in value.items())
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(canonical_json(item) for item in value) + "]"
    return json.dumps(value)


# --- A line ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OracleVerdict:
    """What a line is: blank, or quarantined for its reasons, or valid with its values.

    `values` has the nine fields (timestamp: UTC microseconds; price: Decimal) and `extra`: the unknown fields
    as a dict, or None if there are none.
    """

    blank: bool
    reasons: tuple[str, ...]
    values: Row | None

    @property
    def problem(self) -> str | None:
        return ", ".join(self.reasons) or None


def judge(
    line: bytes,
    *,
    now: datetime,
    optional: frozenset[str] = frozenset(),
    event_types: tuple[str, ...] = EVENT_TYPES,
    max_line_bytes: int = MAX_LINE_BYTES,
) -> OracleVerdict:
    """Return what the contract says of one line (without its newline)."""
    if line.strip(b" \t\r") == b"":
        return OracleVerdict(blank=True, reasons=(), values=None)
    try:
        record = _read_object(line, max_line_bytes)
    except _LineFaultError as fault:
        return _quarantined(str(fault))
    return _judge_fields(record, now, optional, event_types)


def _read_object(line: bytes, max_line_bytes: int) -> dict[str, object]:
    """Return the object that is the line; the first fault that applies is raised."""
    if len(line) > max_line_bytes:
        raise _LineFaultError("line_too_long")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise _LineFaultError("not_utf8") from None
    # So few brackets cannot nest too deep: their depth need not be found out.
    if text.count("{") + text.count("[") > MAX_DEPTH and bracket_depth(text) > MAX_DEPTH:
        raise _LineFaultError("nesting_too_deep")
    if json_depth(text) is None:
        raise _LineFaultError("json_invalid")
    if not text.lstrip(" \t\r").startswith("{"):
        raise _LineFaultError("not_an_object")
    record = parse_json(text)
    assert isinstance(record, dict)
    return record


def _quarantined(*reasons: str) -> OracleVerdict:
    return OracleVerdict(blank=False, reasons=reasons, values=None)


def _judge_fields(
    record: dict[str, object], now: datetime, optional: frozenset[str], event_types: tuple[str, ...]
) -> OracleVerdict:
    required = _required_fields(record.get("event_type"), optional, event_types)
    reasons: list[str] = []
    values: Row = {}
    for field in FIELDS:
        given = record.get(field)
        if given is None:
            values[field] = None
            if field in required:
                reasons.append(f"{field}_missing")
            continue
        fault, values[field] = _judge_field(field, given, now, event_types)
        if fault is not None:
            reasons.append(f"{field}_{fault}")
    if reasons:
        return _quarantined(*reasons)
    extra = {key: value for key, value in record.items() if key not in FIELDS}
    values["extra"] = extra or None
    return OracleVerdict(blank=False, reasons=(), values=values)


def _required_fields(event_type: object, optional: frozenset[str], event_types: tuple[str, ...]) -> set[str]:
    required = {"timestamp", "event_type"}
    for field in ("user_id", "session_id"):
        if field not in optional:
            required.add(field)
    if isinstance(event_type, str) and event_type in event_types:
        if event_type != "search":
            required.add("product_id")
        if event_type in ("add_to_cart", "remove_from_cart", "purchase"):
            required.add("quantity")
        if event_type == "purchase":
            required.add("price")
    return required


def _judge_quantity(given: object) -> tuple[str | None, int | None]:
    if not isinstance(given, JsonNumber) or not given.is_integer_literal():
        return "wrong_type", None
    # JSON writes no leading zeros, so a long literal is a large number.
    if len(given.text) > 11 or not 1 <= int(given.text) <= MAX_QUANTITY:
        return "out_of_range", None
    return None, int(given.text)


def _judge_price(given: object) -> tuple[str | None, Decimal | None]:
    if not isinstance(given, JsonNumber):
        return "wrong_type", None
    is_negative, digits, exponent = given.parts()
    if digits == "":
        return None, Decimal(0)
    if is_negative or len(digits) + exponent > 9:
        return "out_of_range", None
    if exponent < -6:
        return "too_precise", None
    return None, Decimal((0, tuple(int(digit) for digit in digits), exponent))


def _judge_timestamp(given: str, now: datetime) -> tuple[str | None, int | None]:
    day_and_time, zone = given[:19], given[19:]
    fraction = ""
    if zone.startswith("."):
        zone = zone[1:].lstrip("0123456789")
        fraction = given[20 : len(given) - len(zone)]
        if not 1 <= len(fraction) <= 6:
            return "invalid", None
    local_seconds = _local_seconds(day_and_time)
    if local_seconds is None:
        return "invalid", None
    if zone == "":
        return "no_zone", None
    offset_seconds = _offset_seconds(zone)
    if offset_seconds is None:
        return "invalid", None
    instant_us = (local_seconds - offset_seconds) * 1_000_000 + int(fraction.ljust(6, "0"))
    if instant_us < 0 or instant_us > microseconds(now) + MICROSECONDS_A_DAY:
        return "out_of_range", None
    return None, instant_us


def _local_seconds(text: str) -> int | None:
    """Return the seconds from 1970-01-01T00:00:00 to such a text, or None if no calendar clock shows it."""
    if _shape(text) != "0000-00-00T00:00:00":
        return None
    hour, minute, second = int(text[11:13]), int(text[14:16]), int(text[17:19])
    if hour > 23 or minute > 59 or second > 59:
        return None
    try:
        day = date(int(text[0:4]), int(text[5:7]), int(text[8:10]))
    except ValueError:
        return None
    return (day - EPOCH.date()).days * 86_400 + hour * 3_600 + minute * 60 + second


def _offset_seconds(text: str) -> int | None:
    if text == "Z":
        return 0
    if _shape(text) not in ("+00:00", "-00:00"):
        return None
    hour, minute = int(text[1:3]), int(text[4:6])
    if hour > 23 or minute > 59:
        return None
    seconds = hour * 3_600 + minute * 60
    return -seconds if text.startswith("-") else seconds


def _shape(text: str) -> str:
    """Return the text with every ASCII digit written as 0."""
    return "".join("0" if char in "0123456789" else char if char in "-+:T" else "?" for char in text)


_NUMBER_FIELDS: dict[str, Callable[[object], tuple[str | None, object]]] = {
    "quantity": _judge_quantity,
    "price": _judge_price,
}


def _judge_field(
    field: str, given: object, now: datetime, event_types: tuple[str, ...]
) -> tuple[str | None, object]:
    """Return (fault, value) of a field that is there and not null."""
    if field in _NUMBER_FIELDS:
        return _NUMBER_FIELDS[field](given)
    if not isinstance(given, str):
        return "wrong_type", None
    if given == "" and field not in ("category", "search_query"):
        return "empty", None
    if field == "timestamp":
        return _judge_timestamp(given, now)
    if field == "event_type" and given not in event_types:
        return "unknown", None
    return None, given


def microseconds(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)


# --- A file ----------------------------------------------------------------------------------------------


def split_lines(text: bytes) -> list[bytes]:
    """Return the lines of a decompressed file, without their newlines."""
    text = text.removeprefix(b"\xef\xbb\xbf")
    pieces = text.split(b"\n")
    if pieces[-1] == b"":
        pieces.pop()
    return pieces


# --- A lake ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OracleLake:
    """Every number that a lake made of these files must show.

    `events` are the true events in canonical order (the nine fields, no `extra`). Answers are sorted by their
    grain; days are `date`s under `event_date`, hours are 0 to 23 under `event_hour`.
    """

    lines: int
    blank: int
    valid: int
    quarantined: int
    quarantined_by_reason: dict[str, int]  # a line counts once for each of its reasons
    duplicates: int
    events: list[Row]
    conversion_funnel: list[Row]
    hourly_revenue: list[Row]
    top_products: list[Row]
    category_performance: list[Row]
    user_activity: list[Row]


def lake(
    files: Mapping[str, bytes] | Iterable[bytes],
    *,
    now: datetime,
    optional: frozenset[str] = frozenset(),
    event_types: tuple[str, ...] = EVENT_TYPES,
    dedup: Literal["content"] | tuple[str, ...] = "content",
) -> OracleLake:
    """Return what a lake must hold after these files (their decompressed texts), in whatever order they came.

    Args: dedup: "content", or the key columns by which two lines are one event (null equals null).
    A file is counted as often as it is given: leave out copies that the product takes for the same file.
    """
    texts = files.values() if isinstance(files, Mapping) else files
    verdicts = [
        judge(line, now=now, optional=optional, event_types=event_types)
        for text in texts
        for line in split_lines(text)
    ]
    valid = [
        {field: verdict.values[field] for field in FIELDS}
        for verdict in verdicts
        if verdict.values is not None
    ]
    events = deduplicate(valid, FIELDS if dedup == "content" else dedup)
    blank = sum(1 for verdict in verdicts if verdict.blank)
    reasons = Counter(reason for verdict in verdicts for reason in verdict.reasons)
    categories = _product_day_categories(events)
    return OracleLake(
        lines=len(verdicts),
        blank=blank,
        valid=len(valid),
        quarantined=len(verdicts) - blank - len(valid),
        quarantined_by_reason=dict(sorted(reasons.items())),
        duplicates=len(valid) - len(events),
        events=events,
        conversion_funnel=_conversion_funnel(events, categories),
        hourly_revenue=_hourly_revenue(events),
        top_products=_top_products(events, categories),
        category_performance=_category_performance(events),
        user_activity=_user_activity(events),
    )


def deduplicate(events: Iterable[Row], key: tuple[str, ...]) -> list[Row]:
    """Return the smallest event of each key, in canonical order."""
    survivors: dict[tuple[object, ...], Row] = {}
    for event in sorted(events, key=canonical_order):
        survivors.setdefault(tuple(event[field] for field in key), event)
    return list(survivors.values())


def canonical_order(event: Row) -> tuple[tuple[bool, Any], ...]:
    """Sort by the nine fields in the contract's order; None comes last, strings compare as UTF-8 bytes."""
    return tuple(_with_none_last(event[field]) for field in FIELDS)


def _with_none_last(value: object) -> tuple[bool, Any]:
    if value is None:
        return True, 0
    return False, value.encode() if isinstance(value, str) else value


def _day(event: Row) -> date:
    return (EPOCH + timedelta(microseconds=event["timestamp"])).date()


def _hour(event: Row) -> int:
    return (EPOCH + timedelta(microseconds=event["timestamp"])).hour


def _amount(event: Row) -> Decimal:
    """Return the money an event moved: nothing, unless it is a purchase."""
    if event["event_type"] != "purchase":
        return Decimal(0)
    return EXACT.multiply(event["price"], event["quantity"])


def _category(event: Row) -> str:
    return NO_CATEGORY if event["category"] is None else str(event["category"])


def _rate(part: int, whole: int) -> float | None:
    return None if whole == 0 else part / whole


def _product_day_categories(events: list[Row]) -> dict[tuple[date, str], str]:
    """Return the most frequent category of each day and product; the smallest by bytes if two tie."""
    counts: dict[tuple[date, str], dict[str, int]] = {}
    for event in events:
        if event["product_id"] is not None:
            of_product = counts.setdefault((_day(event), event["product_id"]), {})
            of_product[_category(event)] = of_product.get(_category(event), 0) + 1
    return {
        product_day: min(of_product, key=lambda name: (-of_product[name], name.encode()))
        for product_day, of_product in counts.items()
    }


def _conversion_funnel(events: list[Row], categories: dict[tuple[date, str], str]) -> list[Row]:
    rows: dict[tuple[date, str], Row] = {}
    for event in events:
        day, product_id = _day(event), event["product_id"]
        if product_id is None:
            continue
        row = rows.setdefault(
            (day, product_id),
            {
                "event_date": day,
                "product_id": product_id,
                "category": categories[day, product_id],
                "views": 0,
                "add_to_carts": 0,
                "purchases": 0,
                "revenue": Decimal(0),
            },
        )
        row["views"] += event["event_type"] == "page_view"
        row["add_to_carts"] += event["event_type"] == "add_to_cart"
        row["purchases"] += event["event_type"] == "purchase"
        row["revenue"] = EXACT.add(row["revenue"], _amount(event))
    for row in rows.values():
        row["view_to_cart_rate"] = _rate(row["add_to_carts"], row["views"])
        row["cart_to_purchase_rate"] = _rate(row["purchases"], row["add_to_carts"])
        row["view_to_purchase_rate"] = _rate(row["purchases"], row["views"])
    return sorted(rows.values(), key=lambda row: (row["event_date"], row["product_id"].encode()))


def _hourly_revenue(events: list[Row]) -> list[Row]:
    rows: dict[tuple[date, int], Row] = {}
    for event in events:
        if event["event_type"] != "purchase":
            continue
        day, hour = _day(event), _hour(event)
        row = rows.setdefault(
            (day, hour),
            {
                "event_date": day,
                "event_hour": hour,
                "total_revenue": Decimal(0),
                "transaction_count": 0,
                "units": 0,
            },
        )
        row["total_revenue"] = EXACT.add(row["total_revenue"], _amount(event))
        row["transaction_count"] += 1
        row["units"] += event["quantity"]
    return [rows[grain] for grain in sorted(rows)]


def _top_products(events: list[Row], categories: dict[tuple[date, str], str]) -> list[Row]:
    views: dict[date, dict[str, int]] = {}
    for event in events:
        if event["event_type"] == "page_view":
            of_day = views.setdefault(_day(event), {})
            of_day[event["product_id"]] = of_day.get(event["product_id"], 0) + 1
    rows: list[Row] = []
    for day in sorted(views):
        of_day = views[day]
        ranked = sorted(of_day, key=lambda product_id: (-of_day[product_id], product_id.encode()))
        for rank, product_id in enumerate(ranked[:10], start=1):
            rows.append(
                {
                    "event_date": day,
                    "rank": rank,
                    "product_id": product_id,
                    "category": categories[day, product_id],
                    "view_count": of_day[product_id],
                }
            )
    return rows


def _category_performance(events: list[Row]) -> list[Row]:
    rows: dict[tuple[date, str], Row] = {}
    for event in events:
        day, category = _day(event), _category(event)
        row = rows.setdefault(
            (day, category),
            {
                "event_date": day,
                "category": category,
                "events": 0,
                "page_views": 0,
                "add_to_carts": 0,
                "remove_from_carts": 0,
                "purchases": 0,
                "searches": 0,
                "revenue": Decimal(0),
            },
        )
        row["events"] += 1
        row["page_views"] += event["event_type"] == "page_view"
        row["add_to_carts"] += event["event_type"] == "add_to_cart"
        row["remove_from_carts"] += event["event_type"] == "remove_from_cart"
        row["purchases"] += event["event_type"] == "purchase"
        row["searches"] += event["event_type"] == "search"
        row["revenue"] = EXACT.add(row["revenue"], _amount(event))
    return sorted(rows.values(), key=lambda row: (row["event_date"], row["category"].encode()))


def _user_activity(events: list[Row]) -> list[Row]:
    users: dict[date, set[str]] = {}
    sessions: dict[date, set[str]] = {}
    counts: dict[date, int] = {}
    for event in events:
        day = _day(event)
        counts[day] = counts.get(day, 0) + 1
        users.setdefault(day, set()).add(event["user_id"])
        sessions.setdefault(day, set()).add(event["session_id"])
    return [
        {
            "event_date": day,
            "unique_users": len(users[day] - {None}),
            "unique_sessions": len(sessions[day] - {None}),
            "events": counts[day],
        }
        for day in sorted(counts)
    ]
