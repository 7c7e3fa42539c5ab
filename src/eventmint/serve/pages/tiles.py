"""Tiles: the five numbers at the top, each with its change against as many days before.

Users and sessions are never added up over days, for the same person may come again: a tile says how many came
on a day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from eventmint.serve.formats import MINUS, rounded, share, short_count, short_money

Row = Mapping[str, Any]
_NO_CHANGE = Decimal("0.05")  # per cent, or percentage points


@dataclass(frozen=True)
class Sums:
    """What the tiles are made from: per day that has events, in order.

    Attributes:
        shop: views, carts, purchases and revenue.
        people: unique_users and unique_sessions.
    """

    shop: Sequence[Row]
    people: Sequence[Row]

    def total(self, column: str) -> Any:
        return sum((row[column] for row in self.shop), 0)

    @property
    def revenue(self) -> Decimal:
        return Decimal(self.total("revenue"))

    @property
    def conversion(self) -> Decimal | None:
        """Purchases per hundred views."""
        return _ratio(100 * self.total("purchases"), self.total("views"))

    @property
    def visitors(self) -> Decimal | None:
        """Distinct users of a day, mean of the days."""
        return _ratio(sum(row["unique_users"] for row in self.people), len(self.people))

    @property
    def visits(self) -> Decimal | None:
        """Sessions of a day for each user of a day."""
        users = sum(row["unique_users"] for row in self.people)
        return _ratio(sum(row["unique_sessions"] for row in self.people), users)


def tiles(now: Sums, then: Sums | None, before: str, everyone: str) -> list[dict[str, Any]]:
    """Return the tiles as plain data.

    Args:
        then: the days before; None where there are none to compare with.
        before: how these are called.
        everyone: what is said where a number is not of the one category that was chosen.
    """
    shop, people = now.shop, now.people

    def change(measure: str) -> dict[str, Any]:
        return _change(getattr(now, measure), getattr(then, measure) if then else None, before)

    bought = now.total("purchases")
    return [
        {
            "label": "Revenue",
            "value": short_money(now.revenue),
            "exact": f"${now.revenue:,.2f}",
            "change": change("revenue"),
            "series": [float(row["revenue"]) for row in shop],
            "note": "",
        },
        {
            "label": "Purchases",
            "value": short_count(bought),
            "exact": f"{bought:,}",
            "change": _change(bought, then.total("purchases") if then else None, before),
            "series": [row["purchases"] for row in shop],
            "note": "",
        },
        {
            "label": "From view to purchase",
            "value": _told(now.conversion, lambda rate: share(rate, 100)),
            "exact": f"{bought:,} purchases of {now.total('views'):,} page views",
            "change": _points(now.conversion, then.conversion if then else None, before),
            "series": [float(Sums([row], []).conversion or 0) for row in shop],
            "note": "",
        },
        {
            "label": "Visitors per day",
            "value": _told(now.visitors, short_count),
            "exact": _told(now.visitors, lambda mean: f"{mean:,.1f} distinct users, mean of the days"),
            "change": change("visitors"),
            "series": [row["unique_users"] for row in people],
            "note": everyone,
        },
        {
            "label": "Sessions per visitor",
            "value": _told(now.visits, lambda ratio: f"{ratio:.2f}"),
            "exact": "sessions of a day for each user of a day",
            "change": change("visits"),
            "series": [float(Sums([], [row]).visits or 0) for row in people],
            "note": everyone,
        },
    ]


def _told(value: Decimal | None, words: Any) -> str:
    return "-" if value is None else str(words(value))


def _ratio(part: Decimal | int, whole: Decimal | int) -> Decimal | None:
    return Decimal(part) / Decimal(whole) if whole else None


def _change(now: Decimal | int | None, then: Decimal | int | None, before: str) -> dict[str, Any]:
    if now is None or not then:
        return _NOTHING_BEFORE
    percent = 100 * (Decimal(now) - then) / then
    return _direction(percent, f"{rounded(abs(percent), 1):,}%", before)


def _points(now: Decimal | None, then: Decimal | None, before: str) -> dict[str, Any]:
    if now is None or then is None:
        return _NOTHING_BEFORE
    return _direction(now - then, f"{rounded(abs(now - then), 1):,} points", before)


_NOTHING_BEFORE = {"direction": 0, "text": "no earlier period"}


def _direction(change: Decimal, size: str, before: str) -> dict[str, Any]:
    if abs(change) < _NO_CHANGE:
        return {"direction": 0, "text": f"no change from {before}"}
    if change > 0:
        return {"direction": 1, "text": f"+{size}, more than {before}"}
    return {"direction": -1, "text": f"{MINUS}{size}, less than {before}"}
