"""Values of another format's line in the words of the contract: found by path, read as declared.

What cannot be read as declared stays as it is, so that the judge says what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation
from functools import lru_cache
from typing import Any

from eventmint.bronze.judge import Integer, Number, is_text
from eventmint.values import Fields, JsonPath

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# What a calendar holds; beyond it an instant is as far out of range as at its end.
_FIRST_US = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST_US = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST_US_DIGITS = len(str(_LAST_US))
# The power of ten that makes microseconds of a unit.
_POWERS = {"s": 6, "ms": 3, "us": 0}
_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation])
_INTEGER = re.compile(r"-?(?:0|[1-9]\d*)", re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_SQL_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d{1,6})?)(?: ?(?:UTC|Z)| ?([+-]\d\d)(?::?(\d\d))?)?", re.ASCII
)


def read_fields(
    fields: Fields, record: dict[str, Any], nothing: frozenset[str]
) -> tuple[dict[str, Any], set[JsonPath]]:
    """Return what a line says of these fields, None where it says nothing, and the paths that were taken."""
    values = {}
    taken: set[JsonPath] = set()
    for name, source in fields:
        said = [
            (path, value)
            for path in source.paths
            if (value := find(record, path)) is not None and not (is_text(value) and value in nothing)
        ]
        if source.joined_by is None:
            said = said[:1]
            value = said[0][1] if said else None
        else:
            value = _joined([value for _, value in said], source.joined_by, len(source.paths))
        values[name] = _as_json(source.default) if value is None else _read_as(source.kind, value)
        taken.update(path for path, _ in said)
    return values, taken


def find(place: Any, path: JsonPath) -> Any:
    """Return the value at a path, None where there is none."""
    for step in path:
        if isinstance(step, str):
            place = place.get(step) if isinstance(place, dict) else None
        elif not isinstance(place, list):
            return None
        elif isinstance(step, int):
            place = place[step] if step < len(place) else None
        else:
            place = next((item for item in place if find(item, step[:1]) == step[1]), None)
    return place


def without(record: dict[str, Any], paths: AbstractSet[JsonPath]) -> dict[str, Any]:
    """Return what is left of a line beside these paths and nulls; arrays stay whole."""
    return _left(record, _tree(frozenset(paths)))


@lru_cache(maxsize=1024)  # nearly all lines of a kind take the same paths
def _tree(paths: frozenset[JsonPath]) -> dict[Any, Any]:
    """Paths of names as nested dicts that end with None."""
    tree: dict[Any, Any] = {}
    for path in sorted((path for path in paths if all(isinstance(step, str) for step in path)), key=len):
        place = tree
        for step in path[:-1]:
            place = place.setdefault(step, {})
            if place is None:  # all of it is taken already
                break
        else:
            place[path[-1]] = None
    return tree


def _left(record: dict[str, Any], taken: dict[Any, Any]) -> dict[str, Any]:
    """What is not taken. Of `taken`, a None takes the value, a dict what it takes within it."""
    left = {}
    for name, value in record.items():
        within = taken.get(name, {})
        if value is None or within is None:
            continue
        kept = _left(value, within) if isinstance(value, dict) else value
        if kept != {}:
            left[name] = kept
    return left


def _joined(values: list[Any], mark: str, wanted: int) -> Any:
    """All values as one text; None where one is missing, an array where one is no text or number."""
    parts: list[Any] = []
    for value in values:
        parts += value if isinstance(value, list) else [value]
    if len(values) < wanted or not parts:
        return None
    return mark.join(parts) if all(isinstance(part, str) for part in parts) else parts


def _as_json(value: str | int | Decimal | None) -> Any:
    """A declared value as the judge knows it from a line."""
    if isinstance(value, int):
        return Integer(str(value))
    return Number(str(value)) if isinstance(value, Decimal) else value


def _read_as(kind: str, value: Any) -> Any:
    if kind == "text":
        return str(value) if isinstance(value, Number) else value
    if kind == "number" and is_text(value):
        number = Integer if _INTEGER.fullmatch(value) else Number
        return number(value) if _NUMBER.fullmatch(value) else value
    if kind == "sql" and is_text(value):
        match = _SQL_TIME.fullmatch(value)
        return f"{match[1]}T{match[2]}{_zone(match[3], match[4])}" if match else value
    if kind in _POWERS and isinstance(value, str):
        return _instant(str(value), _POWERS[kind])
    return value


def _zone(hours: str | None, minutes: str | None) -> str:
    return f"{hours}:{minutes or '00'}" if hours else "Z"


def _instant(text: str, power: int) -> str:
    """A count since 1970 as the text of an instant; as it is where it is no whole count of microseconds."""
    if not _NUMBER.fullmatch(text):
        return text
    try:
        count = Decimal(text)
        if count and count.adjusted() > _LAST_US_DIGITS:
            instant_us = _LAST_US if count > 0 else _FIRST_US
        else:
            count_us = count.scaleb(power, _EXACT)
            instant_us = int(count_us)
            if instant_us != count_us:
                return text
    except DecimalException:
        return text
    instant = _EPOCH + min(max(instant_us, _FIRST_US), _LAST_US) * _MICROSECOND
    return instant.isoformat(timespec="microseconds")
