"""Cards of journeys: who goes which way, and who comes again."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from eventmint.serve import charts
from eventmint.serve.formats import share
from eventmint.serve.journeys import Funnel
from eventmint.serve.pages.cards import card
from eventmint.serve.pages.days import Days

Document = dict[str, Any]
_GROUPS, _CELLS = 50, 500  # in the table


def funnel(rows: pa.Table, asked: Funnel, window: str, days: Days | None) -> Document:
    """How many journeys reach each step; docs/journeys.md says what counts.

    Args: days: those in which they begin.
    """
    found = rows.to_pylist()
    count = len(asked.steps)
    still_open = sum(row["open"] for row in found)
    words = f"Journeys of a {asked.who} of at most {window}"
    words += f", all steps of one {asked.by}" if asked.by else ""
    words += f", begun {days.text}" if days else ""
    words += f"; {still_open:,} may still go on" if still_open else ""
    told = [
        (
            *((row[asked.by],) if asked.by else ()),
            row["event_type"],
            f"{row['journeys']:,}",
            _part(row["of_first"]),
            _part(row["of_previous"]),
            f"{row['open']:,}",
        )
        for row in found[: _GROUPS * count]
    ]
    names = ("Step", "Journeys", "Of the first", "Of the step before", "May still go on")
    return card(charts.journeys(rows, words), (*([asked.by.title()] if asked.by else []), *names), told)


def retention(rows: pa.Table, by: str) -> Document:
    """Who comes again?"""
    told = [
        (
            row["cohort"].isoformat(),
            f"{row['users']:,}",
            row["period"].isoformat(),
            f"{row['returned']:,}",
            share(row["returned"], row["users"]),
            "over" if row["is_over"] else "so far",
        )
        for row in rows.to_pylist()[-_CELLS:]
    ]
    names = (f"First {by}", "Users", f"Came again in the {by} from", "Users then", "Share", "That is")
    return card(charts.retention(rows, by), names, told)


def _part(ratio: float | None) -> str:
    return "-" if ratio is None else share(ratio, 1)
