"""Values of three engines in one exact form, so that equal means equal.

Money keeps its scale, doubles are their 64 bits, instants are whole microseconds since 1970. Whole numbers
are compared by value: one engine sums integers into a BIGINT, the next into a HUGEINT.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

Row = tuple[Any, ...]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def exact(value: Any) -> Any:
    """Return the value as a string or integer that is equal only for equal values."""
    match value:
        case None | bool() | int() | str():
            return value
        case Decimal():
            return int(value) if value.as_tuple().exponent == 0 else f"decimal {value}"
        case float():
            return f"double {struct.pack('>d', value).hex()}"
        case datetime():
            return (value - EPOCH) // timedelta(microseconds=1)
        case date():
            return value.isoformat()
        case bytes() | bytearray():
            return f"binary {value.hex()}"
        case _:
            raise TypeError(f"{type(value).__name__}: no exact form is known")


def exact_rows(rows: Iterable[Iterable[Any]]) -> list[Row]:
    return [tuple(exact(value) for value in row) for row in rows]


def difference(expected: list[Row], found: list[Row], *, is_ordered: bool) -> str:
    """Return what is different in a few words; empty for nothing."""
    if is_ordered and expected != found and Counter(expected) == Counter(found):
        return "the same rows in another order"
    lacking, extra = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
    if not lacking and not extra:
        return ""
    sample = f"; lacks {next(iter(lacking), None)}, has {next(iter(extra), None)}"
    return f"{lacking.total()} rows lacking, {extra.total()} too many of {len(expected)}{sample}"[:400]
