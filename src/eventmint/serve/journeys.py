"""Journeys: who goes which way (funnel), and who comes again (retention). Counted from rows, exactly.

What counts is defined in docs/journeys.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import pyarrow as pa

from eventmint.errors import FixData, FixSettings
from eventmint.serve.pages.days import Ask

WHO = {"session": "session_id", "user": "user_id"}
BY = {"product": "product_id", "category": "COALESCE(category, '(none)')"}
PERIODS = ("day", "week", "month")
LONGEST_WINDOW = timedelta(days=30)


@dataclass(frozen=True)
class Funnel:
    """What is asked for.

    Attributes:
        steps: two or more event types, each once.
        window: how long after its beginning a journey may go on.
        who: `session` or `user`: whose journeys are counted.
        by: `product` or `category`: all steps are of the same one; None for any.
        start, end: UTC days, half-open, in which journeys begin; they may go on after `end`.
    """

    steps: tuple[str, ...]
    window: timedelta
    who: str = "session"
    by: str | None = None
    start: date | None = None
    end: date | None = None


def funnel(ask: Ask, asked: Funnel, event_types: Sequence[str]) -> pa.Table:
    """Return how many journeys reach each step.

    Args: event_types: those that a lake's contract knows.
    Returns: one row per step, and product or category: `step` (1, 2, ...), `event_type`, `journeys`,
        `of_first` and `of_previous` (shares, NULL where there is nothing to divide by), and `open`: journeys
        that got no further but still may, for the newest event is within their window. Groups come in the
        order of the journeys that begin, the largest first.
    Raises: FixSettings: an unknown or repeated step, or a window that is none. FixData: there are no rows to
        count here.
    """
    _check(asked, event_types)
    return _asked(ask, _funnel_sql(asked), [*asked.steps, asked.start, asked.end])


def retention(ask: Ask, by: str = "week") -> pa.Table:
    """Return how many users of each period come again.

    Returns: one row per first period and later one, both with their first day: `cohort`, `users`, `period`,
        `number` (0 for the first itself), `returned`, `share`; `is_over` is false for the newest period, in
        which more may still come.
    Raises: FixSettings: no such period. FixData: there are no rows to count here.
    """
    if by not in PERIODS:
        raise FixSettings(f"{by}: no such period.", f"Periods are {', '.join(PERIODS)}.")
    return _asked(ask, _RETENTION.format(by=by), [])


def window_of(text: str) -> timedelta:
    """Read a length of time such as `90s`, `30m`, `2h` or `7d`. Raises: FixSettings: it is none."""
    unit = _UNITS.get(text[-1:])
    number = text[:-1]
    if unit is None or not (number.isascii() and number.isdigit()) or len(number) > _LONGEST_NUMBER:
        raise FixSettings(f"{text!r} is no length of time.", "Write 90s, 30m, 2h or 7d.")
    return int(number) * unit


_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_LONGEST_NUMBER = 9


def _check(asked: Funnel, event_types: Sequence[str]) -> None:
    unknown = [step for step in asked.steps if step not in event_types]
    if unknown:
        raise FixSettings(f"{unknown[0]}: no such event type.", f"There are {', '.join(event_types)}.")
    if len(asked.steps) < 2 or len(set(asked.steps)) < len(asked.steps):  # noqa: PLR2004
        raise FixSettings(
            "A funnel has two steps or more, each event type once.", "Such as page_view,add_to_cart,purchase."
        )
    if not timedelta(0) < asked.window <= LONGEST_WINDOW:
        raise FixSettings(
            "The window must be longer than nothing and not longer than 30 days.", "Write 30m, 2h or 7d."
        )
    if asked.who not in WHO:
        raise FixSettings(f"{asked.who}: no such journey.", f"Journeys are those of a {' or '.join(WHO)}.")
    if asked.by is not None and asked.by not in BY:
        raise FixSettings(f"{asked.by}: no such group.", f"Groups are {' and '.join(BY)}.")


def _funnel_sql(asked: Funnel) -> str:
    """One pass per step over each journey in order of time: of all chains to an event, the latest beginning.

    A chain that begins later leaves more of its window, so no other needs to be remembered. The frame of the
    running maximum includes events at the same instant. Journeys without an event of the second step are most
    of all, and are only counted.
    """
    window_us = asked.window // timedelta(microseconds=1)
    who, group = WHO[asked.who], BY[asked.by] if asked.by else "''"
    count = len(asked.steps)
    start, end = f"CAST(${count + 1} AS DATE)", f"CAST(${count + 2} AS DATE)"
    types = [f"${number}" for number in range(1, count + 1)]
    levels = [
        f"""level_{n} AS (
        SELECT
            * EXCLUDE (latest),
            CASE WHEN event_type = ${n} AND us - latest <= {window_us} THEN latest END AS began_{n}
        FROM (
            SELECT *, MAX(began_{n - 1}) OVER (
                PARTITION BY who, sort ORDER BY us RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
            ) AS latest
            FROM level_{n - 1}
        ))"""  # noqa: S608 - our own names
        for n in range(2, count + 1)
    ]
    deepest_first = range(count, 1, -1)
    furthest = " ".join(f"WHEN began_{n} IS NOT NULL THEN {n}" for n in deepest_first)
    began = ", ".join(f"began_{n}" for n in deepest_first)
    return f"""
    WITH events AS NOT MATERIALIZED (
        SELECT {who} AS who, {group} AS sort, event_type, epoch_us(event_time) AS us,
            event_type = $1 AND event_date < COALESCE({end}, DATE '9999-12-31') AS begins
        FROM silver.events_cleaned
        WHERE event_type IN ({", ".join(types)}) AND {who} IS NOT NULL AND {group} IS NOT NULL
            AND event_date >= COALESCE({start}, DATE '0001-01-01')
            AND event_date <= COALESCE({end} + {asked.window.days + 1}, DATE '9999-12-31')
    ),
    firsts AS (SELECT who, sort, MAX(us) AS began_1 FROM events WHERE begins GROUP BY who, sort),
    level_1 AS (
        SELECT who, sort, event_type, us, CASE WHEN begins THEN us END AS began_1
        FROM events
        WHERE (who, sort) IN (SELECT (who, sort) FROM events WHERE event_type = $2)
    ),
    {", ".join(levels)},
    continued AS (
        SELECT who, sort, {", ".join(f"MAX(began_{n}) AS began_{n}" for n in deepest_first)}
        FROM level_{count} GROUP BY who, sort
    ),
    journeys AS (
        SELECT firsts.sort, CASE {furthest} ELSE 1 END AS furthest, COALESCE({began}, firsts.began_1) AS began
        FROM firsts LEFT JOIN continued ON continued.who = firsts.who AND continued.sort = firsts.sort
    ),
    newest AS (SELECT epoch_us(MAX(event_time)) AS us FROM silver.events_cleaned),
    reached AS (
        SELECT
            sort, furthest, COUNT(*) AS journeys,
            COUNT(*) FILTER (WHERE furthest < {count} AND newest.us - began <= {window_us}) AS open
        FROM journeys CROSS JOIN newest
        GROUP BY sort, furthest
    ),
    sorts AS (SELECT sort, SUM(journeys) AS journeys FROM reached GROUP BY sort),
    steps(step, event_type) AS (VALUES {", ".join(f"({n}, ${n})" for n in range(1, count + 1))}),
    counted AS (
        SELECT
            sorts.sort, sorts.journeys AS began, steps.step, steps.event_type,
            CAST(COALESCE(SUM(reached.journeys), 0) AS BIGINT) AS journeys,
            CAST(COALESCE(SUM(reached.open) FILTER (reached.furthest = steps.step), 0) AS BIGINT) AS open
        FROM sorts CROSS JOIN steps
        LEFT JOIN reached ON reached.sort = sorts.sort AND reached.furthest >= steps.step
        GROUP BY ALL
    )
    SELECT
        {f"sort AS {asked.by}, " if asked.by else ""}step, event_type, journeys,
        journeys / NULLIF(CAST(began AS DOUBLE), 0) AS of_first,
        journeys / NULLIF(CAST(LAG(journeys) OVER in_order AS DOUBLE), 0) AS of_previous,
        open
    FROM counted
    WINDOW in_order AS (PARTITION BY sort ORDER BY step)
    ORDER BY began DESC, sort ASC, step ASC"""  # noqa: S608 - our own names; values are bound


_RETENTION = """
    WITH seen AS (
        SELECT DISTINCT user_id, CAST(date_trunc('{by}', event_date) AS DATE) AS period FROM gold.daily_users
    ),
    firsts AS (SELECT user_id, MIN(period) AS cohort FROM seen GROUP BY user_id),
    cohorts AS (SELECT cohort, COUNT(*) AS users FROM firsts GROUP BY cohort),
    newest AS (SELECT MAX(period) AS period FROM seen),
    returned AS (
        SELECT cohort, period, COUNT(*) AS returned
        FROM seen JOIN firsts USING (user_id)
        GROUP BY cohort, period
    ),
    every AS (
        SELECT
            cohort, users,
            CAST(UNNEST(generate_series(cohort, newest.period, INTERVAL 1 {by})) AS DATE) AS period
        FROM cohorts CROSS JOIN newest
    )
    SELECT
        every.cohort, every.users, every.period,
        date_diff('{by}', every.cohort, every.period) AS number,
        COALESCE(returned.returned, 0) AS returned,
        COALESCE(returned.returned, 0) / CAST(every.users AS DOUBLE) AS share,
        every.period < newest.period AS is_over
    FROM every CROSS JOIN newest
    LEFT JOIN returned ON returned.cohort = every.cohort AND returned.period = every.period
    ORDER BY every.cohort, every.period"""


def _asked(ask: Ask, sql: str, parameters: Sequence[object]) -> pa.Table:
    try:
        return ask(sql, parameters)
    except duckdb.CatalogException as err:
        raise FixData(
            "analytics.duckdb shows no rows of silver and no sets of users: the lake is in S3.",
            "Ask Athena instead, over silver.events_cleaned.",
        ) from err
