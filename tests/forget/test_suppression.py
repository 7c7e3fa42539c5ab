"""Lines of the suppressed are left out when a file is landed: as if they were not in it, and counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from deliveries import event, gzipped, random_event, text_of, view
from hypothesis import given, settings
from hypothesis import strategies as st
from landings import landing_of, rows_found

from eventmint.landing import land_one
from eventmint.suppression import Suppression
from eventmint.values import LedgerEntry

KEY = bytes(range(32))
NOBODY = Suppression(KEY)
IDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12).filter(
    lambda text: not text.isspace()
)


def of(*users: str) -> Suppression:
    return NOBODY.with_hashes(map(NOBODY.hash_of, users))


@given(user=IDS)
@settings(max_examples=60, deadline=None)
def test_an_id_is_found_in_a_line_however_json_writes_it_and_wherever_the_line_breaks_off(user: str) -> None:
    for ascii_only in (True, False):
        line = json.dumps({"x": 1, "user_id": user, "y": [2]}, ensure_ascii=ascii_only).encode()
        for raw in (line, line[:-3], b"\xff" + line + b"\xfe"):
            assert of(user).is_in_line(raw), raw
            assert not of(user + "x").is_in_line(raw), raw
            assert not NOBODY.is_in_line(raw), raw


@given(user=st.from_regex(r"\A[a-z0-9][a-z0-9.@_|:-]{0,20}[a-z0-9]\Z"), mark=st.sampled_from(" <>;=/'"))
@settings(max_examples=60, deadline=None)
def test_a_thorough_look_finds_an_id_between_whatever_marks_and_never_part_of_a_word(
    user: str, mark: str
) -> None:
    raw = f"seen{mark}{user}{mark}twice".encode()
    assert of(user).is_in_line(raw, thorough=True)
    assert not of(user).is_in_line(f"a{user}{mark}{user}z".encode(), thorough=True)


def test_a_number_is_an_id_where_it_is_the_users_and_nowhere_else() -> None:
    line = b'{"user_id": %s, "quantity": 42, "price": "x"}'
    assert of("42").is_in_line(line % b"42", thorough=True)
    assert of("42").is_in_line(line % b'"42"', thorough=True)
    assert not of("42").is_in_line(line % b'"7"', thorough=True)


def land(folder: Path, text: bytes, suppression: Suppression | None) -> tuple[LedgerEntry, object]:
    path = folder / "events.jsonl.gz"
    path.write_bytes(gzipped(text))
    staging = folder / "staging"
    staging.mkdir(exist_ok=True)
    landed = land_one(replace(landing_of(path, staging), suppression=suppression))
    rows = rows_found(landed)
    return landed.entry, {key: count for key, count in rows.items() if key[0] == "valid"}


LINES = st.one_of(
    st.builds(random_event, st.randoms(use_true_random=False)),
    st.sampled_from([event(user_id=user, price=price) for user in "abc" for price in (1, 2)]),
    st.sampled_from([view(user_id=user, device="phone") for user in "abc"]),
    st.sampled_from([b'{"user_id": "%s", broken' % user for user in (b"a", b"b", b"c")]),
    st.sampled_from([event(user_id=user, quantity=0) for user in "abc"]),
    st.sampled_from([b"", b" ", b"\xff", b"[]"]),
)


def is_of(line: object, users: set[str]) -> bool:
    if isinstance(line, bytes):
        return any(b'"user_id": "%s"' % user.encode() in line for user in users)
    return isinstance(line, dict) and line["user_id"] in users


@given(lines=st.lists(LINES, max_size=30), users=st.sets(st.sampled_from("abc")))
@settings(max_examples=40, deadline=None)
def test_a_landed_file_is_what_it_were_without_the_lines_of_the_suppressed(
    lines: list[dict[str, object] | bytes], users: set[str]
) -> None:
    kept = [line for line in lines if not is_of(line, users)]
    with TemporaryDirectory() as folder:
        entry, rows = land(Path(folder), text_of(*lines), of(*users))
        expected, expected_rows = land(Path(folder), text_of(*kept), None)
    assert rows == expected_rows
    dropped = len(lines) - len(kept)
    assert (entry.lines, entry.lines_suppressed or 0) == (len(lines), dropped)
    same = (
        "blank",
        "valid",
        "quarantined",
        "first_event_time",
        "last_event_time",
        "unknown_fields",
        "reasons",
    )
    assert [getattr(entry, name) for name in same] == [getattr(expected, name) for name in same]
    assert entry.lines == entry.blank + entry.valid + entry.quarantined + dropped


def test_the_hashes_of_two_keys_have_nothing_in_common_and_say_no_id() -> None:
    other = Suppression(bytes(32))
    assert NOBODY.hash_of("u1") != other.hash_of("u1")
    assert NOBODY.key_mark != other.key_mark
    assert KEY.hex() not in repr(of("u1"))
    assert repr(KEY) not in repr(of("u1"))


@pytest.mark.parametrize("column", ["search_query", "category", "session_id"])
def test_a_valid_line_of_another_person_stays_whatever_it_says(tmp_path: Path, column: str) -> None:
    entry, _ = land(tmp_path, text_of(event(user_id="u2", **{column: "u1"})), of("u1"))
    assert (entry.valid, entry.lines_suppressed) == (1, None)
