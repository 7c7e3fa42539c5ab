"""Anomalies: what is one, what is none, and that an hour has no say in what it is held against."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from watching.hourly import FOUR_WEEKS, dropped, seasonal_weeks
from watching.slow_anomalies import slow_anomalies

from eventmint.watching.anomalies import find_anomalies
from eventmint.watching.figures import HOUR, HourFigures
from eventmint.watching.series import MOST_WEEKS, WEEK

END = datetime(2026, 1, 29, tzinfo=UTC)
TWO_WEEKS = 2 * WEEK
SEEDS = st.integers(0, 2**32)
JUDGED = st.integers(FOUR_WEEKS - WEEK - 120, FOUR_WEEKS - 1)


def found_in(hours: list[HourFigures], last: int = TWO_WEEKS) -> dict[int, set[str]]:
    """Return the figures that are unlike, by number of the hour."""
    found = find_anomalies(hours, END, last)
    return {
        len(hours) - (END - anomaly.hour) // HOUR: {deviation.figure for deviation in anomaly.deviations}
        for anomaly in found.found
    }


# ---- no alarm where there is nothing -----------------------------------------------------------------------


# Seeds that stay: chance alone makes an alarm now and then, and these are enough to see that it is not often.
@pytest.mark.parametrize("level", [0.2, 3, 40, 800, 100_000])
def test_four_seasonal_weeks_raise_no_alarm(level: float) -> None:
    for seed in range(8):
        assert found_in(seasonal_weeks(seed, level)) == {}, seed


@pytest.mark.parametrize("growth", [-0.2, 0.15, 0.5])
@pytest.mark.parametrize("swing", [0.0, 0.05, 0.15])
def test_a_shop_that_grows_and_swings_raises_no_alarm(growth: float, swing: float) -> None:
    for seed in range(2):
        assert found_in(seasonal_weeks(seed, 2_000, growth=growth, swing=swing)) == {}, seed


def test_a_shop_that_opened_after_some_stray_events_of_long_ago_raises_no_alarm() -> None:
    hours = [HourFigures(valid=1, events=1) if n % 100 == 0 else HourFigures() for n in range(9 * WEEK)]
    hours += seasonal_weeks(1, 500)
    assert found_in(hours) == {}
    # Before there are sixteen days of its own it is not judged at all.
    opened = hours[: -FOUR_WEEKS + 15 * 24]
    assert find_anomalies(opened, END, 24).judged["events"] == 0


# ---- an alarm where there is something ---------------------------------------------------------------------


@pytest.mark.parametrize(("level", "swing"), [(2_500, 0.0), (20_000, 0.0), (20_000, 0.03)])
def test_a_drop_of_forty_per_cent_in_one_hour_is_one_alarm(level: float, swing: float) -> None:
    for seed in range(8):
        hours = seasonal_weeks(seed, level, swing=swing)
        at = Random(seed).randrange(FOUR_WEEKS - WEEK - 120, FOUR_WEEKS)
        hours[at] = dropped(hours[at], 0.4)
        found = found_in(hours)
        assert found.keys() == {at}, seed
        assert found[at] <= {"events", "revenue"}
        assert "events" in found[at]


def test_an_hour_without_any_event_is_an_alarm_also_in_a_smaller_shop() -> None:
    hours = seasonal_weeks(1, 40)
    at = FOUR_WEEKS - 12
    hours[at] = HourFigures()
    assert found_in(hours) == {at: {"events"}}


def test_an_hour_like_an_anomaly_of_the_week_before_is_one_again_and_the_next_is_none() -> None:
    hours = seasonal_weeks(7, 2_000)
    first = FOUR_WEEKS - WEEK - 13
    hours[first] = dropped(hours[first], 0.5)
    assert found_in(hours).keys() == {first}
    hours[first + WEEK] = dropped(hours[first + WEEK], 0.5)
    assert found_in(hours).keys() == {first, first + WEEK}


def test_what_only_revenue_or_only_a_rate_has_is_told_as_such() -> None:
    hours = seasonal_weeks(3, 4_000)
    at = FOUR_WEEKS - 10
    hour = hours[at]
    for changed, figure in (
        (dataclasses.replace(hour, revenue=hour.revenue * 0.3), "revenue"),
        (dataclasses.replace(hour, revenue=hour.revenue * 3), "revenue"),
        (dataclasses.replace(hour, valid=hour.valid * 2, duplicates=hour.valid), "duplicate_rate"),
        (dataclasses.replace(hour, quarantined=hour.received // 10), "quarantine_rate"),
    ):
        hours[at] = changed
        assert found_in(hours) == {at: {figure}}


def test_better_rates_than_ever_are_no_alarm() -> None:
    hours = seasonal_weeks(3, 4_000)
    hours[-5] = dataclasses.replace(hours[-5], valid=hours[-5].events, duplicates=0, quarantined=0)
    assert found_in(hours) == {}


def test_more_repeats_that_matter_to_nobody_are_no_alarm() -> None:
    hours = [
        dataclasses.replace(hour, duplicates=hour.valid // 10_000) for hour in seasonal_weeks(3, 200_000)
    ]
    hours[-5] = dataclasses.replace(hours[-5], duplicates=hours[-5].valid // 200)
    assert found_in(hours) == {}  # half a per cent instead of a tenth of a thousandth
    hours[-5] = dataclasses.replace(hours[-5], duplicates=hours[-5].valid // 80)
    assert found_in(hours) == {len(hours) - 5: {"duplicate_rate"}}


def test_one_large_order_in_a_small_shop_is_no_alarm() -> None:
    hours = seasonal_weeks(5, 300)
    hours[-5] = dataclasses.replace(hours[-5], revenue=hours[-5].revenue + 20_000)
    assert found_in(hours) == {}


# ---- what it is held against -------------------------------------------------------------------------------


@settings(max_examples=6, deadline=None)
@given(seed=SEEDS, at=JUDGED, events=st.integers(0, 10_000))
def test_an_hour_has_no_say_in_what_it_is_held_against(seed: int, at: int, events: int) -> None:
    def expected(count: int) -> tuple[float, float]:
        hours = seasonal_weeks(seed, 300)
        hours[at] = HourFigures(valid=count, events=count)
        (anomaly,) = (
            anomaly
            for anomaly in find_anomalies(hours, END, TWO_WEEKS).found
            if anomaly.hour == END - (len(hours) - at) * HOUR
        )
        deviation = next(item for item in anomaly.deviations if item.figure == "events")
        return deviation.expected, abs(deviation.strength)

    far = 10**6 + events
    value, strength = expected(far)
    other_value, other_strength = expected(2 * far)
    assert value == other_value
    assert other_strength > strength


@settings(max_examples=4, deadline=None)
@given(
    seed=SEEDS,
    level=st.sampled_from([2, 150, 5_000]),
    changes=st.lists(
        st.tuples(
            JUDGED, st.sampled_from(["events", "revenue", "duplicates", "quarantined"]), st.integers(0, 9)
        ),
        max_size=12,
    ),
)
@example(
    seed=1,
    level=5_000,
    changes=[
        (FOUR_WEEKS - number, figure, 9 * (number % 2))
        for number, figure in enumerate(("events", "revenue", "duplicates", "quarantined") * 2, 3)
    ],
)
def test_it_finds_what_the_slow_reading_of_its_rules_finds(
    seed: int, level: float, changes: list[tuple[int, str, int]]
) -> None:
    hours = seasonal_weeks(seed, level, hours=FOUR_WEEKS, swing=0.03, growth=0.1)
    for at, figure, times in changes:
        value = getattr(hours[at], figure)
        hours[at] = dataclasses.replace(hours[at], **{figure: value * times // 2})
    found = {
        (len(hours) - (END - anomaly.hour) // HOUR, item.figure): (item.found, item.expected, item.strength)
        for anomaly in find_anomalies(hours, END, 60).found
        for item in anomaly.deviations
    }
    slow = slow_anomalies(hours, 60)
    assert found.keys() == slow.keys()
    for place, values in found.items():
        assert values == pytest.approx(slow[place], rel=1e-9)


def test_history_before_the_weeks_that_count_changes_nothing() -> None:
    hours = seasonal_weeks(11, 10_000, hours=16 * WEEK)
    hours[-7] = dropped(hours[-7], 0.6)
    needed = hours[-(4 + MOST_WEEKS + 1) * WEEK - 24 :]
    (few,), (many,) = (find_anomalies(given, END, 24).found for given in (needed, hours))
    assert [item.figure for item in few.deviations] == ["events", "revenue"]
    for one, other in zip(few.deviations, many.deviations, strict=True):
        assert dataclasses.astuple(one)[1:] == pytest.approx(dataclasses.astuple(other)[1:], rel=1e-9)


# ---- what nobody can say -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "judged"), [(0, 0), (3, 0), (15, 0), (16, 0), (17, 24), (28, 24)])
def test_without_sixteen_days_before_it_no_hour_is_judged(days: int, judged: int) -> None:
    hours = seasonal_weeks(2, 1_000, hours=days * 24)
    hours[-1:] = [HourFigures()] if hours else []
    found = find_anomalies(hours, END, 24)
    assert found.judged["events"] == judged
    assert len(found.found) == (judged > 0)
    assert found.hours == min(24, days * 24)
    assert (found.start, found.end) == (END - timedelta(hours=found.hours), END)


def test_an_hour_in_which_no_file_came_has_no_rate_of_quarantine() -> None:
    hours = [dataclasses.replace(hour, received=0, quarantined=0) for hour in seasonal_weeks(2, 400)]
    assert find_anomalies(hours, END, 24).judged == {
        "events": 24,
        "revenue": 0,
        "duplicate_rate": 24,
        "quarantine_rate": 0,
    }


# ---- how it is told ----------------------------------------------------------------------------------------


def test_an_anomaly_is_told_in_one_line() -> None:
    hours = [HourFigures(valid=1_000, events=1_000) for _ in range(FOUR_WEEKS)]
    hours[-2] = HourFigures(valid=1_200, events=600, duplicates=600)
    (anomaly,) = find_anomalies(hours, END, 24).found
    assert str(anomaly) == (
        "2026-01-28 22:00 UTC: events 600 instead of about 1,000 (-40%), "
        "duplicate_rate 50.0% instead of about 0.0%"
    )
