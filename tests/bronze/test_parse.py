"""The vectorised parser against the oracle: whichever way a line goes, its verdict is the same."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from random import Random

import hostile
import oracle
import pyarrow as pa
import pytest

from eventmint.bronze.parse import BlockParser
from eventmint.values import EventRules

RULES = EventRules()
LATEST_US = oracle.microseconds(hostile.NOW) + 86_400_000_000
KEPT_BYTES = 4_096  # of a line that is too long
Row = tuple[object, ...]

EVENT_COLUMNS = ("event_time", *oracle.FIELDS[1:])
SCHEMA = pa.schema(
    [
        ("event_time", pa.timestamp("us", tz="UTC")),
        *((name, pa.string()) for name in ("user_id", "session_id", "event_type", "product_id", "category")),
        ("quantity", pa.int32()),
        ("price", pa.decimal128(15, 6)),
        *((name, pa.string()) for name in ("search_query", "extra", "problem")),
        ("line_number", pa.int64()),
        ("raw", pa.binary()),
    ]
)


@pytest.fixture
def parser() -> Iterator[BlockParser]:
    with closing(BlockParser(RULES, LATEST_US)) as opened:
        yield opened


def parse(parser: BlockParser, lines: Sequence[bytes], first_line_number: int = 1) -> pa.Table:
    return parser.parse(b"\n".join(lines), first_line_number)


def rows_found(table: pa.Table) -> Counter[Row]:
    """Return the rows of a parsed block, valid and quarantined told apart."""
    times = table["event_time"].cast(pa.int64()).to_pylist()
    rows: Counter[Row] = Counter()
    for time_us, row in zip(times, table.to_pylist(), strict=True):
        values = (time_us, *(row[name] for name in EVENT_COLUMNS[1:]))
        if row["problem"] is None:
            assert (row["line_number"], row["raw"]) == (None, None), row
            extra = None if row["extra"] is None else oracle.canonical_json(oracle.parse_json(row["extra"]))
            rows["valid", *values, extra] += 1
        else:
            assert set(values) == {None}, row
            rows["quarantined", row["problem"], row["line_number"], row["raw"]] += 1
    return rows


def rows_expected(
    lines: Sequence[bytes], verdicts: Sequence[oracle.OracleVerdict], first_line_number: int
) -> Counter[Row]:
    rows: Counter[Row] = Counter()
    for number, (line, verdict) in enumerate(zip(lines, verdicts, strict=True), first_line_number):
        if verdict.blank:
            continue
        if verdict.values is None:
            raw = line[:KEPT_BYTES] if verdict.problem == "line_too_long" else line
            rows["quarantined", verdict.problem, number, raw] += 1
        else:
            extra = verdict.values["extra"]
            values = (verdict.values[field] for field in oracle.FIELDS)
            rows["valid", *values, None if extra is None else oracle.canonical_json(extra)] += 1
    return rows


def judge(line: bytes, rules: EventRules) -> oracle.OracleVerdict:
    return oracle.judge(
        line,
        now=hostile.NOW,
        optional=rules.optional,
        event_types=rules.event_types,
        max_line_bytes=rules.max_line_bytes,
    )


def assert_parsed_like_the_oracle(
    parser: BlockParser, lines: Sequence[bytes], first_line_number: int = 1, rules: EventRules = RULES
) -> None:
    verdicts = [judge(line, rules) for line in lines]
    blank_before = parser.blank_count
    found = rows_found(parse(parser, lines, first_line_number))
    expected = rows_expected(lines, verdicts, first_line_number)
    surplus, missing = shown(found - expected), shown(expected - found)
    assert not surplus, f"rows that the oracle does not have: {surplus}, instead of: {missing}"
    assert not missing, f"rows that the oracle has alone: {missing}"
    assert parser.blank_count - blank_before == sum(verdict.blank for verdict in verdicts)


def shown(rows: Counter[Row]) -> list[str]:
    return sorted(str(row)[:400] for row in rows.elements())[:5]


def good_lines(rng: Random, count: int) -> list[bytes]:
    return [hostile.good_line(rng) for _ in range(count)]


# --- Shape of the result ---------------------------------------------------------------------------------


def test_a_block_becomes_a_table_of_the_columns_of_bronze(parser: BlockParser) -> None:
    rng = Random(1)
    for lines in (good_lines(rng, 10), [b""], [b"{"], [b"{", *good_lines(rng, 3)]):
        assert parse(parser, lines).schema.equals(SCHEMA)


def test_every_line_is_a_row_or_blank(parser: BlockParser) -> None:
    lines = [b"", b" \r", b"{", *good_lines(Random(2), 3), b"\t", b"{}"]
    assert parse(parser, lines).num_rows == 5
    assert parser.blank_count == 3
    assert parse(parser, [b"", b"{"]).num_rows == 1
    assert parser.blank_count == 4


def test_a_quarantined_line_keeps_its_number_and_its_bytes(parser: BlockParser) -> None:
    lines = [*good_lines(Random(3), 2), b"", b"{\xff\r", hostile.good_line(Random(4)), b"{}"]
    rows = [row for row in parse(parser, lines, 1_001).to_pylist() if row["problem"] is not None]
    assert sorted((row["line_number"], row["raw"]) for row in rows) == [(1_004, b"{\xff\r"), (1_006, b"{}")]


# --- Against the oracle ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(hostile.CLASSES.keys() - hostile.HEAVY))
def test_a_hostile_class_among_good_lines_is_parsed_like_the_oracle(name: str, parser: BlockParser) -> None:
    rng = Random(name)
    lines = good_lines(rng, 10) + [hostile.CLASSES[name](rng) for _ in range(20)]
    rng.shuffle(lines)
    assert_parsed_like_the_oracle(parser, lines)


@pytest.mark.parametrize("name", sorted(hostile.HEAVY))
def test_a_heavy_class_among_good_lines_is_parsed_like_the_oracle(name: str, parser: BlockParser) -> None:
    rng = Random(name)
    lines = [*good_lines(rng, 3), hostile.CLASSES[name](rng), *good_lines(rng, 3), hostile.CLASSES[name](rng)]
    assert_parsed_like_the_oracle(parser, lines)


@pytest.mark.parametrize("seed", range(3))
def test_mutated_lines_in_blocks_of_any_size_are_parsed_like_the_oracle(
    seed: int, parser: BlockParser
) -> None:
    rng = Random(seed)
    first_line_number = 1
    for size in (1, 2, 300, 1, 400, 50):
        lines = [
            hostile.mutated(rng)[1] if rng.random() < 0.5 else hostile.good_line(rng) for _ in range(size)
        ]
        assert_parsed_like_the_oracle(parser, lines, first_line_number)
        first_line_number += size


def test_what_the_parser_learnt_from_lines_changes_no_verdict(parser: BlockParser) -> None:
    rng = Random(5)
    lines = [hostile.mutated(rng)[1] for _ in range(200)] + good_lines(rng, 100)
    assert_parsed_like_the_oracle(parser, lines)
    assert_parsed_like_the_oracle(parser, lines[::-1])


SETTINGS = {
    "no ids": EventRules(optional=frozenset({"user_id", "session_id"})),
    "no user": EventRules(optional=frozenset({"user_id"})),
    "few types": EventRules(event_types=("search", "purchase")),
    "short lines": EventRules(max_line_bytes=180),
    "types that look like patterns": EventRules(
        event_types=("page_view", "p.*", "a|b", "(", "null", "\\d", "$", 'q"')
    ),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_any_setting_is_parsed_like_the_oracle(setting: str) -> None:
    rng = Random(setting)
    rules = SETTINGS[setting]
    lines = [hostile.mutated(rng)[1] for _ in range(300)] + good_lines(rng, 300)
    for name in rules.event_types:
        lines += [json.dumps({**hostile.good_event(rng), "event_type": name}).encode() for _ in range(5)]
    rng.shuffle(lines)
    with closing(BlockParser(rules, LATEST_US)) as parser:
        assert_parsed_like_the_oracle(parser, lines[:300], rules=rules)
        assert_parsed_like_the_oracle(parser, lines[300:], 301, rules)


def test_mutations_of_one_key_order_are_parsed_like_the_oracle(parser: BlockParser) -> None:
    """A line damaged by one byte, at every byte: these come nearest to being vouched for in error."""
    rng = Random(6)
    line = json.dumps(hostile.good_event(Random(8), "purchase"), separators=(",", ":")).encode()
    damaged = [line]
    for position in range(len(line)):
        byte = rng.choice(b'"\\,:{}[] 09-.eZTu\x00\x1f\x7f\x80\xc0\xed\xff')
        damaged.append(line[:position] + bytes([byte]) + line[position + 1 :])
        damaged.append(line[:position] + bytes([byte]) + line[position:])
        damaged.append(line[:position] + line[position + 1 :])
    assert_parsed_like_the_oracle(parser, [line] * 10)
    assert_parsed_like_the_oracle(parser, damaged, 11)


# --- Values that vectorised code is known to get wrong ---------------------------------------------------


@pytest.mark.parametrize(
    "name", ["timestamp_any_valid", "timestamp_before_the_first", "timestamp_after_the_last", "price_random"]
)
def test_many_values_of_a_class_are_exact(name: str, parser: BlockParser) -> None:
    rng = Random(name)
    assert_parsed_like_the_oracle(
        parser, good_lines(rng, 50) + [hostile.CLASSES[name](rng) for _ in range(800)]
    )


def test_prices_of_fifteen_digits_are_exact(parser: BlockParser) -> None:
    rng = Random(9)
    lines = []
    for _ in range(1_500):
        whole, decimals = rng.randrange(10 ** rng.randint(1, 9)), rng.randint(1, 6)
        price = f"{whole}.{rng.randrange(10**decimals):0{decimals}d}"
        event = {**hostile.good_event(rng, "purchase"), "price": 0}
        lines.append(json.dumps(event).replace('"price": 0', f'"price": {price}').encode())
    assert_parsed_like_the_oracle(parser, lines)


def test_every_day_of_the_calendar_is_known(parser: BlockParser) -> None:
    times = [
        f"{year}-{month:02d}-{day:02d}T{hour:02d}:00:00{zone}"
        for year in (1970, 1971, 1972, 1999, 2000, 2024, 2025, 2100)
        for month in range(1, 13)
        for day in (1, 28, 29, 30, 31)
        for hour, zone in ((0, "Z"), (23, "-23:59"), (0, "+23:59"))
    ]
    event = hostile.good_event(Random(10), "page_view")
    assert_parsed_like_the_oracle(
        parser, [json.dumps({**event, "timestamp": time}).encode() for time in times]
    )


def test_text_is_kept_to_the_last_character(parser: BlockParser) -> None:
    texts = [
        chr(code) for code in (*range(1, 0x250), 0x2028, 0xD7FF, 0xE000, 0xFEFF, 0xFFFF, 0x1F600, 0x10FFFF)
    ]
    event = hostile.good_event(Random(12), "search")
    lines = [
        json.dumps({**event, field: f"a{text}b"}, ensure_ascii=ascii_only).encode()
        for text in texts
        for field in ("user_id", "search_query")
        for ascii_only in (True, False)
    ]
    assert_parsed_like_the_oracle(parser, lines)
