"""The figures of each hour: from the books, hour by hour, and only of hours that are over."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventmint.values import LedgerEntry
from eventmint.watching.figures import HOUR, HourFigures, complete_until, hourly_figures

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
HOURS = st.integers(0, 60)


def landed(received: datetime, newest: datetime | None, valid: int = 0, quarantined: int = 0) -> LedgerEntry:
    entry = LedgerEntry("/a", "1", 1, "aa", received, "landed", last_event_time=newest)
    return dataclasses.replace(entry, valid=valid, quarantined=quarantined)


def row(hour: int, **terms: Any) -> dict[str, Any]:
    moment = NOON + timedelta(hours=hour)
    return {"event_date": moment.date(), "event_hour": moment.hour, **terms}


# ---- which hours are over ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("received", "newest", "now", "until"),
    [
        (5, 4, 6, 11),  # the hour from eleven on may still get late events
        (5, -1, 6, 10),
        (-1, 4, 6, 10),  # an event from a clock that runs ahead completes nothing
        (5, 4, -1, 10),
        (65, 60, 70, 12),
        (0, 0, 0, 11),
    ],
)
def test_an_hour_is_over_when_others_have_come_that_are_an_hour_later(
    received: int, newest: int, now: int, until: int
) -> None:
    received_at, newest_event, moment = (NOON + timedelta(minutes=n) for n in (received, newest, now))
    assert complete_until([landed(received_at, newest_event)], moment) == NOON.replace(hour=until)


def test_what_was_set_aside_or_brought_no_event_completes_nothing() -> None:
    later = NOON + timedelta(days=1)
    aside = LedgerEntry("/b", "1", 1, None, later, "set_aside", last_event_time=later)
    assert complete_until([aside, landed(later, None)], later) is None
    until = complete_until([aside, landed(NOON, None), landed(NOON, NOON)], later)
    assert until == NOON - timedelta(hours=1)


# ---- what each hour has ------------------------------------------------------------------------------------


def test_what_retention_removed_came_in_all_the_same_and_hours_without_answers_are_left_out() -> None:
    removed = dataclasses.replace(
        landed(NOON, None, valid=5, quarantined=1), valid_retained=2, quarantined_retained=3
    )
    gold = dataclasses.replace(
        landed(NOON, None), path="gold", status="retained", retained_before=NOON.date() + timedelta(days=1)
    )
    books = [row(-30, valid=1, events=1, duplicates=0)]
    [hour] = hourly_figures(books, [], [removed], NOON, NOON + HOUR)
    assert (hour.received, hour.quarantined) == (11, 4)
    made = hourly_figures(books, [], [removed, gold], NOON, NOON + timedelta(days=1))
    assert len(made) == NOON.hour  # from midnight on


@given(
    books=st.dictionaries(HOURS, st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(0, 9))),
    sales=st.dictionaries(HOURS, st.tuples(st.integers(0, 9), st.integers(1, 9))),
    files=st.lists(st.tuples(st.integers(0, 3_600), st.integers(0, 9), st.integers(0, 9))),
    start=HOURS,
    length=HOURS,
)
def test_every_hour_has_what_the_books_say_of_it_and_only_that(
    books: dict[int, tuple[int, int, int]],
    sales: dict[int, tuple[int, int]],
    files: list[tuple[int, int, int]],
    start: int,
    length: int,
) -> None:
    end = start + length
    made = hourly_figures(
        [row(hour, valid=v, events=e, duplicates=d) for hour, (v, e, d) in books.items()],
        [row(hour, total_revenue=r, transaction_count=c) for hour, (r, c) in sales.items()],
        [
            landed(NOON + timedelta(minutes=minute), None, valid=good, quarantined=bad)
            for minute, good, bad in files
        ],
        NOON + timedelta(hours=start),
        NOON + timedelta(hours=end),
    )
    # The first hour with an event may be half an hour: the shop, or its log, had just begun.
    first = max(start, min(books, default=end) + 1)
    expected = []
    for hour in range(first, end):
        of_hour = [(good, bad) for minute, good, bad in files if minute // 60 == hour]
        expected.append(
            HourFigures(
                *books.get(hour, (0, 0, 0)),
                *sales.get(hour, (0, 0)),
                received=sum(good + bad for good, bad in of_hour),
                quarantined=sum(bad for _, bad in of_hour),
            )
        )
    assert made == expected


def test_a_line_that_left_the_quarantine_came_in_when_it_came_in() -> None:
    moved = dataclasses.replace(landed(NOON, None, valid=2), status="replayed", replayed_from="aa")
    entries = [landed(NOON, None, valid=5, quarantined=1), moved]
    [hour] = hourly_figures([row(-1, valid=1, events=1, duplicates=0)], [], entries, NOON, NOON + HOUR)
    assert (hour.received, hour.quarantined) == (8, 1)
