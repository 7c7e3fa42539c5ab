"""The strict judge: one line in, one verdict out, with every reason. It alone defines what a valid line is.

Plain Python and slow on purpose; the vectorised parser (`bronze.parse`) vouches for ordinary lines and sends
all others here, and a differential test holds it to this module. Grammar is RFC 8259, the rules are those of
the event contract (docs/semantics.md).
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import accumulate
from typing import Any, NoReturn

from eventmint.values import ALWAYS_REQUIRED, CART_EVENTS, EVENT_FIELDS, PAST_RETENTION, EventRules

MAX_DEPTH = 32
MAX_QUANTITY = 2**31 - 1
_QUANTITY_DIGITS = len(str(MAX_QUANTITY))
PRICE_LIMIT = Decimal(10**9)
PRICE_STEP = Decimal("0.000001")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# A string ends with its quote, or with the line. Nothing is ever tried twice: half a million escaped quotes
# in one line would take half an hour.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
# What a bracket adds to the depth, as a signed byte, and the bytes that add nothing.
_STEPS = bytes({ord("["): 1, ord("{"): 1, ord("]"): 255, ord("}"): 255}.get(byte, 0) for byte in range(256))
_NO_BRACKETS = bytes(byte for byte in range(256) if not _STEPS[byte])
_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d{1,6}))?"
    r"(Z|([+-])([01]\d|2[0-3]):([0-5]\d))?",
    re.ASCII,
)


@dataclass(frozen=True)
class Verdict:
    """What the judge says of a line.

    Attributes:
        problem: every reason, joined with ", "; None for a valid line.
        values: of a valid line: event time in UTC microseconds, user_id, session_id, event_type, product_id,
            category, quantity, price, search_query.
        extra: of a valid line: the fields that the contract does not know, as a JSON object.
        unknown: their names.
    """

    problem: str | None = None
    values: tuple[Any, ...] | None = None
    extra: str | None = None
    unknown: tuple[str, ...] = ()


class Number(str):
    """A JSON number as it was written: nothing is lost to a float on the way."""

    __slots__ = ()


class Integer(Number):
    """A JSON number without fraction and exponent."""

    __slots__ = ()


class Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written: a key may occur twice."""


def judge_line(line: bytes, rules: EventRules, latest_us: int) -> Verdict:
    """Return the verdict of a line that is not blank.

    Args:
        line: the bytes between two newlines.
        rules: the shop's part of the contract.
        latest_us: the latest instant an event may have, UTC microseconds (the run's start + 24 h).
    """
    text = read_text(line, rules)
    event = read_object(line, text) if isinstance(text, str) else text
    return judge_event(event, rules, latest_us) if isinstance(event, dict) else event


def read_text(line: bytes, rules: EventRules) -> str | Verdict:
    """Return a line as text, or the verdict of one that cannot be read as such."""
    if len(line) > rules.max_line_bytes:
        return Verdict("line_too_long")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return Verdict("not_utf8")


def read_object(line: bytes, text: str) -> dict[str, Any] | Verdict:
    """Return the JSON object of a line, those within it as `Pairs`, or the verdict of a line that is none."""
    if nesting_depth(line) > MAX_DEPTH:
        return Verdict("nesting_too_deep")
    try:
        event = _DECODER.decode(text)
        if "\\u" in text:
            to_json(event).encode()  # a lone surrogate has no encoding
    except ValueError:
        return Verdict("json_invalid")
    if not isinstance(event, Pairs):
        return Verdict("not_an_object")
    if _has_duplicate_key(event):
        return Verdict("duplicate_key")
    return dict(event)


def nesting_depth(line: bytes) -> int:
    """Deepest nesting of brackets outside strings, known before anything is parsed."""
    if line.count(b"[") + line.count(b"{") <= MAX_DEPTH:
        return 0
    steps = _STRING.sub(b"", line).translate(_STEPS, _NO_BRACKETS)
    return max(accumulate(array("b", steps)), default=0)


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError


def _has_duplicate_key(value: Any) -> bool:
    if isinstance(value, Pairs):
        keys = {key for key, _ in value}
        return len(keys) < len(value) or any(_has_duplicate_key(item) for _, item in value)
    return isinstance(value, list) and any(map(_has_duplicate_key, value))


_DECODER = json.JSONDecoder(
    object_pairs_hook=Pairs, parse_float=Number, parse_int=Integer, parse_constant=_refuse_constant
)


def judge_event(event: dict[str, Any], rules: EventRules, latest_us: int) -> Verdict:
    """Return the verdict of an event by its fields, which are taken out of it."""
    required = _required_fields(event.get("event_type"), rules)
    values: list[Any] = []
    reasons = []
    for name in EVENT_FIELDS:
        value = event.pop(name, None)
        if value is None:
            reason = "missing" if name in required else None
        else:
            value, reason = _CHECKS[name](value, rules, latest_us)
        values.append(value)
        if reason:
            reasons.append(f"{name}_{reason}")
    if reasons:
        return Verdict(", ".join(reasons))
    if values[0] < rules.earliest_us:
        return Verdict(PAST_RETENTION)
    return Verdict(None, tuple(values), to_json(event) if event else None, tuple(event))


def _required_fields(event_type: object, rules: EventRules) -> frozenset[str]:
    required = ALWAYS_REQUIRED - rules.optional
    if not isinstance(event_type, str) or event_type not in rules.event_types:
        return required
    if event_type != "search":
        required |= {"product_id"}
    if event_type in CART_EVENTS:
        required |= {"quantity"}
    if event_type == "purchase":
        required |= {"price"}
    return required


Check = Callable[[Any, EventRules, int], tuple[Any, str | None]]


def _check_text(value: Any, _rules: EventRules, _latest_us: int) -> tuple[Any, str | None]:
    return (value, None) if is_text(value) else (None, "wrong_type")


def _check_id(value: Any, rules: EventRules, latest_us: int) -> tuple[Any, str | None]:
    return (None, "empty") if value == "" else _check_text(value, rules, latest_us)


def _check_event_type(value: Any, rules: EventRules, latest_us: int) -> tuple[Any, str | None]:
    value, reason = _check_id(value, rules, latest_us)
    return (value, reason) if reason or value in rules.event_types else (None, "unknown")


def _check_timestamp(value: Any, rules: EventRules, latest_us: int) -> tuple[Any, str | None]:
    text, reason = _check_id(value, rules, latest_us)
    if reason:
        return None, reason
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        return None, "invalid"
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None, "invalid"
    if match[8] is None:
        return None, "no_zone"
    instant_us = (moment - _EPOCH) // _MICROSECOND + int((match[7] or "").ljust(6, "0"))
    if match[9]:
        offset_us = (int(match[10]) * 60 + int(match[11])) * 60_000_000
        instant_us += -offset_us if match[9] == "+" else offset_us
    return (instant_us, None) if 0 <= instant_us <= latest_us else (None, "out_of_range")


def _check_quantity(value: Any, _rules: EventRules, _latest_us: int) -> tuple[Any, str | None]:
    if not isinstance(value, Integer):
        return None, "wrong_type"
    # The length first: int() refuses texts of more than 4,300 digits.
    if len(value) > _QUANTITY_DIGITS or not 1 <= int(value) <= MAX_QUANTITY:
        return None, "out_of_range"
    return int(value), None


def _check_price(value: Any, _rules: EventRules, _latest_us: int) -> tuple[Any, str | None]:
    if not isinstance(value, Number):
        return None, "wrong_type"
    price = decimal_of(value)
    if price is None or price < 0 or price >= PRICE_LIMIT:
        return None, "out_of_range"
    exact = price.quantize(PRICE_STEP)
    if exact != price:
        return None, "too_precise"
    return abs(exact), None


def decimal_of(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        # An exponent of more digits than a Decimal has: infinitely large, or as good as zero.
        mantissa, _, exponent = text.lower().partition("e")
        if not mantissa.strip("-0."):
            return Decimal(0)
        return (
            Decimal("-1e-18" if mantissa.startswith("-") else "1e-18") if exponent.startswith("-") else None
        )


def is_text(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, Number)


_CHECKS: dict[str, Check] = {
    "timestamp": _check_timestamp,
    "user_id": _check_id,
    "session_id": _check_id,
    "event_type": _check_event_type,
    "product_id": _check_id,
    "category": _check_text,
    "quantity": _check_quantity,
    "price": _check_price,
    "search_query": _check_text,
}


def to_json(value: Any) -> str:
    """JSON text of a parsed value, numbers as they were written."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict | Pairs):
        pairs = value.items() if isinstance(value, dict) else value
        body = ", ".join(f"{to_json(key)}: {to_json(item)}" for key, item in pairs)
        return "{" + body + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(to_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
