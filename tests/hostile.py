"""Hostile lines: every way we know for a line to be wrong, and many to be right in an unusual way.

A class is a name and a function of a seeded generator. It says what was done to the line, never what the
verdict is: that is the oracle's word (`oracle.judge` at `NOW`). No line contains a newline.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

HostileClass = Callable[[Random], bytes]
Literals = dict[str, str]  # key and value of each member as JSON text

NOW = datetime(2025, 6, 15, 12, 30, tzinfo=UTC)
MAX_LINE_BYTES = 1_048_576
CATEGORIES = ("books", "garden", "kitchen", "toys", "B\u00fccher", "\u73a9\u5177", "")
EVENT_TYPES = ("page_view", "page_view", "add_to_cart", "remove_from_cart", "purchase", "search")
CART_EVENTS = ("add_to_cart", "remove_from_cart", "purchase")
STRING_FIELDS = (
    "timestamp",
    "user_id",
    "session_id",
    "event_type",
    "product_id",
    "category",
    "search_query",
)
# json.dumps makes one for each value, which for millions of values takes longer than writing them.
_ENCODER = json.JSONEncoder(ensure_ascii=False)


# --- Good lines ------------------------------------------------------------------------------------------


def good_event(rng: Random, *event_types: str) -> dict[str, Any]:
    """Return a valid event (of one of these types), from pools so small that users and products recur."""
    event_type = rng.choice(event_types or EVENT_TYPES)
    instant = NOW - timedelta(milliseconds=rng.randrange(3 * 86_400_000))
    has_product = event_type != "search" or rng.random() < 0.1
    event = {
        "timestamp": instant.strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03d}Z",
        "user_id": f"user_{rng.randrange(50):05d}",
        "session_id": f"session_{rng.randrange(200):06d}",
        "event_type": event_type,
        "product_id": f"prod_{rng.randrange(30):04d}" if has_product else None,
        "category": rng.choice(CATEGORIES) if rng.random() < 0.9 else None,
        "quantity": rng.randint(1, 5) if event_type in CART_EVENTS else None,
        "price": rng.randint(0, 99_999) / 100 if has_product else None,
        "search_query": rng.choice(("red lamp", "caf\u00e9", "")) if event_type == "search" else None,
    }
    if rng.random() < 0.5:
        return {field: value for field, value in event.items() if value is not None}
    return event


def good_line(rng: Random) -> bytes:
    """Return a valid event as the generator writes it: compact, UTF-8."""
    return _join(_literals(good_event(rng)))


def mutated(rng: Random) -> tuple[str, bytes]:
    """Return a line of a random class, and the class; the heavy classes come once in a thousand."""
    name = rng.choice(list(_HEAVY if rng.random() < 0.001 else _LIGHT))
    return name, CLASSES[name](rng)


def _literals(event: dict[str, Any]) -> Literals:
    return {_quote(field): _quote(value) for field, value in event.items()}


def _quote(value: object) -> str:
    return _ENCODER.encode(value)


def _join(members: Literals | Iterable[tuple[str, str]]) -> bytes:
    pairs = members.items() if isinstance(members, dict) else members
    return ("{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}").encode("utf-8")


# --- What a class is made of -----------------------------------------------------------------------------


def _lines(*choices: str | bytes) -> HostileClass:
    """Give one of these lines."""

    def make(rng: Random) -> bytes:
        line = rng.choice(choices)
        return line.encode("utf-8") if isinstance(line, str) else line

    return make


def _good(change: Callable[[Random, bytes], bytes], *event_types: str) -> HostileClass:
    """Change the bytes of a good line."""
    return lambda rng: change(rng, _join(_literals(good_event(rng, *event_types))))


def _members(change: Callable[[Random, list[tuple[str, str]]], object], *event_types: str) -> HostileClass:
    """Change the members of a good line, in place."""

    def make(rng: Random) -> bytes:
        members = list(_literals(good_event(rng, *event_types)).items())
        change(rng, members)
        return _join(members)

    return make


def _field(field: str, *literals: str, of: tuple[str, ...] = ()) -> HostileClass:
    """Give one field of a good event (of these types) one of these JSON texts."""

    def make(rng: Random) -> bytes:
        members = _literals(good_event(rng, *of))
        members[_quote(field)] = rng.choice(literals)
        return _join(members)

    return make


def _timestamp(*texts: str) -> HostileClass:
    return _field("timestamp", *(_quote(text) for text in texts))


def _quantity(*literals: str) -> HostileClass:
    return _field("quantity", *literals, of=EVENT_TYPES)


def _price(*literals: str) -> HostileClass:
    return _field("price", *literals, of=("purchase", "purchase", "page_view"))


def _any_text(*literals: str) -> HostileClass:
    """Give any of the free string fields one of these JSON texts."""

    def make(rng: Random) -> bytes:
        field = rng.choice(("user_id", "session_id", "product_id", "category", "search_query"))
        return _field(field, *literals)(rng)

    return make


def _absent(field: str, *of: str) -> HostileClass:
    return _good(lambda _, line: _without(line, field), *of)


def _without(line: bytes, field: str) -> bytes:
    event = json.loads(line)
    event.pop(field, None)
    return _join(_literals(event))


def _unknown(*pairs: tuple[str, str]) -> HostileClass:
    """Add one member (key and value as JSON text) anywhere."""
    return _members(lambda rng, members: members.insert(rng.randint(0, len(members)), rng.choice(pairs)))


def _unknown_value(*literals: str) -> HostileClass:
    return _unknown(*(('"colour"', literal) for literal in literals))


def _with_prefix(*prefixes: bytes) -> HostileClass:
    return _good(lambda rng, line: rng.choice(prefixes) + line)


def _with_suffix(*suffixes: bytes) -> HostileClass:
    return _good(lambda rng, line: line + rng.choice(suffixes))


def _text_bytes(*bodies: bytes) -> HostileClass:
    """Put one of these bytes inside a string value."""
    return _good(
        lambda rng, line: line.replace(b'"user_id":"', b'"user_id":"' + rng.choice(bodies), 1),
    )


def _between_tokens(*bodies: bytes) -> HostileClass:
    """Put one of these bytes after a comma or colon between members, or at an end of the object."""

    def change(rng: Random, line: bytes) -> bytes:
        body = rng.choice(bodies)
        places = (b'"user_id":', b',"session_id"', b"{", b'"session_id"')
        place = rng.choice(places)
        after = rng.random() < 0.5 and place != b"{"
        return line.replace(place, place + body if not after else body + place, 1)

    return _good(change)


def _nested(depth: int) -> HostileClass:
    """Make the line nest this deep (the event is the first level)."""
    return _unknown_value("[" * (depth - 1) + "]" * (depth - 1))


def _nested_objects(depth: int) -> HostileClass:
    return _unknown_value('{"a":' * (depth - 2) + "{}" + "}" * (depth - 2))


def _padded(size: int, suffix: bytes = b"") -> HostileClass:
    """Make the line exactly this long, with a long search query."""

    def make(rng: Random) -> bytes:
        event = {**good_event(rng, "search"), "search_query": ""}
        room = size - len(suffix) - len(_join(_literals(event)))
        event["search_query"] = rng.choice(string.ascii_letters) * room
        return _join(_literals(event)) + suffix

    return make


# --- Random damage ---------------------------------------------------------------------------------------


def _flip_bit(rng: Random, line: bytes) -> bytes:
    damaged = bytearray(line)
    damaged[rng.randrange(len(line))] ^= 1 << rng.randrange(8)
    return _one_line(damaged)


def _insert_byte(rng: Random, line: bytes) -> bytes:
    position = rng.randint(0, len(line))
    return _one_line(line[:position] + bytes([rng.randrange(256)]) + line[position:])


def _insert_mark(rng: Random, line: bytes) -> bytes:
    position = rng.randint(0, len(line))
    mark = rng.choice(('"', "\\", ",", ":", "{", "}", "[", "]", "-", ".", "0", "e", " ", "\t", "null"))
    return line[:position] + mark.encode() + line[position:]


def _delete_bytes(rng: Random, line: bytes) -> bytes:
    position = rng.randrange(len(line))
    return line[:position] + line[position + rng.randint(1, 4) :]


def _cut_end(rng: Random, line: bytes) -> bytes:
    return line[: rng.randrange(len(line))]


def _cut_start(rng: Random, line: bytes) -> bytes:
    return line[rng.randrange(1, len(line)) :]


def _repeat_piece(rng: Random, line: bytes) -> bytes:
    start, end = sorted((rng.randrange(len(line)), rng.randrange(len(line))))
    return line[:end] + line[start:end] + line[end:]


def _splice(rng: Random, line: bytes) -> bytes:
    other = good_line(rng)
    return line[: rng.randrange(len(line))] + other[rng.randrange(len(other)) :]


def _random_bytes(rng: Random) -> bytes:
    return _one_line(rng.randbytes(rng.randint(1, 200)))


def _random_json_marks(rng: Random) -> bytes:
    return "".join(rng.choice('{}[]:,"\\u01e-. atrfn') for _ in range(rng.randint(1, 60))).encode()


def _one_line(data: bytes | bytearray) -> bytes:
    return bytes(data).replace(b"\n", b" ")


# --- Changes with a little logic -------------------------------------------------------------------------


def _respace(rng: Random, line: bytes) -> bytes:
    marks = iter(json.dumps(json.loads(line), ensure_ascii=False, separators=("\x00,\x00", "\x00:\x00")))
    gaps = ("", " ", "\t", "\r", " \t\r ")
    return "".join(rng.choice(gaps) if char == "\x00" else char for char in marks).encode()


def _duplicate_member(rng: Random, members: list[tuple[str, str]]) -> None:
    members.insert(rng.randint(0, len(members)), rng.choice(members))


def _duplicate_key_other_value(rng: Random, members: list[tuple[str, str]]) -> None:
    key, _ = rng.choice(members)
    members.insert(rng.randint(0, len(members)), (key, rng.choice(('"other"', "1", "null"))))


def _duplicate_key_by_escape(rng: Random, members: list[tuple[str, str]]) -> None:
    key, value = rng.choice(members)
    members.insert(rng.randint(0, len(members)), (_escape_a_letter(rng, key), value))


def _escape_a_key(rng: Random, members: list[tuple[str, str]]) -> None:
    index = rng.randrange(len(members))
    members[index] = (_escape_a_letter(rng, members[index][0]), members[index][1])


def _escape_a_value(rng: Random, members: list[tuple[str, str]]) -> None:
    index = rng.choice([i for i, (_, value) in enumerate(members) if len(value) > 2 and value[0] == '"'])
    members[index] = (members[index][0], _escape_a_letter(rng, members[index][1]))


def _escape_a_letter(rng: Random, quoted: str) -> str:
    position = rng.randrange(1, len(quoted) - 1)
    code = rng.choice((f"{ord(quoted[position]):04x}", f"{ord(quoted[position]):04X}"))
    return f"{quoted[:position]}\\u{code}{quoted[position + 1 :]}"


def _change_key(rng: Random, members: list[tuple[str, str]]) -> None:
    index = rng.randrange(len(members))
    name = json.loads(members[index][0])
    other = rng.choice(
        (name.upper(), name.title(), f" {name}", f"{name} ", f"{name}\x00", name[:-1], f"{name}s")
    )
    members[index] = (json.dumps(other), members[index][1])


def _wrong_type(field: str) -> HostileClass:
    others = ["true", "false", "[]", "{}", "[1]", '{"a":1}', '["x"]', "[null]"]
    if field in STRING_FIELDS:
        others += ["0", "1", "-1.5", "1e400", "1718000000", "1718000000000"]
    else:
        others += ['""', '"1"', '"10.50"', '"abc"', '"null"', '" 1 "', '"1e2"', '"NaN"']
    return _field(field, *others, of=EVENT_TYPES)


_BROKEN = {
    "timestamp": ("null", '""', "5", '"2025-06-01"', '"2025-06-01T00:00:00"', '"1969-01-01T00:00:00Z"'),
    "user_id": ("null", '""', "7", "[]"),
    "session_id": ("null", '""', "7", "{}"),
    "event_type": ("null", '""', "true", '"PURCHASE"', '"wishlist"'),
    "product_id": ("null", '""', "7", "false"),
    "category": ("7", "[]", "true"),
    "quantity": ("null", "0", "-1", "1.0", '"1"', "2147483648", "true"),
    "price": ("null", "-1", "1e9", "0.0000001", '"1"', "true"),
    "search_query": ("7", "{}", "false"),
}


def _break_several(rng: Random, members: list[tuple[str, str]]) -> None:
    kept = dict(members)
    for field in rng.sample(sorted(_BROKEN), rng.randint(2, len(_BROKEN))):
        kept[_quote(field)] = rng.choice(_BROKEN[field])
    members[:] = kept.items()
    rng.shuffle(members)


def _all_nine_random(rng: Random) -> bytes:
    """Give each field anything: absent, broken, or good."""
    good = _literals(good_event(rng))
    members: Literals = {}
    for field, broken in _BROKEN.items():
        draw = rng.random()
        if draw < 0.1:
            members[_quote(field)] = rng.choice(broken)
        elif draw < 0.9 and _quote(field) in good:
            members[_quote(field)] = good[_quote(field)]
    return _join(members)


def _valid_time(rng: Random) -> bytes:
    """Write any instant since 1970 with any offset and any number of decimals."""
    first = datetime(1970, 1, 1, tzinfo=UTC)
    span_us = (NOW - first) // timedelta(microseconds=1)
    offset_minutes = rng.choice((0, 0, 60, 330, 345, 840, 1439, -60, -210, -720, -1439))
    local = first + timedelta(microseconds=rng.randrange(span_us), minutes=offset_minutes)
    text = local.replace(tzinfo=None).isoformat(timespec="microseconds")[
        : rng.choice((19, 21, 22, 23, 24, 25, 26))
    ]
    sign, minutes = ("-" if offset_minutes < 0 else "+"), abs(offset_minutes)
    zone = f"{sign}{minutes // 60:02d}:{minutes % 60:02d}"
    return _timestamp(text + ("Z" if offset_minutes == 0 and rng.random() < 0.5 else zone))(rng)


def _random_price(rng: Random) -> bytes:
    """Write a number of up to 9 + 7 digits in any notation."""
    digits = str(rng.randrange(10 ** rng.randint(1, 16)))
    point = rng.randint(1, len(digits))
    mantissa = digits[:point] + ("." + digits[point:] if point < len(digits) else "")
    exponent = rng.choice(
        ("", "", "e0", "E+0", f"e-{rng.randint(0, 8)}", f"E{rng.randint(0, 8)}", "e-00", "e+01")
    )
    return _price(mantissa + rng.choice(("", "0", "000")) * ("." in mantissa) + exponent)(rng)


def _iso(instant: datetime, timespec: str = "microseconds") -> str:
    return instant.replace(tzinfo=None).isoformat(timespec=timespec)


_LATEST = NOW + timedelta(hours=24)
_MICROSECOND = timedelta(microseconds=1)

_WHITE_SPACE: dict[str, HostileClass] = {
    "blank_empty": _lines(""),
    "blank_spaces_tabs_and_cr": _lines(" ", "\t", "\r", " \t\r", "\r\r", " " * 5000),
    "only_other_white_space": _lines("\x0b", "\x0c", "\u00a0", "\u2028", "\u0085", "\u3000", "\x00", "\x1a"),
    "only_a_bom": _lines("\ufeff", "\ufeff\r", " \ufeff"),
    "trailing_cr": _with_suffix(b"\r", b"\r\r", b" \r", b"\t"),
    "leading_space": _with_prefix(b" ", b"\t", b"\r", b" \t\r"),
    "default_separators": _good(lambda _, line: json.dumps(json.loads(line)).encode()),
    "ascii_only": _good(lambda _, line: json.dumps(json.loads(line), separators=(",", ":")).encode()),
    "any_json_space_between_tokens": _good(_respace),
    "cr_between_tokens": _between_tokens(b"\r"),
    "other_space_between_tokens": _between_tokens(
        b"\x0b", b"\x0c", "\u00a0".encode(), "\u2028".encode(), "\u0085".encode(), b"\x00", b"\x1f", b"\x7f"
    ),
    "bom_at_the_start": _with_prefix(b"\xef\xbb\xbf", b"\xef\xbb\xbf\xef\xbb\xbf", b" \xef\xbb\xbf"),
    "bom_between_tokens": _between_tokens(b"\xef\xbb\xbf"),
    "bom_at_the_end": _with_suffix(b"\xef\xbb\xbf"),
    "nul_at_the_end": _with_suffix(b"\x00", b"\x00\x00", b" \x00"),
    "nul_at_the_start": _with_prefix(b"\x00"),
}

_BYTES: dict[str, HostileClass] = {
    "utf8_invalid_byte": _text_bytes(b"\xff", b"\xfe", b"\xc0", b"\xf5", b"\xf8\x88\x80\x80\x80"),
    "utf8_lone_continuation": _text_bytes(b"\x80", b"\xbf", b"\xa0\xa0"),
    "utf8_cut_sequence": _text_bytes(b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98"),
    "utf8_cut_at_the_end": _with_suffix(b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98"),
    "utf8_overlong": _text_bytes(b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xc0\xa2"),
    "utf8_encoded_surrogate": _text_bytes(b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80"),
    "utf8_above_the_last_code_point": _text_bytes(b"\xf4\x90\x80\x80", b"\xf7\xbf\xbf\xbf"),
    "utf8_invalid_and_not_json": _lines(b"\xff", b"{\xff", b"\xff{}", b"[1,\xc3"),
    "latin_1": _text_bytes("caf\u00e9".encode("latin-1"), "\u00fcber".encode("cp1252")),
    "utf_16": _good(
        lambda rng, line: _one_line(line.decode().encode(rng.choice(("utf-16-le", "utf-16-be"))))
    ),
    "utf8_edges_of_each_length": _text_bytes(
        *(
            chr(code).encode()
            for code in (0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFD, 0xFFFF, 0x10000, 0x10FFFF)
        )
    ),
    "unicode_text": _text_bytes(
        *(
            text.encode()
            for text in ("\U0001f600", "\u202eabc", "e\u0301", "\u00e9", "\u5b57", "\ufdd0", "\ufeff")
        )
    ),
    "line_separators_in_a_string": _text_bytes(*(char.encode() for char in "\u2028\u2029\u0085\u00a0\x7f")),
    "control_byte_in_a_string": _text_bytes(*(bytes([code]) for code in range(0x20) if code != 0x0A)),
    "cr_in_a_string": _text_bytes(b"\r", b"a\rb"),
    "tab_in_a_string": _text_bytes(b"\t"),
    "nul_in_a_string": _text_bytes(b"\x00"),
    "control_byte_in_a_key": _unknown(('"a\tb"', "1"), ('"\x00"', "1"), ('"\x1f"', "1"), ('"a\rb"', "1")),
    "flipped_bit": _good(_flip_bit),
    "inserted_byte": _good(_insert_byte),
    "inserted_mark": _good(_insert_mark),
    "deleted_bytes": _good(_delete_bytes),
    "cut_at_the_end": _good(_cut_end),
    "cut_at_the_start": _good(_cut_start),
    "repeated_piece": _good(_repeat_piece),
    "spliced_with_another": _good(_splice),
    "random_bytes": _random_bytes,
    "random_json_marks": _random_json_marks,
}

_STRUCTURE: dict[str, HostileClass] = {
    "empty_object": _lines("{}", "{ }", "{\r}", " {}"),
    "array": _lines("[]", "[1]", "[{}]", '["a"]', "[null]"),
    "array_around_an_event": _good(lambda _, line: b"[" + line + b"]"),
    "array_with_a_duplicate_key": _lines('[{"a":1,"a":2}]', '[[{"a":{"b":1,"b":1}}]]'),
    "scalar": _lines("null", "true", "false", "0", "-0", "1.5", "1e400", '""', '"text"', '"{}"', "1" * 5000),
    "event_as_a_string": _good(lambda _, line: json.dumps(line.decode()).encode()),
    "not_json_at_all": _lines(
        "hello", "<event/>", "a,b,c", "# comment", "---", "'", '"', "\\", "%", "NULL", "None"
    ),
    "one_mark": _lines("{", "}", "[", "]", ",", ":", "-", ".", "+", "e", "{}}", "[]]", "}{", "]["),
    "unclosed": _lines(
        '{"a"', '{"a":', '{"a":1', '{"a":1,', "[1", "[1,", '{"a":[1}', "[{]", '{"a', "nul", "tru"
    ),
    "glued_objects": _good(
        lambda rng, line: line + rng.choice((b"", b" ", b"\r", b",", b"\t")) + good_line(rng)
    ),
    "trailing_data": _with_suffix(b"x", b"1", b" null", b"}", b"]", b",", b";", b"//x", b"{", b'""', b"\\n"),
    "leading_data": _with_prefix(b"x", b",", b"data: ", b"1", b"{", b"}", b"null ", b")]}',"),
    "trailing_comma": _good(lambda _, line: line[:-1] + b",}"),
    "leading_comma": _good(lambda _, line: b"{," + line[1:]),
    "double_comma": _good(lambda _, line: line.replace(b',"session_id"', b',,"session_id"')),
    "missing_comma": _good(lambda _, line: line.replace(b',"session_id"', b' "session_id"')),
    "missing_colon": _good(lambda _, line: line.replace(b'"session_id":', b'"session_id" ')),
    "double_colon": _good(lambda _, line: line.replace(b'"session_id":', b'"session_id"::')),
    "equals_for_colon": _good(lambda _, line: line.replace(b'"session_id":', b'"session_id"=')),
    "missing_value": _good(lambda _, line: line[:-1] + b',"a":}'),
    "key_without_value": _good(lambda _, line: line[:-1] + b',"a"}'),
    "trailing_comma_in_an_array": _unknown_value("[1,]", "[,]", "[,1]", "[1,,2]", '[{"a":1,}]'),
    "wrong_closer": _unknown_value("[1}", '{"a":1]', "[[1]", "[1]]", '{"a":[}]'),
    "single_quotes": _good(lambda _, line: line.replace(b'"', b"'")),
    "unquoted_key": _good(lambda _, line: line.replace(b'"session_id":', b"session_id:")),
    "key_not_a_string": _unknown(("1", "1"), ("null", "1"), ("true", "1"), ("[]", "1"), ("{}", "1")),
    "curly_quotes": _good(lambda _, line: line.replace(b'"', "\u201c".encode())),
    "comment": _between_tokens(b"/* x */", b"// x", b"# x", b"<!-- x -->"),
    "unclosed_string": _good(lambda _, line: line.replace(b'","session_id"', b',"session_id"')),
    "bare_word_value": _unknown_value(
        "TRUE", "True", "None", "nil", "NULL", "undefined", "yes", "nulll", "tru"
    ),
    "duplicate_member": _members(_duplicate_member),
    "duplicate_key_other_value": _members(_duplicate_key_other_value),
    "duplicate_key_by_escape": _members(_duplicate_key_by_escape),
    "duplicate_unknown_key": _good(lambda _, line: line[:-1] + b',"a":1,"b":2,"a":3}'),
    "duplicate_empty_key": _good(lambda _, line: line[:-1] + b',"":1,"":1}'),
    "duplicate_key_nested": _unknown_value(
        '{"a":1,"a":1}', '[{"a":1,"a":2}]', '{"b":{"a":null,"\\u0061":0}}', '[[[{"x":{},"x":[]}]]]'
    ),
    "duplicate_key_in_a_contract_field": _field("category", '{"a":1,"a":1}'),
    "duplicate_key_and_missing_fields": _lines('{"a":1,"a":1}', '{"user_id":null,"user_id":"u"}'),
    "duplicate_key_and_not_json": _lines(
        *(
            '{"a":1,"a":1}x',
            '{"a":1,"a":1,}',
            '{"a":1,"a":1',
            '{"a":1,"a":1}{}',
            '{"b":[{"a":1,"a":1}],"c":NaN}',
        ),
        *(
            r'{"a":1,"a":"\ud800"}',
            r'{"a":1,"a":1,"b":"\udc00"}',
            '\ufeff{"a":1,"a":1}',
            '{"a":1,"a":1,"b":01}',
        ),
    ),
    "surrogate_alone_and_not_an_object": _lines(r'"\ud800"', r'["\udc00"]', r'[{"\ud800":1}]'),
    "surrogate_alone_and_a_fault": _lines(r'{"user_id":"\ud800"}', r'{"timestamp":"\udfff","user_id":1}'),
    "keys_equal_but_for_case_or_form": _good(
        lambda _, line: line[:-1] + ',"a":1,"A":2,"\u00e9":3,"e\u0301":4}'.encode()
    ),
    "same_key_at_two_levels": _unknown_value(
        '{"user_id":"inner","colour":{"colour":1}}', '[{"a":1},{"a":1}]'
    ),
    "member_order": _members(lambda rng, members: rng.shuffle(members)),
    "nesting_31": _nested(31),
    "nesting_32": _nested(32),
    "nesting_33": _nested(33),
    "nesting_32_objects": _nested_objects(32),
    "nesting_33_objects": _nested_objects(33),
    "nesting_32_mixed": _unknown_value("[" + '[{"a":' * 15 + "1" + "}]" * 15 + "]"),
    "nesting_33_mixed": _unknown_value('[{"a":' * 16 + "1" + "}]" * 16),
    "nesting_wide_not_deep": _unknown_value("[" + ",".join(["[]"] * 500) + "]", "[" + "{}," * 99 + "[[]]]"),
    "nesting_brackets_in_a_string": _any_text('"' + "[" * 100 + '"', '"' + '{\\"a\\":' * 50 + '"'),
    "nesting_1000": _nested(1000),
    "nesting_1024": _nested(1024),
    "nesting_1025": _nested(1025),
    "nesting_1100_objects": _nested_objects(1100),
    "nesting_in_a_contract_field": _any_text("[[[]]]", "[" * 31 + "]" * 31, "[" * 32 + "]" * 32),
    "nesting_in_an_array_line": _lines("[" * 32 + "]" * 32, "[" * 33 + "]" * 33),
    "nesting_with_duplicate_key": _unknown_value("[" * 32 + '{"a":1,"a":1}' + "]" * 32),
    "nesting_unclosed": _lines("[" * 33, "[" * 1000, '{"a":' * 40, "[" * 40 + "]" * 39, "[" * 1500),
    "nesting_closed_too_often": _lines("[" * 40 + "]" * 41, "[" * 1500 + "]" * 1501),
    "nesting_with_a_late_fault": _lines("[" * 40 + "]" * 40 + "x", "[" * 40 + "NaN" + "]" * 40),
}

_ESCAPES: dict[str, HostileClass] = {
    "escaped_key": _members(_escape_a_key),
    "escaped_value": _members(_escape_a_value),
    "escapes_of_all_kinds": _any_text(
        r'"a\"b\\c\/d\be\ff\ng\rh\ti"', r'"\u0041\u00e9\u20AC"', r'"\\u0041"', r'"\\"'
    ),
    "escaped_nul": _any_text(r'"\u0000"', r'"a\u0000b"', r'"\u0000\u0000"'),
    "escaped_control": _any_text(r'"\u0001"', r'"\u001f"', r'"\u007f"', r'"\n"', r'"\r\n"', r'"\t"'),
    "escaped_pair": _any_text(r'"\ud83d\ude00"', r'"\uD83D\uDE00"', r'"\udbff\udfff"', r'"\ud800\udc00"'),
    "escaped_noncharacter": _any_text(
        r'"\uffff"', r'"\ufffe"', r'"\ufeff"', r'"\u2028"', r'"\uFDD0"', r'"\ufffd"'
    ),
    "surrogate_high_alone": _any_text(r'"\ud800"', r'"\uDBFF"', r'"a\ud83db"', r'"\ud83d "'),
    "surrogate_low_alone": _any_text(r'"\udc00"', r'"\uDFFF"', r'"a\ude00b"'),
    "surrogates_reversed": _any_text(r'"\ude00\ud83d"', r'"\udc00\ud800"'),
    "surrogate_high_and_no_low": _any_text(
        r'"\ud83d\ud83d"', r'"\ud83d\u0041"', r'"\ud83d\n"', r'"\ud83d\\ude00"'
    ),
    "surrogate_pair_and_one_more": _any_text(r'"\ud83d\ude00\ud83d"', r'"\ud83d\ud83d\ude00"'),
    "surrogate_alone_in_a_key": _unknown((r'"\ud800"', "1"), (r'"a\udc00"', "1")),
    "surrogate_alone_in_an_unknown_value": _unknown_value(r'"\ud800"', r'["\udfff"]', r'{"a":"\ud83d"}'),
    "escape_unknown": _any_text(
        r'"\x41"', r'"\a"', r'"\0"', r'"\101"', r'"\v"', r'"\ "', r'"\U0041"', '"\\\'"'
    ),
    "escape_cut": _any_text(
        r'"\u"', r'"\u1"', r'"\u12"', r'"\u123"', r'"\u123g"', r'"\u{41}"', r'"\u+041"', r'"\u 041"'
    ),
    "escape_of_the_quote": _any_text('"\\"', '"abc\\"', '"\\\\\\"'),
    "escape_outside_a_string": _between_tokens(b"\\n", b"\\t", b"\\u0020"),
    "text_that_looks_like_json": _any_text(
        r'"{\"user_id\":\"x\"}"', r'"\",\"price\":-1,\"a\":\""', r'"}"', r'"{"', r'","', r'":"', r'"[1,]"'
    ),
    "text_that_looks_like_null": _any_text(
        '"null"', '"NULL"', '"None"', r'"\\N"', '"NaN"', '"(none)"', '"true"', '"0"'
    ),
    "text_that_attacks": _any_text(
        '"\'; DROP TABLE events; --"',
        '"<script>alert(1)</script>"',
        '"=cmd()"',
        '"../../etc/passwd"',
        r'"\u202Eabc"',
        '"%s%n{0}${x}"',
        '"$1"',
        '"?"',
        "\"''\"",
        r'"\\"',
    ),
    "text_with_spaces": _any_text('" "', '"  a  "', r'"\t"', '"\u00a0"', '"\u200b"'),
    "text_long": _any_text(_quote("x" * 5_000), _quote("\u73a9" * 3_000), '"' + "\\u0041" * 2_000 + '"'),
}

_UNKNOWN: dict[str, HostileClass] = {
    "unknown_member": _unknown_value("1", '"red"', "null", "true", "[]", "{}", "1.5", '["a",{"b":null}]'),
    "unknown_number_huge": _unknown_value(
        "1e400", "-1E+999", "1" * 400, "18446744073709551616", "9" * 5_000, "1e9999999999"
    ),
    "unknown_number_fine": _unknown_value(
        "0.1000000000000000055511151231257827", "1e-400", "123456789.123456789123", "5e-324"
    ),
    "unknown_number_zero": _unknown_value("-0", "-0.0", "0e5", "0E-99999"),
    "unknown_exponent_of_5000_digits": _unknown_value("1e" + "9" * 5_000, "1e-" + "9" * 5_000),
    "unknown_key_odd": _unknown(
        *(
            (_quote(key), "1")
            for key in ("", " ", "a.b", "$.a", "a'b", 'a"b', "\u00e9", "__proto__", "*", "0", "[0]", "\\")
        )
    ),
    "unknown_key_nul": _unknown((r'"\u0000"', "1"), (r'"user_id\u0000"', "1"), (r'"\u0000user_id"', '"x"')),
    "unknown_key_like_our_columns": _unknown(
        *(
            (_quote(key), value)
            for key in ("event_time", "extra", "problem", "raw", "line_number")
            for value in ('"x"', "1")
        )
    ),
    "unknown_keys_many": _good(
        lambda rng, line: (
            line[:-1] + "".join(f',"k{n}":{n}' for n in range(rng.randint(2, 300))).encode() + b"}"
        )
    ),
    "unknown_value_text": _unknown_value(
        r'"a\u0000b"', r'"\"\\"', '"\u2028"', r'"\ud83d\ude00"', '"caf\u00e9"', r'"\n"'
    ),
    "unknown_member_and_a_fault": _good(lambda _, line: _without(line[:-1] + b',"a":1}', "user_id")),
    "known_key_changed": _members(_change_key),
}

_NUMBERS_NOT_JSON = (
    *(
        "01",
        "-01",
        "00",
        "007",
        "+1",
        "1.",
        ".5",
        "-.5",
        "1.e5",
        "-",
        "--1",
        "1e",
        "1e+",
        "1E-",
        "0x10",
        "0b1",
        "0o7",
    ),
    *(
        "1_000",
        "1,000",
        "1 000",
        "1e5.5",
        "1.2.3",
        "1f",
        "1d",
        "1L",
        "$1",
        "1%",
        "\u0661",
        "\uff11",
        "1e\u0661",
    ),
    *(
        "NaN",
        "-NaN",
        "nan",
        "Infinity",
        "-Infinity",
        "+Infinity",
        "inf",
        "-inf",
        "1e1e1",
        "0e",
        "-e1",
        "0.e1",
    ),
)

_NUMBERS: dict[str, HostileClass] = {
    "number_not_json_as_price": _price(*_NUMBERS_NOT_JSON),
    "number_not_json_as_quantity": _quantity(*_NUMBERS_NOT_JSON),
    "number_not_json_as_unknown": _unknown_value(*_NUMBERS_NOT_JSON),
    "nan_or_infinity": _price("NaN", "Infinity", "-Infinity"),
    "quantity_edges": _quantity("1", "2", "2147483646", "2147483647"),
    "quantity_out_of_range": _quantity(
        "0", "-0", "-1", "2147483648", "-2147483648", "4294967297", "9223372036854775808"
    ),
    "quantity_huge": _quantity(
        "18446744073709551617", "1" * 50, "9" * 4_300, "9" * 4_301, "-" + "9" * 5_000, "1" + "0" * 400
    ),
    "quantity_with_fraction": _quantity(
        "1.0", "2.0", "1.5", "1.00", "0.0", "-0.0", "2147483648.0", "1.0000000000000001"
    ),
    "quantity_with_exponent": _quantity("1e0", "1E2", "10e-1", "1e400", "0e0", "1e-400", "2e+0"),
    "price_plain": _price("0", "1", "10.50", "9.99", "0.01", "999999999", "12345.678901"),
    "price_trailing_zeros": _price(
        "1.0000000", "10.500000000000000", "0.0000000", "0.10", "1." + "0" * 5_000
    ),
    "price_exponent": _price(
        "1e2", "1E-2", "1e+2", "1.5e1", "1e-6", "1000000e-6", "10e-7", "0.000001e0", "1E8", "9.99e8"
    ),
    "price_zero": _price(
        "-0", "-0.0", "0e0", "-0e5", "0.0", "0e999999999", "-0E-999999999", "0e" + "9" * 5_000
    ),
    "price_edges": _price(
        "999999999.999999", "999999999.9999990", "0.000001", "9.99999999999999e8", "99999999999999.9e-5"
    ),
    "price_too_precise": _price(
        "0.0000001", "1.0000001", "1e-7", "999999999.9999999", "1.00000000000000000000000001"
    ),
    "price_too_precise_by_far": _price("1e-400", "0." + "0" * 400 + "1", "1e-999999999", "1e-" + "9" * 5_000),
    "price_just_too_precise_for_a_double": _price(
        "0.1000000000000000055511151231257827", "10.5000000000000000000001"
    ),
    "price_too_high": _price(
        "1000000000", "1e9", "1000000000.0000001", "1e400", "1e999999999", "1e" + "9" * 5_000, "9" * 5_000
    ),
    "price_negative": _price(
        "-1", "-0.01", "-1e-7", "-1e400", "-1e-400", "-0.0000001", "-1000000000", "-999999999.9999999"
    ),
    "price_random": _random_price,
}

_DATE = "2025-06-01"
_TIMES: dict[str, HostileClass] = {
    "timestamp_any_valid": _valid_time,
    "timestamp_fractions": _timestamp(*(f"{_DATE}T10:20:30.{'123456'[:count]}Z" for count in range(1, 7))),
    "timestamp_fraction_zeros": _timestamp(
        *(f"{_DATE}T10:20:30.{'000000'[:count]}Z" for count in range(1, 7))
    ),
    "timestamp_no_fraction": _timestamp(f"{_DATE}T10:20:30Z", f"{_DATE}T00:00:00Z", f"{_DATE}T23:59:59Z"),
    "timestamp_offset": _timestamp(
        *(
            f"{_DATE}T10:20:30.5{z}"
            for z in ("+05:30", "-08:00", "+00:00", "-00:00", "+14:00", "+23:59", "-23:59", "+00:01")
        )
    ),
    "timestamp_offset_over_a_day_edge": _timestamp(
        "2025-06-01T00:10:00+00:30", "2024-12-31T23:50:00-00:30", "2024-03-01T00:00:00+12:00"
    ),
    "timestamp_offset_out_of_range": _timestamp(
        *(f"{_DATE}T10:20:30{z}" for z in ("+24:00", "-24:00", "+05:60", "+99:99", "-00:60", "+23:60"))
    ),
    "timestamp_offset_misspelt": _timestamp(
        *(
            f"{_DATE}T10:20:30{z}"
            for z in (
                "+0530",
                "+05",
                "+5:30",
                "+05:3",
                "+05:30:00",
                "05:30",
                "\u221205:30",
                "+05.30",
                "+05:30Z",
                "Z+05:30",
            )
        )
    ),
    "timestamp_zone_misspelt": _timestamp(
        *(
            f"{_DATE}T10:20:30{z}"
            for z in ("z", "ZZ", " Z", "UTC", " UTC", "GMT", "+", "-", "[UTC]", "Z[UTC]", "+00:00[UTC]", "A")
        )
    ),
    "timestamp_no_zone": _timestamp(
        f"{_DATE}T10:20:30", f"{_DATE}T10:20:30.123", "1960-01-01T00:00:00", "9999-12-31T23:59:59"
    ),
    "timestamp_no_zone_and_wrong": _timestamp(
        "2025-02-30T10:20:30", f"{_DATE}T24:00:00", f"{_DATE}T10:20:30.", f"{_DATE}T10:20"
    ),
    "timestamp_fraction_too_long": _timestamp(
        *(f"{_DATE}T10:20:30.{d}Z" for d in ("1234567", "0000000", "123456789", "1" * 5_000))
    ),
    "timestamp_fraction_misspelt": _timestamp(
        *(f"{_DATE}T10:20:30{f}Z" for f in (".", ",5", ".5.5", ".-5", ". 5", ":5", ".5e1", ".x"))
    ),
    "timestamp_lower_case": _timestamp(f"{_DATE}t10:20:30Z", f"{_DATE}T10:20:30z"),
    "timestamp_other_separator": _timestamp(
        f"{_DATE} 10:20:30Z", f"{_DATE}_10:20:30Z", f"{_DATE}10:20:30Z", f"{_DATE}  10:20:30Z"
    ),
    "timestamp_other_format": _timestamp(
        *(
            "2025-06-01",
            "20250601T102030Z",
            "2025-W23-1T10:20:30Z",
            "2025-152T10:20:30Z",
            "01/06/2025 10:20",
            "10:20:30Z",
        ),
        *(
            "2025-6-1T10:20:30Z",
            "2025-06-01T1:20:30Z",
            "2025-06-01T10:20Z",
            "2025-06-01T10Z",
            "25-06-01T10:20:30Z",
            "2025-06",
        ),
        *(
            "1748772030",
            "1748772030000",
            "now",
            "today",
            "epoch",
            "infinity",
            "-infinity",
            "null",
            "Sun, 01 Jun 2025 10:20:30 GMT",
        ),
    ),
    "timestamp_no_such_day": _timestamp(
        *(
            f"{d}T10:20:30Z"
            for d in ("2025-02-29", "2024-02-30", "1900-02-29", "2100-02-29", "2025-04-31", "2025-06-31")
        ),
        *(
            f"{d}T10:20:30Z"
            for d in (
                "2025-00-01",
                "2025-13-01",
                "2025-06-00",
                "2025-06-32",
                "2025-99-99",
                "0000-01-01",
                "0000-00-00",
            )
        ),
    ),
    "timestamp_leap_day": _timestamp(
        "2024-02-29T10:20:30Z", "2000-02-29T23:59:59.999999Z", "1972-02-29T00:00:00Z"
    ),
    "timestamp_no_such_time": _timestamp(
        *(
            f"{_DATE}T{t}Z"
            for t in (
                "24:00:00",
                "24:00:01",
                "25:00:00",
                "10:60:00",
                "10:20:60",
                "23:59:60",
                "23:59:61",
                "99:99:99",
            )
        )
    ),
    "timestamp_leap_second": _timestamp(
        "2016-12-31T23:59:60Z", "2015-06-30T23:59:60.5Z", "1972-06-30T23:59:60Z"
    ),
    "timestamp_first_instant": _timestamp(
        *(
            "1970-01-01T00:00:00Z",
            "1970-01-01T00:00:00.000001Z",
            "1969-12-31T23:30:00-01:00",
            "1970-01-01T05:30:00+05:30",
        )
    ),
    "timestamp_before_the_first": _timestamp(
        *(
            "1969-12-31T23:59:59.999999Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:30:00+01:00",
            "1970-01-01T05:29:59.999999+05:30",
        ),
        *(
            "0001-01-01T00:00:00Z",
            "0001-01-01T00:00:00+23:59",
            "1900-01-01T00:00:00Z",
            "1582-10-10T00:00:00Z",
            "1677-01-01T00:00:00Z",
        ),
    ),
    "timestamp_last_instant": _timestamp(
        f"{_iso(_LATEST)}Z",
        f"{_iso(_LATEST, 'seconds')}Z",
        f"{_iso(_LATEST - _MICROSECOND)}Z",
        f"{_iso(_LATEST + timedelta(hours=2))}+02:00",
        f"{_iso(_LATEST - timedelta(hours=8))}-08:00",
    ),
    "timestamp_after_the_last": _timestamp(
        f"{_iso(_LATEST + _MICROSECOND)}Z",
        f"{_iso(_LATEST + timedelta(hours=2, microseconds=1))}+02:00",
        f"{_iso(_LATEST)}-00:01",
        *(
            "9999-12-31T23:59:59Z",
            "9999-12-31T23:59:59.999999-23:59",
            "2262-04-12T00:00:00Z",
            "2100-01-01T00:00:00Z",
        ),
    ),
    "timestamp_year_misspelt": _timestamp(
        "10000-01-01T00:00:00Z", "+2025-06-01T00:00:00Z", "-001-06-01T00:00:00Z", "2025-06-01T00:00:00Z BC"
    ),
    "timestamp_other_digits": _timestamp(
        "\u0662\u0660\u0662\u0665-06-01T10:20:30Z",
        "\uff12\uff10\uff12\uff15-06-01T10:20:30Z",
        "2025-06-01T10:20:3\u0660Z",
        "2025-06-01T10:20:30.\u0661Z",
        "2025-06-01T10:20:30+0\u0661:00",
        "2025-06-0\u00b2T10:20:30Z",
    ),
    "timestamp_with_space": _timestamp(
        f" {_DATE}T10:20:30Z",
        f"{_DATE}T10:20:30Z ",
        f"{_DATE}T10:20:30Z\n",
        f"{_DATE}T10:20:30\n",
        f"\t{_DATE}T10:20:30Z",
        "\u00a0",
        " ",
    ),
    "timestamp_with_nul": _timestamp(
        f"{_DATE}T10:20:30Z\x00", f"\x00{_DATE}T10:20:30Z", "\x00", f"{_DATE}\x0010:20:30Z"
    ),
    "timestamp_with_signs_or_gaps": _timestamp(
        "2025-+6-01T10:20:30Z", "2025-06- 1T10:20:30Z", "2025-06-01T-1:20:30Z", "2025-06-01T10:2_:30Z"
    ),
    "timestamp_escaped": _field(
        "timestamp",
        r'"2025\u002d06-01T10:20:30Z"',
        r'"2025-06-01\u005410:20:30Z"',
        r'"\u0032025-06-01T10:20:30.5\u005a"',
    ),
    "timestamp_hour_edges": _timestamp(
        "2025-06-01T09:59:59.999999Z",
        "2025-06-01T10:00:00Z",
        "2025-05-31T23:59:59.999999Z",
        "2025-06-01T00:00:00Z",
    ),
}

_FIELDS: dict[str, HostileClass] = {
    **{f"{field}_wrong_type": _wrong_type(field) for field in _BROKEN},
    **{f"{field}_null": _field(field, "null", of=EVENT_TYPES) for field in _BROKEN},
    **{f"{field}_absent": _absent(field, *EVENT_TYPES) for field in _BROKEN},
    **{f"{field}_empty": _field(field, '""', of=EVENT_TYPES) for field in _BROKEN},
    "quantity_bool": _quantity("true", "false"),
    "price_bool": _price("true", "false"),
    "price_as_text": _price('"10.50"', '"1e2"', '"-1"', '"abc"', '""'),
    "quantity_as_text": _quantity('"1"', '"0"', '"1_000"', '"0x10"', '" 1 "'),
    "event_type_unknown": _field("event_type", '"wishlist"', '"view"', '"refund"', '"0"', '"\u73a9"'),
    "event_type_nearly": _field(
        "event_type",
        *(
            '"Purchase"',
            '"PURCHASE"',
            '" purchase"',
            '"purchase "',
            '"page-view"',
            '"page_views"',
            r'"purchase\u0000"',
        ),
        *(r'"purchase\n"', '"\uff50urchase"', '"add_to_cart,purchase"', '"sear\u0441h"'),
    ),
    "event_type_escaped": _field("event_type", r'"pur\u0063hase"', r'"\u0073earch"', r'"page\u005fview"'),
    "event_type_bad_and_nothing_else": _good(
        lambda rng, line: _join(
            {
                **{_quote(k): _quote(v) for k, v in list(json.loads(line).items())[:3]},
                '"event_type"': rng.choice(
                    ("null", '""', "1", '"wishlist"', '"search"', '"page_view"', '"purchase"')
                ),
            }
        )
    ),
    "event_type_changed": _field("event_type", *(_quote(name) for name in EVENT_TYPES)),
    "search_with_a_bad_product": _field("product_id", '""', "1", "null", "[]", of=("search",)),
    "view_with_a_bad_quantity": _field("quantity", "0", "1.0", '"1"', "null", of=("page_view", "search")),
    "view_with_a_bad_price": _field("price", "-1", "1e-7", '"1"', "null", of=("page_view", "search")),
    "several_faults": _members(_break_several),
    "any_fault_in_any_field": _all_nine_random,
}

_HEAVY: dict[str, HostileClass] = {
    "length_one_below_the_cap": _padded(MAX_LINE_BYTES - 1),
    "length_at_the_cap": _padded(MAX_LINE_BYTES),
    "length_one_above_the_cap": _padded(MAX_LINE_BYTES + 1),
    "length_at_the_cap_with_cr": _padded(MAX_LINE_BYTES, b"\r"),
    "length_above_the_cap_by_cr": _padded(MAX_LINE_BYTES + 1, b"\r"),
    "length_above_the_cap_and_not_utf8": _lines(b"\xff" * (MAX_LINE_BYTES + 1)),
    "length_at_the_cap_and_not_json": _lines(
        b"x" * MAX_LINE_BYTES, b'"' * MAX_LINE_BYTES, b'{"a' * (MAX_LINE_BYTES // 3)
    ),
    "length_blank_above_the_cap": _lines(b" " * (MAX_LINE_BYTES + 1)),
    "length_spaces_around_an_event": _good(
        lambda _, line: line[:-1] + b" " * (MAX_LINE_BYTES - len(line)) + b"}"
    ),
    "length_of_one_number": _lines(b"1" * MAX_LINE_BYTES, b'{"price":' + b"1" * 1_000_000 + b"}"),
    "length_of_one_fraction": _field("price", "1." + "0" * 1_000_000, "1." + "0" * 1_000_000 + "1"),
    "nesting_100000": _nested(100_000),
    "nesting_100000_objects": _nested_objects(100_000),
    "nesting_100000_unclosed": _lines("[" * 100_000, '{"a":' * 100_000),
}

_LIGHT: dict[str, HostileClass] = {
    "good": good_line,
    **_WHITE_SPACE,
    **_BYTES,
    **_STRUCTURE,
    **_ESCAPES,
    **_UNKNOWN,
    **_NUMBERS,
    **_TIMES,
    **_FIELDS,
}
CLASSES: dict[str, HostileClass] = {**_LIGHT, **_HEAVY}
HEAVY = frozenset(_HEAVY)  # long or deep: a few seeds are enough
