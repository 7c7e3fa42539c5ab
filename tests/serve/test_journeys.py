"""Journeys against an oracle that tries every way through every journey."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventmint.errors import FixData, FixSettings
from eventmint.serve.journeys import Funnel, funnel, retention, window_of
from eventmint.serve.pages.days import Ask
from eventmint.values import EVENT_TYPES

STEPS = ("page_view", "add_to_cart", "purchase")
START = datetime(2026, 1, 15, 23, 50, tzinfo=UTC)
MINUTES = Funnel(STEPS, timedelta(minutes=30))
Event = dict[str, Any]


def event(minute: float, kind: str, session: str | None = "s", **values: Any) -> Event:
    filled = {"session_id": session, "user_id": "u", "product_id": "p", "category": "c", **values}
    return {"event_time": START + timedelta(minutes=minute), "event_type": kind, **filled}


def asking(events: Iterable[Event]) -> Ask:
    """The events as silver shows them."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("CREATE SCHEMA silver")
    columns = ("session_id", "user_id", "product_id", "category", "event_type")
    schema = pa.schema(
        [("event_time", pa.timestamp("us", "UTC")), *((name, pa.string()) for name in columns)]
    )
    connection.register("given", pa.Table.from_pylist([*events], schema))
    connection.execute(
        "CREATE TABLE silver.events_cleaned AS SELECT *, CAST(event_time AS DATE) AS event_date FROM given"
    )
    return lambda sql, parameters: connection.sql(sql, params=[*parameters]).to_arrow_table()


def asked(events: Iterable[Event], wanted: Funnel = MINUTES) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = funnel(asking(events), wanted, EVENT_TYPES).to_pylist()
    return rows


def journeys(events: Iterable[Event], wanted: Funnel = MINUTES) -> list[int]:
    return [row["journeys"] for row in asked(events, wanted)]


# ---- the oracle --------------------------------------------------------------------------------------------


def oracle(events: Sequence[Event], wanted: Funnel) -> dict[tuple[str, int], tuple[int, int]]:
    """Per group and step: journeys and those still open. Tries every event after every other."""
    who = "session_id" if wanted.who == "session" else "user_id"
    newest = max((one["event_time"] for one in events), default=START)
    found: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
    own: dict[tuple[Any, Any], list[Event]] = defaultdict(list)
    for one in events:
        own[one[who], group_of(one, wanted)].append(one)
    for (name, group), journey in own.items():
        if name is None or group is None:
            continue
        best, latest = max(beginnings(journey, wanted), default=(0, START))
        for step in range(1, best + 1):
            found[group, step][0] += 1
        if 0 < best < len(wanted.steps) and newest - latest <= wanted.window:
            found[group, best][1] += 1
    return {key: (count, still) for key, (count, still) in found.items()}


def group_of(one: Event, wanted: Funnel) -> str | None:
    if wanted.by == "product":
        product: str | None = one["product_id"]
        return product
    if wanted.by == "category":
        return "(none)" if one["category"] is None else str(one["category"])
    return ""


def beginnings(journey: Sequence[Event], wanted: Funnel) -> Iterator[tuple[int, datetime]]:
    """How far each beginning of a journey gets, and when it is."""
    for one in journey:
        day = one["event_time"].date()
        is_asked = (wanted.start or day) <= day and not (wanted.end and day >= wanted.end)
        if is_asked and one["event_type"] == wanted.steps[0]:
            yield depth(journey, wanted, one, 1, one["event_time"] + wanted.window), one["event_time"]


def depth(journey: Sequence[Event], wanted: Funnel, at: Event, step: int, end: datetime) -> int:
    if step == len(wanted.steps):
        return step
    following = (
        depth(journey, wanted, other, step + 1, end)
        for other in journey
        if other["event_type"] == wanted.steps[step] and at["event_time"] <= other["event_time"] <= end
    )
    return max(following, default=step)


def compared(events: Sequence[Event], wanted: Funnel) -> None:
    rows = asked(events, wanted)
    found = {
        (row[wanted.by] if wanted.by else "", row["step"]): (row["journeys"], row["open"])
        for row in rows
        if row["journeys"] or row["open"]
    }
    assert found == oracle(events, wanted)


def random_sessions(count: int, seed: int) -> list[Event]:
    """Short sessions in which instants, products and categories often repeat, over midnight."""
    rng = Random(seed)
    starts = [rng.choice((0, rng.uniform(0, 60))) for _ in range(count)]
    events = [
        event(
            start + rng.choice((0, 0, 1, 5, 29.5, 30, rng.uniform(0, 60))),
            rng.choice(EVENT_TYPES),
            rng.choice((f"s-{number}",) * 9 + (None,)),
            user_id=f"u-{number // 3}",
            product_id=rng.choice(("p-1", "p-2", None)),
            category=rng.choice(("books", "", None)),
        )
        for number, start in enumerate(starts)
        for _ in range(rng.randint(1, 8))
    ]
    rng.shuffle(events)
    return events


@pytest.mark.parametrize("who", ["session", "user"])
@pytest.mark.parametrize("by", [None, "product", "category"])
def test_ten_thousand_random_sessions_are_counted_as_the_oracle_does(who: str, by: str | None) -> None:
    compared(random_sessions(10_000, seed=7), replace(MINUTES, who=who, by=by))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_steps_window_and_days_are_counted_as_the_oracle_does(data: st.DataObject) -> None:
    steps = data.draw(st.lists(st.sampled_from(EVENT_TYPES), min_size=2, max_size=4, unique=True))
    window = data.draw(
        st.sampled_from([timedelta(microseconds=1), timedelta(minutes=5), timedelta(minutes=30)])
    )
    days = st.sampled_from([None, date(2026, 1, 15), date(2026, 1, 16), date(2026, 1, 17)])
    events = random_sessions(data.draw(st.integers(0, 12)), data.draw(st.integers(0, 10_000)))
    wanted = Funnel(
        tuple(steps),
        window,
        data.draw(st.sampled_from(["session", "user"])),
        data.draw(st.sampled_from([None, "product", "category"])),
        data.draw(days),
        data.draw(days),
    )
    compared(events, wanted)


# ---- by example --------------------------------------------------------------------------------------------


def test_a_step_counts_only_after_the_one_before() -> None:
    assert journeys([event(0, "purchase"), event(1, "page_view"), event(2, "add_to_cart")]) == [1, 1, 0]


def test_steps_at_one_instant_follow_each_other() -> None:
    assert journeys([event(5, "purchase"), event(5, "add_to_cart"), event(5, "page_view")]) == [1, 1, 1]


def test_the_window_begins_at_the_first_step_and_its_last_instant_is_in() -> None:
    cart = event(29, "add_to_cart")
    assert journeys([event(0, "page_view"), cart, event(30, "purchase")]) == [1, 1, 1]
    assert journeys([event(0, "page_view"), cart, event(30.001, "purchase")]) == [1, 1, 0]


def test_a_later_beginning_may_get_further_than_the_first() -> None:
    late = [event(40, "page_view"), event(41, "add_to_cart"), event(69, "purchase")]
    assert journeys([event(0, "page_view"), event(1, "add_to_cart"), *late]) == [1, 1, 1]


def test_a_journey_may_end_on_a_day_in_which_none_may_begin() -> None:
    events = [event(0, "page_view"), event(15, "add_to_cart"), event(16, "page_view", "t")]
    wanted = replace(MINUTES, start=date(2026, 1, 15), end=date(2026, 1, 16))
    assert journeys(events, wanted) == [1, 1, 0]


def test_a_journey_that_may_still_go_on_is_open() -> None:
    events = [event(0, "page_view", "old"), event(60, "page_view", "new"), event(61, "search", "x")]
    assert [(row["journeys"], row["open"]) for row in asked(events)] == [(2, 1), (0, 0), (0, 0)]


def test_shares_are_those_of_the_first_and_of_the_step_before() -> None:
    events = [event(0, "page_view", f"s-{n}") for n in range(8)]
    events += [event(1, "add_to_cart", f"s-{n}") for n in range(4)] + [event(2, "purchase", "s-0")]
    assert [(row["of_first"], row["of_previous"]) for row in asked(events)] == [
        (1, None),
        (0.5, 0.5),
        (0.125, 0.25),
    ]


def test_groups_come_with_most_journeys_first() -> None:
    events = [event(0, "page_view", "s", product_id="a"), event(0, "page_view", "t", product_id="b")]
    rows = asked([*events, event(0, "page_view", "u", product_id="b")], replace(MINUTES, by="product"))
    assert [(row["product"], row["step"]) for row in rows] == [(name, n) for name in "ba" for n in (1, 2, 3)]


def test_nobody_is_no_journey() -> None:
    assert asked([]) == []
    assert asked([event(0, "page_view", None)]) == []


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (replace(MINUTES, steps=("page_view", "purchased")), "purchased: no such event type"),
        (replace(MINUTES, steps=("page_view",)), "two steps or more"),
        (replace(MINUTES, steps=("page_view", "page_view")), "each event type once"),
        (replace(MINUTES, window=timedelta(0)), "longer than nothing"),
        (replace(MINUTES, window=timedelta(days=31)), "not longer than 30 days"),
        (replace(MINUTES, who="visitor"), "visitor: no such journey"),
        (replace(MINUTES, by="price"), "price: no such group"),
    ],
)
def test_what_is_no_funnel_is_refused_with_what_there_is(wanted: Funnel, said: str) -> None:
    with pytest.raises(FixSettings, match=said):
        asked([], wanted)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("2h", timedelta(hours=2)),
        ("7d", timedelta(days=7)),
    ],
)
def test_a_window_is_written_as_people_do(text: str, length: timedelta) -> None:
    assert window_of(text) == length


@pytest.mark.parametrize("text", ["", "m", "30", "1.5h", "-3m", "30 m", "\u0663m", "1w", "9" * 12 + "d"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(FixSettings, match="is no length of time"):
        window_of(text)


# ---- retention ---------------------------------------------------------------------------------------------


def users(rows: Iterable[tuple[date, str]]) -> Ask:
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA gold")
    connection.execute("CREATE TABLE gold.daily_users (event_date DATE, user_id VARCHAR)")
    for row in rows:
        connection.execute("INSERT INTO gold.daily_users VALUES (?, ?)", row)
    return lambda sql, parameters: connection.sql(sql, params=[*parameters]).to_arrow_table()


def first_day(day: date, by: str) -> date:
    if by == "month":
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if by == "week" else day


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.tuples(st.dates(date(2025, 12, 20), date(2026, 3, 5)), st.sampled_from("abcde")), max_size=40),
    st.sampled_from(["day", "week", "month"]),
)
def test_retention_counts_users_as_a_loop_over_them_does(rows: set[tuple[date, str]], by: str) -> None:
    periods = defaultdict(set)
    for day, user in rows:
        periods[user].add(first_day(day, by))
    sizes = Counter(min(seen) for seen in periods.values())
    returned = Counter((min(seen), period) for seen in periods.values() for period in seen)
    newest = max((period for seen in periods.values() for period in seen), default=None)
    found = retention(users(rows), by).to_pylist()
    assert {(row["cohort"], row["period"]): row["returned"] for row in found if row["returned"]} == returned
    for row in found:
        assert row["users"] == sizes[row["cohort"]]
        assert row["share"] == row["returned"] / row["users"]
        assert row["is_over"] == (row["period"] < newest)
        assert (row["number"] == 0) == (row["cohort"] == row["period"])
    for cohort in sizes:
        numbers = [row["number"] for row in found if row["cohort"] == cohort]
        assert numbers == list(range(len(numbers)))
        assert max(row["period"] for row in found if row["cohort"] == cohort) == newest


def test_a_period_that_there_is_not_is_refused() -> None:
    with pytest.raises(FixSettings, match="fortnight: no such period"):
        retention(users([]), "fortnight")


def test_without_rows_of_silver_it_is_said_who_can_be_asked() -> None:
    with pytest.raises(FixData, match="Ask Athena"):
        funnel(users([]), MINUTES, EVENT_TYPES)
