"""Rows as text for machines (JSON, JSON Lines, CSV) and single values as text for people.

Decimals stay decimal: nothing passes through a float. A CSV cell that a spreadsheet would run is disarmed.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pyarrow as pa

from eventmint.errors import FixSettings
from eventmint.serve.streams import SCHEMA_VERSION, plain

_ROWS_AT_ONCE = 5_000
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_TINY, _HUGE = 1e-4, 1e15
MINUS = "\N{MINUS SIGN}"
_UNITS = "KMBT"
_NEXT_UNIT = Decimal("999.5")  # would be told as 1000


def json_text(document: dict[str, Any]) -> str:
    """Return one JSON document with its schema version; in ASCII, so that any terminal and locale will do."""
    return json.dumps({"schema_version": SCHEMA_VERSION, **document}, indent=2, default=jsonable)


def jsonable(value: Any) -> Any:
    """Return what JSON has no word for as text: decimals and times exactly, bytes with bad ones escaped."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)


def columns_of(table: pa.Table) -> list[dict[str, str]]:
    return [{"name": field.name, "type": str(field.type)} for field in table.schema]


def json_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return rows as objects.

    Raises: FixSettings: two columns have one name.
    """
    names = table.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FixSettings(f"Two columns are called `{twice[0]}`.", "Give each its own name with AS.")
    return [dict(zip(names, map(_json_value, row), strict=True)) for row in rows_of(table)]


def json_lines(table: pa.Table) -> Iterator[str]:
    """Yield one JSON object a row."""
    for start in range(0, table.num_rows, _ROWS_AT_ONCE):
        part = json_rows(table.slice(start, _ROWS_AT_ONCE))
        yield "".join(json.dumps(row, default=jsonable) + "\n" for row in part)


def csv_lines(table: pa.Table, clean: Callable[[str], str] = str) -> Iterator[str]:
    """Yield CSV as RFC 4180 has it; NULL is empty; `clean` is applied to every text.

    A text cell that begins like a formula gets a leading apostrophe: spreadsheets would run it.
    """
    is_text = [not _is_plain_number(field.type) for field in table.schema]
    yield _csv([[_disarmed(clean(name)) for name in table.column_names]])
    for start in range(0, table.num_rows, _ROWS_AT_ONCE):
        rows = rows_of(table.slice(start, _ROWS_AT_ONCE))
        yield _csv(
            [
                _disarmed(clean(cell_text(value))) if text else cell_text(value)
                for value, text in zip(row, is_text, strict=True)
            ]
            for row in rows
        )


def rows_of(table: pa.Table) -> Iterable[tuple[Any, ...]]:
    """Return rows as Python values; a whole number that came as a decimal is a whole number again."""
    columns = [_values(field.type, table.column(number)) for number, field in enumerate(table.schema)]
    return zip(*columns, strict=True)


def cell_text(value: Any, null: str = "") -> str:
    """Return a value as plain text, exact to the last digit."""
    if value is None:
        return null
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list | tuple):
        return json.dumps(_json_value(value), default=jsonable, ensure_ascii=False)
    return repr(value) if isinstance(value, float) else str(jsonable(value))


def shown_text(value: Any) -> str:
    """Return a value for a table that is read by people: rates with four decimals, NULL by name."""
    if isinstance(value, float) and (value == 0 or _TINY <= abs(value) < _HUGE):
        return f"{value:.4f}"
    return plain(cell_text(value, null="NULL"))


def is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def short_count(n: Decimal | int) -> str:
    """Return a number as it is told: `950`, `46.7K`, `1.67M`; three digits, rounded half up."""
    return f"{MINUS if n < 0 else ''}{_short(abs(Decimal(n)))}"


def short_money(amount: Decimal | int) -> str:
    """Return an amount as it is told: `$12.50`, `$80`, `$46.7K`, `$1.67M`."""
    size = abs(Decimal(amount))
    has_cents = size < Decimal("999.995") and size % 1
    return f"{MINUS if amount < 0 else ''}${rounded(size, 2) if has_cents else _short(size)}"


def _short(size: Decimal) -> str:
    if size < _NEXT_UNIT:
        return f"{rounded(size, 0)}"
    unit = -1
    while size >= _NEXT_UNIT and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    if size >= _NEXT_UNIT:
        return f"{size:,.0f}{_UNITS[unit]}"
    digits = 2 if size < Decimal("9.995") else 1 if size < Decimal("99.95") else 0
    return f"{rounded(size, digits)}{_UNITS[unit]}"


def rounded(value: Decimal, digits: int) -> Decimal:
    """Return a number with so many decimals, rounded half up as people do."""
    return value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def share(part: float | Decimal, whole: float | Decimal) -> str:
    """Return a share in per cent that never claims a zero or a hundred that is not true."""
    if not whole:
        return "-"
    percent = 100 * Decimal(part) / Decimal(whole)
    if 0 < percent < Decimal("0.1"):
        return "<0.1%"
    text = f"{percent:.1f}%"
    return ">99.9%" if text == "100.0%" and part < whole else text


def _values(kind: pa.DataType, column: pa.ChunkedArray) -> Sequence[Any]:
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        column = column.cast(pa.timestamp(kind.unit, "UTC"))  # needs no time zone database
    try:
        values: list[Any] = column.to_pylist()
    except (OverflowError, ValueError):  # a time beyond the years of Python
        try:
            values = column.cast(pa.string()).to_pylist()
        except pa.ArrowNotImplementedError:
            raise FixSettings(
                f"A value of type {kind} cannot be shown.", "Make it text with CAST(... AS VARCHAR)."
            ) from None
    if pa.types.is_decimal(kind) and kind.scale == 0:
        return [None if value is None else int(value) for value in values]
    return values


def _json_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _json_value(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(entry) for entry in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value  # JSON knows no NaN


def _is_plain_number(kind: pa.DataType) -> bool:
    return is_number(kind) or bool(pa.types.is_boolean(kind) or pa.types.is_temporal(kind))


def _disarmed(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _csv(rows: Iterable[Sequence[str]]) -> str:
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\r\n").writerows(rows)
    return sink.getvalue()
