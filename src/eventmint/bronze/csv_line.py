"""One record of CSV by RFC 4180 on one line: the fields as they were meant, or nothing at all."""

from __future__ import annotations

import re
from functools import cache


def csv_fields(text: str, delimiter: str) -> list[str] | None:
    """Return the fields of a record, without their quotes; None where the quoting is broken.

    A quote may stand only around a whole field, and twice within it: Python's reader lets others pass.
    """
    text = text.removesuffix("\r")
    if '"' not in text:
        return None if "\r" in text else text.split(delimiter)
    fields = []
    at = 0
    while match := _field(delimiter).match(text, at):
        quoted, plain, end = match.groups()
        fields.append(plain if quoted is None else quoted.replace('""', '"'))
        if not end:
            return fields
        at = match.end()
    return None


@cache
def _field(delimiter: str) -> re.Pattern[str]:
    """A field with the delimiter behind it, if any; nothing is ever tried twice."""
    mark = re.escape(delimiter)
    return re.compile(rf'(?:"((?:[^"]++|"")*+)"|([^"\r{mark}]*+))({mark}|\Z)')
