"""The vectorised parser: vouches for ordinary lines in bulk and sends every other line to the judge.

A line is ordinary when one regular expression, built from the contract and from the key orders seen in the
data, matches it whole: known keys, no key twice, right types, right grammar, required fields present.
DuckDB then turns the vouched lines into columns. Cost is proportional to the lines that are not ordinary;
the verdict never depends on which way a line went.
"""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from eventmint.bronze.judge import Verdict, judge_line
from eventmint.values import CART_EVENTS, EVENT_COLUMNS, EVENT_FIELDS, EventRules

KEPT_RAW_BYTES = 4096
WHITE_SPACE = b" \t\r"
_BLANK = r"^[ \t\r]*$"
_SAMPLE_LINES = 64
_MAX_SHAPES = 12

_COLUMNS = pa.schema(
    [
        ("event_time", pa.timestamp("us", tz="UTC")),
        ("user_id", pa.string()),
        ("session_id", pa.string()),
        ("event_type", pa.string()),
        ("product_id", pa.string()),
        ("category", pa.string()),
        ("quantity", pa.int32()),
        ("price", pa.decimal128(15, 6)),
        ("search_query", pa.string()),
        ("extra", pa.string()),
        ("problem", pa.string()),
        ("line_number", pa.int64()),
        ("raw", pa.binary()),
    ]
)

Shape = tuple[str, ...]
Row = tuple[object, ...]

# Grammar of the values an ordinary line may have (RE2). Anything rarer is for the judge.
_ESCAPE = (
    r'\\(?:["\\/bfnrt]|u(?:0(?:0(?:0[1-9a-fA-F]|[1-9a-fA-F][0-9a-fA-F])|[1-9a-fA-F][0-9a-fA-F]{2})'
    r"|[1-9a-cA-CefEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}"
    r"|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}))"
)
_CHAR = rf'(?:[^"\\\x00-\x1f]|{_ESCAPE})'
_TEXT = rf'"{_CHAR}*"'
_ID = rf'"{_CHAR}+"'
_TIMESTAMP = (
    r'"(?:19[7-9]\d|20\d\d)-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d'
    r'(?:\.\d{1,6})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)"'
)
_QUANTITY = r"[1-9]\d{0,8}"
_PRICE = r"(?:0|[1-9]\d{0,8})(?:\.\d{1,6})?"

_TRANSFORM = json.dumps(
    {
        "timestamp": "TIMESTAMPTZ",
        "user_id": "VARCHAR",
        "session_id": "VARCHAR",
        "event_type": "VARCHAR",
        "product_id": "VARCHAR",
        "category": "VARCHAR",
        "quantity": "INTEGER",
        # Exact: at most 15 digits (see _PRICE), which a double carries without loss.
        "price": "DECIMAL(15,6)",
        "search_query": "VARCHAR",
    }
)
_FIELDS = ", ".join(f"event.{name}" for name in EVENT_COLUMNS[1:])
_EVENTS = f"SELECT json_transform(line, '{_TRANSFORM}') AS event FROM vouched"  # noqa: S608 - constants only
_SELECT = f"SELECT event.timestamp AS event_time, {_FIELDS} FROM ({_EVENTS})"  # noqa: S608 - constants only


class LineParser(ABC):
    """Turns blocks of lines into rows of bronze.

    Attributes:
        line_count: lines seen so far, counted from the bytes.
        blank_count, valid_count, quarantined_count: the same by verdict, counted one by one.
        unknown_fields: names of fields the contract does not know, with the lines that carry them.
    """

    def __init__(self, rules: EventRules, latest_us: int) -> None:
        self.line_count = 0
        self.blank_count = 0
        self.valid_count = 0
        self.quarantined_count = 0
        self.unknown_fields: Counter[str] = Counter()
        self._rules = rules
        self._latest_us = latest_us

    @abstractmethod
    def parse(self, block: bytes, first_line_number: int) -> pa.Table:
        """Return one row per line of the block that is not blank, in no particular order.

        Args:
            block: lines joined by newlines, without the last one's newline.
            first_line_number: number of the block's first line in its file, counted from 1.
        """

    def close(self) -> None:  # noqa: B027 - not every parser holds something
        """Give back what the parser holds."""

    def too_long(self, start: bytes, size: int, sha256: str, line_number: int) -> pa.Table:
        """Return the row of a line that was too long to be held: its first bytes, size and SHA-256."""
        self.line_count += 1
        self.quarantined_count += 1
        return rows_to_table([_too_long_row(start, size, sha256, line_number)])

    def row_of(self, verdict: Verdict, line: bytes, line_number: int) -> Row:
        """Return the row of a line that was judged, and count it."""
        if verdict.values is not None:
            self.valid_count += 1
            self.unknown_fields.update(verdict.unknown)
            return (*verdict.values, verdict.extra, None, None, None)
        self.quarantined_count += 1
        if verdict.problem == "line_too_long":
            return _too_long_row(line, len(line), hashlib.sha256(line).hexdigest(), line_number)
        return (*[None] * 10, verdict.problem, line_number, line)


class BlockParser(LineParser):
    """Parses lines that are events as the contract writes them."""

    def __init__(self, rules: EventRules, latest_us: int) -> None:
        super().__init__(rules, latest_us)
        self.judged_count = 0
        self._shapes: set[Shape] = set()
        self._pattern: str | None = None
        self._duckdb = _engine().cursor()

    def close(self) -> None:
        self._duckdb.close()

    def parse(self, block: bytes, first_line_number: int) -> pa.Table:
        lines = pc.split_pattern(pa.scalar(block, pa.binary()), "\n").values
        self.line_count += len(lines)
        if not self._shapes:
            step = max(1, len(lines) // _SAMPLE_LINES)
            self._learn(lines[i].as_py() for i in range(0, len(lines), step))
        vouched = self._vouch(lines)
        events = self._transform(_as_text(lines.filter(vouched)))
        doubtful = self._doubtful(events["event_time"])
        if pc.any(doubtful).as_py():
            # Well formed, but no date (30 February), too early or too far ahead: let the judge say which.
            certain = pc.invert(doubtful)
            vouched = pc.replace_with_mask(vouched, vouched, certain.combine_chunks())
            events = events.filter(certain)
        self.valid_count += events.num_rows
        judged = self._judge(lines, self._not_blank(lines, pc.invert(vouched)), first_line_number)
        padded = pa.table([*events.columns, *_nulls(events.num_rows)], schema=_COLUMNS)
        return pa.concat_tables([padded, judged])

    def _doubtful(self, times: pa.ChunkedArray) -> pa.ChunkedArray:
        span = (self._rules.earliest_us, self._latest_us)
        first, last = (pa.scalar(us, times.type) for us in span)
        in_range = pc.and_(pc.greater_equal(times, first), pc.less_equal(times, last))
        return pc.invert(pc.fill_null(in_range, False))  # noqa: FBT003 - the value to fill in

    def _vouch(self, lines: pa.BinaryArray) -> pa.BooleanArray:
        if self._pattern is None:
            self._pattern = _pattern(self._shapes, self._rules)
        matched = pc.match_substring_regex(_as_text(lines), self._pattern)
        vouched = pc.and_(matched, pc.less_equal(pc.binary_length(lines), self._rules.max_line_bytes))
        try:
            _as_text(lines.filter(vouched)).validate(full=True)
        except pa.ArrowInvalid:
            # RE2 lets some overlong encodings pass.
            valid = pa.array([_is_utf8(line) for line in lines.to_pylist()])
            vouched = pc.and_(vouched, valid)
        return vouched

    def _transform(self, vouched: pa.StringArray) -> pa.Table:
        with_column = pa.table({"line": vouched})
        self._duckdb.register("vouched", with_column)
        try:
            return self._duckdb.sql(_SELECT).to_arrow_table()
        finally:
            self._duckdb.unregister("vouched")

    def _not_blank(self, lines: pa.BinaryArray, unvouched: pa.BooleanArray) -> list[int]:
        """Count the blank lines among these and return the positions of the others."""
        positions = pc.indices_nonzero(unvouched)
        is_blank = pc.match_substring_regex(_as_text(lines.take(positions)), _BLANK)
        left: list[int] = positions.filter(pc.invert(is_blank)).to_pylist()
        self.blank_count += len(positions) - len(left)
        return left

    def _judge(self, lines: pa.BinaryArray, positions: Iterable[int], first_line_number: int) -> pa.Table:
        rows = []
        unseen = []
        for position in positions:
            line: bytes = lines[position].as_py()
            self.judged_count += 1
            verdict = judge_line(line, self._rules, self._latest_us)
            rows.append(self.row_of(verdict, line, first_line_number + position))
            if verdict.values is not None and not verdict.unknown:
                unseen.append(line)
        self._learn(unseen)
        return rows_to_table(rows)

    def _learn(self, lines: Iterable[bytes]) -> None:
        """Add the key orders of lines to those that can be vouched for."""
        before = len(self._shapes)
        for line in lines:
            if len(self._shapes) >= _MAX_SHAPES:
                break
            shape = _shape(line)
            if shape:
                self._shapes.add(shape)
        if len(self._shapes) > before:
            self._pattern = None


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    """One DuckDB per process: opening one costs more than a small file. Parsers use cursors of it."""
    connection = duckdb.connect(config={"threads": 1, "autoload_known_extensions": False})
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    return connection


def _shape(line: bytes) -> Shape | None:
    """The order of the keys in a line; None where it could not be vouched for."""
    try:
        event = json.loads(line, object_pairs_hook=lambda pairs: tuple(key for key, _ in pairs))
    except (ValueError, RecursionError):
        return None
    known = isinstance(event, tuple) and set(event) <= set(EVENT_FIELDS) and len(set(event)) == len(event)
    return event if known else None


def _pattern(shapes: Iterable[Shape], rules: EventRules) -> str:
    """The regular expression of all ordinary lines with one of these key orders."""
    alternatives = [
        alternative
        for shape in sorted(shapes)
        for members in _member_grammars(rules)
        if (alternative := _line_grammar(shape, members)) is not None
    ]
    return rf"^(?:{'|'.join(alternatives)})[ \t\r]*$" if alternatives else r"[^\x00-\x{10FFFF}]"


def _line_grammar(shape: Shape, members: dict[str, str]) -> str | None:
    required = {name for name, grammar in members.items() if "null" not in grammar}
    if not required <= set(shape):
        return None
    return r"\{" + ", ?".join(f'"{name}": ?{members[name]}' for name in shape) + r"\}"


def _member_grammars(rules: EventRules) -> Iterable[dict[str, str]]:
    """Grammar per field, one set for each kind of event: the kind decides which fields are required."""
    for kinds in _kinds(rules.event_types):
        cart = kinds[0] in CART_EVENTS
        yield {
            "timestamp": _TIMESTAMP,
            "user_id": _nullable(_ID, "user_id" in rules.optional),
            "session_id": _nullable(_ID, "session_id" in rules.optional),
            "event_type": f'"(?:{"|".join(re.escape(kind) for kind in kinds)})"',
            "product_id": _nullable(_ID, kinds[0] == "search"),
            "category": _nullable(_TEXT),
            "quantity": _nullable(_QUANTITY, not cart),
            "price": _nullable(_PRICE, kinds[0] != "purchase"),
            "search_query": _nullable(_TEXT),
        }


def _kinds(event_types: Sequence[str]) -> Iterable[tuple[str, ...]]:
    """Event types grouped by what they require; a name that JSON would escape is left to the judge."""
    plain = [name for name in event_types if re.fullmatch(r"[ !#-\[\]-~]+", name) and name != "null"]
    groups = (
        tuple(name for name in plain if name == "search"),
        tuple(name for name in plain if name == "purchase"),
        tuple(name for name in plain if name in CART_EVENTS - {"purchase"}),
        tuple(name for name in plain if name not in CART_EVENTS | {"search"}),
    )
    return (group for group in groups if group)


def _nullable(grammar: str, nullable: bool = True) -> str:
    return f"(?:{grammar}|null)" if nullable else grammar


def _as_text(lines: pa.BinaryArray) -> pa.StringArray:
    """The same bytes seen as text, unchecked: what matters is checked by the pattern and by validate()."""
    return pa.StringArray.from_buffers(
        len(lines), lines.buffers()[1], lines.buffers()[2], None, 0, lines.offset
    )


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _nulls(count: int) -> list[pa.Array]:
    return [pa.nulls(count, _COLUMNS.field(name).type) for name in ("extra", "problem", "line_number", "raw")]


def _too_long_row(line: bytes, size: int, sha256: str, line_number: int) -> Row:
    kept = json.dumps({"raw_bytes": size, "raw_sha256": sha256})
    return (*[None] * 9, kept, "line_too_long", line_number, line[:KEPT_RAW_BYTES])


def rows_to_table(rows: list[Row]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(_COLUMNS)
    return pa.table(
        [pa.array(values, kind) for values, kind in zip(columns, _COLUMNS.types, strict=True)],
        schema=_COLUMNS,
    )
